// The encryptor against the real gpg, and the judgement of recipient keys over keys of every wrong kind.

import t from 'tap';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  decrypt as decryptMessage,
  generateKey,
  readMessage,
  readPrivateKey,
  revokeKey,
  type PrivateKey,
} from 'openpgp';
import { encryptor } from '../../src/adapters/openpgp/encryptor.ts';
import { inspectRecipientKey, recipientKeys } from '../../src/adapters/openpgp/recipient-keys.ts';
import { asClean, type Clean } from '../../src/core/bytes.ts';
import { AppError } from '../../src/core/errors.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const folder = await mkdtemp(join(tmpdir(), 'ch-pgp-'));
const gpg = async (...args: string[]): Promise<string> => {
  const all = [
    '--homedir',
    folder,
    '--batch',
    '--quiet',
    '--pinentry-mode',
    'loopback',
    '--passphrase',
    '',
    ...args,
  ];
  return (await run('gpg', all, { maxBuffer: 1 << 26 })).stdout;
};
t.teardown(async () => {
  await run('gpgconf', ['--homedir', folder, '--kill', 'all']).catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
});

async function gpgKey(name: string, algorithm: string, ...encryption: string[]): Promise<string> {
  await gpg('--quick-gen-key', `${name} <${name}@example.org>`, algorithm, 'sign,cert', 'never');
  const listing = await gpg('--list-keys', '--with-colons', `${name}@example.org`);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(listing)?.[1] ?? '';
  for (const one of encryption) await gpg('--quick-add-key', fingerprint, one, 'encr', 'never');
  return gpg('--armor', '--export', fingerprint);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Clean> {
  for (let at = 0; at < bytes.length; at += size) yield asClean(bytes.subarray(at, at + size));
}

async function sealToFile(bytes: Uint8Array, recipients: readonly string[], name: string) {
  const { message, fingerprints } = await encryptor.seal(pieces(bytes, 70_001), recipients, never);
  const chunks: Uint8Array[] = [];
  for await (const chunk of message) chunks.push(chunk);
  const path = join(folder, name);
  await writeFile(path, Buffer.concat(chunks));
  return { path, fingerprints };
}

async function decrypt(path: string): Promise<Buffer> {
  const child = spawn('gpg', ['--homedir', folder, '--batch', '--quiet', '--decrypt', path]);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`gpg ended with ${String(code)}`);
  return Buffer.concat(chunks);
}

const made = {
  RSA: await gpgKey('rsa', 'rsa2048', 'rsa2048'),
  'curve 25519': await gpgKey('ecc', 'ed25519', 'cv25519'),
  'NIST P-256': await gpgKey('nist', 'nistp256', 'nistp256'),
  brainpool: await gpgKey('brain', 'brainpoolP256r1', 'brainpoolP256r1'),
};

void t.test('gpg decrypts what was sealed, whatever the kind of the key', async (t) => {
  for (const [kind, armored] of Object.entries(made)) {
    for (const size of [0, 1, 511, 1 << 20, (1 << 20) + 1, 2_500_000]) {
      if (size > 1 && kind !== 'curve 25519') continue;
      const bytes = randomBytes(size);
      const { path } = await sealToFile(bytes, [armored], 'one.gpg');
      t.ok(bytes.equals(await decrypt(path)), `${kind}, ${size} bytes`);
      await rm(path);
    }
  }
});

/** Where the length of a part, or the header that tells it, changes: 6 bytes of the first part are no data. */
const part = 2 ** 18;
const edges = [
  ...[0, 1, 2, 185, 186, 187, 8377, 8378, 8379],
  ...[part - 31, part - 26, part - 22, part - 7, part - 6, part - 5, part, part + 1],
  ...[2 * part - 6, 2 * part - 5, 2 * part, 4 * part - 6, 4 * part, 5 * part + 17],
];

void t.test('bodies that end where a part ends come out whole in openpgp.js and gpg', async (t) => {
  const own = await generateKey({ userIDs: [{ name: 'Own' }], format: 'object' });
  const recipients = [made['curve 25519'], own.publicKey.armor()];
  for (const size of edges) {
    const bytes = randomBytes(size);
    const { path } = await sealToFile(bytes, recipients, 'edge.gpg');
    const binaryMessage = new Uint8Array(await readFile(path));
    const { data } = await decryptMessage({
      message: await readMessage({ binaryMessage }),
      decryptionKeys: own.privateKey,
      format: 'binary',
    });
    t.ok(bytes.equals(data as Uint8Array), `${size} bytes in openpgp.js`);
    if (size % part > 8378 || size < 2) {
      t.ok(bytes.equals(await decrypt(path)), `${size} bytes in gpg`);
    }
  }
});

