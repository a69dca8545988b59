// Attacks on the port by people who have no account, from an address of their own. While each goes on, somebody else logs in
// and uploads within five seconds.

import { generateKeyPairSync, sign } from 'node:crypto';
import type { Socket } from 'node:net';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import t, { type Test } from 'tap';
import { until } from '../support/sftp-client.ts';
import { startServer, type TestServer } from '../support/sftp-server.ts';
import {
  bareSocket,
  expectLogin,
  message,
  refusalOf,
  say,
  servesOthers,
  sessionIdOf,
  socketOf,
  stranger,
  string,
  uint32,
} from '../support/ssh-messages.ts';

const graceMs = 4_000;
const server = await startServer({ loginGraceMs: graceMs, refusalMs: 20 });
t.teardown(() => server.close());
const { port } = server;
t.setTimeout(180_000);

const allGone = (sockets: readonly Socket[]): Promise<boolean> =>
  until(() => sockets.every(({ destroyed }) => destroyed), graceMs + 8_000);
const some = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

/** A packet in the clear (RFC 4253 §6). */
function clear(payload: Buffer): Buffer {
  const padding = 16 - ((payload.length + 5) % 8);
  const head = Buffer.concat([uint32(payload.length + padding + 1), Buffer.of(padding)]);
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
}

const lists = [
  ...['curve25519-sha256', 'ssh-ed25519', 'aes128-gcm@openssh.com', 'aes128-gcm@openssh.com'],
  ...['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com', 'none', 'none', '', ''],
];
const offer = (all: readonly string[] = lists): Buffer => {
  const fields = [Buffer.of(message.KEXINIT), Buffer.alloc(16, 7), ...all.map(string)];
  return clear(Buffer.concat([...fields, Buffer.alloc(5)]));
};
const greeting = Buffer.from('SSH-2.0-attack\r\n');

const openings: Readonly<Record<string, Buffer>> = {
  'a packet of four gigabytes': uint32(0xffffffff),
  'a packet of two gigabytes': uint32(0x80000000),
  'a packet of one byte less': uint32(0x7fffffff),
  'a packet of a megabyte': Buffer.concat([uint32(1 << 20), Buffer.alloc(4096)]),
  'a packet of nothing': Buffer.concat([uint32(0), Buffer.alloc(64)]),
  'more padding than packet': Buffer.concat([uint32(12), Buffer.of(255), Buffer.alloc(64)]),
  'an offer of zlib alone': offer(lists.map((list) => (list === 'none' ? 'zlib' : list))),
  'an offer of nothing': offer(lists.map(() => '')),
  'an offer of names without end': offer(['x,'.repeat(15_000), ...lists.slice(1)]),
  'two offers': Buffer.concat([offer(), offer()]),
  'a thousand offers': Buffer.concat(some(1000, () => offer())),
  'a login in the clear': clear(Buffer.concat([Buffer.of(message.USERAUTH_REQUEST), string('x')])),
  'new keys that nobody agreed on': clear(Buffer.of(21)),
  'a number of no meaning': clear(Buffer.of(255)),
  'a point that is none': Buffer.concat([
    offer(),
    clear(Buffer.concat([Buffer.of(30), string(Buffer.alloc(32))])),
  ]),
  'a point that is too long': Buffer.concat([
    offer(),
    clear(Buffer.concat([Buffer.of(30), string(Buffer.alloc(20_000, 9))])),
  ]),
};

for (const [what, bytes] of Object.entries(openings)) {
  void t.test(`${what} ends its connection`, async (t) => {
    const socket = bareSocket(port, Buffer.concat([greeting, bytes]));
    // What only announces more has until the end of the grace time to send it.
    t.ok(await allGone([socket]));
    await servesOthers(t, server);
  });
}

void t.test('a line of greeting without end', async (t) => {
  const socket = bareSocket(port, 'x'.repeat(4 << 20));
  t.ok(await allGone([socket]));
  await servesOthers(t, server);
});

