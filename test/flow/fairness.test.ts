// Who is served when: one member's crowd, zips and slices of one sender, large files on every thread; and what it costs to find
// the next of very many.

import { readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sql } from '../../src/adapters/sql/kysely.ts';
import { AppError } from '../../src/core/errors.ts';
import { largeBytes, mostPenaltyMs } from '../../src/core/upload.ts';
import {
  FakeProcessor,
  makeRig,
  openFor,
  place,
  seal,
  settleMs,
  upload,
  type Answer,
  type Rig,
} from '../support/fakes.ts';

async function rigFor(t: Test, width: number): Promise<Rig> {
  const rig = await makeRig({ isFast: true, width });
  t.teardown(() => rig.close());
  return rig;
}

/** Copies one row and its job very often, as if all of them had been uploaded together. */
async function multiply(rig: Rig, count: number): Promise<void> {
  const row = await rig.db.selectFrom('upload').selectAll().executeTakeFirstOrThrow();
  const job = await rig.db.selectFrom('job').selectAll().executeTakeFirstOrThrow();
  const copy = (table: string, of: object, own: Readonly<Record<string, string>>) => {
    const columns = Object.keys(of).map((name) => `"${name}"`);
    const values = Object.keys(of).map((name) => own[name] ?? `"${name}"`);
    return sql
      .raw(
        `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
         insert into ${table} (${columns.join()}) select ${values.join()} from ${table}, n where id = '${(of as { id: string }).id}'`,
      )
      .execute(rig.db);
  };
  const id = `'copy-' || i`;
  await copy('upload', row, { id, path: `path || i`, uploadKey: id });
  await copy('job', job, { id, uploadId: id });
}

const everything = { mostBytes: Number.POSITIVE_INFINITY };
const queued = { state: 'queued', dueAt: 5, rankAt: 5 } as const;

void t.test('10,000 files in the queue do not keep another member’s single file', async (t) => {
  const rig = await rigFor(t, 1);
  await upload(rig, 'a.dcm', 'abc');
  await rig.db.updateTable('job').set(queued).execute();
  await multiply(rig, 10_000);
  const bobs = { ...place('b.dcm'), path: 'ji_brain/bob/gpg/b.dcm' };
  const handle = await openFor(rig, bobs, { who: 'bob', truncate: true });
  await handle.write(0, 'bob');
  await handle.end('close');
  const last = { ...queued, dueAt: rig.clock.now(), rankAt: rig.clock.now() };
  await rig.db.updateTable('job').set(last).where('memberId', '=', 'm-bob').execute();
  const lastServed = new Map<string, number>();
  const order: string[] = [];
  for (let turn = 1; turn <= 3; turn += 1) {
    const due = await rig.jobs.nextDue(rig.clock.now(), { lastServed, ...everything });
    if (due === undefined) throw new Error('nothing is due');
    await rig.jobs.claim(due.id, 'test', rig.clock.now() + 60_000);
    order.push(due.memberId);
    lastServed.set(due.memberId, turn);
    await rig.db
      .updateTable('job')
      .set({ state: 'published', rankAt: null })
      .where('id', '=', due.id)
      .execute();
  }
  t.strictSame(order, ['m-alice', 'm-bob', 'm-alice']);
});

void t.test(
  '10,000 files that settle at once do not keep another member’s single file',
  async (t) => {
    const rig = await rigFor(t, 1);
    await upload(rig, 'a.dcm', 'abc');
    await multiply(rig, 10_000);
    rig.clock.advance(1000);
    const bobs = { ...place('b.dcm'), path: 'ji_brain/bob/gpg/b.dcm' };
    const handle = await openFor(rig, bobs, { who: 'bob', truncate: true });
    await handle.write(0, 'bob');
    await handle.end('close');
    rig.clock.advance(settleMs + 1);
    const now = rig.clock.now();
    const due = await rig.uploads.dueSettling(now, now + settleMs, 100);
    t.equal(due.length, 100);
    t.equal(due[1]?.path, bobs.path, 'members take turns');
    t.equal(due[0]?.memberId, 'm-alice');
    const others = due.slice(2).map(({ settleAt }) => settleAt ?? 0);
    t.ok(
      others.every((at, i) => i === 0 || at >= (others[i - 1] ?? 0)),
      'the oldest first',
    );
    // A single round settles it, and the next job may be his.
    await rig.worker.turn();
    await rig.worker.idle();
    const [bob] = await rig.desk.list({ member: 'bob' });
    t.match(bob?.state, /queued|published/);
  },
);

void t.test('a file that cannot be looked at keeps nobody’s waiting', async (t) => {
  const rig = await rigFor(t, 1);
  const storage = rig.parts.storage as { facts: Rig['storage']['facts'] };
  const facts = storage.facts.bind(storage);
  storage.facts = (path) =>
    path === place('bad.dcm').path
      ? Promise.reject(new AppError('STORAGE_FAILED', { detail: 'EIO' }))
      : facts(path);
  // Its CLOSE was answered while the disk was well.
  for (const name of ['bad.dcm', 'a.dcm', 'b.dcm']) await upload(rig, name, name);
  await rig.settle();
  t.match(await rig.states(), {
    'bad.dcm': 'settling',
    'a.dcm': 'published',
    'b.dcm': 'published',
  });
  const receipts = await readdir(join(rig.folder, 'home/ji_brain/alice/receipts'));
  t.equal(receipts.length, 2, 'receipts are written all the same');
  storage.facts = facts;
  await rig.settle();
  t.match(await rig.states(), { 'bad.dcm': 'published' });
});

