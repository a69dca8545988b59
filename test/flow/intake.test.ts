// Every way in which SFTP clients upload, cancel, resume, rename and overwrite, as sequences of events with
// what must come of them; then what must not be disturbed by what.

import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  makeRig,
  openFor,
  place,
  principal,
  remove,
  rename,
  upload,
  type Rig,
  type TestHandle,
} from '../support/fakes.ts';

type Event =
  | readonly ['open', string, { truncate?: boolean; declared?: number; exclusive?: boolean }?]
  | readonly ['write', string, number, string]
  | readonly ['fsize', string, number]
  | readonly ['size', string, number]
  | readonly ['close', string]
  | readonly ['lost', string]
  | readonly ['rename', string, string]
  | readonly ['move folder', string, string]
  | readonly ['remove', string]
  | readonly ['touch', string]
  | readonly ['crash']
  | readonly ['settle']
  /** As long as the kernel's clock needs for another time of change. */
  | readonly ['moment']
  | readonly ['minutes', number];

interface Case {
  readonly name: string;
  readonly events: readonly Event[];
  readonly expect: Readonly<Record<string, string>>;
}

const trunc = { truncate: true };

const cases: readonly Case[] = [
  {
    name: 'OpenSSH put: truncates, writes, closes',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'a file is not taken before it settled',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
    ],
    expect: { 'a.dcm': 'settling' },
  },
  {
    name: 'a write after the first CLOSE starts the settling again',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['open', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'uploading' },
  },
  {
    name: 'a disconnect leaves it partial',
    events: [['open', 'a.dcm', trunc], ['write', 'a.dcm', 0, 'abc'], ['lost', 'a.dcm'], ['settle']],
    expect: { 'a.dcm': 'partial disconnected' },
  },
  {
    name: 'a resume behind what is there makes it whole',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['lost', 'a.dcm'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 3, 'def'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'scp over an older file, cut in the middle, is no mixture of both',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'oldoldold'],
      ['close', 'a.dcm'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 0, 'new'],
      ['lost', 'a.dcm'],
      ['open', 'a.dcm'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'partial gap' },
  },
  {
    name: 'scp over an older file sets the end and closes',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'oldoldold'],
      ['close', 'a.dcm'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 0, 'new'],
      ['fsize', 'a.dcm', 3],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'WinSCP: a .filepart never qualifies, its rename does',
    events: [
      ['open', 'a.dcm.filepart', { declared: 6 }],
      ['write', 'a.dcm.filepart', 0, 'abcdef'],
      ['close', 'a.dcm.filepart'],
      ['settle'],
      ['rename', 'a.dcm.filepart', 'a.dcm'],
      ['touch', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'a temporary name waits with its reason',
    events: [
      ['open', 'a.dcm.filepart'],
      ['write', 'a.dcm.filepart', 0, 'abc'],
      ['close', 'a.dcm.filepart'],
      ['settle'],
    ],
    expect: { 'a.dcm.filepart': 'partial temporary-name' },
  },
  {
    name: 'the declared size was not reached',
    events: [
      ['open', 'a.dcm', { declared: 10 }],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'partial declared-size' },
  },
  {
    name: 'rclone: out of order under a temporary name, then renamed',
    events: [
      ['open', 'a.dcm.1234abcd.partial', trunc],
      ['write', 'a.dcm.1234abcd.partial', 3, 'def'],
      ['write', 'a.dcm.1234abcd.partial', 0, 'abc'],
      ['close', 'a.dcm.1234abcd.partial'],
      ['rename', 'a.dcm.1234abcd.partial', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'rclone cancelled: the partial is removed',
    events: [
      ['open', 'a.dcm.1234abcd.partial', trunc],
      ['write', 'a.dcm.1234abcd.partial', 0, 'abc'],
      ['close', 'a.dcm.1234abcd.partial'],
      ['remove', 'a.dcm.1234abcd.partial'],
      ['settle'],
    ],
    expect: { 'a.dcm.1234abcd.partial': 'withdrawn' },
  },
  {
    name: 'a hole is a gap',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 3, 'def'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'partial gap' },
  },
  {
    name: 'lftp sets the size it has at the end',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['fsize', 'a.dcm', 3],
      ['close', 'a.dcm'],
      ['size', 'a.dcm', 3],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'sshfs creates it empty, closes, opens again and writes anywhere',
    events: [
      ['open', 'a.dcm'],
      ['close', 'a.dcm'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 3, 'def'],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'an empty file waits',
    events: [['open', 'a.dcm'], ['close', 'a.dcm'], ['settle']],
    expect: { 'a.dcm': 'partial empty' },
  },
  {
    name: 'a partial that is opened and closed again goes on',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['lost', 'a.dcm'],
      ['open', 'a.dcm'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'a lost CLOSE strands nobody: after ten quiet minutes it settles by itself',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['lost', 'a.dcm'],
      ['minutes', 11],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'what stays partial for a day is held as incomplete',
    events: [
      ['open', 'a.dcm'],
      ['close', 'a.dcm'],
      ['minutes', 24 * 60 + 1],
    ],
    expect: { 'a.dcm': 'held incomplete' },
  },
  {
    name: 'removed before the claim it is withdrawn',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['remove', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'withdrawn' },
  },
  {
    name: 'removed after the claim the publication stays',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['settle'],
      ['remove', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'renamed out of gpg/ it is withdrawn',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['rename', 'a.dcm', '/a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'withdrawn' },
  },
  {
    name: 'renamed into gpg/ it is a candidate',
    events: [
      ['open', '/a.dcm', trunc],
      ['write', '/a.dcm', 0, 'abc'],
      ['close', '/a.dcm'],
      ['rename', '/a.dcm', 'b.dcm'],
      ['settle'],
    ],
    expect: { 'b.dcm': 'published' },
  },
  {
    name: 'a folder renamed into gpg/ brings its files',
    events: [
      ['open', '/sub/a.dcm', trunc],
      ['write', '/sub/a.dcm', 0, 'abc'],
      ['close', '/sub/a.dcm'],
      ['move folder', '/sub', 'sub'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'a file that is renamed while somebody writes it waits for its writer',
    events: [
      ['open', '/a.dcm', trunc],
      ['write', '/a.dcm', 0, 'abc'],
      ['rename', '/a.dcm', 'b.dcm'],
      ['settle'],
    ],
    expect: { 'b.dcm': 'uploading' },
  },
  {
    name: 'the server is killed in the middle; the client resumes',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['crash'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 3, 'def'],
      ['close', 'a.dcm'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
  {
    name: 'the server is killed in the middle; nobody comes back for it at once',
    events: [['open', 'a.dcm', trunc], ['write', 'a.dcm', 0, 'abc'], ['crash'], ['settle']],
    expect: { 'a.dcm': 'partial disconnected' },
  },
  {
    name: 'the server is killed while an older file is overwritten: the mixture is not whole',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'oldoldold'],
      ['close', 'a.dcm'],
      ['moment'],
      ['open', 'a.dcm'],
      ['write', 'a.dcm', 0, 'new'],
      ['crash'],
      ['minutes', 11],
      ['settle'],
    ],
    expect: { 'a.dcm': 'partial disconnected' },
  },
  {
    name: 'a settling file survives a restart',
    events: [
      ['open', 'a.dcm', trunc],
      ['write', 'a.dcm', 0, 'abc'],
      ['close', 'a.dcm'],
      ['crash'],
      ['settle'],
    ],
    expect: { 'a.dcm': 'published' },
  },
];

async function play(rig: Rig, events: readonly Event[]): Promise<void> {
  const open = new Map<string, TestHandle>();
  for (const event of events) {
    const [kind] = event;
    if (kind === 'open') {
      if (event[1].includes('/sub/')) await rig.storage.ensureFolder('ji_brain/alice/sub');
      open.set(event[1], await openFor(rig, event[1], event[2]));
    } else if (kind === 'write') await open.get(event[1])?.write(event[2], event[3]);
    else if (kind === 'fsize') await open.get(event[1])?.size(event[2]);
    else if (kind === 'close' || kind === 'lost') await open.get(event[1])?.end(kind);
    else if (kind === 'rename') await rename(rig, event[1], event[2]);
    else if (kind === 'move folder') await rename(rig, event[1], event[2], true);
    else if (kind === 'remove') await remove(rig, event[1]);
    else if (kind === 'touch') await rig.storage.setTimes(place(event[1]).path, 1000, 1000);
    else if (kind === 'size') await setSize(rig, event[1], event[2]);
    else if (kind === 'crash') await rig.restart();
    else if (kind === 'moment') await new Promise((resolve) => setTimeout(resolve, 20));
    else if (kind === 'settle') await rig.settle();
    else {
      rig.clock.advance(event[1] * 60_000);
      await rig.run();
    }
  }
}

const setSize = (rig: Rig, path: string, sizeBytes: number): Promise<void> =>
  rig.intake.change(principal('alice'), { kind: 'truncate', place: place(path), sizeBytes }, () =>
    rig.storage.truncate(place(path).path, sizeBytes),
  );

for (const { name, events, expect } of cases) {
  void t.test(name, async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    await play(rig, events);
    t.strictSame(await rig.states(), expect);
    const audit = await rig.audit.firstFault(rig.db);
    t.equal(audit, undefined, 'the audit chain is whole');
    t.strictSame(await rig.storage.listSpool('claims'), [], 'no claim is left');
    t.strictSame(await rig.storage.listSpool('outputs'), [], 'no output is left');
  });
}

void t.test(
  'a file of the outgoing folder is its uploader’s alone until it was looked at',
  async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    const folder = place('>x').path.slice(0, -2);
    await upload(rig, '>plan.txt', 'no patient');
    t.strictSame([...(await rig.intake.hidden(principal('bob'), folder))], [`${folder}/plan.txt`]);
    t.strictSame([...(await rig.intake.hidden(principal('alice'), folder))], []);
    rig.processor.answer = () => Promise.resolve({ kind: 'passed', sourceSha256: 'aa'.repeat(32) });
    await rig.settle();
    t.strictSame(await rig.states(), { 'plan.txt': 'published' });
    t.strictSame([...(await rig.intake.hidden(principal('bob'), folder))], []);
    const delivery = await rig.db.selectFrom('delivery').selectAll().executeTakeFirstOrThrow();
    t.match(delivery, { path: 'plan.txt', state: 'pending', sha256: 'aa'.repeat(32) });
  },
);

void t.test('a slip is held and hidden, unless the project allows such files', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const folder = place('>x').path.slice(0, -2);
  rig.processor.answer = () =>
    Promise.resolve({
      kind: 'held',
      reason: 'slip',
      detail: undefined,
      sourceSha256: 'bb'.repeat(32),
      exclusions: [],
    });
  await upload(rig, '>a.dcm', 'DICM');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'held slip' });
  t.equal((await rig.intake.hidden(principal('bob'), folder)).size, 1);
  t.strictSame(await rig.db.selectFrom('delivery').selectAll().execute(), [], 'nothing is sent');
  rig.directDicom.value = 'allow';
  await upload(rig, '>b.dcm', 'DICM');
  await rig.settle();
  t.match(await rig.states(), { 'a.dcm': 'held slip', 'b.dcm': 'published' });
});

void t.test('a refused OPEN leaves no row', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  await upload(rig, 'a.dcm', 'abc');
  await t.rejects(openFor(rig, 'a.dcm', { exclusive: true }), { code: 'ALREADY_EXISTS' });
  await t.rejects(openFor(rig, 'none.dcm', { create: false }), { code: 'NO_SUCH_FILE' });
  t.strictSame(await rig.states(), { 'a.dcm': 'settling' });
});

void t.test('a second writer keeps the file back until it is gone too', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const one = await openFor(rig, 'a.dcm', { truncate: true });
  const two = await openFor(rig, 'a.dcm');
  await one.write(0, 'abc');
  await one.end('close');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'uploading' });
  await two.write(3, 'def');
  await two.end('close');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});

