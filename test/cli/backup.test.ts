// `clubhouse backup` and `clubhouse restore` on their own: what is refused, and that nothing half is left. The whole story
// under load: test/e2e/backup.test.ts.

import { createHash } from 'node:crypto';
import {
  mkdtemp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  decrypt,
  encrypt,
  createMessage,
  generateKey,
  readKey,
  readMessage,
  readPrivateKey,
} from 'openpgp';
import t from 'tap';
import { knownSchema, restore } from '../../src/app-backup.ts';
import { AppError } from '../../src/core/errors.ts';
import { Collection } from '../../src/adapters/backup/collect.ts';
import { writeBackup } from '../../src/adapters/backup/place.ts';
import { instancePaths } from '../../src/core/instance.ts';
import { readTar } from '../../src/adapters/backup/tar-read.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/adapters/backup/tar-write.ts';
import { here, run as binaryRun, type Ended } from '../support/command-line.ts';
import { missing, run } from '../support/programs.ts';

t.setTimeout(300_000);

const passphrase = 'a long sentence that nobody guesses';
const made = await generateKey({
  userIDs: [{ name: 'IT', email: 'it@puhsc.example.org' }],
  ...{ type: 'ecc', curve: 'curve25519Legacy', passphrase, format: 'armored' },
} as const);

interface Scene {
  readonly home: string;
  readonly folder: string;
  readonly secret: string;
  readonly target: string;
  readonly archive: () => Promise<string>;
  /** The tar inside. */
  readonly plain: () => Promise<Buffer>;
  /** Puts another tar in its place, with a manifest that fits. */
  readonly forge: (tar: Uint8Array) => Promise<void>;
  readonly restore: (target: string) => Promise<Ended>;
}

const root = await mkdtemp(join(tmpdir(), 'clubhouse-backup-'));
t.teardown(() => rm(root, { recursive: true, force: true }));

/** One instance and its backup for all tests; each restores into a folder of its own. */
async function makeScene(): Promise<Scene> {
  const at = (name: string): string => join(root, name);
  const [home, folder, secret, target] = [at('site'), at('backups'), at('it.key'), at('new')];
  await writeFile(secret, made.privateKey);
  await writeFile(at('it.asc'), made.publicKey);
  const begun = await here(['init', '--site', 'PUHSC', '--home', home]);
  if (begun.code !== 0) throw new Error(begun.err);
  await here(['project', 'add', 'brain', '--partner', 'UMHS', '--home', home]);
  const own = join(home, 'data/home/ji_brain/club_house/From_UMHS_To_PUHSC');
  await mkdir(own, { recursive: true });
  await writeFile(join(own, `${'a name that ustar has no room for '.repeat(4)}王.gpg`), 'sealed');
  const done = await here(['backup', folder, '--encrypt-to', at('it.asc'), '--home', home]);
  if (done.code !== 0) throw new Error(done.err);
  const archive = async (): Promise<string> =>
    join(folder, (await readdir(folder)).find((name) => name.endsWith('.gpg')) ?? '');
  const key = await readKey({ armoredKey: made.publicKey });
  return {
    ...{ home, folder, secret, target, archive },
    plain: async () => {
      const { data } = await decrypt({
        message: await readMessage({ binaryMessage: await readFile(await archive()) }),
        decryptionKeys: await unlocked(),
        format: 'binary',
      });
      return Buffer.from(data as Uint8Array);
    },
    forge: async (tar) => {
      const message = await createMessage({ binary: tar });
      const bytes = await encrypt({ message, encryptionKeys: key, format: 'binary' });
      const path = await archive();
      await writeFile(path, bytes);
      const manifestPath = path.replace(/\.tar\.gpg$/, '.json');
      const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as object;
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const sizeBytes = bytes.length;
      await writeFile(manifestPath, JSON.stringify({ ...manifest, sha256, sizeBytes }));
    },
    restore: async (into) => {
      const request = { home: into, from: folder, key: await readFile(secret), passphrase };
      try {
        await restore({ ...request, ask: () => Promise.resolve(passphrase) });
        return { code: 0, out: '', err: '' };
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        return { code: 1, out: '', err: `${error.detail ?? error.message}\n` };
      }
    },
  };
}

async function unlocked() {
  const { decryptKey } = await import('openpgp');
  return decryptKey({
    privateKey: await readPrivateKey({ armoredKey: made.privateKey }),
    passphrase,
  });
}

const it = await makeScene();

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

