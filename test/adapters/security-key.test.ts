// Keys in a security token. There is no token here, so one is played: what it signs is proven by OpenSSH's own `ssh-keygen -Y
// verify`, and then the same player logs in, with the bytes that OpenSSH's client sends.

import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type ssh2 from 'ssh2';
import t from 'tap';
import { sshKeys } from '../../src/adapters/keys.ts';
import { armorSshsig, sshsigInput } from '../../src/core/sshsig.ts';
import { isSignedByToken, readSecurityKey } from '../../src/core/security-key.ts';
import { missing, run } from '../support/programs.ts';
import { openSftp } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import {
  expectLogin,
  message,
  refusalOf,
  say,
  sessionIdOf,
  stranger,
  string,
  uint32,
} from '../support/ssh-messages.ts';

const folder = await mkdtemp(join(tmpdir(), 'clubhouse-token-'));
t.teardown(() => rm(folder, { recursive: true }));

const mpint = (bytes: Buffer): Buffer => {
  const first = bytes.findIndex((byte) => byte !== 0);
  const short = bytes.subarray(Math.max(0, first));
  return string((short[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), short]) : short);
};
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

interface Token {
  readonly kind: string;
  readonly blob: Buffer;
  /** Signature proper, flags, counter; with the algorithm in front. */
  readonly sign: (message: Buffer, flags?: number, counter?: number) => Buffer;
}

const application = 'ssh:';

/** `signProper`: the signature over what a token signs, as its kind writes it. */
function token(kind: string, blob: Buffer, signProper: (signed: Buffer) => Buffer): Token {
  return {
    kind,
    blob,
    sign: (message, flags = 1, counter = 7) => {
      const tail = Buffer.concat([Buffer.of(flags), uint32(counter)]);
      const signed = Buffer.concat([sha256(Buffer.from(application)), tail, sha256(message)]);
      return Buffer.concat([string(kind), string(signProper(signed)), tail]);
    },
  };
}

const point = (key: KeyObject, name: 'x' | 'y'): Buffer =>
  Buffer.from(key.export({ format: 'jwk' })[name] ?? '', 'base64url');

function makeEd25519(): Token {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const kind = 'sk-ssh-ed25519@openssh.com';
  const blob = Buffer.concat([string(kind), string(point(publicKey, 'x')), string(application)]);
  return token(kind, blob, (signed) => sign(null, signed, privateKey));
}

function makeEcdsa(): Token {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kind = 'sk-ecdsa-sha2-nistp256@openssh.com';
  const both = Buffer.concat([Buffer.of(4), point(publicKey, 'x'), point(publicKey, 'y')]);
  const fields = [kind, 'nistp256', both, application];
  return token(kind, Buffer.concat(fields.map(string)), (signed) => {
    const pair = sign('sha256', signed, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    return Buffer.concat([mpint(pair.subarray(0, 32)), mpint(pair.subarray(32))]);
  });
}

const makers = { ed25519: makeEd25519, ecdsa: makeEcdsa };
const lineOf = ({ kind, blob }: Token): string => `${kind} ${blob.toString('base64')} alice@token`;
/** As the server gets it from ssh2. */
const stripped = ({ kind }: Token, signature: Buffer): Buffer =>
  signature.subarray(8 + kind.length);

for (const [name, make] of Object.entries(makers)) {
  void t.test(`OpenSSH agrees on what our ${name} token signs`, async (t) => {
    if (missing('ssh-keygen') !== false) return t.pass('no ssh-keygen here');
    const one = make();
    const text = Buffer.from('a message');
    const fields = [one.blob, Buffer.from('test'), Buffer.alloc(0), Buffer.from('sha512')];
    const signature = Buffer.concat([
      Buffer.from('SSHSIG'),
      uint32(1),
      ...[...fields, one.sign(sshsigInput('test', text))].map(string),
    ]);
    await writeFile(join(folder, `${name}.sig`), armorSshsig(signature));
    await writeFile(join(folder, `${name}.allowed`), `alice ${lineOf(one)}\n`);
    await writeFile(join(folder, `${name}.pub`), `${lineOf(one)}\n`);
    const at = (suffix: string): string => join(folder, `${name}.${suffix}`);
    const verified = await run(
      'ssh-keygen',
      ['-Y', 'verify', '-f', at('allowed'), '-I', 'alice', '-n', 'test', '-s', at('sig')],
      { input: 'a message' },
    );
    t.equal(verified.code, 0, verified.stderr);
    const shown = await run('ssh-keygen', ['-lf', at('pub')]);
    const parsed = sshKeys.parse(`from="10.0.0.0/8" ${lineOf(one)}\n`);
    t.equal(parsed.fingerprint, shown.stdout.toString().split(' ')[1]);
    t.match(parsed, { algorithm: one.kind, comment: 'alice@token', sources: ['10.0.0.0/8'] });
    return undefined;
  });

  void t.test(`an ${name} token's signature counts whole, touched and its own`, async (t) => {
    const one = make();
    const key = readSecurityKey(one.blob);
    if (key === undefined) return t.fail();
    const message = Buffer.from('what the session asks to sign');
    const good = stripped(one, one.sign(message));
    for (let count = 0; count < 40; count += 1) {
      t.ok(isSignedByToken(key, message, stripped(one, one.sign(message, 5, count))));
    }
    const changed = (at: number): Buffer => {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] ?? 0) ^ 0x40;
      return bytes;
    };
    const wrong: readonly [string, Buffer, Buffer?][] = [
      ['another message', good, Buffer.from('another')],
      ['nobody touched it', stripped(one, one.sign(message, 0))],
      ['verified, but not touched', stripped(one, one.sign(message, 4))],
      ['flags that were not signed', changed(good.length - 5)],
      ['a counter that was not signed', changed(good.length - 1)],
      ['another token', stripped(one, make().sign(message))],
      ['a changed signature', changed(12)],
      ['cut', good.subarray(0, -1)],
      ['cut at the front', good.subarray(1)],
      ['longer', Buffer.concat([good, Buffer.of(0)])],
      ['nothing', Buffer.alloc(0)],
      ['with its name in front', one.sign(message)],
    ];
    for (const [what, signature, said] of wrong) {
      t.equal(isSignedByToken(key, said ?? message, signature), false, what);
    }
    const blobs = [
      one.blob.subarray(0, -1),
      Buffer.concat([one.blob, Buffer.of(0)]),
      Buffer.alloc(0),
    ];
    for (const blob of blobs) t.equal(readSecurityKey(blob), undefined);
    t.throws(() => sshKeys.parse(`${one.kind} ${one.blob.toString('base64').slice(8)}`), {
      message: /not an SSH public key of a security token/,
    });
    return undefined;
  });
}