void t.test('progress is written down while a file grows', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const handle = await openFor(rig, 'a.dcm', { truncate: true });
  await handle.write(0, 'abc');
  rig.clock.advance(1500);
  await handle.write(3, 'def');
  for (let tries = 0; tries < 200; tries += 1) {
    const [row] = await rig.desk.list();
    if (row?.bytes === 6) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.match(await rig.desk.list(), [{ state: 'uploading', bytes: 6 }]);
  await handle.end('close');
});

const shared = 'ji_brain/club_house/From_PUHSC_To_UMHS';

void t.test('who moves a shared folder does not become the owner of the slips in it', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  rig.processor.answer = () =>
    Promise.resolve({
      kind: 'held',
      reason: 'slip',
      detail: undefined,
      sourceSha256: 'bb'.repeat(32),
      exclusions: [],
    });
  await rig.storage.makeFolder(`${shared}/sub`);
  await upload(rig, '>sub/a.dcm', 'DICM');
  await rig.settle();
  const move = {
    kind: 'rename',
    from: place('>sub'),
    to: place('>moved'),
    isFolder: true,
  } as const;
  await rig.intake.change(principal('bob'), move, () =>
    rig.storage.rename(move.from.path, move.to.path, false),
  );
  const hidden = async (name: string): Promise<number> =>
    (await rig.intake.hidden(principal(name), `${shared}/moved`)).size;
  t.equal(await hidden('bob'), 1, 'unseen at once');
  t.equal(await hidden('alice'), 0);
  await rig.settle();
  t.equal(await hidden('bob'), 1, 'and after it was looked at again');
  t.equal(await hidden('alice'), 0, 'its uploader sees it');
});

