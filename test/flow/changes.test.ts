// What people and time change while files are on their way: partners, keys, profiles, projects, clocks. Nothing is lost, nothing
// needs a hand afterwards, and each takes effect for what is not yet done.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { isWhole } from '../../src/core/coverage.ts';
import { AppError, type ErrorCode } from '../../src/core/errors.ts';
import { believed } from '../../src/flow/sweep.ts';
import { createWorker } from '../../src/flow/worker.ts';
import {
  makeRig,
  openFor,
  place,
  principal,
  remove,
  rename,
  seal,
  settleMs,
  sha256,
  upload,
  type Answer,
  type Rig,
} from '../support/fakes.ts';

async function rigFor(t: Test, how: Parameters<typeof makeRig>[0] = {}): Promise<Rig> {
  const rig = await makeRig({ isFast: true, ...how });
  t.teardown(() => rig.close());
  return rig;
}

const pass: Answer = (_task, bytes) =>
  Promise.resolve({ kind: 'passed', sourceSha256: sha256(bytes) });

const deliveries = async (rig: Rig): Promise<readonly string[]> =>
  (await rig.db.selectFrom('delivery').selectAll().orderBy('path').execute()).map(
    (row) => `${row.path} ${row.state}`,
  );

/** What a command line does beside the server: another connection, so that the server notices. */
async function beside(rig: Rig, work: (db: Rig['db']) => Promise<unknown>): Promise<void> {
  const other = await openSqlite(join(rig.folder, 'clubhouse.db'));
  await work(other.db);
  await other.close();
}

const addPartner = (db: Rig['db'], partner: string): Promise<unknown> =>
  db.insertInto('project_partner').values({ projectId: 'p1', partner }).execute();

void t.test('a direct file that is removed or renamed before it left never leaves', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = pass;
  await upload(rig, '>a.txt', 'a');
  await upload(rig, '>b.txt', 'b');
  await rig.settle();
  t.strictSame(await deliveries(rig), ['a.txt pending', 'b.txt pending']);
  await remove(rig, '>a.txt');
  await rename(rig, '>b.txt', '>c.txt');
  await rig.settle();
  t.strictSame(await deliveries(rig), ['a.txt gone', 'b.txt gone', 'c.txt pending']);
  t.match(await rig.desk.list(), [
    { upload: /a\.txt$/, state: 'withdrawn' },
    { upload: /b\.txt$/, state: 'withdrawn' },
    { upload: /c\.txt$/, state: 'published' },
  ]);
});

void t.test('the queue of an archived project stands still until it is brought back', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  const setState = (state: 'archived' | 'active'): Promise<void> =>
    beside(rig, (db) => db.updateTable('project').set({ state }).execute());
  await setState('archived');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'queued' });
  t.equal(rig.processor.tasks.length, 0);
  await setState('active');
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});

void t.test('an archived project whose owner waits does not hold up another', async (t) => {
  const rig = await rigFor(t, { width: 1 });
  await rig.db
    .insertInto('project')
    .values({ id: 'p0', name: 'old', state: 'archived', createdAt: 1 })
    .execute();
  await upload(rig, 'old.dcm', 'abc');
  await rig.db.updateTable('upload').set({ projectId: 'p0' }).execute();
  await rig.db.updateTable('job').set({ projectId: 'p0' }).execute();
  await upload(rig, 'new.dcm', 'abc');
  await rig.settle();
  t.match(await rig.states(), { 'old.dcm': 'queued', 'new.dcm': 'published' });
});

