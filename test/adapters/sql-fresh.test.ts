// New uploads whose rows are made a moment later: durable before, and there for whoever asks.

import BetterSqlite3 from 'better-sqlite3';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freeOwn, type Engine } from '../../src/adapters/sql/at-once.ts';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { freshUploads } from '../../src/adapters/sql/fresh-uploads.ts';
import { SqlMembers } from '../../src/adapters/sql/members.ts';
import { copyRows } from '../../src/adapters/sql/row-copy.ts';
import { openSqlite, type OpenDatabase } from '../../src/adapters/sql/sqlite.ts';
import { createUploadStore } from '../../src/adapters/sql/uploads.ts';
import type { NewUpload } from '../../src/flow/ports/jobs.ts';
import { makeRig, openFor, place, remove, rename, upload, type Rig } from '../support/fakes.ts';

const gpg = 'ji_brain/alice/gpg';

const fresh = (path: string, change: Partial<NewUpload> = {}): NewUpload => ({
  projectId: 'p1',
  memberId: 'm-alice',
  kind: 'intake',
  partner: undefined,
  path: `${gpg}/${path}`,
  declaredSizeBytes: undefined,
  coverage: [[0, 3]],
  closed: true,
  identity: { sizeBytes: 3, modifiedMs: 1, device: '1', inode: '7' },
  state: 'settling',
  reason: undefined,
  settleAt: 1,
  ...change,
});

async function rigOf(t: Test): Promise<Rig> {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  return rig;
}

const note = (rig: Rig, path: string, change: Partial<NewUpload> = {}): Promise<void> =>
  rig.uploads.beginSoon(fresh(path, change), 'm-alice');

/** What lies in the file, without asking Clubhouse. */
function onDisk(rig: Rig): { readonly notes: number; readonly uploads: number } {
  const raw = new BetterSqlite3(join(rig.folder, 'clubhouse.db'), { readonly: true });
  try {
    const count = (table: string): number =>
      (raw.prepare(`select count(*) as count from ${table}`).get() as { count: number }).count;
    return { notes: count('fresh_upload'), uploads: count('upload') };
  } finally {
    raw.close();
  }
}

function engineOf(db: OpenDatabase['db']): Engine {
  const own = freeOwn(db);
  if (own === undefined) throw new Error('a transaction is open');
  return own.engine;
}

const paths = async (db: OpenDatabase['db']): Promise<string[]> =>
  (await db.selectFrom('upload').select('path').orderBy('path').execute()).map(({ path }) =>
    path.slice(gpg.length + 1),
  );

void t.test('what is noted is durable, and whoever asks finds its rows', async (t) => {
  const rig = await rigOf(t);
  await note(rig, 'a.dcm');
  await note(rig, 'b.dcm');
  t.same(onDisk(rig), { notes: 2, uploads: 0 }, 'noted, and no more than that');
  const found = await rig.uploads.latest(`${gpg}/a.dcm`, 'm-alice');
  t.match(found, { generation: 1, states: ['settling'], settleAt: 1, closed: true, inode: '7' });
  t.same(onDisk(rig), { notes: 0, uploads: 2 });
  await note(rig, 'c.dcm');
  t.equal(await rig.uploads.latest(`${gpg}/new.dcm`, 'm-alice'), undefined);
  t.same(onDisk(rig), { notes: 1, uploads: 2 }, 'another new path does not matter to it');
  t.same(await paths(rig.db), ['a.dcm', 'b.dcm', 'c.dcm'], 'by a query');
  await note(rig, 'd.dcm');
  await rig.db.transaction().execute(async (trx) => {
    t.equal((await paths(trx)).length, 4, 'in a transaction');
  });
  await note(rig, 'e.dcm');
  await rig.uploads.begin(fresh('f.dcm'), 'm-alice');
  t.equal((await paths(rig.db)).length, 6, 'and before other rows are made');
  t.equal(await rig.audit.firstFault(rig.db), undefined);
  const begun = (await rig.audit.list(rig.db)).filter(({ action }) => action === 'upload.begun');
  t.equal(begun.length, 6, 'each has its entry');
});

void t.test('rows bear the time of the note, and follow in its order', async (t) => {
  const rig = await rigOf(t);
  const at = rig.clock.now();
  await note(rig, 'a.dcm');
  await note(rig, 'a.dcm', { identity: { sizeBytes: 4, modifiedMs: 2, device: '1', inode: '8' } });
  rig.clock.advance(60_000);
  const rows = await rig.db.selectFrom('upload').selectAll().orderBy('generation').execute();
  t.match(rows, [
    { generation: 1, inode: '7', createdAt: at, touchedAt: at },
    { generation: 2, inode: '8', createdAt: at, touchedAt: at },
  ]);
});

