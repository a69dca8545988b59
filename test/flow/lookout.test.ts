// Folders and rows that came apart: a folder that cannot be read, a rename that fails between disk and rows, a file that was
// being moved into the intake when the server died. Nobody else waits, and nothing is lost.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t from 'tap';
import { AppError } from '../../src/core/errors.ts';
import { faultsIn } from '../support/faults.ts';
import { openFor, place, principal, rename, sha256, upload, type Rig } from '../support/fakes.ts';
import { onlyRows as rows, rigFor } from '../support/live-rows.ts';

const diskOf = (rig: Rig, path: string): string => join(rig.folder, 'home', place(path).path);

async function put(rig: Rig, path: string, text: string): Promise<void> {
  await mkdir(dirname(diskOf(rig, path)), { recursive: true });
  await writeFile(diskOf(rig, path), text);
}

/** From now on no folder whose path holds `word` can be listed. Answers how to mend that. */
function breakFolder(rig: Rig, word: string): () => void {
  const storage = rig.parts.storage as { list: Rig['storage']['list'] };
  const list = storage.list.bind(storage);
  storage.list = (path) => {
    if (path.includes(word)) throw new AppError('STORAGE_FAILED', { detail: 'EIO' });
    return list(path);
  };
  return () => {
    storage.list = list;
  };
}

void t.test(
  'one folder that cannot be read stops nobody, is told, and is tried again',
  async (t) => {
    const rig = await rigFor(t);
    for (const name of ['good.part', 'in.part', 'gone.part', 'broken/there.part']) {
      await mkdir(dirname(diskOf(rig, name)), { recursive: true });
      await upload(rig, name, name);
    }
    const bobs = { ...place('x'), path: 'ji_brain/bob/gpg/bob.part' };
    const handle = await openFor(rig, bobs, { truncate: true, who: 'bob' });
    await handle.write(0, 'bob');
    await handle.end('close');
    await rig.settle();
    // What the disk shows, and no row says.
    const move = (from: string, to: string): Promise<void> => rig.storage.rename(from, to, false);
    await move(place('good.part').path, place('good.dcm').path);
    await move(bobs.path, 'ji_brain/bob/gpg/bob.dcm');
    await move(place('in.part').path, place('broken/in.dcm').path);
    await rig.storage.removeFile(place('gone.part').path);

    const mend = breakFolder(rig, 'broken');
    await rig.recover();
    t.strictSame(await rows(rig), {
      'good.dcm': 'm-alice settling',
      'bob.dcm': 'm-bob settling',
      'in.part': 'm-alice partial',
      'gone.part': 'm-alice partial',
      'broken/there.part': 'm-alice partial',
    });
    const [told, ...others] = await rig.parts.unread.list();
    t.match(told, { project: 'brain', member: 'alice', code: 'STORAGE_FAILED', detail: 'EIO' });
    t.strictSame(others, [], 'bob is not concerned');

    await rig.settle();
    t.match(await rows(rig), { 'good.dcm': 'm-alice published', 'bob.dcm': 'm-bob published' });
    rig.clock.advance(31_000);
    await rig.run();
    t.equal((await rig.parts.unread.list()).length, 1, 'still so');

    mend();
    await rig.restart();
    t.strictSame(await rig.parts.unread.list(), [], 'a start that reads it says so');
    await rig.settle();
    t.strictSame(await rows(rig), {
      'good.dcm': 'm-alice published',
      'bob.dcm': 'm-bob published',
      'broken/in.dcm': 'm-alice published',
      'broken/there.part': 'm-alice partial',
    });
    const unread = (await rig.audit.list(rig.db)).filter(
      ({ action }) => action === 'folder.unread',
    );
    t.match(unread, [{ actor: 'server', object: 'p1', detail: { member: 'm-alice' } }], 'once');
  },
);