for (const code of ['PROFILE_INVALID', 'NOT_FOUND'] as const) {
  void t.test(
    `a profile that is broken (${code}) makes files wait, until it is mended`,
    async (t) => {
      const rig = await rigFor(t);
      const profileFor = rig.parts.facts.profileFor.bind(rig.parts.facts);
      const facts = rig.parts.facts as { profileFor: typeof profileFor };
      facts.profileFor = () => Promise.reject(new AppError(code));
      rig.processor.answer = (task, bytes) =>
        task.kind === 'direct' ? pass(task, bytes) : seal(task, bytes);
      await upload(rig, 'a.dcm', 'abc');
      await upload(rig, '>plan.txt', 'no key is needed for this');
      rig.recipients.set('UMHS', ['key']);
      await rig.settle();
      t.strictSame(await rig.states(), {
        'a.dcm': 'waiting broken-profile',
        'plan.txt': 'waiting broken-profile',
      });
      rig.clock.advance(24 * 3_600_000);
      await rig.run();
      t.match(await rig.states(), { 'a.dcm': 'waiting broken-profile' });
      t.equal(rig.processor.tasks.length, 0, 'it was not tried again and again');
      facts.profileFor = profileFor;
      rig.clock.advance(31_000);
      await rig.run();
      t.strictSame(await rig.states(), { 'a.dcm': 'published', 'plan.txt': 'published' });
    },
  );
}

void t.test('a full disk uses up no tries: it goes on by itself when there is room', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = () => Promise.reject(new AppError('DISK_FULL'));
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  for (let hour = 0; hour < 24; hour += 1) {
    t.match(await rig.states(), { 'a.dcm': 'queued DISK_FULL' });
    rig.clock.advance(3_600_000);
    await rig.run();
  }
  t.ok(rig.processor.tasks.length < 40, 'and it is not tried all the time');
  rig.processor.answer = seal;
  rig.clock.advance(3_600_000);
  await rig.run();
  t.match(await rig.states(), { 'a.dcm': 'published' });
});

void t.test('what a full disk cut short is not whole, though its client closes it', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = pass;
  const handle = await openFor(rig, '>note.txt');
  await handle.write(0, 'half');
  // Two more bytes reached the disk before it was full.
  await writeFile(join(rig.folder, 'home', place('>note.txt').path), 'half a');
  handle.writing.failed(4, 2);
  await handle.end('close');
  await rig.settle();
  t.match(await rig.states(), { 'note.txt': 'partial refused' });
  t.strictSame(await deliveries(rig), [], 'half a note does not leave');
  const rest = await openFor(rig, '>note.txt', { create: false });
  await rest.write(6, ' note');
  await rest.end('close');
  await rig.settle();
  t.strictSame(await rig.states(), { 'note.txt': 'published' }, 'resumed behind what is there');
});

void t.test('files wait for a key, and go on at once when a command adds one', async (t) => {
  const rig = await rigFor(t);
  rig.recipients.set('UMHS', []);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'waiting no-valid-key' });
  rig.recipients.set('UMHS', ['key']);
  await beside(rig, (db) => db.updateTable('project').set({ profile: 'strict' }).execute());
  await rig.worker.turn();
  await rig.worker.turn();
  await rig.worker.idle();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' }, 'without waiting for anything');
});

void t.test('the administrator hears at once that files wait for a key', async (t) => {
  const rig = await rigFor(t);
  const told: string[] = [];
  const parts = rig.parts as { keyWatch: Rig['parts']['keyWatch'] };
  parts.keyWatch = {
    look: (waiting) => {
      told.push(...waiting.map(({ reason }) => reason));
      return Promise.resolve();
    },
  };
  await upload(rig, 'before.dcm', 'abc');
  await rig.settle();
  t.strictSame(told, []);
  rig.recipients.set('UMHS', []);
  await upload(rig, 'a.dcm', 'def');
  const since = rig.clock.now();
  await rig.settle();
  t.match(told, ['no-valid-key']);
  t.ok(rig.clock.now() - since < 10_000, 'and not with the next look at all keys');
});

void t.test('a key that ends, or is replaced, while files are queued', async (t) => {
  const rig = await rigFor(t, { width: 1 });
  rig.processor.answer = async (task, bytes) => {
    // Ends while the first file is encrypted: that one is done, the next has no key any more.
    rig.recipients.set('UMHS', []);
    return seal(task, bytes);
  };
  await upload(rig, 'a.dcm', 'abc');
  await upload(rig, 'b.dcm', 'def');
  await rig.settle();
  t.strictSame(Object.values(await rig.states()).sort(), ['published', 'waiting no-valid-key']);
  rig.processor.answer = seal;
  rig.recipients.set('UMHS', ['the new key']);
  rig.clock.advance(31_000);
  await rig.run();
  t.strictSame(Object.values(await rig.states()), ['published', 'published']);
  t.strictSame(
    rig.processor.tasks.map((task) => task.recipients),
    [['key of UMHS'], ['the new key']],
  );
});

