// The server is killed after a client's rename or removal came through on the disk, and before its row was written. After the
// restart everything is as if the client had been answered: same uploader, same upload, nothing for ever in between.

import { mkdir, rename as move, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { AppError } from '../../src/core/errors.ts';
import {
  openFor,
  place,
  principal,
  rename,
  settleMs,
  sha256,
  upload,
  type Rig,
} from '../support/fakes.ts';
import { rigFor, rows } from '../support/live-rows.ts';

const hour = 3_600_000;

const killed = new Error('killed');

/** What the client asked for happens on the disk; its row does not. Then the server starts again. */
async function killedIn(
  rig: Rig,
  change: { from: string; to: string; isFolder?: boolean } | { remove: string },
): Promise<void> {
  const alice = principal('alice');
  const isRemoval = 'remove' in change;
  const asked = isRemoval
    ? ({ kind: 'remove', place: place(change.remove) } as const)
    : ({
        kind: 'rename',
        from: place(change.from),
        to: place(change.to),
        isFolder: change.isFolder === true,
      } as const);
  const answered = rig.intake.change(alice, asked, async () => {
    if (isRemoval) await rig.storage.removeFile(place(change.remove).path);
    else await rig.storage.rename(place(change.from).path, place(change.to).path, true);
    throw killed;
  });
  await answered.catch((error: unknown) => {
    if (error !== killed) throw error;
  });
  await rig.restart();
}

const idAt = async (rig: Rig, path: string): Promise<string | undefined> =>
  (await rig.uploads.latest(place(path).path, undefined))?.id;

const hidden = async (rig: Rig, who: string): Promise<readonly string[]> => [
  ...(await rig.intake.hidden(principal(who), place('>').path.replace(/\/$/, ''))),
];

for (const [area, at] of [
  ['intake', ''],
  ['outgoing folder', '>'],
] as const) {
  void t.test(`${area}: a temporary name that ended keeps its uploader and its row`, async (t) => {
    const rig = await rigFor(t);
    await upload(rig, `${at}x.txt.part`, 'abc');
    await rig.settle();
    t.strictSame(await rows(rig), { 'x.txt.part': 'm-alice partial' });
    const id = await idAt(rig, `${at}x.txt.part`);
    await killedIn(rig, { from: `${at}x.txt.part`, to: `${at}x.txt` });
    t.strictSame(await rows(rig), { 'x.txt': 'm-alice settling' });
    t.equal(await idAt(rig, `${at}x.txt`), id, 'the same upload');
    t.strictSame(await hidden(rig, 'alice'), [], 'it is there for its uploader');
    await rig.settle();
    t.strictSame(await rows(rig), { 'x.txt': 'm-alice published' });
  });

  void t.test(`${area}: the same when its uploader was taken out of the project`, async (t) => {
    const rig = await rigFor(t);
    await upload(rig, `${at}x.txt.part`, 'abc');
    await rig.settle();
    await rig.db.deleteFrom('membership').where('memberId', '=', 'm-alice').execute();
    await killedIn(rig, { from: `${at}x.txt.part`, to: `${at}x.txt` });
    await rig.settle();
    t.strictSame(await rows(rig), { 'x.txt': 'm-alice published' });
  });

  void t.test(`${area}: a rename over an older file takes its place`, async (t) => {
    const rig = await rigFor(t);
    for (const [name, text] of [
      ['partial.part', 'old'],
      ['done.dcm', 'old'],
      ['partial.part.part', 'new'],
      ['done.dcm.part', 'newer'],
    ] as const) {
      await upload(rig, at + name, text);
      await rig.settle();
    }
    await killedIn(rig, { from: `${at}partial.part.part`, to: `${at}partial.part` });
    await killedIn(rig, { from: `${at}done.dcm.part`, to: `${at}done.dcm` });
    t.strictSame(await rows(rig), {
      'partial.part': 'm-alice settling',
      'done.dcm': 'm-alice settling',
    });
    await rig.settle();
    t.strictSame(await rows(rig), {
      'partial.part': 'm-alice partial',
      'done.dcm': 'm-alice published',
    });
    const done = await rig.uploads.latest(place(`${at}done.dcm`).path, undefined);
    t.equal(done?.sha256, sha256('newer'));
  });

  void t.test(`${area}: files that changed places keep their rows`, async (t) => {
    const rig = await rigFor(t);
    await upload(rig, `${at}a.part`, 'a');
    await upload(rig, `${at}b.part`, 'bb');
    await rig.settle();
    const [a, b] = [await idAt(rig, `${at}a.part`), await idAt(rig, `${at}b.part`)];
    // Two clients at once, and the server dies before either has its row.
    await rig.storage.rename(place(`${at}b.part`).path, place(`${at}c.txt`).path, false);
    await killedIn(rig, { from: `${at}a.part`, to: `${at}b.part` });
    t.equal(await idAt(rig, `${at}b.part`), a);
    t.equal(await idAt(rig, `${at}c.txt`), b);
    await rig.settle();
    t.strictSame(await rows(rig), { 'b.part': 'm-alice partial', 'c.txt': 'm-alice published' });
  });

  void t.test(`${area}: a renamed folder takes all rows below it along`, async (t) => {
    const rig = await rigFor(t);
    const folder = join(rig.folder, 'home', place(`${at}old`).path);
    await mkdir(join(folder, 'deep'), { recursive: true });
    await upload(rig, `${at}old/1.txt`, 'one');
    await rig.settle();
    await upload(rig, `${at}old/deep/2.txt.part`, 'two');
    await rig.settle();
    const ids = [await idAt(rig, `${at}old/1.txt`), await idAt(rig, `${at}old/deep/2.txt.part`)];
    await killedIn(rig, { from: `${at}old`, to: `${at}new`, isFolder: true });
    await rig.settle();
    t.strictSame(await rows(rig), {
      'new/1.txt': 'm-alice published',
      'new/deep/2.txt.part': 'm-alice partial',
    });
    t.equal(await idAt(rig, `${at}new/deep/2.txt.part`), ids[1]);
    // What was published has its name from its first path in the intake; a shared file is its own publication.
    if (at === '') t.equal(await idAt(rig, `${at}new/1.txt`), ids[0]);
    await rename(rig, `${at}new/deep/2.txt.part`, `${at}new/2.txt`);
    await rig.settle();
    t.match(await rows(rig), { 'new/2.txt': 'm-alice published' });
  });

  void t.test(`${area}: a file that was renamed while it was written goes on`, async (t) => {
    const rig = await rigFor(t);
    const handle = await openFor(rig, `${at}x.part`, { truncate: true });
    await handle.write(0, 'abc');
    await rig.storage.rename(place(`${at}x.part`).path, place(`${at}x.txt`).path, false);
    await rig.restart();
    t.strictSame(await rows(rig), { 'x.txt': 'm-alice partial' });
    const resumed = await openFor(rig, `${at}x.txt`, { create: false });
    await resumed.write(3, 'def');
    await resumed.end('close');
    await rig.settle();
    t.strictSame(await rows(rig), { 'x.txt': 'm-alice published' });
    const row = await rig.uploads.latest(place(`${at}x.txt`).path, undefined);
    t.equal(row?.sha256, sha256('abcdef'));
  });

  for (const state of ['partial', 'settling', 'queued', 'waiting', 'held'] as const) {
    void t.test(`${area}: a removed file that was ${state} is withdrawn`, async (t) => {
      const rig = await rigFor(t);
      if (state === 'held') {
        rig.processor.answer = (_task, bytes) =>
          Promise.resolve({
            ...{ kind: 'held', reason: 'other-file', detail: undefined, exclusions: [] },
            sourceSha256: sha256(bytes),
          });
      }
      const name = state === 'partial' ? `${at}x.part` : `${at}x.txt`;
      await upload(rig, name, 'abc');
      await upload(rig, `${at}stays.part`, 'abc');
      rig.clock.advance(state === 'settling' ? 0 : settleMs + 1);
      if (state === 'partial' || state === 'held') await rig.run();
      if (state === 'queued' || state === 'waiting') {
        const id = (await idAt(rig, name)) ?? '';
        await rig.uploads.change(id, { to: { state: 'queued' } }, 'server');
        const job = await rig.db
          .selectFrom('job')
          .select('id')
          .where('uploadId', '=', id)
          .executeTakeFirstOrThrow();
        if (state === 'waiting') await rig.jobs.wait(job.id, 'broken-profile');
      }
      t.match(Object.values(await rows(rig)), [`m-alice ${state}`, /^m-alice/]);
      await killedIn(rig, { remove: name });
      t.strictSame(Object.keys(await rows(rig)), ['stays.part']);
      await rig.settle();
      t.strictSame(await rows(rig), { 'stays.part': 'm-alice partial' });
      const removed = (await rig.audit.list(rig.db)).filter(
        ({ action }) => action === 'upload.removed',
      );
      t.match(removed, [{ actor: 'server' }]);
    });
  }

  void t.test(`${area}: a new file with the inode of a removed one is not it`, async (t) => {
    const rig = await rigFor(t);
    await upload(rig, `${at}old.part`, 'abc');
    await rig.settle();
    const id = await idAt(rig, `${at}old.part`);
    const { path } = place(`${at}new.txt`);
    // An empty file that has its inode, as an OPEN that was not answered leaves it.
    await move(
      join(rig.folder, 'home', place(`${at}old.part`).path),
      join(rig.folder, 'home', path),
    );
    await writeFile(join(rig.folder, 'home', path), '');
    await rig.restart();
    t.not(await idAt(rig, `${at}new.txt`), id);
    t.equal(await idAt(rig, `${at}old.part`), undefined);
  });
}

void t.test(
  'a removed file that was passed on and not sent yet is withdrawn, and never sent',
  async (t) => {
    const rig = await rigFor(t);
    for (const name of ['gone.txt', 'sent.txt', 'stays.txt']) await upload(rig, `>${name}`, name);
    await rig.settle();
    t.match(Object.values(await rows(rig)), Array(3).fill('m-alice published'));
    const sent = (await idAt(rig, '>sent.txt')) ?? '';
    await rig.db
      .updateTable('job')
      .set({ state: 'delivered' })
      .where('uploadId', '=', sent)
      .execute();
    await rig.storage.removeFile(place('>sent.txt').path);
    await killedIn(rig, { remove: '>gone.txt' });
    await rig.settle();
    t.strictSame(await rows(rig), {
      'sent.txt': 'm-alice delivered',
      'stays.txt': 'm-alice published',
    });
    const pending = await rig.db
      .selectFrom('delivery')
      .select(['path', 'state'])
      .where('state', '=', 'pending')
      .execute();
    t.notMatch(JSON.stringify(pending), /gone\.txt/);
  },
);

void t.test('what a folder held whose disk is not there is not withdrawn', async (t) => {
  const rig = await rigFor(t);
  for (const at of ['', '>']) await upload(rig, `${at}x.part`, 'abc');
  await rig.settle();
  const before = await rows(rig);
  const folders = ['', '>'].map((at) =>
    join(rig.folder, 'home', place(at).path.replace(/\/$/, '')),
  );
  for (const folder of folders) await move(folder, `${folder}-away`);
  await rig.restart();
  t.strictSame(await rows(rig), before);
  for (const folder of folders) {
    await rm(folder, { recursive: true, force: true });
    await move(`${folder}-away`, folder);
  }
});

void t.test('a sealed file is nobody’s rename', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, '>x.part', 'abc');
  await rig.settle();
  const sealed = join(rig.folder, 'home', place('>gpg-alice').path);
  await mkdir(sealed, { recursive: true });
  await move(join(rig.folder, 'home', place('>x.part').path), join(sealed, 'x.gpg'));
  await rig.restart();
  t.strictSame(await rows(rig), {}, 'withdrawn, since it is not where it was');
});

