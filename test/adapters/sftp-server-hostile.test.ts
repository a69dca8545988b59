// Clients that speak SSH well enough to log in, or not even that, and then try to stop the server for everybody else. Each
// attack comes from an address of its own, and is followed by an ordinary login and upload of somebody else.

import { createConnection, createServer, type AddressInfo } from 'node:net';
import type ssh2 from 'ssh2';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { createDoor, sourceOf } from '../../src/adapters/sftp-server/door.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { createPenalties } from '../../src/adapters/sftp-server/penalties.ts';
import { watchPressure } from '../../src/adapters/sftp-server/pressure.ts';
import { connectSsh, openSftp, until, type RawClient } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { attacker, servesOthers } from '../support/ssh-messages.ts';

const server = await startServer({ channels: 3, refusalMs: 150, handlesPerUser: 20 });
t.teardown(() => server.close());
const { port, users, accounts } = server;
const keyOf = (name: string): string => users.get(name)?.key.privateKey ?? '';

/** What ssh2's client sends below its own interface, and its socket. */
interface Inside {
  readonly _protocol: {
    session(channel: number, window: number, packetBytes: number): void;
    channelClose(channel: number): void;
    channelData(channel: number, data: Buffer): void;
  };
  readonly _sock: {
    pause(): void;
    readonly writableLength: number;
    readonly destroyed: boolean;
  };
}
const inside = (client: ssh2.Client): Inside => client as unknown as Inside;

const login = async (name = 'alice'): Promise<ssh2.Client> => {
  const from = { localAddress: attacker, port, username: name };
  const client = await connectSsh({ ...from, privateKey: keyOf(name) });
  client.on('error', () => undefined);
  client.setMaxListeners(0);
  return client;
};

/** The next channel says these limits of its own. */
function withChannel(client: ssh2.Client, window: number, packetBytes: number): void {
  const { _protocol: protocol } = inside(client);
  const session = protocol.session.bind(protocol);
  protocol.session = (channel) => session(channel, window, packetBytes);
}

void t.test('a client that takes packets of no bytes does not stop the server', async (t) => {
  for (const bytes of [0, 1]) {
    const client = await login();
    withChannel(client, 1 << 20, bytes);
    openSftp(client).catch(() => undefined);
    await new Promise<void>((resolve) => client.once('close', () => resolve()));
  }
  await servesOthers(t, server);
});

void t.test('closing a channel twice does not make room for two more', async (t) => {
  const client = await login();
  const { _protocol: protocol } = inside(client);
  protocol.session(900, 1 << 20, 32_768);
  await until(() => false, 50);
  for (let count = 0; count < 50; count += 1) protocol.channelClose(0);
  const open = async (): Promise<number> => {
    try {
      await openSftp(client);
      return 1;
    } catch {
      return 0;
    }
  };
  let opened = 0;
  for (let count = 0; count < 8; count += 1) opened += await open();
  t.equal(opened, 3);
  client.destroy();
  await servesOthers(t, server);
});

/** Sends until the server stops taking: true when it did before `most` bytes. */
async function isStopped(client: ssh2.Client, most: number, send: () => number): Promise<boolean> {
  const { _sock: socket } = inside(client);
  for (let sent = 0; sent < most && !socket.destroyed; sent += send()) {
    if (socket.writableLength < 4e6) continue;
    if (!(await until(() => socket.destroyed || socket.writableLength < 2e6, 400))) return true;
  }
  // The end of the connection may be known a little later than the last byte was written.
  return until(() => socket.destroyed, 5000);
}