void t.test('rows are made soon, or by another process that asks', async (t) => {
  const rig = await rigOf(t);
  await note(rig, 'a.dcm');
  const later = Date.now() + 5000;
  while (onDisk(rig).uploads === 0 && Date.now() < later) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.same(onDisk(rig), { notes: 0, uploads: 1 }, 'without anybody asking');
  await note(rig, 'b.dcm');
  const other = await openSqlite(join(rig.folder, 'clubhouse.db'));
  t.teardown(() => other.close());
  const { clock } = rig;
  const audit = new AuditLog(new Uint8Array(32), clock);
  freshUploads({ db: other.db, audit, clock });
  t.same(await paths(other.db), ['a.dcm', 'b.dcm']);
  await note(rig, 'c.dcm');
  t.equal((await paths(other.db)).length, 3, 'each time it asks');
  t.equal((await paths(rig.db)).length, 3, 'made once, by whoever came first');
  t.equal(await rig.audit.firstFault(rig.db), undefined);
});

void t.test('a command changes also what was noted while it waited for the lock', async (t) => {
  const rig = await rigOf(t);
  const path = join(rig.folder, 'clubhouse.db');
  const other = await openSqlite(path);
  t.teardown(() => other.close());
  const { clock } = rig;
  const audit = new AuditLog(new Uint8Array(32), clock);
  freshUploads({ db: other.db, audit, clock });
  const engine = engineOf(other.db);
  const { before } = engine;
  const server = new BetterSqlite3(path);
  t.teardown(() => server.close());
  engine.before = (own, what) => {
    before?.(own, what);
    if (own.engine.inTransaction()) return;
    server
      .prepare('insert into fresh_upload (upload, actor, "createdAt") values (?, ?, ?)')
      .run(JSON.stringify(fresh('a.dcm')), 'm-alice', 1);
  };
  const members = new SqlMembers({ db: other.db, audit, clock, actor: 'cli' });
  t.same(await members.remove('m-alice'), { withdrawn: 1 });
  engine.before = before;
  const jobs = await rig.db.selectFrom('job').select('state').execute();
  t.same(jobs, [{ state: 'withdrawn' }]);
  t.equal(await rig.audit.firstFault(rig.db), undefined);
});

void t.test('rows that were undone with another transaction are made again', async (t) => {
  const rig = await rigOf(t);
  const engine = engineOf(rig.db);
  const { before } = engine;
  await note(rig, 'a.dcm');
  // As if it were noted when the transaction has its turn and has not begun.
  engine.before = (own, what) => {
    if (own.engine.inTransaction()) before?.(own, what);
  };
  await t.rejects(
    rig.db.transaction().execute(async (trx) => {
      t.same(await paths(trx), ['a.dcm']);
      throw new Error('undone');
    }),
    { message: 'undone' },
  );
  engine.before = (own) => {
    if (own.engine.inTransaction()) throw new Error('the disk is full');
  };
  await t.rejects(rig.db.transaction().execute(paths), { message: 'the disk is full' });
  t.notOk(engine.inTransaction(), 'where none can be made there is no transaction');
  engine.before = before;
  t.match(await rig.uploads.latest(`${gpg}/a.dcm`, 'm-alice'), { generation: 1 });
  t.same(onDisk(rig), { notes: 0, uploads: 1 });
});

void t.test('what cannot be made is tried again now and then, not without end', async (t) => {
  const rig = await rigOf(t);
  const engine = engineOf(rig.db);
  const { transaction } = engine;
  const fails = (): never => {
    tries += 1;
    throw new Error('the lock is taken');
  };
  let tries = 0;
  await paths(rig.db);
  for (let n = 0; n < 99; n += 1) await note(rig, `${n}.dcm`);
  await note(rig, '99.dcm').then(() => Object.assign(engine, { transaction: fails }));
  await new Promise((resolve) => setTimeout(resolve, 450));
  Object.assign(engine, { transaction });
  t.equal(tries, 1);
  t.equal((await paths(rig.db)).length, 100);
});

