// What is kept and for how long: raw files and their retention, legal holds, and keys that come to their end.

import { readdir, rename as move, writeFile, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { SqlProjects } from '../../src/adapters/sql/projects.ts';
import { SqlRecipients } from '../../src/adapters/sql/recipients.ts';
import { AppError } from '../../src/core/errors.ts';
import { createKeyWatch } from '../../src/flow/key-watch.ts';
import type { Log } from '../../src/flow/ports/clock.ts';
import {
  makeRig,
  openFor,
  place,
  remove,
  seal,
  sha256,
  upload,
  type Rig,
} from '../support/fakes.ts';

const day = 86_400_000;

async function rigFor(t: Test): Promise<Rig> {
  const rig = await makeRig({ isFast: true });
  t.teardown(() => rig.close());
  return rig;
}

async function markDelivered(rig: Rig): Promise<void> {
  const done = { state: 'delivered', deliveredAt: rig.clock.now() } as const;
  await rig.db.updateTable('delivery').set(done).where('state', '=', 'pending').execute();
  await rig.db.updateTable('job').set(done).where('state', '=', 'published').execute();
}

const rawFiles = async (rig: Rig): Promise<readonly string[]> =>
  (await readdir(join(rig.folder, 'home/ji_brain/alice/gpg'))).sort();

const removals = async (rig: Rig) =>
  (await rig.audit.list(rig.db)).filter((entry) => entry.action === 'upload.raw-removed');

const toolsOf = (rig: Rig) => ({
  db: rig.db,
  audit: rig.audit,
  clock: rig.clock,
  actor: 'cli' as const,
});

async function afterRetention(rig: Rig): Promise<void> {
  rig.clock.advance(8 * day);
  await rig.run();
  rig.clock.advance(60_000);
  await rig.run();
}

void t.test('a legal hold keeps raw files and old publications until it ends', async (t) => {
  const rig = await rigFor(t);
  const projects = new SqlProjects(toolsOf(rig));
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const legalHold = { isOn: true, reason: 'inquiry 12' };
  const { project } = await projects.put('brain', { legalHold });
  t.match(project.legalHold, { reason: 'inquiry 12', since: rig.clock.now() });
  rig.processor.answer = async (task, bytes) => ({
    ...(await seal(task, bytes)),
    name: 'JI-2/other.dcm.gpg',
  });
  await upload(rig, 'a.dcm', 'abcd');
  await rig.settle();
  await markDelivered(rig);
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), ['a.dcm']);
  const outgoing = join(rig.folder, 'home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice');
  t.strictSame((await readdir(outgoing)).sort(), ['JI-1', 'JI-2']);
  t.equal((await readdir(join(outgoing, 'JI-1'))).length, 1, 'what was replaced is kept too');
  t.strictSame(await removals(rig), []);
  await projects.put('brain', { legalHold: { isOn: false, reason: 'inquiry over' } });
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), []);
  t.strictSame(await readdir(join(outgoing, 'JI-1')), []);
  t.match((await removals(rig)).at(-1)?.detail, { sha256: sha256('abcd'), bytes: 4 });
  const told = (await rig.audit.list(rig.db)).filter((entry) => entry.action === 'project.changed');
  t.match(told, [
    { actor: 'cli', detail: { legalHold } },
    { detail: { legalHold: { isOn: false, reason: 'inquiry over' } } },
  ]);
});

void t.test(
  'a member’s own removal under a legal hold is done, and told with its proof',
  async (t) => {
    const rig = await rigFor(t);
    const projects = new SqlProjects(toolsOf(rig));
    for (const name of ['before', 'meanwhile', 'young']) await upload(rig, `${name}.dcm`, name);
    await rig.settle();
    await remove(rig, 'before.dcm');
    await projects.put('brain', { legalHold: { isOn: true, reason: 'inquiry 12' } });
    await remove(rig, 'meanwhile.dcm');
    await upload(rig, 'young.dcm', 'younger');
    await remove(rig, 'young.dcm');
    t.strictSame(await rawFiles(rig), []);
    t.match(await rig.states(), { 'before.dcm': 'published', 'meanwhile.dcm': 'published' });
    const told = (await rig.audit.list(rig.db)).filter(({ action }) => action === 'upload.removed');
    t.strictSame(
      told.map(({ actor, detail }) => ({ actor, ...detail })),
      [
        { actor: 'm-alice', bytes: 6, sha256: sha256('before') },
        { actor: 'm-alice', bytes: 9, sha256: sha256('meanwhile'), legalHold: true },
        // Nobody had hashed it yet.
        { actor: 'm-alice', bytes: 7, legalHold: true },
      ],
    );
  },
);