void t.test('eighty key exchanges that are left', async (t) => {
  let left = 80;
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const { client } = await stranger(port).catch(() => ({ client: undefined }));
      client?.destroy();
    }
  };
  const storm = Promise.all(some(6, one));
  await until(() => left < 70);
  await servesOthers(t, server);
  await storm;
});

/** Requests of the connection protocol, asked for in front of the login. */
const tooEarly: Readonly<Record<string, readonly (number | Buffer)[]>> = {
  'a channel': [message.CHANNEL_OPEN, string('session'), uint32(0), uint32(1 << 20), uint32(1024)],
  'a forwarding': [message.GLOBAL_REQUEST, string('tcpip-forward'), 1, string(''), uint32(0)],
  'a subsystem': [message.CHANNEL_REQUEST, uint32(0), string('subsystem'), 1, string('sftp')],
  data: [message.CHANNEL_DATA, uint32(0), string(Buffer.alloc(100))],
  'a window': [message.WINDOW_ADJUST, uint32(0), uint32(0xffffffff)],
  'an end': [message.CHANNEL_CLOSE, uint32(0)],
  'the connection service': [message.SERVICE_REQUEST, string('ssh-connection')],
  'that a login was right': [52],
};

/** Each waits until the time for logging in is over, so they wait together, each with a server of its own. */
void t.test('who has to go in the end', { jobs: 3 }, async (t) => {
  const own = async (t: Test): Promise<{ server: TestServer; port: number }> => {
    const one = await startServer({ loginGraceMs: graceMs, refusalMs: 20 });
    t.teardown(() => one.close());
    return { server: one, port: one.port };
  };
  void t.test('three hundred connections that say nothing', { buffered: true }, async (t) => {
    const { server, port } = await own(t);
    const sockets = some(300, () => bareSocket(port));
    t.ok(await until(() => sockets.filter(({ destroyed }) => !destroyed).length <= 100));
    await servesOthers(t, server);
    t.ok(await allGone(sockets), 'they have to go');
  });

  void t.test('greetings that come a byte at a time', { buffered: true }, async (t) => {
    const { server, port } = await own(t);
    const sockets = some(80, () => bareSocket(port, 'SSH-2.0-'));
    const drip = setInterval(() => {
      for (const socket of sockets) if (!socket.destroyed) socket.write('x');
    }, 20);
    await until(() => false, 300);
    await servesOthers(t, server);
    t.ok(await allGone(sockets), 'the time for logging in counts from the first byte');
    clearInterval(drip);
  });

  void t.test(
    'who is not logged in gets nothing of the protocol behind',
    { buffered: true },
    async (t) => {
      const { server, port } = await own(t);
      const all = [];
      for (const [what, fields] of Object.entries(tooEarly)) {
        const { client, isIn } = await stranger(port);
        client.on('error', () => undefined);
        for (let count = 0; count < 20; count += 1) say(client, ...fields);
        all.push({ what, client, isIn });
      }
      await servesOthers(t, server);
      t.ok(await allGone(all.map(({ client }) => socketOf(client))), 'they have to go');
      for (const { what, isIn } of all) t.notOk(isIn(), what);
      t.notOk(existsSync(join(server.home, 'ji_brain/alice')), 'and nothing was made for them');
    },
  );
});

/** Beside those: answers that nobody asked for, numbers that nobody uses, a message that is cut. */
const ofChannels: typeof tooEarly = {
  ...Object.fromEntries(
    Object.entries(tooEarly).filter(([, [number]]) => Number(number) >= message.GLOBAL_REQUEST),
  ),
  'an answer': [81],
  'half a sign of life': [message.GLOBAL_REQUEST, string('keepalive')],
  'a number in between': [101],
  'the last number': [127],
  'half a message': [message.CHANNEL_REQUEST, 0],
};