void t.test('a process that dies before leaves them to the next', async (t) => {
  const rig = await rigOf(t);
  await note(rig, 'a.dcm');
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-fresh-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const end of ['', '-wal']) {
    await copyFile(join(rig.folder, `clubhouse.db${end}`), join(folder, `clubhouse.db${end}`));
  }
  const next = await openSqlite(join(folder, 'clubhouse.db'));
  t.teardown(() => next.close());
  const { clock } = rig;
  const uploads = createUploadStore({
    db: next.db,
    audit: new AuditLog(new Uint8Array(32), clock),
    clock,
  });
  t.match(await uploads.latest(`${gpg}/a.dcm`, 'm-alice'), { generation: 1 }, 'the first question');
  t.equal((await uploads.dueSettling(2, Infinity, 10)).length, 1);
  t.equal((await uploads.dueSettling(2, Infinity, 10)).length, 1, 'once');
});

void t.test('one that cannot have rows does not keep the others', async (t) => {
  const rig = await rigOf(t);
  await note(rig, 'a.dcm');
  await note(rig, 'b.dcm', { projectId: 'no such project' });
  await note(rig, 'c.dcm');
  t.same(await paths(rig.db), ['a.dcm', 'c.dcm']);
  t.same(onDisk(rig), { notes: 0, uploads: 2 });
  t.equal(await rig.audit.firstFault(rig.db), undefined);
});

void t.test('a full disk loses none: they stay noted', async (t) => {
  const rig = await rigOf(t);
  for (let n = 0; n < 30; n += 1) await note(rig, `${n}.dcm`);
  t.equal((await paths(rig.db)).length, 30);
  const pragma = (text: string): number =>
    Number(Object.values(freeOwn(rig.db)?.engine.prepare(`pragma ${text}`).all([])[0] ?? {})[0]);
  await note(rig, `${'x'.repeat(8000)}.dcm`);
  pragma(`max_page_count = ${pragma('page_count')}`);
  t.equal((await paths(rig.db)).length, 30, 'who only asks is answered');
  const change = rig.db.transaction().execute(async () => t.fail('without its row'));
  await t.rejects(change, { code: 'DISK_FULL' });
  await t.rejects(rig.uploads.begin(fresh('z.dcm'), 'm-alice'), { code: 'DISK_FULL' });
  t.same(onDisk(rig), { notes: 1, uploads: 30 });
  pragma('max_page_count = 100000');
  await rig.db.transaction().execute(async (trx) => {
    t.equal((await paths(trx)).length, 31);
  });
  t.equal(await rig.audit.firstFault(rig.db), undefined);
});

void t.test('a backup takes what was noted, as it takes what has rows', async (t) => {
  const rig = await rigOf(t);
  await note(rig, 'a.dcm', { identity: { sizeBytes: 3, modifiedMs: 1, device: '1', inode: '7' } });
  const folder = join(rig.folder, 'copies');
  await mkdir(folder);
  const database = join(rig.folder, 'clubhouse.db');
  const copy = await copyRows({ database, folder, site: 'PUHSC' });
  t.teardown(() => copy.close());
  t.same(onDisk(rig), { notes: 1, uploads: 0 }, 'the copy was of the note');
  const found = { path: `${gpg}/a.dcm`, inode: '7', sizeBytes: 3, modifiedMs: 1 };
  t.equal(copy.judge(found), 'take');
  t.equal(copy.judge({ ...found, inode: '8' }), 'leave', 'another file in its place');
  t.same([...copy.owed()], [{ path: `home/${gpg}/a.dcm`, inode: '7' }]);
});

void t.test('a client that goes on at once meets the rows of what it closed', async (t) => {
  const rig = await rigOf(t);
  await upload(rig, 'a.dcm', 'abc');
  t.same(onDisk(rig), { notes: 1, uploads: 0 }, 'closed, and noted');
  const again = await openFor(rig, 'a.dcm', { truncate: false });
  await again.write(3, 'def');
  await again.end('close');
  const row = await rig.uploads.latest(place('a.dcm').path, 'm-alice');
  t.match(row, { generation: 1, sizeBytes: 6, coverage: [[0, 6]], states: ['settling'] });

  await upload(rig, 'b.dcm', 'abc');
  await rename(rig, 'b.dcm', 'c.dcm');
  await upload(rig, 'd.dcm', 'abc');
  await remove(rig, 'd.dcm');
  const all = await rig.db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['upload.path', 'job.state'])
    .orderBy('upload.path')
    .execute();
  t.same(
    all.map(({ path, state }) => `${path.slice(gpg.length + 1)} ${state}`),
    ['a.dcm settling', 'c.dcm settling', 'd.dcm withdrawn'],
  );
});