void t.test('several recipients of one partner share one file', async (t) => {
  const rig = await rigFor(t);
  rig.recipients.set('UMHS', ['one', 'two']);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.strictSame(
    rig.processor.tasks.map((task) => task.recipients),
    [['one', 'two']],
  );
  t.equal((await deliveries(rig)).length, 1);
});

void t.test('files that wait for a partner go to the first one that comes', async (t) => {
  const rig = await rigFor(t, { partners: [] });
  await upload(rig, 'a.dcm', 'abc');
  await upload(rig, '/plain.txt', 'own file');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'waiting no-partner' });
  await beside(rig, (db) => addPartner(db, 'UMHS'));
  rig.recipients.set('UMHS', ['key']);
  await rig.run();
  t.match(await rig.desk.list(), [{ partner: 'UMHS', state: 'published' }]);
});

void t.test(
  'a second partner gets what settles from then on, not what was taken before',
  async (t) => {
    const rig = await rigFor(t);
    await upload(rig, 'before.dcm', 'abc');
    await rig.settle();
    await upload(rig, 'settling.dcm', 'abc');
    await beside(rig, (db) => addPartner(db, 'KUMC'));
    rig.recipients.set('KUMC', ['key']);
    await rig.settle();
    const rows = (await rig.desk.list()).map(
      ({ upload: path, partner, state }) => `${path.replace(/^.*\//, '')} ${partner} ${state}`,
    );
    t.strictSame(rows.sort(), [
      'before.dcm UMHS published',
      'settling.dcm KUMC published',
      'settling.dcm UMHS published',
    ]);
  },
);

void t.test('a clock that is set back keeps nothing waiting', async (t) => {
  const rig = await rigFor(t);
  const day = 24 * 3_600_000;
  let isFirst = true;
  rig.processor.answer = (task, bytes) => {
    if (!isFirst) return seal(task, bytes);
    isFirst = false;
    return Promise.reject(new AppError('STORAGE_FAILED'));
  };
  await upload(rig, 'retried.dcm', 'abc');
  await rig.settle();
  t.match(await rig.states(), { 'retried.dcm': 'queued STORAGE_FAILED' });
  await upload(rig, 'settling.dcm', 'def');
  rig.clock.advance(-3 * day);
  await rig.settle();
  t.strictSame(await rig.states(), { 'retried.dcm': 'published', 'settling.dcm': 'published' });
  const due = await rig.db.selectFrom('upload').select('id').where('receiptDue', '=', 1).execute();
  t.strictSame(due, [], 'receipts are written');
});

void t.test('a partial upload is held after its time, with one entry in the audit', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = () => Promise.resolve({ kind: 'partial', reason: 'disconnected' });
  const handle = await openFor(rig, 'a.dcm');
  await handle.write(0, 'half');
  await handle.end('lost');
  const hour = 3_600_000;
  rig.clock.advance(23 * hour);
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'partial disconnected' });
  rig.clock.advance(hour + 60_000);
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'held incomplete' });
  const entries = await rig.audit.list(rig.db);
  const held = entries.filter((entry) => entry.action === 'job.held');
  t.equal(held.length, 1);
  t.match(held, [{ actor: 'server', detail: { from: 'partial', reason: 'incomplete' } }]);
  t.equal(await rig.read(place('a.dcm').path), 'half', 'the bytes are kept');
  rig.clock.advance(60 * 24 * hour);
  await rig.run();
  t.equal(await rig.read(place('a.dcm').path), 'half', 'retention does not touch what is held');
  rig.processor.answer = seal;
  await upload(rig, 'a.dcm', 'all of it');
  await rig.settle();
  t.match(await rig.desk.list(), [{ state: 'superseded' }, { state: 'published' }]);
});