void t.test('what cannot be removed does not keep retention from what is behind it', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'first.dcm', 'abc');
  await rig.settle();
  rig.clock.advance(1000);
  await upload(rig, 'last.dcm', 'abc');
  await rig.settle();
  await markDelivered(rig);
  const row = await rig.db
    .selectFrom('upload')
    .selectAll()
    .where('path', 'like', '%first.dcm')
    .executeTakeFirstOrThrow();
  const job = await rig.db
    .selectFrom('job')
    .selectAll()
    .where('uploadId', '=', row.id)
    .executeTakeFirstOrThrow();
  const ids = Array.from({ length: 450 }, (_, n) => `open-${n}`);
  const rows = ids.map((id) => ({ ...row, id, path: `${row.path}-${id}`, uploadKey: id }));
  await rig.db.insertInto('upload').values(rows.slice(0, 300)).execute();
  await rig.db.insertInto('upload').values(rows.slice(300)).execute();
  const jobs = ids.map((id) => ({ ...job, id, uploadId: id }));
  await rig.db.insertInto('job').values(jobs.slice(0, 300)).execute();
  await rig.db.insertInto('job').values(jobs.slice(300)).execute();
  // Somebody has all of these open.
  const handle = await openFor(rig, 'first.dcm', { create: false });
  const group = rig.parts.gate.writers.get(place('first.dcm').path);
  if (group === undefined) throw new Error('nobody writes');
  for (const { path } of rows) rig.parts.gate.writers.set(path, group);
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), ['first.dcm']);
  await handle.end('close');
  rig.parts.gate.writers.clear();
});

void t.test('one raw file that cannot be removed does not end the sweep', async (t) => {
  const rig = await rigFor(t);
  for (const name of ['first', 'second', 'third']) {
    await upload(rig, `${name}.dcm`, name);
    await rig.settle();
    rig.clock.advance(1000);
  }
  await markDelivered(rig);
  const storage = rig.parts.storage as { removeFile: (path: string) => Promise<void> };
  const removeFile = storage.removeFile.bind(storage);
  const asked: string[] = [];
  storage.removeFile = async (path) => {
    asked.push(path);
    if (path === place('first.dcm').path) throw new AppError('STORAGE_FAILED', { detail: 'EIO' });
    await removeFile(path);
  };
  await upload(rig, 'new.dcm', 'new');
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), ['first.dcm', 'new.dcm']);
  t.equal(asked.filter((path) => path === place('first.dcm').path).length, 2, 'tried each time');
  t.equal((await removals(rig)).length, 2, 'nothing is noted of what is still there');
  t.match(await rig.states(), { 'new.dcm': 'published' });
  storage.removeFile = removeFile;
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), ['new.dcm']);
  t.equal((await removals(rig)).length, 3);
});

void t.test('a raw file is told by its content where a restore gave it a new inode', async (t) => {
  const rig = await rigFor(t);
  for (const name of ['restored', 'foreign', 'gone']) await upload(rig, `${name}.dcm`, name);
  await rig.settle();
  await markDelivered(rig);
  const at = (name: string): string => join(rig.folder, 'home', place(name).path);
  await copyFile(at('restored.dcm'), at('copy'));
  await move(at('copy'), at('restored.dcm'));
  await writeFile(at('new'), 'by hand');
  await move(at('new'), at('foreign.dcm'));
  await move(at('gone.dcm'), join(rig.folder, 'elsewhere'));
  await afterRetention(rig);
  t.strictSame(await rawFiles(rig), ['foreign.dcm']);
  const details = (await removals(rig)).map((entry) => entry.detail);
  t.strictSame(
    new Set(details),
    new Set([
      { sha256: sha256('restored'), bytes: 8 },
      { sha256: sha256('foreign'), bytes: 7, replaced: true },
      { sha256: sha256('gone'), bytes: 4 },
    ]),
  );
});

const key = {
  projectId: 'p1',
  partner: 'UMHS',
  fingerprint: 'AA'.repeat(20),
  userId: 'Ann',
  algorithm: 'rsa3072',
  armored: '',
};

void t.test(
  'an ending key is told 90, 30, 14, 7 and 1 days ahead, and when it ended',
  async (t) => {
    const rig = await rigFor(t);
    const recipients = new SqlRecipients(toolsOf(rig));
    const expiresAt = rig.clock.now() + 100 * day;
    await recipients.put({ ...key, expiresAt });
    await recipients.put({ ...key, fingerprint: 'BB'.repeat(20), expiresAt: null });
    const lines: string[] = [];
    const say = (level: string) => (fields: object, message: string) => {
      const { days, code } = fields as { days?: number; code?: string };
      lines.push(`${level} ${days ?? code}: ${message}`);
    };
    const quiet = (): void => undefined;
    const log: Log = {
      debug: quiet,
      info: quiet,
      warn: say('warn'),
      error: say('error'),
    };
    let watch = createKeyWatch({ recipients, clock: rig.clock, log });
    for (let n = 0; n < 110; n += 1) {
      await watch.look([]);
      await watch.look([]);
      // A restart does not repeat what was told.
      if (n % 20 === 0) watch = createKeyWatch({ recipients, clock: rig.clock, log });
      rig.clock.advance(day);
    }
    t.strictSame(lines, [
      ...[90, 30, 14, 7, 1].map((days) => `warn ${days}: a recipient key expires soon`),
      'error 0: a recipient key has expired',
    ]);
    const entries = (await rig.audit.list(rig.db)).filter(
      ({ action }) => action === 'recipient.warned',
    );
    t.strictSame(
      entries.map(({ detail }) => detail['days']),
      [90, 30, 14, 7, 1, 0],
    );
    await recipients.put({ ...key, expiresAt: rig.clock.now() + 5 * day });
    await watch.look([]);
    t.match(lines.at(-1), 'warn 7: a recipient key expires soon', 'a renewed key is watched anew');
    const waiting = [{ projectId: 'p1', partner: 'UMHS', reason: 'no-valid-key' }] as const;
    for (const now of [waiting, waiting, [], waiting]) await watch.look(now);
    t.equal(lines.filter((line) => line.includes('files wait')).length, 2, 'once each time');
  },
);
