// The SFTP server against a raw client: every request, allowed and refused, with a look at the disk after each refusal.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { AppError } from '../../src/core/errors.ts';
import { packetType as fxp, openFlag } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { connect, namesIn, until, type RawClient } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { insider, servesOthers } from '../support/ssh-messages.ts';

const { READ, WRITE, APPEND, CREAT, TRUNC, EXCL } = openFlag;
const fresh = WRITE | CREAT | TRUNC;
const self = '/home/ji_brain/alice';
const gpg = `${self}/gpg`;
const outgoing = '/home/ji_brain/club_house/From_PUHSC_To_UMHS';
const incoming = '/home/ji_brain/club_house/From_UMHS_To_PUHSC';
const missing = 'NO_SUCH_FILE: No such file or folder';

const server = await startServer();
const onDisk = (path: string): string => join(server.home, path.replace(/^\/home\//, ''));
const alice = await connect(server, 'alice');
const bob = await connect(server, 'bob');
const partner = await connect(server, 'UMHS');
t.teardown(async () => {
  for (const client of [alice, bob, partner]) client.end();
  await server.close();
});

/** Everything on the disk: names, sizes, contents. */
function snapshot(folder = server.home): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return entry.isFile() ? `${path} ${readFileSync(path, 'latin1')}` : path;
    })
    .sort();
}

void t.test('each login sees what it may enter and nothing else', async (t) => {
  t.same(await alice.list('/'), ['home']);
  t.same(await alice.list('/home'), ['ji_brain']);
  t.same(await bob.list('/home'), ['ji_brain', 'ji_heart']);
  t.same(await alice.list('/home/ji_brain'), ['alice', 'club_house']);
  t.same(await alice.list('.'), ['gpg', 'receipts']);
  t.same(await bob.list('.'), ['ji_brain', 'ji_heart']);
  t.same(await alice.list('/home/ji_brain/club_house'), [
    'From_PUHSC_To_UMHS',
    'From_UMHS_To_PUHSC',
  ]);
  t.same(await partner.list('/home'), ['ji_brain', 'ji_heart']);
  t.same(await partner.list('/home/ji_heart'), ['club_house']);
  t.same(await partner.list('/home/ji_heart/club_house'), ['From_UMHS_To_PUHSC']);
});

void t.test('an upload is told to the intake and answered when it is durable', async (t) => {
  server.intake.events.length = 0;
  t.equal(await alice.put(`${gpg}/one.dcm`, 'hello'), 'OK');
  t.same(server.intake.events, [
    'open intake ji_brain/alice/gpg/one.dcm',
    'close intake ji_brain/alice/gpg/one.dcm 5',
  ]);
  t.equal(readFileSync(onDisk(`${gpg}/one.dcm`), 'utf8'), 'hello');
  t.equal(statSync(onDisk(`${gpg}/one.dcm`)).mode & 0o777, 0o600);
  t.equal(await alice.get('gpg/one.dcm'), 'hello');
  t.equal(await alice.size('gpg/one.dcm'), 5);
});

void t.test('a declared size reaches the intake', async (t) => {
  server.intake.events.length = 0;
  const reply = await alice.ask(fxp.OPEN, `${gpg}/d.dcm`, fresh, 1, 42n);
  await alice.close(reply.body.string());
  t.match(server.intake.events[0], /declared 42$/);
});

void t.test(
  'resume, append, exclusive, truncate, sparse and unordered writes end in the right bytes',
  async (t) => {
    const path = `${self}/modes.txt`;
    const bytes = (): string => readFileSync(onDisk(path), 'latin1');
    await alice.put(path, 'abcdef');
    await t.rejects(alice.open(path, WRITE | CREAT | EXCL), {
      message: /FAILURE: This name exists already/,
    });
    t.equal(bytes(), 'abcdef');
    let handle = await alice.open(path, WRITE);
    await alice.write(handle, 6, Buffer.from('ghi'));
    await alice.close(handle);
    t.equal(bytes(), 'abcdefghi', 'resumed from the offset without TRUNC');
    handle = await alice.open(path, WRITE | APPEND);
    await alice.write(handle, 0, Buffer.from('jkl'));
    await alice.close(handle);
    t.equal(bytes(), 'abcdefghijkl', 'APPEND goes to the end whatever the offset');
    handle = await alice.open(path, READ | fresh);
    const both = [
      alice.write(handle, 4, Buffer.from('5678')),
      alice.write(handle, 0, Buffer.from('1234')),
    ];
    t.same(await Promise.all(both), ['OK', 'OK']);
    t.equal(
      (await alice.read(handle, 0, 100)).toString(),
      '12345678',
      'READ sees WRITEs before it',
    );
    await alice.write(handle, 10, Buffer.from('x'));
    await alice.close(handle);
    t.equal(bytes(), '12345678\0\0x');
    await alice.status(fxp.REMOVE, path);
    await t.rejects(
      alice.open(path, WRITE),
      { message: missing },
      'no CREAT: a missing file is missing',
    );
  },
);