void t.test('a restored instance is the one that was backed up', async (t) => {
  const { home, target, folder, secret } = it;
  const done = await binaryRun(
    ['restore', folder, '--key', secret, '--passphrase-stdin', '--home', target],
    `${passphrase}\n`,
  );
  t.equal(done.code, 0, done.err);
  t.match(done.out, /^Restored PUHSC of \S+Z to \S+, host key SHA256:\S+\. Make sure that/);
  for (const name of ['master.key', 'host_ed25519', 'replicator_ed25519', 'host_rsa']) {
    const [a, b] = await Promise.all(
      [home, target].map((one) => readFile(join(one, 'keys', name), 'utf8')),
    );
    t.equal(a, b, name);
  }
  t.match(await here(['project', 'list', '--home', target]), { code: 0, out: /brain/ });
  t.match(await here(['audit', 'verify', '--home', target]), { code: 0, out: /is whole/ });
  t.match(await here(['doctor', '--home', target]), { code: 0 });
  const incoming = join(target, 'data/home/ji_brain/club_house/From_UMHS_To_PUHSC');
  t.match(await readdir(incoming), [/王\.gpg$/]);
  t.match(await here(['audit', 'list', '--home', home]), { out: /instance.backed-up/ });
  t.match(await here(['audit', 'list', '--home', target]), { out: /instance.restored/ });
  t.notOk((await readdir(target)).some((name) => name.startsWith('.')));
  t.match((await it.restore(target)).err, /is not empty/);
  const manifest = await readFile(
    join(folder, (await readdir(folder)).find((name) => name.endsWith('.json')) ?? ''),
    'utf8',
  );
  t.notMatch(manifest, /brain/, 'the manifest tells nothing of what is inside');
});

void t.test('a backup that was decrypted elsewhere is restored from standard input', async (t) => {
  const target = join(root, 'from-standard-input');
  const done = await binaryRun(['restore', '-', '--home', target], await it.plain());
  t.match(done, { code: 0, out: /^Restored PUHSC / }, done.err);
  t.match(await here(['project', 'list', '--home', target]), { code: 0, out: /brain/ });
});

void t.test('tar reads a backup too, without Clubhouse', { skip: missing('tar') }, async (t) => {
  const { plain } = it;
  await writeFile(join(root, 'plain.tar'), await plain());
  const listed = await run('tar', ['tf', join(root, 'plain.tar')]);
  t.equal(listed.code, 0, listed.stderr);
  t.match(listed.stdout.toString(), /^keys\/master\.key$/m);
  t.match(listed.stdout.toString(), /^data\/state\/clubhouse\.db$/m);
});

const entry = (name: string, content = '', more: object = {}): Buffer =>
  Buffer.concat([
    tarHeader({ name, kind: 'file', sizeBytes: content.length, modifiedMs: 0, ...more }),
    Buffer.from(content),
    tarPadding(content.length),
  ]);
const beginning = (facts: object = {}): Buffer =>
  entry(
    'backup/instance.json',
    JSON.stringify({
      format: 1,
      site: 'PUHSC',
      createdAt: 'now',
      schema: [],
      files: true,
      ...facts,
    }),
  );
const forged = (...entries: readonly Buffer[]): Buffer =>
  Buffer.concat([beginning(), ...entries, tarEnd()]);

/** What somebody could put in the place of a backup, sealed to the right key. */
const forgeries: Readonly<Record<string, { readonly tar: Buffer; readonly told: RegExp }>> = {
  'a way out': { tar: forged(entry('config/../../../outside', 'x')), told: /leads outside/ },
  'a path from the root': { tar: forged(entry('/tmp/outside', 'x')), told: /leads outside/ },
  'another place': { tar: forged(entry('bin/clubhouse', 'x')), told: /no instance has/ },
  'another database': { tar: forged(entry('data/state/other.db', 'x')), told: /no instance has/ },
  'a link to the outside': {
    tar: forged(entry('keys/link', '', { kind: 'link', target: '../../etc/passwd' })),
    told: /leads outside/,
  },
  'a link to nothing': {
    tar: forged(entry('keys/link', '', { kind: 'link', target: 'keys/nothing' })),
    told: /link to nothing/,
  },
  'a symbolic link': {
    tar: forged(symbolic(entry('keys/link', '', { kind: 'link', target: 'keys/x' }))),
    told: /another kind/,
  },
  'a file twice': {
    tar: forged(entry('config/a', 'x'), entry('config/a', 'y')),
    told: /twice/,
  },
  'no end': { tar: forged(entry('config/a', 'x')), told: /ends too early/ },
  'another end': {
    tar: forged(entry('backup/end.json', '{"entries":1,"spoilt":[],"sha256":"00"}')),
    told: /digest/,
  },
  'an end of another shape': {
    tar: forged(entry('backup/end.json', '{"entries":1,"spoilt":7,"sha256":"00"}')),
    told: /damaged/,
  },
  'a beginning of another shape': {
    tar: Buffer.concat([beginning({ schema: 'all' }), tarEnd()]),
    told: /damaged/,
  },
  'a newer schema': {
    tar: Buffer.concat([beginning({ schema: ['001-first', '999-later'] }), tarEnd()]),
    told: /newer Clubhouse/,
  },
  'not a backup': { tar: Buffer.concat([entry('config/a', 'x'), tarEnd()]), told: /begin as one/ },
  'not a tar': { tar: Buffer.alloc(2048, 'x'), told: /damaged/ },
};

