// Somebody with a shell in data/ plants things: links of every kind, FIFOs, sockets, devices, folders that are swapped while
// they are used. Every request meets every one of them, and what lies outside the tree is looked at after each.

import { execFileSync, fork } from 'node:child_process';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { connect, until, type RawClient } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { servesOthers } from '../support/ssh-messages.ts';

const server = await startServer();
t.teardown(() => server.close());
const outside = join(server.root, 'outside');
const own = join(server.home, 'ji_brain/alice');
const at = '/home/ji_brain/alice/planted';
const place = join(own, 'planted');
const secret = 'PLANTED-SECRET';
mkdirSync(join(outside, 'folder'), { recursive: true });
mkdirSync(join(server.home, 'ji_brain/bob/gpg'), { recursive: true });
mkdirSync(join(own, 'gpg'), { recursive: true });
writeFileSync(join(server.home, 'ji_brain/bob/gpg/his'), secret);

/** How it is made at `path`; false where this machine cannot. */
interface Kind {
  readonly name: string;
  /** A second name of a file outside looks like a file of ours, but does not open. */
  readonly isHardLink?: true;
  plant(path: string): void;
}

const kinds: readonly Kind[] = [
  { name: 'a link to a file', plant: (path) => symlinkSync(join(outside, 'file'), path) },
  { name: 'a link to a folder', plant: (path) => symlinkSync(join(outside, 'folder'), path) },
  { name: 'a link to nothing', plant: (path) => symlinkSync(join(outside, 'new'), path) },
  { name: 'a link up', plant: (path) => symlinkSync('../../../../outside/file', path) },
  {
    name: 'a link to a file of another',
    plant: (path) => symlinkSync(join(server.home, 'ji_brain/bob/gpg/his'), path),
  },
  { name: 'a link to itself', plant: (path) => symlinkSync(path, path) },
  { name: 'a link to /proc', plant: (path) => symlinkSync('/proc/self/environ', path) },
  { name: 'a FIFO', plant: (path) => execFileSync('mkfifo', [path]) },
  { name: 'a character device', plant: (path) => mknod(path, 'c', '1', '5') },
  { name: 'a block device', plant: (path) => mknod(path, 'b', '7', '99') },
  {
    name: 'a hard link',
    isHardLink: true,
    plant: (path) => linkSync(join(outside, 'file'), path),
  },
];

/** Without the right to make devices another FIFO stands in. */
function mknod(path: string, ...how: readonly string[]): void {
  try {
    execFileSync('mknod', [path, ...how], { stdio: 'ignore' });
  } catch {
    execFileSync('mkfifo', [path]);
  }
}

const [READ, WRITE, APPEND, CREAT, TRUNC, EXCL] = [1, 2, 4, 8, 16, 32];

interface Request {
  readonly name: string;
  /** The beginning of the answer; for a hard link another, where it differs. */
  readonly answer: RegExp;
  readonly hardLink?: RegExp;
  run(client: RawClient): Promise<string>;
}
const gone = /^NO_SUCH_FILE/;
const yes = /^(OK|answer of type)/;
const sends = (
  name: string,
  answer: RegExp,
  hardLink: RegExp | undefined,
  ...[type, ...fields]: readonly [number, ...(number | bigint | string)[]]
): Request => ({
  name,
  answer,
  ...(hardLink === undefined ? {} : { hardLink }),
  run: (client) => client.status(type, ...fields),
});