void t.test('what was passed on keeps its bytes for those who read it', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  rig.processor.answer = () => Promise.resolve({ kind: 'passed', sourceSha256: 'aa'.repeat(32) });
  await upload(rig, '>plan.txt', 'no patient');
  await rig.settle();
  const how = { read: true, write: false, create: false, exclusive: false };
  const reader = await rig.storage.open(`${shared}/plan.txt`, {
    ...how,
    truncate: false,
    freshInode: false,
  });
  const writer = await openFor(rig, '>plan.txt');
  await writer.write(0, 'Wang^Xiaodong');
  t.equal(Buffer.from(await reader.read(0, 100)).toString(), 'no patient');
  t.equal((await rig.intake.hidden(principal('bob'), shared)).size, 1);
  await writer.end('close');
  await reader.close();
});

void t.test('a file of the shared folder is seen with its row or not at all', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const at = place('>slip.dcm');
  const how = { read: false, write: true, create: true, exclusive: false, truncate: true };
  let seen = 'not asked';
  let look: Promise<void> | undefined;
  await rig.intake.open(
    principal('alice'),
    at,
    { ...how, freshInode: false, declaredSizeBytes: undefined },
    async (decided) => {
      const file = await rig.storage.open(at.path, decided);
      look = rig.intake.whenSettled(at, async () => {
        const hidden = await rig.intake.hidden(principal('bob'), shared);
        seen = hidden.has(at.path) ? 'hidden' : 'shown';
      });
      await new Promise((resolve) => setImmediate(resolve));
      return file;
    },
  );
  await look;
  t.equal(seen, 'hidden');
});