void t.test('a running server finds by itself that a folder can be read again', async (t) => {
  const rig = await rigFor(t);
  for (const name of ['a.part', 'b.part']) await upload(rig, name, name);
  await upload(rig, '>c.part', 'c');
  await rig.settle();
  await rig.storage.rename(place('a.part').path, place('a.dcm').path, false);
  await rig.storage.removeFile(place('b.part').path);
  await rig.storage.rename(place('>c.part').path, place('>c.txt').path, false);
  const mend = breakFolder(rig, 'ji_brain');
  const { worker } = rig;
  await worker.start();
  await worker.stop(0);
  t.equal((await rig.parts.unread.list()).length, 3, 'alice, bob and the outgoing folder');
  mend();
  t.match(await rows(rig), { 'a.part': 'm-alice partial', 'b.part': 'm-alice partial' });
  // A client is at it meanwhile: its file is no stray.
  const open = await openFor(rig, 'open.dcm', { truncate: true });
  await open.write(0, 'first');
  rig.clock.advance(31_000);
  await worker.turn();
  t.strictSame(await rig.parts.unread.list(), []);
  t.strictSame(await rows(rig), {
    'a.dcm': 'm-alice settling',
    'c.txt': 'm-alice settling',
    'open.dcm': 'm-alice uploading',
  });
  await open.write(5, ' second');
  await open.end('close');
  rig.clock.advance(6_000);
  for (let round = 0; round < 4; round += 1) {
    await worker.turn();
    await worker.idle();
  }
  t.strictSame(await rows(rig), {
    'a.dcm': 'm-alice queued',
    'c.txt': 'm-alice queued',
    'open.dcm': 'm-alice queued',
  });
});

const killed = new Error('killed');

/** Alice moves something out of her own folder; the server dies when the disk has it and the rows do not. */
async function killedWhileMoving(
  rig: Rig,
  from: string,
  to: string,
  isFolder: boolean,
): Promise<void> {
  const asked = { kind: 'rename', from: place(from), to: place(to), isFolder } as const;
  const answered = rig.intake.change(principal('alice'), asked, async () => {
    await rig.storage.rename(place(from).path, place(to).path, true);
    throw killed;
  });
  await answered.catch((error: unknown) => {
    if (error !== killed) throw error;
  });
  await rig.restart();
}

void t.test(
  'what a member was moving into the intake goes on as if it had been answered',
  async (t) => {
    const rig = await rigFor(t);
    await put(rig, '/notes.txt', 'newer notes');
    await put(rig, '/set/deep/1.dcm', 'one');
    await put(rig, '/set/2.txt', 'two');
    await upload(rig, 'notes.txt', 'notes');
    await rig.settle();
    await killedWhileMoving(rig, '/notes.txt', 'notes.txt', false);
    await killedWhileMoving(rig, '/set', 'set', true);
    // An upload that broke off before it had a row is nothing of the kind.
    await put(rig, 'broken.txt', 'broken o');
    await rig.restart();
    t.strictSame(await rig.parts.arrivals.below('ji_brain'), [], 'nothing is on its way any more');
    await rig.settle();
    t.strictSame(await rows(rig), {
      'broken.txt': 'm-alice partial',
      'notes.txt': 'm-alice published',
      'set/2.txt': 'm-alice published',
      'set/deep/1.dcm': 'm-alice published',
    });
    const row = await rig.uploads.latest(place('notes.txt').path, undefined);
    t.equal(row?.sha256, sha256('newer notes'));
  },
);

void t.test('a move that is refused leaves no note', async (t) => {
  const rig = await rigFor(t);
  await put(rig, '/x.txt', 'x');
  await put(rig, 'taken.txt', 'there');
  const refused = rig.intake.change(
    principal('alice'),
    { kind: 'rename', from: place('/x.txt'), to: place('taken.txt'), isFolder: false },
    () => rig.storage.rename(place('/x.txt').path, place('taken.txt').path, false),
  );
  await t.rejects(refused, { code: 'ALREADY_EXISTS' });
  t.strictSame(await rig.parts.arrivals.below('ji_brain'), []);
  t.equal(rig.parts.gate.doubtful.size, 0, 'and no doubt');
});