void t.test('the size of the pieces of a body does not show in the message', async (t) => {
  const bytes = randomBytes(part + 1000);
  const lengths = new Set<number>();
  for (const pieceBytes of [61, 4099, part, bytes.length]) {
    const { message } = await encryptor.seal(pieces(bytes, pieceBytes), [made.RSA], never);
    const chunks: Uint8Array[] = [];
    for await (const chunk of message) chunks.push(chunk);
    const path = join(folder, 'pieces.gpg');
    await writeFile(path, Buffer.concat(chunks));
    lengths.add(Buffer.concat(chunks).length);
    t.ok(bytes.equals(await decrypt(path)), `pieces of ${pieceBytes} bytes`);
  }
  t.equal(lengths.size, 1);
});

void t.test('messages that are made at the same time do not mix', async (t) => {
  const bodies = [1, 2, 3, 4].map((n) => Buffer.alloc(3 * part + n, n));
  const made4 = await Promise.all(
    bodies.map(async (body, n) => sealToFile(body, [made['curve 25519']], `mix-${n}.gpg`)),
  );
  for (const [n, { path }] of made4.entries()) {
    t.ok(bodies[n]?.equals(await decrypt(path)));
  }
  const heads = await Promise.all(made4.map(async ({ path }) => readFile(path, 'latin1')));
  t.equal(new Set(heads.map((text) => text.slice(-40))).size, 4, 'no two are alike');
});

void t.test('gpg refuses a message that was changed or cut anywhere', async (t) => {
  const { path } = await sealToFile(randomBytes(2 * part), [made['curve 25519']], 'whole.gpg');
  const whole = await readFile(path);
  const changed = join(folder, 'changed.gpg');
  const places = [200, part, part + 300, whole.length - 30, whole.length - 1];
  for (const at of places) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(changed, bytes);
    await t.rejects(decrypt(changed), /gpg ended with 2/, `byte ${at} of ${whole.length}`);
  }
  for (const length of [part, whole.length - 22, whole.length - 1]) {
    await writeFile(changed, whole.subarray(0, length));
    await t.rejects(decrypt(changed), /gpg ended with 2/, `cut to ${length}`);
  }
});

void t.test(
  'the message tells neither name nor time, is not compressed and has an MDC',
  async (t) => {
    const { path } = await sealToFile(randomBytes(1000), [made['curve 25519']], 'listed.gpg');
    const packets = await gpg('--list-packets', path);
    t.match(packets, /:pubkey enc packet: version 3/);
    t.match(packets, /:encrypted data packet:[^]*mdc_method: 2/);
    t.match(packets, /:literal data packet:\s+mode b \(62\), created 0, name="",/);
    t.notMatch(packets, /compressed packet/);
    t.notMatch((await readFile(path)).subarray(0, 5).toString('latin1'), /-----/, 'binary');
    const verbose = await run('gpg', [
      '--homedir',
      folder,
      '--batch',
      '-v',
      '-o',
      '/dev/null',
      '-d',
      path,
    ]);
    t.match(verbose.stderr, /AES256/);
  },
);

void t.test('a key that advertises AEAD still gets SEIPDv1', async (t) => {
  const config = { aeadProtect: true };
  const key = await generateKey({
    userIDs: [{ name: 'AEAD' }],
    type: 'ecc',
    format: 'armored',
    config,
  });
  await writeFile(join(folder, 'aead.asc'), key.privateKey);
  await gpg('--import', join(folder, 'aead.asc'));
  const bytes = randomBytes(5000);
  const { path } = await sealToFile(bytes, [key.publicKey], 'aead.gpg');
  t.match(await gpg('--list-packets', path), /mdc_method: 2/);
  t.ok(bytes.equals(await decrypt(path)));
});

void t.test('several recipients share one message, and each key counts once', async (t) => {
  const { path, fingerprints } = await sealToFile(
    Buffer.from('for both'),
    [made.RSA, made['curve 25519'], made.RSA],
    'both.gpg',
  );
  t.equal(fingerprints.length, 2);
  const packets = await gpg('--list-packets', path);
  t.equal(packets.match(/:pubkey enc packet:/g)?.length, 2);
});