/** Makes the last header say type 2. */
function symbolic(bytes: Buffer): Buffer {
  const header = bytes.subarray(bytes.length - 512);
  header.write('2', 156, 'latin1');
  header.write(' '.repeat(8), 148, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

void t.test('a backup that was tampered with is refused, and nothing is left', async (t) => {
  const { extractBackup } = await import('../../src/adapters/backup/extract.ts');
  for (const [name, { tar, told }] of Object.entries(forgeries)) {
    await t.test(name, async (t) => {
      const root = await mkdtemp(join(tmpdir(), 'clubhouse-forged-'));
      t.teardown(() => rm(root, { recursive: true }));
      const accept = knownSchema;
      await t.rejects(extractBackup(one(tar), join(root, 'a', 'b'), accept), {
        code: 'BAD_BACKUP',
        message: told,
      });
      t.notOk(await isThere(join(root, 'outside')));
    });
  }
  const target = `${it.target}-forged`;
  await whileChanged(async () => {
    await it.forge(forgeries['a way out']?.tar ?? Buffer.alloc(0));
    t.match(await it.restore(target), { code: 1, err: /leads outside/ });
    t.same(await readdir(target), []);
    t.notOk(await isThere(join(target, '..', 'outside')));
  });
});

/** Puts the archive and its manifest back afterwards. */
async function whileChanged(work: () => Promise<void>): Promise<void> {
  const path = await it.archive();
  const paths = [path, path.replace(/\.tar\.gpg$/, '.json')];
  const before = await Promise.all(paths.map((one) => readFile(one)));
  try {
    await work();
  } finally {
    for (const [i, one] of paths.entries()) await writeFile(one, before[i] ?? '');
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

void t.test('damage that the manifest shows is told in one line', async (t) => {
  const path = await it.archive();
  const whole = await readFile(path);
  const target = `${it.target}-damaged`;
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['cut', whole.subarray(0, whole.length - 100), /has \d+ bytes instead of \d+/],
    ['one bit', flipped(whole), /SHA-256/],
  ];
  await whileChanged(async () => {
    for (const [name, bytes, told] of cases) {
      await writeFile(path, bytes);
      const done = await it.restore(target);
      t.match(done, { code: 1, err: told }, name);
      t.equal(done.err.trim().split('\n').length, 1, 'one line');
      t.notOk(await isThere(target), name);
    }
  });
  const wrong = await binaryRun(
    ['restore', it.folder, '--key', it.secret, '--passphrase-stdin', '--home', target],
    'not the passphrase\n',
  );
  t.match(wrong, { code: 2, err: /passphrase/ });
  t.notOk(await isThere(target));
});

const flipped = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1]! ^= 1;
  return copy;
};

void t.test(
  'a folder that cannot be read ends the backup, for it would not be whole',
  async (t) => {
    const paths = instancePaths(`/${'n'.repeat(300)}`);
    const facts = { format: 1, site: 'PUHSC', createdAt: '', schema: [], files: true } as const;
    const rows = {
      ...{ begunAt: 0, schema: [], auditHead: '0', sizeBytes: 0 },
      content: async function* () {},
      owed: () => [],
      judge: () => 'take' as const,
      close: async () => undefined,
    };
    const owed = { missing: 0, links: new Map(), remove: async () => undefined };
    const collect = async (): Promise<void> => {
      for await (const _ of new Collection({ paths, facts, rows, owed }).bytes());
    };
    await t.rejects(collect(), { code: 'ENAMETOOLONG' });
  },
);

void t.test('what a job may have made and nobody can read ends the backup too', async (t) => {
  const { home, folder } = it;
  const key = join(folder, '..', 'it.asc');
  const outputs = join(home, 'data/spool/outputs');
  await rm(outputs, { recursive: true, force: true });
  // A link to itself: root cannot read it either.
  await symlink(outputs, outputs);
  const done = await here(['backup', folder, '--encrypt-to', key, '--home', home]);
  await rm(outputs);
  t.match(done, { code: 1, out: '' });
  t.equal(done.err.trim().split('\n').length, 1, done.err);
  t.equal((await readdir(folder)).length, 2, 'no other backup lies there');
  t.notOk(await isThere(join(home, 'data/spool/backup')));
});

void t.test(
  'a disk that is not mounted gets no backup, a missing folder on one does',
  async (t) => {
    const { home, folder } = it;
    const key = join(folder, '..', 'it.asc');
    const disk = join(root, 'disk');
    const backUp = (to: string) => here(['backup', to, '--encrypt-to', key, '--home', home]);
    const refused = await backUp(join(disk, 'clubhouse'));
    t.match(refused, { code: 1, err: /cannot be made: the one above it is not there/ });
    t.match(refused.err, /is the disk mounted, and may this account write there\?/);
    t.notOk(await isThere(disk), 'nothing was made');
    await mkdir(disk);
    t.match(await backUp(join(disk, 'clubhouse')), { code: 0 });
    t.equal((await readdir(join(disk, 'clubhouse'))).length, 2, 'the archive and its manifest');
    t.equal((await stat(join(disk, 'clubhouse'))).mode & 0o777, 0o700);
    await writeFile(join(root, 'file'), '');
    t.match(await backUp(join(root, 'file', 'clubhouse')), { code: 1, err: /ENOTDIR/ });
  },
);

void t.test('what fails behind the archive leaves nothing of it', async (t) => {
  const folder = await mkdtemp(join(root, 'half-'));
  const name = 'clubhouse-PUHSC-20260102T030405Z.tar.gpg';
  const body = async function* () {
    yield Buffer.from('sealed');
  };
  const fail = (): never => {
    throw new Error('no manifest');
  };
  await t.rejects(writeBackup(folder, name, body(), fail), {
    code: 'STORAGE_FAILED',
    detail: 'the backup failed: unknown',
  });
  t.same(await readdir(folder), []);
});

void t.test('the next backup clears away what a killed one of its site left', async (t) => {
  const folder = await mkdtemp(join(root, 'killed-'));
  const left = [
    '.clubhouse-PUHSC-20260101T030405Z.tar.gpg.part',
    '.clubhouse-PUHSC-20260101T030405Z.json.part',
  ];
  const stays = [
    '.clubhouse-UMHS-20260101T030405Z.tar.gpg.part',
    '.clubhouse-PUHSC-2-20260101T030405Z.tar.gpg.part',
    'clubhouse-PUHSC-20260101T030405Z.tar.gpg',
  ];
  const longAgo = Date.now() / 1000 - 7200;
  for (const name of [...left, ...stays]) {
    await writeFile(join(folder, name), 'half');
    await utimes(join(folder, name), longAgo, longAgo);
  }
  // Somebody still writes to it.
  await writeFile(join(folder, '.clubhouse-PUHSC-20260101T040506Z.tar.gpg.part'), 'half');
  const key = join(it.folder, '..', 'it.asc');
  const done = await here(['backup', folder, '--encrypt-to', key, '--home', it.home]);
  t.equal(done.code, 0, done.err);
  const there = (await readdir(folder)).filter((name) => /20260101/.test(name));
  t.strictSame(there.sort(), [...stays, '.clubhouse-PUHSC-20260101T040506Z.tar.gpg.part'].sort());
});

void t.test('wrong usage says so and makes nothing', async (t) => {
  const { home, folder, secret } = it;
  const backup = (...args: readonly string[]) => here(['backup', ...args, '--home', home]);
  t.match(await backup(folder), { code: 2 });
  t.match(await backup(folder, '--encrypt-to', secret), { code: 1, err: /private key/ });
  const key = join(folder, '..', 'it.asc');
  for (const inside of ['data/x', 'keys', 'config/b']) {
    const done = await backup(join(home, inside), '--encrypt-to', key);
    t.match(done, { code: 1, err: /cannot lie in/ }, inside);
  }
  t.match(await here(['restore', join(home, 'nothing'), '--home', `${home}-2`]), { code: 1 });
  t.notOk(await isThere(`${home}-2`));
  t.equal((await readdir(folder)).length, 2);
});

void t.test('tar headers say sizes and names of any length', async (t) => {
  const cases = [
    { name: 'config/a', sizeBytes: 0 },
    { name: `config/${'ü'.repeat(120)}`, sizeBytes: 3 },
    { name: `config/${'d/'.repeat(200)}z`, sizeBytes: 513 },
    ...[89, 90, 91, 95, 96, 97, 98, 99, 100, 101].map((n) => ({
      name: 'n'.repeat(n),
      sizeBytes: 1,
    })),
  ];
  for (const { name, sizeBytes } of cases) {
    const content = Buffer.alloc(sizeBytes, 7);
    const header = tarHeader({ name, kind: 'file', sizeBytes, modifiedMs: 1_700_000_000_123 });
    const bytes = Buffer.concat([header, content, tarPadding(sizeBytes), tarEnd()]);
    for (const step of [bytes.length, 100, 1]) {
      for await (const entry of readTar(pieces(bytes, step))) {
        const parts: Uint8Array[] = [];
        for await (const piece of entry.body) parts.push(Uint8Array.from(piece));
        t.match(entry, { name, sizeBytes, modifiedMs: 1_700_000_000_123 });
        t.ok(Buffer.concat(parts).equals(content));
      }
    }
  }
});

async function* pieces(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
}