const requests: readonly Request[] = [
  sends('STAT', gone, yes, fxp.STAT, at),
  sends('LSTAT', gone, yes, fxp.LSTAT, at),
  sends('OPEN to read', gone, undefined, fxp.OPEN, at, READ, 0),
  sends('OPEN to write', gone, undefined, fxp.OPEN, at, WRITE, 0),
  sends('OPEN to read and write', gone, undefined, fxp.OPEN, at, READ | WRITE, 0),
  sends('OPEN to append', gone, undefined, fxp.OPEN, at, WRITE | APPEND, 0),
  sends('OPEN to truncate', gone, undefined, fxp.OPEN, at, WRITE | CREAT | TRUNC, 0),
  sends('OPEN to create', gone, undefined, fxp.OPEN, at, WRITE | CREAT, 0),
  sends('OPEN a new one', /^FAILURE/, undefined, fxp.OPEN, at, WRITE | CREAT | EXCL, 0),
  sends('OPEN behind it', gone, undefined, fxp.OPEN, `${at}/file`, READ, 0),
  sends('OPEN a new one behind it', gone, undefined, fxp.OPEN, `${at}/new`, WRITE | CREAT, 0),
  sends('SETSTAT size', gone, undefined, fxp.SETSTAT, at, 1, 0n),
  sends('SETSTAT times', gone, undefined, fxp.SETSTAT, at, 8, 5, 5),
  sends('SETSTAT mode', gone, yes, fxp.SETSTAT, at, 4, 0o777),
  sends('SETSTAT behind it', gone, undefined, fxp.SETSTAT, `${at}/file`, 8, 5, 5),
  sends('lsetstat', gone, undefined, fxp.EXTENDED, 'lsetstat@openssh.com', at, 8, 5, 5),
  sends('check-file', gone, undefined, fxp.EXTENDED, 'check-file-name', at, 'sha256', 0n, 0n, 0),
  sends('OPENDIR', gone, undefined, fxp.OPENDIR, at),
  sends('OPENDIR behind it', gone, undefined, fxp.OPENDIR, `${at}/folder`),
  sends('MKDIR', /^FAILURE/, undefined, fxp.MKDIR, at, 0),
  sends('MKDIR behind it', gone, undefined, fxp.MKDIR, `${at}/new`, 0),
  sends('RMDIR', gone, undefined, fxp.RMDIR, at),
  sends('RMDIR behind it', gone, undefined, fxp.RMDIR, `${at}/folder`),
  sends('REMOVE', gone, yes, fxp.REMOVE, at),
  sends('REMOVE behind it', gone, undefined, fxp.REMOVE, `${at}/file`),
  sends('RENAME', gone, yes, fxp.RENAME, at, `${at}-2`),
  sends('RENAME onto it', /^FAILURE/, undefined, fxp.RENAME, `${at}-mine`, at),
  sends('RENAME behind it', gone, undefined, fxp.RENAME, `${at}-mine`, `${at}/mine`),
  sends('RENAME out of it', gone, undefined, fxp.RENAME, `${at}/file`, `${at}-2`),
  sends('posix-rename', gone, yes, fxp.EXTENDED, 'posix-rename@openssh.com', at, `${at}-2`),
  sends(
    'posix-rename onto it',
    yes,
    yes,
    fxp.EXTENDED,
    'posix-rename@openssh.com',
    `${at}-mine`,
    at,
  ),
  sends('SYMLINK', /^OP_UNSUPPORTED/, undefined, fxp.SYMLINK, '/etc/passwd', at),
  sends('READLINK', /^OP_UNSUPPORTED/, undefined, fxp.READLINK, at),
  sends(
    'hard link',
    /^OP_UNSUPPORTED/,
    undefined,
    fxp.EXTENDED,
    'hardlink@openssh.com',
    at,
    `${at}-2`,
  ),
];

function furnish(kind: Kind): void {
  for (const name of ['planted', 'planted-2', 'planted-mine']) {
    rmSync(join(own, name), { recursive: true, force: true });
  }
  writeFileSync(join(outside, 'file'), secret);
  utimesSync(join(outside, 'file'), 100, 100);
  writeFileSync(join(own, 'planted-mine'), 'mine');
  kind.plant(place);
}

/** Everything outside: names, contents, times, modes. */
const picture = (folder = outside): readonly string[] =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    const stat = lstatSync(path);
    if (stat.isDirectory()) return [`${path}/ ${stat.mode}`, ...picture(path)];
    return [`${path} ${readFileSync(path, 'utf8')} ${stat.mtimeMs} ${stat.mode}`];
  });