/** From, to, and what lies below before. */
const folders: readonly (readonly [from: string, to: string, state: string])[] = [
  ['old', 'new', 'partial'],
  ['>old', '>new', 'partial'],
  ['/old', 'new', 'published'],
];
for (const [from, to, state] of folders) {
  void t.test(`a folder from ${from} to ${to}, and each call fails of its rename`, async (t) => {
    const rig = await rigFor(t);
    const { uploads, arrivals, storage } = rig.parts;
    const faults = faultsIn({ uploads, arrivals, storage });
    for (const moment of ['before', 'after'] as const) {
      let struck: string | undefined = 'none yet';
      for (let n = 1; struck !== undefined; n += 1) {
        const [source, target] = [`${from}-${moment}-${n}`, `${to}-${moment}-${n}`];
        const ending = state === 'partial' ? '.part' : '';
        for (const name of [`1.txt${ending}`, `deep/2.txt${ending}`]) {
          await mkdir(dirname(diskOf(rig, `${source}/${name}`)), { recursive: true });
          if (from.startsWith('/')) await put(rig, `${source}/${name}`, name);
          else await upload(rig, `${source}/${name}`, name);
        }
        await rig.settle();
        faults.arm(n, moment);
        await rename(rig, source, target, true).catch(() => undefined);
        struck = faults.disarm();
        // No restart: the next rounds of the server put right what the rename left.
        rig.clock.advance(60_000);
        await rig.run();
        await rig.settle();
        const isMoved = (await rig.storage.facts(place(target).path)) !== undefined;
        if (!isMoved) await rename(rig, source, target, true);
        if (!isMoved) await rig.settle();
        const found = await rows(rig);
        for (const name of [`1.txt${ending}`, `deep/2.txt${ending}`]) {
          const at = `${target.replace('>', '')}/${name}`;
          if (found[at] !== `m-alice ${state}`) t.fail(`call ${n}, ${struck}: ${at} ${found[at]}`);
        }
        const left = Object.keys(found).filter((path) => path.startsWith(source.replace('>', '')));
        if (left.length > 0) t.fail(`call ${n}, ${struck}: ${left.join()} is left`);
        t.strictSame(await arrivals.below('ji_brain'), [], 'nothing is on its way');
      }
    }
    t.equal(rig.parts.gate.doubtful.size, 0);
  });
}

for (const at of ['', '>']) {
  const area = at === '' ? 'intake' : 'outgoing folder';
  void t.test(`${area}: a temporary name ends, and each call fails of its rename`, async (t) => {
    const rig = await rigFor(t);
    const { uploads, arrivals, storage } = rig.parts;
    const faults = faultsIn({ uploads, arrivals, storage });
    for (const moment of ['before', 'after'] as const) {
      let struck: string | undefined = 'none yet';
      for (let n = 1; struck !== undefined; n += 1) {
        const name = `${moment}-${n}.txt`;
        await upload(rig, `${at}${name}`, 'old');
        await upload(rig, `${at}${name}.part`, `new ${n}`);
        await rig.settle();
        faults.arm(n, moment);
        await rename(rig, `${at}${name}.part`, `${at}${name}`).catch(() => undefined);
        struck = faults.disarm();
        rig.clock.advance(60_000);
        await rig.run();
        await rig.settle();
        const isLeft = (await rig.storage.facts(place(`${at}${name}.part`).path)) !== undefined;
        if (isLeft) await rename(rig, `${at}${name}.part`, `${at}${name}`);
        if (isLeft) await rig.settle();
        const found = await rows(rig);
        if (found[name] !== 'm-alice published') t.fail(`call ${n}, ${struck}: ${found[name]}`);
        if (found[`${name}.part`] !== undefined) t.fail(`call ${n}, ${struck}: two rows`);
        const row = await rig.uploads.latest(place(`${at}${name}`).path, undefined);
        if (row?.sha256 !== sha256(`new ${n}`)) t.fail(`call ${n}, ${struck}: another content`);
      }
    }
    t.equal(rig.parts.gate.doubtful.size, 0);
  });
}

void t.test(
  'a file that is still written goes along when the rename of its folder failed',
  async (t) => {
    const rig = await rigFor(t);
    await mkdir(diskOf(rig, 'old'), { recursive: true });
    const handle = await openFor(rig, 'old/1.txt', { truncate: true });
    await handle.write(0, 'first');
    const uploads = rig.parts.uploads as { change: Rig['uploads']['change'] };
    const change = uploads.change.bind(uploads);
    uploads.change = () => Promise.reject(new AppError('STORAGE_FAILED'));
    await t.rejects(rename(rig, 'old', 'new', true), { code: 'STORAGE_FAILED' });
    uploads.change = change;
    await rig.worker.turn();
    t.strictSame(await rows(rig), { 'new/1.txt': 'm-alice uploading' });
    await handle.write(5, ' second');
    await handle.end('close');
    await rig.settle();
    t.strictSame(await rows(rig), { 'new/1.txt': 'm-alice published' });
    const row = await rig.uploads.latest(place('new/1.txt').path, undefined);
    t.equal(row?.sha256, sha256('first second'));
  },
);
