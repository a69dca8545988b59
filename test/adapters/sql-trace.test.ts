// What is known of a file, where its name is the end of very many paths.

import t from 'tap';
import { traceFile } from '../../src/adapters/sql/trace.ts';
import { sql } from '../../src/adapters/sql/kysely.ts';
import { makeRig, upload } from '../support/fakes.ts';

void t.test('a name that very many uploads have is traced for all of them', async (t) => {
  const rig = await makeRig({ isFast: true });
  t.teardown(() => rig.close());
  await upload(rig, '1.dcm', 'abc');
  await rig.settle();
  const count = 33_000;
  for (const [table, key] of [
    ['upload', 'id'],
    ['job', 'uploadId'],
  ] as const) {
    const columns = await sql<{
      name: string;
    }>`select name from pragma_table_info(${table})`.execute(rig.db);
    const values = columns.rows.map(({ name }) => {
      if (name === 'id' || name === key) return sql`'copy-' || n`;
      if (name === 'path') return sql`'ji_brain/alice/gpg/' || n || '/1.dcm'`;
      return name === 'output' ? sql`null` : sql.ref(name);
    });
    await sql`with recursive copy(n) as (select 1 union all select n + 1 from copy where n < ${count})
      insert into ${sql.table(table)} select ${sql.join(values)} from ${sql.table(table)}, copy`.execute(
      rig.db,
    );
  }
  const trace = await traceFile(rig.db, rig.audit, '1.dcm');
  t.equal(trace.uploads.length, count + 1);
  t.equal(trace.jobs.length, count + 1);
  t.match(trace.entries.at(0), { action: 'upload.begun' }, 'oldest first');
  const [one] = (await traceFile(rig.db, rig.audit, 'copy-7')).uploads;
  t.match(one, { path: '/home/ji_brain/alice/gpg/7/1.dcm' });
});