void t.test('a look at the outgoing folder asks for what is hidden there alone', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = pass;
  const folder = 'ji_brain/club_house/From_PUHSC_To_UMHS';
  await upload(rig, '>passed.txt', 'a');
  await rig.settle();
  await upload(rig, '>young.txt', 'b');
  await upload(rig, '>passed.txt', 'newer');
  await upload(rig, '>gone.txt', 'c');
  await remove(rig, '>gone.txt');
  const hidden = async (who: string): Promise<readonly string[]> =>
    [...(await rig.intake.hidden(principal(who), folder))].map((path) => path.slice(-9)).sort();
  t.strictSame(await hidden('bob'), ['assed.txt', 'young.txt']);
  t.strictSame(await hidden('alice'), []);
  const among = async (who: string, ...names: readonly string[]): Promise<number> => {
    const paths = names.map((name) => `${folder}/${name}`);
    return (await rig.intake.hidden(principal(who), folder, paths)).size;
  };
  t.equal(await among('bob', 'young.txt'), 1);
  t.equal(await among('bob', 'gone.txt'), 0);
  t.equal(await among('bob', 'gone.txt', 'passed.txt', 'young.txt'), 2);
  t.equal(await among('alice', 'young.txt'), 0);
  await rig.settle();
  t.strictSame(await hidden('bob'), []);
});

const dying: readonly { readonly name: string; readonly code: ErrorCode }[] = [
  { name: 'its worker', code: 'WORKER_DIED' },
  { name: 'its disk', code: 'STORAGE_FAILED' },
];
for (const { name, code } of dying) {
  void t.test(`a file that loses ${name} once is published by the next try`, async (t) => {
    const rig = await rigFor(t);
    rig.processor.answer = () => Promise.reject(new AppError(code));
    await upload(rig, 'a.dcm', 'abc');
    await rig.settle();
    rig.processor.answer = seal;
    rig.clock.advance(6_000);
    await rig.run();
    t.strictSame(await rig.states(), { 'a.dcm': 'published' });
  });
}

void t.test('two servers on one database do each job once', async (t) => {
  const rig = await rigFor(t, { width: 1 });
  const other = createWorker({ ...rig.parts, owner: 'the other one' });
  for (let n = 0; n < 8; n += 1) await upload(rig, `${n}.dcm`, `content ${n}`);
  rig.clock.advance(settleMs + 1);
  for (let round = 0; round < 12; round += 1) {
    await Promise.all([rig.worker.turn(), other.turn()]);
    await Promise.all([rig.worker.idle(), other.idle()]);
  }
  t.equal(rig.processor.tasks.length, 8);
  t.strictSame(
    Object.values(await rig.states()),
    Array.from({ length: 8 }, () => 'published'),
  );
  await other.stop(0);
});

const half = { coverage: [[0, 100]] as const, sizeBytes: 100, modifiedMs: 5, closed: false };
const onDisk = { sizeBytes: 100, modifiedMs: 5, allottedBytes: 4096 };
const interrupted: readonly {
  readonly name: string;
  readonly row: Parameters<typeof believed>[0];
  readonly disk: Parameters<typeof believed>[1];
  readonly whole: boolean;
}[] = [
  { name: 'nothing was written since', row: half, disk: onDisk, whole: true },
  {
    name: 'it grew in the second that was not noted',
    row: half,
    disk: { ...onDisk, sizeBytes: 150, modifiedMs: 9 },
    whole: true,
  },
  {
    name: 'an earlier partial upload was being overwritten in place',
    row: half,
    disk: { ...onDisk, modifiedMs: 9 },
    whole: false,
  },
  {
    name: 'a whole file was being overwritten in place',
    row: { ...half, closed: true },
    disk: { ...onDisk, modifiedMs: 9 },
    whole: false,
  },
  {
    name: 'it grew with a hole in it',
    row: half,
    disk: { sizeBytes: 100_000, modifiedMs: 9, allottedBytes: 4096 },
    whole: false,
  },
];
for (const { name, row, disk, whole } of interrupted) {
  void t.test(
    `a killed server’s upload counts as ${whole ? '' : 'not '}whole: ${name}`,
    async (t) => {
      t.equal(isWhole(believed(row, disk), disk.sizeBytes), whole);
    },
  );
}