void t.test('a message of the connection protocol ends who is not logged in at once', async (t) => {
  const patient = await startServer({ loginGraceMs: 60_000, refusalsEveryMs: 20, refusalMs: 20 });
  t.teardown(() => patient.close());
  const { refusals, logins } = patient.accounts;
  for (const [what, fields] of Object.entries(ofChannels)) {
    refusals.length = 0;
    const { client, gone, isIn } = await stranger(patient.port);
    let why: Error | undefined;
    client.on('error', (error) => (why ??= error));
    for (let count = 0; count < 20; count += 1) say(client, ...fields);
    const begun = Date.now();
    await gone;
    t.ok(Date.now() - begun < 5_000, `${what}: it has to go`);
    t.notOk(isIn());
    t.equal(why, undefined, 'with a proper goodbye');
    t.ok(await until(() => refusals.length > 0));
    await until(() => false, 60);
    t.same(refusals, ['malformed 1'], 'counted once');
    await servesOthers(t, patient);
  }
  t.equal(logins.filter(({ name }) => name === 'alice').length, 0);
});

void t.test('signs of life before the login harm nobody', async (t) => {
  const own = await startServer();
  t.teardown(() => own.close());
  const { client, isIn } = await stranger(own.port);
  client.on('error', () => undefined);
  for (const name of ['keepalive@openssh.com', 'keepalive@libssh2.org']) {
    say(client, message.GLOBAL_REQUEST, string(name), 1);
  }
  expectLogin(client);
  say(client, ...asks('alice', 'password', no, string('secret of alice')));
  t.ok(await until(isIn), 'it gets in');
  client.destroy();
});

void t.test('a right login does not help who asks for a channel before its answer', async (t) => {
  const slow = await startServer({ loginGraceMs: 60_000, refusalMs: 20 });
  t.teardown(() => slow.close());
  const verify = slow.accounts.verifyPassword.bind(slow.accounts);
  const { client, gone, isIn } = await stranger(slow.port);
  slow.accounts.verifyPassword = async (...login) => {
    if (login[0] === 'alice') await gone;
    return verify(...login);
  };
  client.on('error', () => undefined);
  expectLogin(client);
  say(client, ...asks('alice', 'password', no, string('secret of alice')));
  say(client, message.CHANNEL_OPEN, string('session'), uint32(0), uint32(1 << 20), uint32(1024));
  await gone;
  t.notOk(isIn());
  t.ok(await until(() => slow.accounts.logins.length > 0), 'its login ends afterwards');
  await servesOthers(t, slow);
  t.same(
    slow.intake.events.filter((event) => event.includes('alice')),
    [],
  );
});

/** A request to log in (RFC 4252 §5). */
const asks = (
  user: string | Buffer,
  method: string,
  ...rest: readonly Buffer[]
): readonly (number | Buffer)[] => [
  message.USERAUTH_REQUEST,
  ...[string(user), string('ssh-connection'), string(method), ...rest],
];
const no = Buffer.of(0);
const blob = server.users.get('alice')?.key.blob ?? no;

const logins: Readonly<Record<string, readonly (number | Buffer)[]>> = {
  'as nobody, with nothing': asks('', 'none'),
  'with no method, for ever': asks('alice', 'none'),
  'with a name that is no UTF-8': asks(
    Buffer.from('ff fe c0 af 00', 'hex'),
    'password',
    no,
    string('x'),
  ),
  'with a name of thirty thousand bytes': asks('x'.repeat(30_000), 'password', no, string('x')),
  'with a password of thirty thousand bytes': asks(
    'alice',
    'password',
    no,
    string('x'.repeat(30_000)),
  ),
  'with a password that is no UTF-8': asks('alice', 'password', no, string(Buffer.alloc(40, 0xff))),
  'with a password to be changed': asks(
    'alice',
    'password',
    Buffer.of(1),
    string('a'),
    string('b'),
  ),
  'with questions that it never answers': asks(
    'alice',
    'keyboard-interactive',
    string(''),
    string(''),
  ),
  'as a host': asks(
    'alice',
    'hostbased',
    string('ssh-ed25519'),
    string(blob),
    string('h'),
    string('u'),
    string('s'),
  ),
  'with a ticket': asks('alice', 'gssapi-with-mic', uint32(1), string('x')),
  'with half of a request': [message.USERAUTH_REQUEST, string('alice')],
  'for another service': [
    message.USERAUTH_REQUEST,
    string('alice'),
    string('evil'),
    string('none'),
  ],
  'with a key of no kind': asks('alice', 'publickey', no, string(''), string('')),
  'with a key, asked for again and again': asks(
    'alice',
    'publickey',
    no,
    string('ssh-ed25519'),
    string(blob),
  ),
};