/** How many rows the database looks at is what it costs: the same questions, asked of 100 and of 20,000 jobs. */
void t.test('finding the next job costs the same however many wait', async (t) => {
  const rig = await rigFor(t, 1);
  const turn = { lastServed: new Map<string, number>(), ...everything };
  await upload(rig, 'a.dcm', 'abc');
  const far = rig.clock.now() + 3_600_000;
  await rig.db.updateTable('job').set(queued).execute();
  const ask = async (): Promise<number> => {
    const started = process.cpuUsage();
    for (let n = 0; n < 20; n += 1) await rig.jobs.nextDue(rig.clock.now(), turn);
    const { user, system } = process.cpuUsage(started);
    return user + system;
  };
  await multiply(rig, 100);
  await ask();
  const few = await ask();
  await rig.db.deleteFrom('job').where('id', 'like', 'copy-%').execute();
  await rig.db.deleteFrom('upload').where('id', 'like', 'copy-%').execute();
  await multiply(rig, 20_000);
  // A part of them failed and is tried later.
  await rig.db
    .updateTable('job')
    .set({ dueAt: far, rankAt: far })
    .where('id', 'like', 'copy-%1')
    .execute();
  const many = await ask();
  t.ok(many < few * 10, `${few} µs of few, ${many} µs of many`);
});

const megabyte = 1024 * 1024;

/** A file of this size without its bytes. */
async function sized(rig: Rig, name: string, bytes: number): Promise<void> {
  await upload(rig, name, 'x');
  await truncate(join(rig.folder, 'home', place(name).path), bytes);
  const { path } = place(name);
  const coverage = JSON.stringify([[0, bytes]]);
  await rig.db
    .updateTable('upload')
    .set({ sizeBytes: bytes, coverage })
    .where('path', '=', path)
    .execute();
}

/** Does not read the file: some are large. */
class Unread extends FakeProcessor {
  override async run(...[task, signal]: Parameters<FakeProcessor['run']>) {
    this.tasks.push(task);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
    });
    return Promise.race([this.answer(task, Buffer.from(task.uploadName)), aborted]);
  }
}

const namesOf = (rig: Rig): readonly string[] => rig.processor.tasks.map((task) => task.uploadName);

void t.test(
  'a sender’s small files pass the large one, which does not wait for ever',
  async (t) => {
    const rig = await rigFor(t, 1);
    rig.processor.run = Unread.prototype.run.bind(rig.processor);
    await sized(rig, 'study.zip', 900 * megabyte);
    await sized(rig, 'series.zip', 60 * megabyte);
    for (let n = 0; n < 3; n += 1) await upload(rig, `${n}.dcm`, 'abc');
    await rig.settle();
    t.strictSame(namesOf(rig).slice(3), ['series.zip', 'study.zip'], 'the small ones came first');
    await sized(rig, 'old.zip', 900 * megabyte);
    rig.recipients.set('UMHS', []);
    await rig.settle();
    rig.recipients.set('UMHS', ['key']);
    rig.clock.advance(mostPenaltyMs + 60_000);
    await rig.db
      .updateTable('job')
      .set({ state: 'queued', rankAt: 1 })
      .where('state', '=', 'waiting')
      .execute();
    const since = rig.clock.now() - mostPenaltyMs - 60_000;
    const rank = { dueAt: since, rankAt: since + mostPenaltyMs };
    await rig.db.updateTable('job').set(rank).where('state', '=', 'queued').execute();
    for (let n = 3; n < 6; n += 1) await upload(rig, `${n}.dcm`, 'abc');
    await rig.settle();
    t.equal(namesOf(rig)[5], 'old.zip', 'after ten minutes it is its turn');
    t.equal(namesOf(rig).length, 9);
  },
);

void t.test('large files on all threads leave one for small files', async (t) => {
  const rig = await rigFor(t, 2);
  rig.processor.run = Unread.prototype.run.bind(rig.processor);
  const ends: (() => void)[] = [];
  const hold: Answer = async (task, bytes) => {
    if (task.uploadName.endsWith('.zip')) await new Promise<void>((resolve) => ends.push(resolve));
    return seal(task, bytes);
  };
  rig.processor.answer = hold;
  for (let n = 0; n < 4; n += 1) await sized(rig, `${n}.zip`, largeBytes + 1 + n);
  rig.clock.advance(settleMs + 1);
  const turnUntil = async (isDone: () => boolean | Promise<boolean>): Promise<void> => {
    for (let round = 0; round < 200 && !(await isDone()); round += 1) {
      await rig.worker.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await turnUntil(() => ends.length === 2);
  t.strictSame(namesOf(rig), ['0.zip', '1.zip'], 'no third large one');
  await upload(rig, 'slice.dcm', 'abc');
  rig.clock.advance(settleMs + 1);
  await turnUntil(async () => (await rig.states())['slice.dcm'] === 'published');
  t.match(await rig.states(), { 'slice.dcm': 'published', '0.zip': 'processing' });
  rig.processor.answer = seal;
  for (const end of ends) end();
  await rig.run();
  t.strictSame(new Set(Object.values(await rig.states())), new Set(['published']));
});