void t.test('of several encryption subkeys the newest valid one is used', async (t) => {
  const user = 'subs <subs@example.org>';
  const at = (time: string): [string, string] => ['--faked-system-time', `${time}T000000!`];
  await gpg(...at('20240101'), '--quick-gen-key', user, 'ed25519', 'sign,cert', 'never');
  const listing = await gpg('--list-keys', '--with-colons', 'subs@example.org');
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(listing)?.[1] ?? '';
  const add = async (time: string, algorithm: string, expires: string) =>
    gpg(...at(time), '--quick-add-key', fingerprint, algorithm, 'encr', expires);
  await add('20240102', 'cv25519', 'never');
  await add('20250101', 'rsa2048', 'never');
  await add('20250601', 'nistp256', '1d');
  await add('20380101', 'cv25519', 'never');
  const updated = await gpg('--armor', '--export', fingerprint);
  const { path } = await sealToFile(Buffer.from('x'), [updated], 'subs.gpg');
  t.match(await gpg('--list-packets', path), /algo 1,/, 'RSA, the newest that is valid today');
  t.equal((await decrypt(path)).toString(), 'x');
});

void t.test('without a usable key nothing is sealed', async (t) => {
  const past = await generateKey({
    userIDs: [{ name: 'Past' }],
    date: new Date('2020-01-01'),
    keyExpirationTime: 86_400,
    format: 'armored',
  });
  for (const recipients of [[], ['not a key'], [past.publicKey], [past.privateKey]]) {
    await t.rejects(encryptor.seal(pieces(Buffer.from('x'), 1), recipients, never), {
      code: 'NO_VALID_KEY',
    });
  }
});

void t.test('an error of the body comes out as it is, and an abort ends the message', async (t) => {
  async function* broken(): AsyncGenerator<Clean> {
    yield asClean(randomBytes(2_000_000));
    throw new AppError('DICOM_TRUNCATED', { at: 7 });
  }
  const drain = async (message: AsyncIterable<Uint8Array>) => {
    for await (const chunk of message) chunk.at(0);
  };
  const one = await encryptor.seal(broken(), [made.RSA], never);
  await t.rejects(drain(one.message), { code: 'DICOM_TRUNCATED', at: 7 });
  const abort = new AbortController();
  async function* endless(): AsyncGenerator<Clean> {
    for (let n = 0; ; n += 1) {
      if (n === 3) abort.abort(new AppError('LEASE_LOST'));
      yield asClean(new Uint8Array(1_000_000));
    }
  }
  const two = await encryptor.seal(endless(), [made.RSA], abort.signal);
  await t.rejects(drain(two.message), { code: 'LEASE_LOST' });
});

void t.test('a body is closed when nobody wants the rest of the message', async (t) => {
  let closed = false;
  async function* body(): AsyncGenerator<Clean> {
    try {
      for (;;) yield asClean(new Uint8Array(1_000_000));
    } finally {
      closed = true;
    }
  }
  const { message } = await encryptor.seal(body(), [made.RSA], never);
  for await (const chunk of message) {
    if (chunk.length > 0) break;
  }
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(closed);
});

void t.test('300 MB go through in bounded memory', async (t) => {
  const source = `
    import { encryptor } from ${JSON.stringify(new URL('../../src/adapters/openpgp/encryptor.js', import.meta.url).href)};
    import { readFileSync } from 'node:fs';
    const armored = readFileSync(process.argv[1], 'utf8');
    const chunk = new Uint8Array(256 * 1024);
    async function* body() { for (let n = 0; n < 1200; n += 1) yield chunk; }
    let peak = 0, bytes = 0, start = 0;
    const { message } = await encryptor.seal(body(), [armored], new AbortController().signal);
    for await (const part of message) {
      bytes += part.length;
      if (start === 0 && bytes > 10e6) start = process.memoryUsage.rss();
      peak = Math.max(peak, process.memoryUsage.rss());
    }
    console.log(JSON.stringify({ bytes, growth: (peak - start) / 1e6 }));`;
  await writeFile(join(folder, 'rsa.asc'), made.RSA);
  const { stdout } = await run(process.execPath, [
    '--input-type=module',
    '-e',
    source,
    join(folder, 'rsa.asc'),
  ]);
  const { bytes, growth } = JSON.parse(stdout) as { bytes: number; growth: number };
  t.ok(bytes > 314_572_800);
  t.ok(growth < 100, `grew by ${growth.toFixed(0)} MB`);
});

