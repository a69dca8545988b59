// What is known of a client before it is offered anything: OpenSSH's own list of ciphers, so that GCM is taken where it is known.

import { join } from 'node:path';
import { mkdtemp } from 'node:fs/promises';
import t from 'tap';
import { createFirstWords } from '../../src/adapters/sftp-server/first-words.ts';
import { run } from '../support/programs.ts';
import { startServer } from '../support/sftp-server.ts';

t.setTimeout(120_000);

const list = (...names: readonly string[]): Buffer => {
  const text = Buffer.from(names.join(','));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
};

/** A KEXINIT packet in the clear (RFC 4253 §7.1). */
function kexInit(there: readonly string[], back: readonly string[], message = 20): Buffer {
  const body = Buffer.concat([
    ...[Buffer.from([4, message]), Buffer.alloc(16, 7)],
    ...[list('curve25519-sha256'), list('ssh-ed25519'), list(...there), list(...back)],
    ...[list('hmac'), list('hmac'), list('none'), list('none'), list(''), list('')],
    Buffer.alloc(5 + 4),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

const greeting = Buffer.from('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n');
const gcm = 'aes128-gcm@openssh.com';

interface Heard {
  readonly passed: readonly Buffer[];
  readonly ciphers: readonly string[] | undefined;
}

function say(pieces: readonly Buffer[]): Heard {
  const passed: Buffer[] = [];
  const words = createFirstWords((bytes) => passed.push(bytes));
  for (const piece of pieces) words.take(piece);
  words.end();
  return { passed, ciphers: words.ciphers };
}

void t.test(
  'the list of OpenSSH is known before anything is passed on, however it is cut',
  async (t) => {
    const said = Buffer.concat([greeting, kexInit(['aes256-ctr', gcm, 'x'], [gcm, 'aes256-ctr'])]);
    for (const size of [1, 3, 7, 64, said.length]) {
      const pieces = [];
      for (let at = 0; at < said.length; at += size) pieces.push(said.subarray(at, at + size));
      const { passed, ciphers } = say(pieces);
      t.same(ciphers, ['aes256-ctr', gcm], 'those that it takes both ways');
      t.same(Buffer.concat([...passed]), said, 'and nothing is lost');
      t.equal(passed.length, 1);
    }
  },
);

void t.test('others are not waited for, and nonsense is passed on as it came', async (t) => {
  const huge = Buffer.from([0x7f, 0xff, 0xff, 0xff]);
  const short = kexInit([gcm], [gcm]).subarray(0, 60);
  short.writeUInt32BE(56, 0);
  for (const said of [
    Buffer.from('SSH-2.0-Go\r\n'),
    Buffer.from('GET / HTTP/1.1\r\n'),
    Buffer.alloc(20),
    Buffer.concat([greeting, huge]),
    Buffer.concat([greeting, kexInit([gcm], [gcm], 21)]),
    Buffer.concat([greeting, short]),
    Buffer.concat([greeting, Buffer.alloc(4)]),
    Buffer.alloc(40_000, 'SSH-2.0-OpenSSH_'),
  ]) {
    const { passed, ciphers } = say([said]);
    t.same(ciphers, undefined);
    t.same(passed, [said]);
  }
});

void t.test('an OpenSSH that waits for our offer gets it after a while', async (t) => {
  const passed: Buffer[] = [];
  await new Promise<void>((resolve) => {
    const words = createFirstWords((bytes) => {
      passed.push(bytes);
      resolve();
    }, 20);
    words.take(greeting);
    t.same(passed, []);
  });
  t.same(passed, [greeting]);
});

void t.test('a real OpenSSH takes GCM unless it is told otherwise', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const keyFile = await server.keyFile('alice');
  const work = await mkdtemp(join(server.root, 'work-'));
  const cipherOf = async (...more: readonly string[]): Promise<string | undefined> => {
    const { stderr } = await run('sftp', [
      ...['-v', '-b', '/dev/null', '-P', String(server.port), '-i', keyFile, ...more],
      ...['-F', '/dev/null', '-o', 'StrictHostKeyChecking=no'],
      ...['-o', `UserKnownHostsFile=${join(work, 'known')}`, 'alice@127.0.0.1'],
    ]);
    return /client->server cipher: (\S+)/.exec(stderr)?.[1];
  };
  t.equal(await cipherOf(), gcm);
  t.equal(await cipherOf('-c', 'aes256-gcm@openssh.com'), 'aes256-gcm@openssh.com');
  t.equal(await cipherOf('-c', 'aes256-ctr'), 'aes256-ctr', 'CTR alone still works');
});
