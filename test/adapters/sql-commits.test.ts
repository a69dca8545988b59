// Commits that are shared, and queries that are put together once: each caller gets what is its own.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import t, { type Test } from 'tap';
import { createCommitQueue } from '../../src/adapters/sql/commit-queue.ts';
import { sql } from '../../src/adapters/sql/kysely.ts';
import { insertRow, prepared, updateRow } from '../../src/adapters/sql/prepared.ts';
import type { Database } from '../../src/adapters/sql/schema.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';

async function openOne(t: Test): Promise<Kysely<Database>> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-sql-'));
  const opened = await openSqlite(join(folder, 'one.db'));
  t.teardown(async () => {
    await opened.close();
    await rm(folder, { recursive: true });
  });
  return opened.db;
}

const entry = (object: string, seq: number) =>
  ({ seq, at: 1, actor: 'cli', action: 'a', object, detail: '{}', hash: '' }) as const;

const objects = async (db: Kysely<Database>): Promise<string[]> =>
  (await db.selectFrom('audit').select('object').orderBy('seq').execute()).map((row) => row.object);

void t.test('work that is asked for together is committed together, in its order', async (t) => {
  const db = await openOne(t);
  let transactions = 0;
  const counted = new Proxy(db, {
    get: (target, name) => {
      if (name === 'transaction') transactions += 1;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const commit = createCommitQueue(counted);
  const answers = await Promise.all(
    [1, 2, 3].map((seq) =>
      commit(async (trx) => {
        await insertRow(trx, 'audit', entry(`o${seq}`, seq));
        return seq * 10;
      }),
    ),
  );
  t.same(answers, [10, 20, 30]);
  t.same(await objects(db), ['o1', 'o2', 'o3']);
  t.equal(transactions, 1);
  await commit((trx) => insertRow(trx, 'audit', entry('o4', 4)));
  t.equal(transactions, 2);
});

void t.test('work that fails is undone alone, and its caller alone hears of it', async (t) => {
  const db = await openOne(t);
  const commit = createCommitQueue(db);
  const add = (seq: number, fails = false): Promise<number> =>
    commit(async (trx) => {
      await insertRow(trx, 'audit', entry(`o${seq}`, seq));
      if (fails) throw new Error('no');
      return seq;
    });
  const settled = await Promise.allSettled([add(1), add(2, true), add(3), add(3)]);
  t.same(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
  );
  t.same(await objects(db), ['o1', 'o3']);
  await t.rejects(add(4, true));
  t.same(await objects(db), ['o1', 'o3'], 'alone in its transaction too');
  t.equal(await add(5), 5, 'the queue goes on');
});

void t.test('when the commit fails everybody hears of it', async (t) => {
  const db = await openOne(t);
  const commit = createCommitQueue(db);
  const works = [1, 2].map((seq) =>
    commit(async (trx) => {
      await insertRow(trx, 'audit', entry(`o${seq}`, seq));
      // A reference to nobody that is looked at when the transaction ends.
      if (seq === 2) await sql`pragma defer_foreign_keys = on`.execute(trx);
      if (seq === 2) await insertRow(trx, 'membership', orphan);
    }),
  );
  const settled = await Promise.allSettled(works);
  t.same(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.same(await objects(db), []);
  await commit((trx) => insertRow(trx, 'audit', entry('after', 1)));
  t.same(await objects(db), ['after']);
});

const orphan = { memberId: 'nobody', projectId: 'none' };

void t.test('a query that is put together once takes the values of each call', async (t) => {
  const db = await openOne(t);
  const find = prepared<{ object: string; from: number }, { seq: number }>((any, value) =>
    any
      .selectFrom('audit')
      .select('seq')
      .where('object', '=', value('object'))
      .where('seq', '>=', value('from'))
      .orderBy('seq'),
  );
  for (const seq of [1, 2, 3]) await insertRow(db, 'audit', entry(seq === 2 ? 'b' : 'a', seq));
  t.same(await find(db, { object: 'a', from: 0 }), [{ seq: 1 }, { seq: 3 }]);
  t.same(await find(db, { object: 'a', from: 2 }), [{ seq: 3 }]);
  t.same(await find(db, { object: 'b', from: 0 }), [{ seq: 2 }]);
  const other = await openOne(t);
  t.same(await find(other, { object: 'a', from: 0 }), [], 'of another database');
});

void t.test('rows are changed by their id, columns that are not named stay', async (t) => {
  const db = await openOne(t);
  const project = { id: 'p', name: 'brain', createdAt: 5 };
  const columns = await db.introspection.getTables();
  const table = columns.find(({ name }) => name === 'project');
  const filler = Object.fromEntries(
    (table?.columns ?? [])
      .filter(({ isNullable, hasDefaultValue }) => !isNullable && !hasDefaultValue)
      .map(({ name, dataType }) => [name, /int/i.test(dataType) ? 0 : 'active']),
  );
  await insertRow(db, 'project', { ...filler, ...project } as never);
  await updateRow(db, 'project', 'p', { name: 'lung' });
  await updateRow(db, 'project', 'p', { createdAt: sql<number>`1 + 1` });
  await updateRow(db, 'project', 'p', {});
  await updateRow(db, 'project', 'another', { name: 'x' });
  const rows = await db.selectFrom('project').select(['id', 'name', 'createdAt']).execute();
  t.same(rows, [{ id: 'p', name: 'lung', createdAt: 2 }]);
});