void t.test('a file that is all hole is not read, however it came', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const own = join(rig.folder, 'home/ji_brain/alice');
  mkdirSync(join(own, 'gpg'), { recursive: true });
  for (const name of ['moved.dcm', 'gpg/found.dcm']) {
    writeFileSync(join(own, name), '');
    truncateSync(join(own, name), 2 ** 40);
  }
  await rename(rig, '/moved.dcm', 'moved.dcm');
  await rig.restart();
  await rig.settle();
  t.match(await rig.states(), { 'moved.dcm': 'partial gap', 'found.dcm': /^partial/ });
  t.strictSame(await rig.storage.listSpool('claims'), []);
  t.equal(statSync(join(own, 'gpg/moved.dcm')).blocks, 0, 'nothing was written');
});

void t.test(
  'no folder goes so deep that nobody can name it, and one that does stops nothing',
  async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    const part = 'd'.repeat(250);
    const deep = Array.from({ length: 12 }, () => part).join('/');
    await rig.storage.ensureFolder(`ji_brain/alice/gpg/${deep}`);
    await rig.storage.ensureFolder(`ji_brain/alice/gpg/top/${part}`);
    await upload(rig, `${deep}/a.dcm`, 'abc');
    const target = `top/${part}/${part}`;
    await t.rejects(rename(rig, part, target, true), { code: 'BAD_NAME' });
    await rig.settle();
    t.strictSame(await rig.states(), { 'a.dcm': 'published' }, 'it is where it was');
    // By hand, piece by piece, as somebody with a shell may do it.
    const gpg = join(rig.folder, 'home/ji_brain/alice/gpg');
    mkdirSync(join(gpg, 'lower', deep), { recursive: true });
    renameSync(join(gpg, part), join(gpg, 'lower', deep, part));
    await upload(rig, 'b.dcm', 'abc');
    await rig.restart();
    await rig.settle();
    t.match(await rig.states(), { 'b.dcm': 'published' }, 'the server starts and works');
    spawnSync('rm', ['-rf', gpg]);
  },
);