void t.test('a partial file that is gone is withdrawn instead of held', async (t) => {
  const rig = await rigFor(t);
  for (const name of ['gone.part', 'there.part']) await upload(rig, name, 'abc');
  await rig.settle();
  await rm(join(rig.folder, 'home', place('gone.part').path));
  rig.clock.advance(25 * hour);
  await rig.run();
  t.strictSame(await rig.states(), {
    'gone.part': 'withdrawn',
    'there.part': 'held incomplete',
  });
});

void t.test('a file that cannot be looked at keeps no server from starting', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'bad.part', 'abc');
  await upload(rig, 'good.part', 'abc');
  await rig.settle();
  rig.clock.advance(25 * hour);
  for (const name of ['bad.dcm', 'good.dcm']) {
    // With its size declared, the row is there before the first byte.
    const handle = await openFor(rig, name, { truncate: true, declared: 3 });
    await handle.write(0, 'abc');
  }
  rig.parts.gate.writers.clear();
  const storage = rig.parts.storage as { facts: Rig['storage']['facts'] };
  const facts = storage.facts.bind(storage);
  storage.facts = (path) =>
    path.includes('bad.')
      ? Promise.reject(new AppError('STORAGE_FAILED', { detail: 'EIO' }))
      : facts(path);
  await rig.recover();
  t.match(await rig.states(), {
    'bad.dcm': 'uploading',
    'bad.part': 'partial temporary-name',
    'good.dcm': 'partial disconnected',
    'good.part': 'held incomplete',
  });
  storage.facts = facts;
  rig.clock.advance(61_000);
  await rig.run();
  t.match(await rig.states(), { 'bad.dcm': /^partial/, 'bad.part': 'held incomplete' });
});