void t.test('a good key is described, in each form that it may come in', async (t) => {
  const armored = made['curve 25519'];
  const binary = Buffer.from(
    await (await import('openpgp')).readKey({ armoredKey: armored }).then((key) => key.write()),
  );
  const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(armored, 'utf16le')]);
  const forms = [
    armored,
    Buffer.from(armored),
    binary,
    utf16,
    `\ufeff${armored}`,
    armored.replaceAll('\n', '\r\n'),
    `Dear admin,\n\n${armored}\nBest\n`,
  ];
  for (const form of forms) {
    const key = await inspectRecipientKey(form);
    t.match(key.fingerprint, /^[0-9A-F]{40}$/);
    t.match(key, {
      userId: 'ecc <ecc@example.org>',
      algorithm: 'ed25519/cv25519',
      expiresAt: undefined,
    });
    t.ok(await recipientKeys.isUsable(key.armored, new Date()));
  }
  t.equal((await inspectRecipientKey(made.RSA)).algorithm, 'rsa2048');
  t.match((await inspectRecipientKey(made['NIST P-256'])).algorithm, /nistP256/i);
  t.match((await inspectRecipientKey(made.brainpool)).algorithm, /brainpool/i);
});

void t.test('a key that will expire says when, and is not usable after it', async (t) => {
  const key = await generateKey({
    userIDs: [{ name: 'Soon' }],
    date: new Date(Date.now() - 5000),
    keyExpirationTime: 3600,
    format: 'armored',
  });
  const { expiresAt, armored } = await inspectRecipientKey(key.publicKey);
  t.ok(expiresAt !== undefined && Math.abs(expiresAt.getTime() - Date.now() - 3_595_000) < 5000);
  t.ok(await recipientKeys.isUsable(armored, new Date()));
  t.notOk(await recipientKeys.isUsable(armored, new Date(Date.now() + 3_700_000)));
});

void t.test('a key that cannot serve is refused, and the reason is said', async (t) => {
  const yesterday = new Date(Date.now() - 86_400_000);
  const userIDs = [{ name: 'Wrong', email: 'wrong@example.org' }];
  const good = await generateKey({ userIDs, format: 'armored' });
  const unlocked: PrivateKey = await readPrivateKey({ armoredKey: good.privateKey });
  const expired = await generateKey({
    userIDs,
    date: yesterday,
    keyExpirationTime: 60,
    format: 'armored',
  });
  const revoked = await revokeKey({ key: unlocked, format: 'armored' });
  const weak = await generateKey({
    userIDs,
    type: 'rsa',
    rsaBits: 1024,
    config: { minRSABits: 1024 },
    format: 'armored',
  });
  const signing = await generateKey({ userIDs, subkeys: [{ sign: true }], format: 'armored' });
  const oldSubkey = await generateKey({
    userIDs,
    date: yesterday,
    subkeys: [{ keyExpirationTime: 60 } as object],
    format: 'armored',
  });
  const nameless = await readPrivateKey({ armoredKey: good.privateKey });
  nameless.users.length = 0;
  const dsa = await gpgKey('dsa', 'dsa2048', 'elg2048');
  const cases: readonly (readonly [string, Uint8Array | string, RegExp])[] = [
    ['private', good.privateKey, /private key/],
    ['private, binary', unlocked.write(), /private key/],
    ['two armor blocks', `${good.publicKey}\n${made.RSA}`, /2 keys/],
    [
      'two keys in one block',
      await gpg('--armor', '--export', 'rsa@example.org', 'ecc@example.org'),
      /2 keys/,
    ],
    ['public and private together', `${made.RSA}\n${good.privateKey}`, /private key/],
    ['expired', expired.publicKey, /expired on \d{4}-/],
    ['revoked', revoked.publicKey, /revoked/],
    ['signing only', signing.publicKey, /cannot encrypt/],
    ['encryption subkey expired', oldSubkey.publicKey, /part for encryption has expired/],
    ['RSA 1024', weak.publicKey, /rsa1024 is too weak/],
    ['DSA and ElGamal', dsa, /too weak/],
    ['no user ID', nameless.toPublic().write(), /user ID/],
    ['text', 'ssh-ed25519 AAAA', /no public key/],
    ['empty', new Uint8Array(0), /no public key/],
    [
      'noise',
      Buffer.concat([Buffer.from([0x99]), randomBytes(500)]),
      /cannot be read|no public key/,
    ],
    ['damaged armor', good.publicKey.slice(0, 300) + good.publicKey.slice(320), /cannot be read/],
    [
      'a message',
      '-----BEGIN PGP MESSAGE-----\n\nwV4D\n-----END PGP MESSAGE-----',
      /cannot be read|no public key/,
    ],
  ];
  for (const [name, file, detail] of cases) {
    const error = await inspectRecipientKey(file).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!(error instanceof AppError)) t.fail(`${name}: ${String(error)}`);
    else t.match(error, { code: 'RECIPIENT_KEY', detail }, name);
  }
});
