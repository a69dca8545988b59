// SSH keys: what is made here works with OpenSSH, and what is given by others is judged.

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  fingerprintOfFile,
  makeSshKey,
  makeWorkingPair,
  sshKeys,
} from '../../src/adapters/keys.ts';
import { AppError } from '../../src/core/errors.ts';

const folder = await mkdtemp(join(tmpdir(), 'clubhouse-keys-'));
t.teardown(() => rm(folder, { recursive: true }));
const keygen = (...args: readonly string[]): string =>
  execFileSync('ssh-keygen', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const fingerprint = (file: string): string => keygen('-lf', file).split(' ')[1] ?? '';

/** A key of ssh-keygen's; its public half. */
async function other(name: string, ...args: readonly string[]): Promise<string> {
  keygen('-q', '-N', '', '-C', 'alice@laptop', '-f', join(folder, name), ...args);
  return readFile(join(folder, `${name}.pub`), 'utf8');
}

for (const kind of ['ed25519', 'rsa'] as const) {
  void t.test(`ssh-keygen reads our ${kind} key with the same fingerprint`, async (t) => {
    const path = join(folder, `ours_${kind}`);
    await makeSshKey(path, kind, { comment: 'clubhouse', withPublic: true });
    for (const file of [path, `${path}.pub`]) t.equal((await stat(file)).mode & 0o777, 0o600);
    const ours = await fingerprintOfFile(path, 'the key');
    t.equal(fingerprint(`${path}.pub`), ours);
    t.match(keygen('-yf', path), /^ssh-/);
    const publicText = await readFile(`${path}.pub`, 'utf8');
    t.equal(sshKeys.parse(publicText).fingerprint, ours);
    await t.rejects(makeSshKey(path, kind, { comment: '', withPublic: true }), { code: 'EEXIST' });
  });
}

void t.test('a pair that cannot be read again is made anew, and not for ever', (t) => {
  const good = makeWorkingPair('ed25519', 'good');
  const broken = { ...good, private: good.private.replace(/\n.{20}/, '\n') };
  const offered = [broken, { ...good, public: 'ssh-ed25519 AAAA' }, good];
  t.equal(
    makeWorkingPair('ed25519', '', () => offered.shift() ?? good),
    good,
  );
  t.throws(() => makeWorkingPair('ed25519', '', () => broken), { code: 'INTERNAL' });
  t.end();
});

void t.test('a public key is read in both of its forms', async (t) => {
  const text = await other('alice', '-t', 'ed25519');
  const line = sshKeys.parse(`# mine\n${text}\n`);
  t.match(line, { algorithm: 'ssh-ed25519', comment: 'alice@laptop' });
  t.equal(line.fingerprint, fingerprint(join(folder, 'alice.pub')));
  const rfc4716 = sshKeys.parse(keygen('-ef', join(folder, 'alice.pub')));
  t.equal(rfc4716.blob, line.blob);
});

void t.test('what is no good public key is refused, each with its reason', async (t) => {
  const one = await other('one', '-t', 'ed25519');
  const two = await other('two', '-t', 'ed25519');
  const weak = await other('weak', '-t', 'rsa', '-b', '1024');
  const strong = await other('strong', '-t', 'rsa', '-b', '2048');
  const cases: readonly [string, string, RegExp][] = [
    ['a private key', await readFile(join(folder, 'one'), 'utf8'), /private key/],
    ['a PuTTY key', 'PuTTY-User-Key-File-3: ssh-ed25519\n', /private key/],
    ['two keys', `${one}${two}`, /several keys/],
    ['a weak key', weak, /under 2048 bits/],
    ['nothing', '', /not an SSH public key/],
    ['a text', 'hello', /not an SSH public key/],
    ['a key from nowhere', `from="" ${one}`, /names no network/],
    ['a key from two places', `from="10.0.0.0/8",from="::/0" ${one}`, /more than once/],
  ];
  for (const [name, text, says] of cases) {
    try {
      sshKeys.parse(text);
      t.fail(`${name} was accepted`);
    } catch (error) {
      t.ok(error instanceof AppError && error.code === 'BAD_INPUT', name);
      t.match((error as Error).message, says, name);
    }
  }
  t.equal(sshKeys.parse(strong).algorithm, 'ssh-rsa');
});