/** Logs in with one request, as OpenSSH's client sends it (RFC 4252 §7). */
async function login(
  port: number,
  one: Token,
  signedBy: (message: Buffer) => Buffer,
): Promise<ssh2.Client> {
  const { client, gone } = await stranger(port);
  const request = Buffer.concat([
    ...[Buffer.of(message.USERAUTH_REQUEST), string('alice'), string('ssh-connection')],
    ...[string('publickey'), Buffer.of(1), string(one.kind), string(one.blob)],
  ]);
  const signature = signedBy(Buffer.concat([string(sessionIdOf(client)), request]));
  const isIn = new Promise<boolean>((resolve) => {
    client.on('ready', () => resolve(true)).on('error', () => resolve(false));
  });
  expectLogin(client);
  say(client, request, string(signature));
  if (await Promise.race([isIn, gone.then(() => false), refusalOf(client)])) return client;
  client.destroy();
  throw new Error('not let in');
}

for (const [name, make] of Object.entries(makers)) {
  void t.test(`an ${name} token logs in and uploads, and nothing like it does`, async (t) => {
    const server = await startServer();
    t.teardown(() => server.close());
    const one = make();
    const user = server.users.get('alice');
    if (user === undefined) return t.fail();
    (user as { key: unknown }).key = { ...user.key, blob: one.blob };
    const client = await login(server.port, one, one.sign);
    const sftp = await openSftp(client);
    t.equal(await sftp.put('gpg/token.dcm', 'touched'), 'OK');
    client.end();
    t.equal(await readFile(join(server.home, 'ji_brain/alice/gpg/token.dcm'), 'utf8'), 'touched');
    const other = make();
    const attempts: readonly [string, Token, (message: Buffer) => Buffer][] = [
      ['not touched', one, (message) => one.sign(message, 0)],
      ['another token', one, other.sign],
      ['a key that nobody has', other, other.sign],
      ['of another session', one, () => one.sign(Buffer.from('another session'))],
      ['no signature', one, () => Buffer.alloc(0)],
      ['as a plain key', one, (message) => one.sign(message).subarray(3)],
    ];
    for (const [what, who, signs] of attempts)
      await t.rejects(login(server.port, who, signs), what);
    t.same(server.accounts.logins.map(({ accepted }) => accepted).filter(Boolean).length, 1);
    t.same(await readdir(join(server.home, 'ji_brain/alice/gpg')), ['token.dcm']);
    return undefined;
  });
}