void t.test('who does not read is not read, and goes on when he reads', async (t) => {
  let rooms = 0;
  let received = 0;
  const echo = createServer((socket) => {
    // As ssh2 does: each request is answered at once, into the socket's buffer.
    socket.on('data', (chunk) => {
      received += chunk.length;
      socket.write(chunk);
    });
    watchPressure(socket, () => (rooms += 1));
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  const socket = createConnection((echo.address() as AddressInfo).port, '127.0.0.1');
  socket.pause();
  const total = 64 << 20;
  for (let sent = 0; sent < total; sent += 1 << 20) socket.write(Buffer.alloc(1 << 20));
  let before = -1;
  const isStill = (): boolean => {
    const stands = before === received;
    before = received;
    return stands;
  };
  await until(() => false, 200);
  while (!isStill()) await until(() => false, 150);
  t.ok(received < total / 2, `${received} bytes were taken`);
  let read = 0;
  socket.on('data', (chunk) => (read += chunk.length));
  socket.resume();
  t.ok(await until(() => read === total), 'nothing is lost');
  t.ok(rooms > 0);
  socket.destroy();
  echo.close();
});

void t.test('the widest window does not make the server read ahead of the client', async (t) => {
  const client = await login();
  withChannel(client, 0xffffffff, 32_768);
  const sftp = await openSftp(client);
  await sftp.put('/home/ji_brain/alice/big', Buffer.alloc(200_000));
  const handle = await sftp.open('/home/ji_brain/alice/big', 1);
  const before = process.memoryUsage().rss;
  inside(client)._sock.pause();
  const reads = Array.from({ length: 8000 }, (_, id) =>
    encode(fxp.READ, 1_000_000 + id, handle, 0n, 200_000),
  );
  sftp.raw(Buffer.concat(reads));
  await until(() => false, 600);
  t.ok(process.memoryUsage().rss - before < 150e6, 'not the 1.6 GB that were asked for');
  client.destroy();
  await servesOthers(t, server);
});

void t.test('data beyond the window ends the connection', async (t) => {
  const client = await login();
  const sftp = await openSftp(client);
  await sftp.put('/home/ji_brain/alice/big', Buffer.alloc(200_000));
  const handle = await sftp.open('/home/ji_brain/alice/big', 1);
  inside(client)._sock.pause();
  const { id } = (sftp.channel as unknown as { outgoing: { id: number } }).outgoing;
  const reads = Buffer.concat(
    Array.from({ length: 700 }, () => encode(fxp.READ, 5, handle, 0n, 200_000)),
  );
  const send = (): number => {
    inside(client)._protocol.channelData(id, reads);
    return reads.length;
  };
  t.ok(await isStopped(client, 60e6, send));
  client.destroy();
  await servesOthers(t, server);
});

void t.test('a user has so many handles in all sessions together', async (t) => {
  const sessions: RawClient[] = [];
  for (let count = 0; count < 3; count += 1) sessions.push(await openSftp(await login()));
  const openUp = async (client: RawClient): Promise<number> => {
    for (let count = 0; ; count += 1) {
      try {
        await client.openFolder('/home');
      } catch {
        return count;
      }
    }
  };
  const counts = [];
  for (const client of sessions) counts.push(await openUp(client));
  t.same(counts, [20, 0, 0]);
  sessions[0]?.cut();
  t.ok(await until(async () => (await openUp(sessions[1] as RawClient)) > 0), 'given back');
  for (const client of sessions) client.cut();
  await servesOthers(t, server);
});

void t.test('a wrong password, a wrong name and a penalty take the same time', async (t) => {
  const took = async (username: string, password: string): Promise<number> => {
    const from = performance.now();
    await t.rejects(connectSsh({ localAddress: attacker, port, username, password }));
    return performance.now() - from;
  };
  const names = ['alice', 'nobody', 'alice', 'alice', 'alice', 'alice'];
  for (const name of names) t.ok((await took(name, 'wrong')) >= 150, name);
  const right = { port, username: 'alice', password: 'secret of alice' };
  await t.rejects(connectSsh({ ...right, localAddress: attacker }));
  t.equal(accounts.logins.filter(({ name }) => name === 'alice').at(-1)?.accepted, false);
  const client = await login();
  t.pass('a key still opens');
  client.end();
  const elsewhere = await connectSsh(right);
  t.pass('and so does the password from anywhere else');
  elsewhere.end();
  await servesOthers(t, server);
});

void t.test('penalties are for one source and user, grow, and end', async (t) => {
  let now = 0;
  const penalties = createPenalties(() => now);
  const fail = (times: number): void => {
    for (let count = 0; count < times; count += 1) penalties.failed('a', 'alice');
  };
  fail(2);
  t.notOk(penalties.isUnder('a', 'alice'), 'two are forgiven');
  fail(1);
  t.ok(penalties.isUnder('a', 'alice'));
  t.notOk(penalties.isUnder('b', 'alice'), 'from elsewhere');
  t.notOk(penalties.isUnder('a', 'bob'), 'somebody else behind the same address');
  now = 15_000;
  t.notOk(penalties.isUnder('a', 'alice'));
  fail(1000);
  now += 599_000;
  t.ok(penalties.isUnder('a', 'alice'));
  now += 2_000;
  t.notOk(penalties.isUnder('a', 'alice'), 'ten minutes at most');
  const recorded = Array.from({ length: 100 }, () => penalties.mayRecord('a'));
  t.equal(recorded.filter(Boolean).length, 60, 'a flood does not fill the audit');
  t.ok(penalties.mayRecord('b'));
});

void t.test('a flood of strangers keeps only its own source out', async (t) => {
  const gone: string[] = [];
  let chance = 0.99;
  let now = 0;
  const door = createDoor({
    startups: { begin: 4, percent: 30, full: 10 },
    perSource: 9,
    exempt: ['192.0.2.0/24', '2001:db8::/32'],
    now: () => now,
    random: () => chance,
  });
  const knock = (source: string): boolean =>
    door.enter({ source, turnAway: () => gone.push(source) });
  const knocks = (source: string, times: number): number =>
    Array.from({ length: times }, () => knock(source)).filter(Boolean).length;
  t.equal(knocks('flood', 6), 6, 'who is lucky comes in');
  chance = 0.5;
  t.notOk(knock('flood'), 'the more there are, the less luck: 6 of 10 are dropped for 53 of 100');
  t.ok(knock('hospital'), 'others come in all the same');
  t.same(gone, ['flood'], 'in the place of the oldest of the flood');
  door.trust('flood');
  t.equal(
    knocks('flood', 6),
    4,
    'where somebody logged in lately no chance drops, until all is full',
  );
  t.equal(door.count, 10);
  t.ok(knock('clinic'));
  t.same(gone, ['flood', 'flood']);
  now += 3_600_000;
  t.notOk(knock('flood'), 'trust ends');
  t.ok(knock('192.0.2.9'), 'exempt');
  t.ok(knock('2001:db8:0:7::/64'), 'exempt');
  t.equal(door.count, 10, 'but never more than all');
});

const sources: readonly (readonly [string, string])[] = [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:0:7:1:2:3:4', '2001:db8:0:7::/64'],
  ['2001:db8:0:7::9', '2001:db8:0:7::/64'],
  ['2001:DB8:0000:0007:FFFF::', '2001:db8:0:7::/64'],
  ['::1', '0:0:0:0::/64'],
];
void t.test('a source is an IPv4 address or an IPv6 network', async (t) => {
  for (const [address, source] of sources) t.equal(sourceOf(address), source, address);
});

void t.test('sixty simultaneous logins from one source all come in', async (t) => {
  const all = await Promise.allSettled(
    Array.from({ length: 60 }, (_, index) => login(index % 2 === 0 ? 'alice' : 'bob')),
  );
  t.equal(all.filter(({ status }) => status === 'fulfilled').length, 60);
  await servesOthers(t, server);
  for (const one of all) if (one.status === 'fulfilled') one.value.destroy();
});