void t.test('two handles that append take turns', async (t) => {
  const path = `${self}/log.txt`;
  await alice.put(path, '');
  const handles = await Promise.all([1, 2].map(() => alice.open(path, WRITE | APPEND)));
  const lines = Array.from({ length: 40 }, (_, index) => `line ${String(index).padStart(3)}\n`);
  await Promise.all(
    lines.map((line, index) => alice.write(handles[index % 2] as Buffer, 0, Buffer.from(line))),
  );
  for (const handle of handles) await alice.close(handle);
  const found = readFileSync(onDisk(path), 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  t.equal(found.length, lines.length);
  t.equal(new Set(found).size, lines.length);
});

void t.test('CLOSE waits for the writes before it, and for the intake', async (t) => {
  const path = `${gpg}/many.bin`;
  const handle = await alice.open(path, fresh);
  const block = Buffer.alloc(1000, 7);
  const writes = Array.from({ length: 300 }, (_, index) =>
    alice.write(handle, index * 1000, block),
  );
  let isOpenGate = false;
  server.intake.beforeEnd = async () => {
    t.equal(statSync(onDisk(path)).size, 300_000, 'all bytes are there when the handle ends');
    await until(() => isOpenGate);
  };
  let isClosed = false;
  const closed = alice.close(handle).then((status) => {
    isClosed = true;
    return status;
  });
  t.ok((await Promise.all(writes)).every((status) => status === 'OK'));
  const stat = alice.size(`${gpg}/one.dcm`);
  t.equal(await stat, 5, 'another path is answered meanwhile');
  t.notOk(isClosed);
  isOpenGate = true;
  t.equal(await closed, 'OK');
  server.intake.beforeEnd = async () => undefined;
});

void t.test('SETSTAT by path behind a pipelined CLOSE keeps the client’s time', async (t) => {
  const path = `${gpg}/times.dcm`;
  const handle = await alice.open(path, fresh);
  const all = [
    alice.write(handle, 0, Buffer.from('abc')),
    alice.close(handle),
    alice.status(fxp.SETSTAT, path, 4 | 8, 0o644, 1_000_000_000, 1_000_000_001),
    alice.status(fxp.STAT, path),
  ];
  t.same(await Promise.all(all), ['OK', 'OK', 'OK', `answer of type ${fxp.ATTRS}`]);
  t.equal(statSync(onDisk(path)).mtimeMs, 1_000_000_001_000);
  t.equal(statSync(onDisk(path)).mode & 0o777, 0o600, 'modes are accepted and ignored');
});

void t.test('sizes set by handle and by path reach the disk and the intake', async (t) => {
  const path = `${gpg}/cut.dcm`;
  await alice.put(path, '0123456789');
  server.intake.events.length = 0;
  t.equal(await alice.status(fxp.SETSTAT, path, 1, 4n), 'OK');
  t.equal(readFileSync(onDisk(path), 'utf8'), '0123');
  const handle = await alice.open(path, WRITE);
  t.equal(await alice.status(fxp.FSETSTAT, handle, 1, 2n), 'OK');
  await alice.close(handle);
  t.equal(readFileSync(onDisk(path), 'utf8'), '01');
  t.ok(server.intake.events.includes('truncate intake ji_brain/alice/gpg/cut.dcm'));
  t.ok(server.intake.events.includes('truncated intake ji_brain/alice/gpg/cut.dcm 2'));
  server.intake.freshInode = true;
  const inode = statSync(onDisk(path)).ino;
  t.equal(await alice.status(fxp.SETSTAT, path, 1, 1n), 'OK');
  t.not(statSync(onDisk(path)).ino, inode, 'a claimed inode is left alone');
  t.equal(readFileSync(onDisk(path), 'utf8'), '0');
  server.intake.freshInode = false;
});

void t.test('RENAME does not overwrite, posix-rename does', async (t) => {
  await alice.put(`${gpg}/a.part`, 'new');
  await alice.put(`${gpg}/a.dcm`, 'old');
  t.match(
    await alice.status(fxp.RENAME, `${gpg}/a.part`, `${gpg}/a.dcm`),
    /^FAILURE: This name exists/,
  );
  t.equal(readFileSync(onDisk(`${gpg}/a.dcm`), 'utf8'), 'old');
  server.intake.events.length = 0;
  t.equal(
    await alice.status(fxp.EXTENDED, 'posix-rename@openssh.com', `${gpg}/a.part`, `${gpg}/a.dcm`),
    'OK',
  );
  t.equal(readFileSync(onDisk(`${gpg}/a.dcm`), 'utf8'), 'new');
  t.same(server.intake.events, [
    'rename intake ji_brain/alice/gpg/a.part -> intake ji_brain/alice/gpg/a.dcm',
  ]);
  t.equal(await alice.status(fxp.MKDIR, `${self}/series`, 0), 'OK');
  await alice.put(`${self}/series/1.dcm`, 'x');
  t.equal(
    await alice.status(fxp.RENAME, `${self}/series`, `${gpg}/series`),
    'OK',
    'a folder into gpg/',
  );
  t.match(server.intake.events.at(-1), / folder$/);
  t.equal(
    await alice.status(fxp.RENAME, `${gpg}/a.dcm`, `${self}/a.dcm`),
    'OK',
    'out of gpg/ into <self>/',
  );
});

void t.test('what may not be done is refused, and the disk stays as it was', async (t) => {
  await bob.put('/home/ji_brain/bob/gpg/secret.dcm', 'bob');
  await partner.status(fxp.MKDIR, `${incoming}/gpg-carol`, 0);
  await partner.put(`${incoming}/gpg-carol/x.gpg`, 'sealed');
  await partner.put(`${incoming}/.clubhouse-1.part`, 'half');
  await alice.put(`${outgoing}/note.txt`, 'note');
  await alice.status(fxp.MKDIR, `${outgoing}/sub`, 0);
  mkdirSync(onDisk(`${outgoing}/gpg-alice`));
  writeFileSync(onDisk(`${outgoing}/gpg-alice/1.dcm.gpg`), 'out');
  writeFileSync(onDisk(`${self}/receipts/1.txt`), 'receipt');
  const before = snapshot();
  const rename = (from: string, to: string) => (client: RawClient) =>
    client.status(fxp.RENAME, from, to);
  const replace = (from: string, to: string) => (client: RawClient) =>
    client.status(fxp.EXTENDED, 'posix-rename@openssh.com', from, to);
  const open = (path: string, flags: number) => (client: RawClient) =>
    client.status(fxp.OPEN, path, flags, 0);
  const on =
    (type: number, path: string, ...rest: readonly (number | bigint)[]) =>
    (client: RawClient) =>
      client.status(type, path, ...rest);
  const hidden = [
    '/etc/passwd',
    '/home/../etc/passwd',
    '/home/ji_heart',
    '/home/ji_nothing',
    '/home/ji_brain/bob',
    '/home/ji_brain/bob/gpg/secret.dcm',
    '/home/ji_brain/club_house/From_PUHSC_To_CHUV',
    '/root',
    '/home/alice',
    `${gpg}/../../bob/gpg`,
    `${incoming}/.clubhouse-1.part`,
    '/home/JI_brain',
    '../bob/gpg/secret.dcm',
  ];
  for (const path of hidden) {
    for (const type of [fxp.STAT, fxp.LSTAT, fxp.OPENDIR, fxp.REALPATH, fxp.REMOVE, fxp.RMDIR]) {
      t.equal(await on(type, path)(alice), missing, `${type} ${path}`);
    }
    t.equal(await open(path, READ)(alice), missing);
    t.equal(await open(path, fresh)(alice), missing);
    t.equal(await on(fxp.MKDIR, path, 0)(alice), missing);
    t.equal(await on(fxp.SETSTAT, path, 1, 0n)(alice), missing);
    t.equal(await rename(path, `${self}/stolen`)(alice), missing);
    t.equal(await rename(`${outgoing}/note.txt`, path)(alice), missing);
  }
  for (const path of [self, '/home/ji_brain/alice/gpg', outgoing, '/home/ji_brain/bob']) {
    t.equal(
      await on(fxp.STAT, path)(partner),
      missing,
      'the partner sees its incoming folder only',
    );
    t.equal(await open(`${path}/x`, fresh)(partner), missing);
  }
  const refused: readonly [string, RegExp, (client: RawClient) => Promise<string>][] = [
    [
      'write in incoming',
      /^PERMISSION_DENIED: Only Clubhouse or the partner changes what is here/,
      open(`${incoming}/x`, fresh),
    ],
    [
      'overwrite in incoming',
      /^PERMISSION_DENIED/,
      open(`${incoming}/gpg-carol/x.gpg`, WRITE | TRUNC),
    ],
    ['remove in incoming', /^PERMISSION_DENIED/, on(fxp.REMOVE, `${incoming}/gpg-carol/x.gpg`)],
    [
      'set times in incoming',
      /^PERMISSION_DENIED/,
      on(fxp.SETSTAT, `${incoming}/gpg-carol/x.gpg`, 8, 0, 0),
    ],
    [
      'rename out of incoming',
      /^PERMISSION_DENIED/,
      rename(`${incoming}/gpg-carol`, `${self}/gpg-carol`),
    ],
    ['write into gpg-*', /^PERMISSION_DENIED/, open(`${outgoing}/gpg-alice/2`, fresh)],
    ['remove from gpg-*', /^PERMISSION_DENIED/, on(fxp.REMOVE, `${outgoing}/gpg-alice/1.dcm.gpg`)],
    [
      'truncate in gpg-*',
      /^PERMISSION_DENIED/,
      on(fxp.SETSTAT, `${outgoing}/gpg-alice/1.dcm.gpg`, 1, 0n),
    ],
    [
      'make gpg-x',
      /^PERMISSION_DENIED: Names that start with gpg-/,
      on(fxp.MKDIR, `${outgoing}/gpg-x`, 0),
    ],
    ['make GPG-x', /^PERMISSION_DENIED: Names that start/, on(fxp.MKDIR, `${outgoing}/GPG-x`, 0)],
    [
      'make gpg-x deeper',
      /^PERMISSION_DENIED: Names that start/,
      on(fxp.MKDIR, `${outgoing}/sub/Gpg-x`, 0),
    ],
    [
      'make gpg-x in <self>',
      /^PERMISSION_DENIED: Names that start/,
      on(fxp.MKDIR, `${self}/gpg-x`, 0),
    ],
    ['rename to gpg-*', /^PERMISSION_DENIED/, rename(`${outgoing}/sub`, `${outgoing}/gpg-sub`)],
    [
      'rename to gPg-*',
      /^PERMISSION_DENIED/,
      replace(`${outgoing}/note.txt`, `${outgoing}/gPg-sub`),
    ],
    [
      'rename gpg-* away',
      /^PERMISSION_DENIED/,
      rename(`${outgoing}/gpg-alice`, `${outgoing}/mine`),
    ],
    [
      'rename gpg/ to outgoing',
      /^PERMISSION_DENIED: Files can be renamed/,
      rename(`${gpg}/one.dcm`, `${outgoing}/one.dcm`),
    ],
    [
      'rename <self> to outgoing',
      /^PERMISSION_DENIED: Files can be renamed/,
      rename(`${self}/a.dcm`, `${outgoing}/one.dcm`),
    ],
    [
      'posix-rename gpg/ to outgoing',
      /^PERMISSION_DENIED/,
      replace(`${gpg}/one.dcm`, `${outgoing}/note.txt`),
    ],
    ['rename a receipt', /^PERMISSION_DENIED/, rename(`${self}/receipts/1.txt`, `${self}/1.txt`)],
    ['write a receipt', /^PERMISSION_DENIED/, open(`${self}/receipts/1.txt`, WRITE)],
    ['remove gpg/', /^PERMISSION_DENIED/, on(fxp.RMDIR, gpg)],
    ['rename gpg/', /^PERMISSION_DENIED/, rename(gpg, `${self}/other`)],
    ['remove <self>', /^PERMISSION_DENIED/, on(fxp.RMDIR, self)],
    ['make in a virtual folder', /^NO_SUCH_FILE/, on(fxp.MKDIR, '/home/ji_brain/new', 0)],
    ['make /home', /^PERMISSION_DENIED/, on(fxp.MKDIR, '/home', 0)],
    [
      'symlink',
      /^OP_UNSUPPORTED/,
      (client) => client.status(fxp.SYMLINK, '/etc/passwd', `${self}/link`),
    ],
    ['readlink', /^OP_UNSUPPORTED/, on(fxp.READLINK, `${self}/a.dcm`)],
    [
      'hard link',
      /^OP_UNSUPPORTED/,
      (client) => client.status(fxp.EXTENDED, 'hardlink@openssh.com', `${self}/a.dcm`, `${self}/b`),
    ],
    ['open a folder', /^FAILURE: This is a folder/, open(`${outgoing}/sub`, READ)],
    ['write a folder', /^FAILURE: This is a folder/, open(`${outgoing}/sub`, fresh)],
    ['remove a folder as a file', /^FAILURE: This is a folder/, on(fxp.REMOVE, `${outgoing}/sub`)],
    ['remove a full folder', /^FAILURE: The folder is not empty/, on(fxp.RMDIR, `${gpg}/series`)],
    [
      'a name that is not UTF-8',
      /^FAILURE: This name cannot be used/,
      (client) => client.status(fxp.OPEN, Buffer.from([0xb2, 0xe2]), fresh, 0),
    ],
    ['a name with NUL', /^FAILURE: This name cannot be used/, open('a\0b', fresh)],
    ['a name of 256 bytes', /^FAILURE: This name cannot be used/, open('x'.repeat(256), fresh)],
  ];
  for (const [name, expected, run] of refused) t.match(await run(alice), expected, name);
  const handle = await alice.open(`${incoming}/gpg-carol/x.gpg`, READ);
  t.match(await alice.status(fxp.FSETSTAT, handle, 1, 0n), /^PERMISSION_DENIED/);
  t.match(await alice.status(fxp.FSETSTAT, handle, 8, 0, 0), /^PERMISSION_DENIED/);
  t.match(await alice.write(handle, 0, Buffer.from('x')), /^FAILURE: The file handle/);
  await alice.close(handle);
  t.same(snapshot(), before);
  t.equal(
    await alice.status(fxp.REMOVE, `${self}/receipts/1.txt`),
    'OK',
    'a receipt may be deleted',
  );
  t.same(await alice.list(incoming), ['gpg-carol']);
  t.same(await partner.list(incoming), ['.clubhouse-1.part', 'gpg-carol']);
});

void t.test('what is hidden from a member does not exist for them', async (t) => {
  await alice.put(`${outgoing}/slip.dcm`, 'slip');
  const path = 'ji_brain/club_house/From_PUHSC_To_UMHS';
  server.intake.hiddenPaths.set(path, new Set([`${path}/slip.dcm`]));
  t.ok((await alice.list(outgoing)).includes('slip.dcm'));
  t.notOk((await bob.list(outgoing)).includes('slip.dcm'));
  t.equal(await bob.size(`${outgoing}/slip.dcm`), missing);
  await t.rejects(bob.open(`${outgoing}/slip.dcm`, READ), { message: missing });
  t.equal(await bob.status(fxp.REMOVE, `${outgoing}/slip.dcm`), missing);
  t.equal(await bob.status(fxp.RENAME, `${outgoing}/slip.dcm`, `${outgoing}/x`), missing);
  t.equal(
    await bob.status(fxp.EXTENDED, 'check-file-name', `${outgoing}/slip.dcm`, 'sha256', 0n, 0n, 0),
    missing,
  );
  t.match(
    await bob.status(fxp.OPEN, `${outgoing}/slip.dcm`, fresh, 0),
    /^FAILURE: This name exists/,
  );
  t.equal(readFileSync(onDisk(`${outgoing}/slip.dcm`), 'utf8'), 'slip');
  server.intake.hiddenPaths.clear();
});

void t.test('planted links, FIFOs and swapped folders lead nowhere', async (t) => {
  const outside = join(server.root, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
  symlinkSync(join(outside, 'secret'), onDisk(`${self}/link`));
  symlinkSync(outside, onDisk(`${self}/dir`));
  symlinkSync(onDisk('/home/ji_brain/bob'), onDisk(`${gpg}/bob`));
  execFileSync('mkfifo', [onDisk(`${self}/fifo`)]);
  utimesSync(join(outside, 'secret'), 1, 1);
  for (const name of ['link', 'fifo', 'dir', 'dir/secret', 'gpg/bob', 'gpg/bob/gpg/secret.dcm']) {
    const path = `${self}/${name}`;
    t.match(await alice.status(fxp.OPEN, path, READ, 0), /^NO_SUCH_FILE/, `open ${name}`);
    t.match(
      await alice.status(fxp.OPEN, path, WRITE | CREAT | TRUNC, 0),
      /^NO_SUCH_FILE/,
      `write ${name}`,
    );
    t.match(await alice.status(fxp.STAT, path), /^NO_SUCH_FILE/, `stat ${name}`);
    t.match(await alice.status(fxp.SETSTAT, path, 8, 5, 5), /^NO_SUCH_FILE/, `setstat ${name}`);
    t.match(await alice.status(fxp.SETSTAT, path, 1, 0n), /^NO_SUCH_FILE/, `truncate ${name}`);
    t.match(await alice.status(fxp.OPENDIR, path), /^NO_SUCH_FILE/, `opendir ${name}`);
    t.match(await alice.status(fxp.REMOVE, path), /^NO_SUCH_FILE/, `remove ${name}`);
    t.match(
      await alice.status(fxp.RENAME, path, `${self}/moved`),
      /^NO_SUCH_FILE/,
      `rename ${name}`,
    );
  }
  t.match(await alice.status(fxp.OPEN, `${self}/dir/new`, WRITE | CREAT, 0), /^NO_SUCH_FILE/);
  t.match(await alice.status(fxp.MKDIR, `${self}/dir/new`, 0), /^NO_SUCH_FILE/);
  t.match(await alice.status(fxp.RENAME, `${self}/a.dcm`, `${self}/dir/a.dcm`), /^NO_SUCH_FILE/);
  t.same(readdirSync(outside), ['secret']);
  t.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  t.equal(statSync(join(outside, 'secret')).mtimeMs, 1000);
  t.ok(existsSync(onDisk('/home/ji_brain/bob/gpg/secret.dcm')));
  const names = await alice.list(self);
  for (const name of ['link', 'dir', 'fifo']) t.notOk(names.includes(name));
});

void t.test('unknown requests are unsupported, and the pipeline behind them goes on', async (t) => {
  const answers = await Promise.all([
    alice.status(99, 'x'),
    alice.status(fxp.EXTENDED, 'nonsense@example.org'),
    alice.status(250),
    alice.status(fxp.EXTENDED, 'copy-data', 'h', 0n, 0n, 'h', 0n),
    alice.status(fxp.READ, 'nohandle', 0n, 1),
    alice.size(`${gpg}/one.dcm`),
  ]);
  t.match(answers.slice(0, 4).join(), /^(OP_UNSUPPORTED: [^,]*,?){4}$/);
  t.match(answers[4], /^FAILURE: The file handle is not open/);
  t.equal(answers[5], 5);
});

void t.test('the extensions answer as their documents say', async (t) => {
  const path = `${gpg}/one.dcm`;
  let reply = await alice.ask(fxp.EXTENDED, 'limits@openssh.com');
  t.equal(reply.type, fxp.EXTENDED_REPLY);
  t.same(
    [reply.body.uint64(), reply.body.uint64(), reply.body.uint64(), reply.body.uint64()],
    [262144n, 261120n, 261120n, 512n],
  );
  reply = await alice.ask(fxp.EXTENDED, 'check-file-name', path, 'md5,sha256', 0n, 0n, 0);
  t.equal(reply.body.string().toString(), 'sha256');
  const rest = Buffer.from([...Array(32)].map(() => reply.body.byte()));
  t.equal(rest.toString('hex'), '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824');
  const handle = await alice.open(path, READ);
  reply = await alice.ask(fxp.EXTENDED, 'check-file-handle', handle, 'sha256', 1n, 3n, 0);
  t.equal(reply.type, fxp.EXTENDED_REPLY);
  t.equal(await alice.status(fxp.EXTENDED, 'fsync@openssh.com', handle), 'OK');
  t.equal((await alice.ask(fxp.EXTENDED, 'fstatvfs@openssh.com', handle)).type, fxp.EXTENDED_REPLY);
  await alice.close(handle);
  t.match(
    await alice.status(fxp.EXTENDED, 'check-file-name', path, 'md5', 0n, 0n, 0),
    /^OP_UNSUPPORTED/,
  );
  t.equal((await alice.ask(fxp.EXTENDED, 'statvfs@openssh.com', path)).type, fxp.EXTENDED_REPLY);
  for (const [name, argument, expected] of [
    ['expand-path@openssh.com', '~/x', `${self}/x`],
    ['expand-path@openssh.com', 'gpg', gpg],
    ['home-directory', 'alice', self],
    ['home-directory', '', self],
  ] as const) {
    t.same(namesIn((await alice.ask(fxp.EXTENDED, name, argument)).body), [expected]);
  }
  t.match(await alice.status(fxp.EXTENDED, 'home-directory', 'bob'), /^NO_SUCH_FILE/);
  t.equal(await alice.status(fxp.EXTENDED, 'lsetstat@openssh.com', path, 8, 7, 7), 'OK');
});

void t.test('a malformed packet ends that connection alone', async (t) => {
  const bad: readonly [string, Buffer][] = [
    ['a length with the top bit', Buffer.from([0x80, 0, 0, 1, 3])],
    ['a length of zero', Buffer.from([0, 0, 0, 0, 3])],
    ['a string longer than its packet', encode(fxp.STAT, 1, 0x7fffffff)],
    ['a WRITE that promises more than it holds', encode(fxp.WRITE, 1, 'abcd', 0n, 1000)],
    ['a second INIT', encode(fxp.INIT, 3)],
    ['an OPEN without flags', encode(fxp.OPEN, 1, 'x')],
  ];
  for (const [name, bytes] of bad) {
    const victim = await insider(server);
    victim.raw(bytes);
    await victim.gone;
    t.equal(await alice.size(`${gpg}/one.dcm`), 5, name);
    await servesOthers(t, server);
  }
});

void t.test('a WRITE with junk behind its data is stored without it', async (t) => {
  const handle = await alice.open(`${self}/junk`, fresh);
  const packet = encode(fxp.WRITE, 900_000, handle, 0n, 'data', 'junk');
  alice.raw(packet);
  t.equal(await alice.close(handle), 'OK');
  t.equal(readFileSync(onDisk(`${self}/junk`), 'utf8'), 'data');
});

void t.test(
  'a connection that is cut leaves the upload as lost, with the bytes that came',
  async (t) => {
    const victim = await connect(server, 'alice');
    const handle = await victim.open(`${gpg}/cut-off.dcm`, fresh);
    await victim.write(handle, 0, Buffer.from('half'));
    server.intake.events.length = 0;
    victim.cut();
    t.ok(
      await until(() =>
        server.intake.events.includes('lost intake ji_brain/alice/gpg/cut-off.dcm 4'),
      ),
    );
    t.equal(readFileSync(onDisk(`${gpg}/cut-off.dcm`), 'utf8'), 'half');
  },
);

void t.test(
  'the end of the channel gives exit status 0 and counts open files as lost',
  async (t) => {
    const client = await connect(server, 'alice');
    await client.open(`${gpg}/eof.dcm`, fresh);
    const exit = new Promise((resolve) => client.channel.on('exit', resolve));
    client.channel.end();
    t.equal(await exit, 0);
    await client.gone;
    t.ok(server.intake.events.includes('lost intake ji_brain/alice/gpg/eof.dcm 0'));
    client.end();
  },
);

void t.test(
  'too many handles are refused with a sentence, and work again after closing',
  async (t) => {
    const client = await connect(server, 'alice');
    const handles: Buffer[] = [];
    for (let index = 0; index < 512; index += 1)
      handles.push(await client.open(`${gpg}/one.dcm`, READ));
    await t.rejects(client.open(`${gpg}/one.dcm`, READ), {
      message: /FAILURE: Too many open files/,
    });
    await client.close(handles[0] as Buffer);
    t.ok(await client.open(`${gpg}/one.dcm`, READ));
    client.end();
  },
);

void t.test('a client that never reads its answers stops being read', async (t) => {
  const client = await insider(server);
  await client.put(`${self}/big`, Buffer.alloc(200_000));
  const handle = await client.open(`${self}/big`, READ);
  client.channel.pause();
  const before = process.memoryUsage().rss;
  for (let id = 0; id < 2000; id += 1)
    client.raw(encode(fxp.READ, 1_000_000 + id, handle, 0n, 200_000));
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.ok(process.memoryUsage().rss - before < 100e6, 'far less than the 400 MB that were asked for');
  await servesOthers(t, server);
  client.cut();
});

void t.test(
  'a disk that fills up answers with a sentence, keeps what came, and the server lives',
  async (t) => {
    let room = 3;
    const full = await startServer({}, (storage) => ({
      ...storage,
      open: async (path, how) => {
        const file = await storage.open(path, how);
        const write = file.write.bind(file);
        file.write = async (offset, chunks) => {
          room -= 1;
          if (room < 0) throw new AppError('DISK_FULL');
          await write(offset, chunks);
        };
        return file;
      },
    }));
    const client = await connect(full, 'alice');
    const handle = await client.open(`${gpg}/x.dcm`, fresh);
    for (let index = 0; index < 3; index += 1)
      t.equal(await client.write(handle, index, Buffer.from('x')), 'OK');
    t.match(
      await client.write(handle, 3, Buffer.from('x')),
      /^FAILURE: The disk of the server is full/,
    );
    room = 2;
    t.match(await client.write(handle, 4, Buffer.from('x')), /^FAILURE/, 'no hole is left');
    t.equal(await client.write(handle, 3, Buffer.from('x')), 'OK');
    t.equal(await client.write(handle, 4, Buffer.from('x')), 'OK', 'once its place is filled');
    t.equal(await client.close(handle), 'OK');
    t.same(full.intake.events.slice(-2), [
      'failed intake ji_brain/alice/gpg/x.dcm',
      'close intake ji_brain/alice/gpg/x.dcm 5',
    ]);
    t.equal(await client.size(`${gpg}/x.dcm`), 5);
    client.end();
    await full.close();
  },
);

void t.test(
  'an error that nobody foresaw is INTERNAL for the client and nameless in the log',
  async (t) => {
    const broken = await startServer({}, (storage) => ({
      ...storage,
      makeFolder: async (path) => {
        throw new TypeError(`cannot make ${path}`);
      },
    }));
    const client = await connect(broken, 'alice');
    t.match(
      await client.status(fxp.MKDIR, `${self}/secret-name`, 0),
      /^FAILURE: An internal error/,
    );
    const lines = broken.log.lines.filter((line) => line.startsWith('error'));
    t.equal(lines.length, 1);
    t.match(lines[0], /MKDIR.*TypeError/);
    t.notMatch(lines[0], /secret-name|ji_brain/);
    client.end();
    await broken.close();
  },
);

void t.test('a folder cannot be renamed into itself', async (t) => {
  await alice.status(fxp.MKDIR, `${self}/loop`, 0);
  t.match(await alice.status(fxp.RENAME, `${self}/loop`, `${self}/loop/in`), /^FAILURE: The input/);
  t.equal(await alice.status(fxp.RMDIR, `${self}/loop`), 'OK');
});

void t.test('the log holds no name and no path', async (t) => {
  const text = server.log.lines.join('\n');
  for (const word of ['alice', 'one.dcm', 'ji_brain', server.root])
    t.notOk(text.includes(word), word);
});