for (const [how, fields] of Object.entries(logins)) {
  void t.test(`who tries ${how} does not get in and has to go`, async (t) => {
    const { client, isIn } = await stranger(port);
    client.on('error', () => undefined);
    for (let count = 0; count < 300; count += 1) {
      expectLogin(client);
      if (!say(client, ...fields)) break;
    }
    await servesOthers(t, server);
    t.ok(await allGone([socketOf(client)]));
    t.notOk(isIn());
    t.notOk(existsSync(join(server.home, 'ji_brain/alice')));
  });
}

void t.test('a signature counts for its own algorithm alone', async (t) => {
  const { privateKey = '' } = server.users.get('alice')?.key ?? {};
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) return t.fail();
  const right = (bytes: Buffer): Buffer => parsed.sign(bytes) as Buffer;
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const byRsa =
    (hash: string) =>
    (bytes: Buffer): Buffer =>
      sign(hash, bytes, rsa);
  const tries: readonly [string, string, (bytes: Buffer) => Buffer][] = [
    ['ssh-ed25519', 'ssh-rsa', right],
    ['rsa-sha2-512', 'rsa-sha2-512', right],
    ['ssh-rsa', 'ssh-rsa', byRsa('sha1')],
    ['rsa-sha2-256', 'rsa-sha2-256', byRsa('sha256')],
    ['ssh-ed25519', 'ssh-ed25519', byRsa('sha256')],
    ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256', right],
    ['sk-ssh-ed25519@openssh.com', 'sk-ssh-ed25519@openssh.com', right],
    ['ssh-ed25519-cert-v01@openssh.com', 'ssh-ed25519', right],
    ['ssh-ed25519', 'ssh-ed25519', () => Buffer.alloc(64)],
    ['ssh-ed25519', 'ssh-ed25519', () => Buffer.alloc(0)],
  ];
  for (const [kind, signedAs, signs] of tries) {
    const attempt = await present(kind, signedAs, signs);
    t.notOk(attempt, `${kind}, signed as ${signedAs}`);
  }
  t.ok(await present('ssh-ed25519', 'ssh-ed25519', right), 'the right one, sent the same way');
  await servesOthers(t, server);
  return undefined;
});

/** One attempt with alice's key; resolves to whether it got in. */
async function present(
  kind: string,
  signedAs: string,
  signs: (bytes: Buffer) => Buffer,
): Promise<boolean> {
  const { client, gone } = await stranger(port);
  const isIn = new Promise<boolean>((resolve) => {
    client.on('ready', () => resolve(true)).on('error', () => resolve(false));
  });
  const fields = asks('alice', 'publickey', Buffer.of(1), string(kind), string(blob));
  const request = Buffer.concat(
    fields.map((field) => (typeof field === 'number' ? Buffer.of(field) : field)),
  );
  const bytes = Buffer.concat([string(sessionIdOf(client)), request]);
  expectLogin(client);
  say(client, request, string(Buffer.concat([string(signedAs), string(signs(bytes))])));
  const wasIn = await Promise.race([isIn, gone.then(() => false), refusalOf(client)]);
  client.destroy();
  return wasIn;
}