for (const kind of kinds) {
  void t.test(`nothing goes through ${kind.name}`, async (t) => {
    const client = await connect(server, 'alice');
    for (const request of requests) {
      furnish(kind);
      const before = picture();
      const wanted = (kind.isHardLink && request.hardLink) || request.answer;
      const answer = await request.run(client);
      t.match(answer, wanted, request.name);
      t.notMatch(answer, /PLANTED|tmp|proc|\bE[A-Z]{4,}/, 'and says nothing');
      t.same(picture(), before, `${request.name}: what is outside`);
    }
    furnish(kind);
    t.equal(
      (await client.list('/home/ji_brain/alice')).includes('planted'),
      kind.isHardLink === true,
    );
    client.end();
    await servesOthers(t, server);
  });
}

void t.test('a socket does not open either', async (t) => {
  furnish({ name: 'nothing', plant: () => undefined });
  const socket = createServer();
  await new Promise<void>((resolve) => socket.listen(place, resolve));
  const client = await connect(server, 'alice');
  for (const flags of [READ, WRITE, WRITE | CREAT | TRUNC]) {
    t.match(await client.status(fxp.OPEN, at, flags as number, 0), gone);
  }
  client.end();
  await new Promise((resolve) => socket.close(resolve));
});

/** Runs beside us: now a folder of alice's, now a link that leads outside. */
const swapper = `
  const fs = require('node:fs');
  const [folder, aside, link] = process.argv.slice(2);
  const end = Date.now() + 1500;
  let count = 0;
  while (Date.now() < end) {
    fs.renameSync(folder, aside); fs.renameSync(link, folder);
    fs.renameSync(folder, link); fs.renameSync(aside, folder);
    count += 1;
  }
  process.send(count);
`;

void t.test('a folder that is swapped for a link while it is used leads nowhere', async (t) => {
  const folder = join(own, 'race');
  mkdirSync(join(folder, 'sub'), { recursive: true });
  for (const name of ['file', 'sub/file']) writeFileSync(join(folder, name), 'mine');
  mkdirSync(join(outside, 'sub'), { recursive: true });
  for (const name of ['file', 'sub/file']) writeFileSync(join(outside, name), secret);
  symlinkSync(outside, join(own, 'race-link'));
  writeFileSync(join(server.root, 'swap.cjs'), swapper);
  const before = picture();
  const client = await connect(server, 'alice');
  const swaps: number[] = [];
  const child = fork(join(server.root, 'swap.cjs'), [
    folder,
    join(own, 'race-aside'),
    join(own, 'race-link'),
  ]);
  child.on('message', (count: number) => swaps.push(count));
  const base = '/home/ji_brain/alice/race';
  let rounds = 0;
  let mine = 0;
  for (; swaps.length === 0; rounds += 1) {
    const name = `${base}/new-${rounds % 5}`;
    const all = await Promise.all([
      client.get(`${base}/file`).catch(() => ''),
      client.get(`${base}/sub/file`).catch(() => ''),
      client.put(name, 'mine').catch(() => ''),
      client.put(`${base}/sub/new`, 'mine').catch(() => ''),
      client.status(fxp.SETSTAT, `${base}/file`, 8, 5, 5),
      client.status(fxp.SETSTAT, `${base}/sub/file`, 1, 2n),
      client.status(fxp.MKDIR, `${base}/made`, 0),
      client.status(fxp.RMDIR, `${base}/made`),
      client.status(fxp.RENAME, `${base}/sub/file`, `${base}/sub/moved`),
      client.status(fxp.RENAME, `${base}/sub/moved`, `${base}/sub/file`),
      client.status(fxp.REMOVE, name),
    ]);
    if (all.some((one) => one.includes(secret))) t.fail('what is outside was read');
    if (all[0] === 'mine') mine += 1;
  }
  t.ok(
    Number(swaps[0]) > 100 && rounds > 5 && mine > 0,
    `${swaps[0]} swaps, ${rounds} rounds, ${mine} read`,
  );
  t.same(picture(), before);
  client.end();
  await servesOthers(t, server);
  t.ok(await until(() => child.exitCode !== null));
});

void t.test('nothing of all that was an internal error', async (t) => {
  t.same(
    server.log.lines.filter((line) => line.includes('INTERNAL')),
    [],
  );
});
