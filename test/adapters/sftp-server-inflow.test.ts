// How bytes come in and go out fast: the parts of ssh2 that we reach into (a new version that changes them fails here), the
// buffers that are used again, and the memory that the socket lends.

import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import type { Connection, ServerChannel } from 'ssh2';
import ssh2 from 'ssh2';
import t from 'tap';
import { giveBack, takeBuffer } from '../../src/adapters/sftp-server/buffers.ts';
import { createPacketReader, packetType } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { createHandshakes } from '../../src/adapters/sftp-server/handshakes.ts';
import { shareReads } from '../../src/adapters/sftp-server/shared-socket.ts';
import {
  dropTooEarly,
  mayHold,
  wholePacketBytes,
} from '../../src/adapters/sftp-server/ssh2-private.ts';
import { takeInflow } from '../../src/adapters/ssh2-inflow.ts';
import { reusePackets } from '../../src/adapters/ssh2-packets.ts';
import { connect, connectSsh, openSftp, until } from '../support/sftp-client.ts';
import { makeKey, startServer } from '../support/sftp-server.ts';

/** One connection of ssh2's own server, as we get it, with the raw channel of a client. */
async function rawPair(): Promise<{
  readonly client: ssh2.Client;
  readonly connection: Connection;
  readonly serverChannel: ServerChannel;
  readonly clientChannel: ssh2.ClientChannel;
  close(): void;
}> {
  let connection: Connection | undefined;
  let serverChannel: ServerChannel | undefined;
  const server = new ssh2.Server({ hostKeys: [makeKey().privateKey] }, (arrived) => {
    connection = arrived;
    arrived.on('authentication', (attempt) => attempt.accept());
    arrived.on('error', () => undefined);
    arrived.on('session', (accept) => {
      accept().on('shell', (acceptShell) => {
        serverChannel = acceptShell();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = await connectSsh({ port, username: 'x', password: 'x' });
  client.on('error', () => undefined);
  const clientChannel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.shell(false, (error, channel) => (error ? reject(error) : resolve(channel)));
  });
  if (connection === undefined || serverChannel === undefined) throw new Error('no channel');
  return {
    client,
    connection,
    serverChannel,
    clientChannel,
    close: () => {
      client.destroy();
      server.close();
    },
  };
}

void t.test('ssh2 still has the fields by which a channel is read without it', async (t) => {
  const pair = await rawPair();
  const { serverChannel, clientChannel, connection } = pair;
  t.teardown(() => pair.close());
  let received = 0;
  let hasEnded = false;
  const inflow = takeInflow(serverChannel, (bytes) => {
    if (bytes === undefined) hasEnded = true;
    else received += bytes.length;
  });
  t.equal(inflow?.windowBytes, 2 << 20);
  clientChannel.write(Buffer.alloc(5 << 20));
  t.ok(await until(() => received === 2 << 20), 'the first window and no more');
  await until(() => false, 50);
  t.equal(received, 2 << 20, 'ssh2 grants nothing by itself');
  inflow?.grant(1 << 20);
  t.ok(await until(() => received === 3 << 20), 'what was granted');
  inflow?.grant(4 << 20);
  t.ok(await until(() => received === 5 << 20));
  clientChannel.end();
  t.ok(await until(() => hasEnded));
  const ended = new Promise((resolve) => serverChannel.once('end', resolve));
  inflow?.finish();
  await ended;
  t.ok(reusePackets(connection, { bytesWritten: 0, writableLength: 0 }), 'packets');
  t.notOk(mayHold(connection, new ArrayBuffer(1)), 'nothing is held between packets');
  const two = Buffer.concat([packetOf(32), packetOf(48)]);
  t.equal(wholePacketBytes(connection, two), two.length);
  t.equal(wholePacketBytes(connection, two.subarray(0, -1)), 4 + 32 + 16);
  t.equal(wholePacketBytes(connection, two.subarray(0, 3)), 0);
  t.equal(wholePacketBytes(connection, packetOf(1 << 20).subarray(0, 99)), 99, 'ssh2 refuses it');
});

void t.test(
  'and those by which the sender gives a partner as much window as its line needs',
  async (t) => {
    const pair = await rawPair();
    const { serverChannel, clientChannel } = pair;
    t.teardown(() => pair.close());
    let received = 0;
    let hasEnded = false;
    const inflow = takeInflow(clientChannel, (bytes) => {
      if (bytes === undefined) hasEnded = true;
      else received += bytes.length;
    });
    t.equal(inflow?.windowBytes, 2 << 20);
    serverChannel.write(Buffer.alloc(9 << 20));
    t.ok(await until(() => received === 2 << 20), 'the first window');
    await until(() => false, 50);
    t.equal(received, 2 << 20, 'and no more');
    inflow?.grant(32 << 20);
    t.ok(await until(() => received === 9 << 20), 'what was granted beyond');
    const closed = new Promise((resolve) => clientChannel.once('close', resolve));
    clientChannel.once('end', () => t.pass('its end is heard'));
    serverChannel.end();
    t.ok(await until(() => hasEnded));
    inflow?.finish();
    serverChannel.close();
    await closed;
  },
);

/** As AES-GCM has it on the line: the length, so many bytes, the tag. */
function packetOf(bytes: number): Buffer {
  const packet = Buffer.alloc(4 + bytes + 16);
  packet.writeUInt32BE(bytes, 0);
  return packet;
}

void t.test(
  'ssh2 still reads its packets where those that come too early are dropped',
  async (t) => {
    let early = 0;
    let opened = 0;
    let [mayGoOn] = [(): void => undefined];
    const server = new ssh2.Server({ hostKeys: [makeKey().privateKey] }, (arrived) => {
      mayGoOn = dropTooEarly(arrived, () => (early += 1));
      arrived.on('authentication', (attempt) => attempt.accept());
      arrived.on('error', () => undefined);
      arrived.on('session', (_accept, reject) => {
        opened += 1;
        reject();
      });
    });
    t.teardown(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    for (const isReleased of [false, true]) {
      [early, opened] = [0, 0];
      const client = await connectSsh({ port, username: 'x', password: 'x' });
      if (isReleased) mayGoOn();
      for (let count = 0; count < 3; count += 1) client.shell(false, () => undefined);
      t.ok(await until(() => (isReleased ? opened === 3 : early === 1)));
      await until(() => false, 30);
      t.same([early, opened], isReleased ? [0, 3] : [1, 0], 'once, and nothing behind it');
      client.destroy();
    }
  },
);

void t.test('where ssh2 is not as we know it, its own ways are taken', async (t) => {
  const strange = { push: () => true, readableLength: 0 } as unknown as ServerChannel;
  t.equal(
    takeInflow(strange, () => undefined),
    undefined,
  );
  const nobody = { _protocol: {} } as unknown as Connection;
  t.notOk(reusePackets(nobody, { bytesWritten: 0, writableLength: 0 }));
  t.ok(mayHold(nobody, new ArrayBuffer(1)), 'then it may hold everything');
  t.doesNotThrow(dropTooEarly(nobody, () => t.fail()));
  t.equal(wholePacketBytes(nobody, Buffer.alloc(9)), 9, 'and gets everything');
});

const ciphers = ['aes128-gcm@openssh.com', 'aes256-ctr'] as const;
void t.test('bytes arrive as they are, both ways, across exchanges of keys', async (t) => {
  const server = await startServer({ rekeyBytes: 1_500_000 });
  t.teardown(() => server.close());
  const privateKey = server.users.get('alice')?.key.privateKey ?? '';
  for (const cipher of ciphers) {
    const ssh = await connectSsh({
      port: server.port,
      username: 'alice',
      privateKey,
      algorithms: { cipher: [cipher] },
    });
    let exchanges = 0;
    ssh.on('handshake', () => (exchanges += 1));
    const sftp = await openSftp(ssh);
    const bytes = randomBytes(6 << 20);
    const path = `/home/ji_brain/alice/${cipher}`;
    const handle = await sftp.open(path, 0x1a);
    const pieceBytes = 199_999;
    const answers: Promise<string>[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes);
      answers.push(sftp.write(handle, at, piece));
      if (answers.length % 7 === 0) await answers.at(-1);
    }
    t.ok((await Promise.all(answers)).every((status) => status === 'OK'));
    t.equal(await sftp.close(handle), 'OK');
    const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
    const onDisk = await readFile(join(server.home, 'ji_brain/alice', cipher));
    t.equal(digest(onDisk), digest(bytes), `${cipher}, up`);
    const reading = await sftp.open(path, 1);
    const parts = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      parts.push(sftp.read(reading, at, pieceBytes));
    }
    t.equal(digest(Buffer.concat(await Promise.all(parts))), digest(bytes), `${cipher}, down`);
    t.ok(exchanges > 1, `${exchanges} exchanges`);
    sftp.end();
  }
});

void t.test('a client that sends beyond its window is cut off', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const sftp = await connect(server, 'alice');
  const { _protocol: protocol } = sftp.ssh as unknown as {
    readonly _protocol: { channelData(id: number, data: Buffer): void };
  };
  const { id } = (sftp.channel as unknown as { outgoing: { id: number } }).outgoing;
  // A packet of 256 KB that is never whole, over and over: nothing of it can be taken.
  const held = encode(packetType.OPEN, 1, Buffer.alloc(200_000)).subarray(0, 30_000);
  protocol.channelData(id, held);
  for (let sent = 0; sent < 200; sent += 1) protocol.channelData(id, Buffer.alloc(30_000, 0xff));
  await sftp.gone;
  t.pass('the connection ended');
});

void t.test('a buffer is used again when it was given back, and only once', async (t) => {
  const first = takeBuffer(100_000);
  giveBack(first);
  giveBack(first);
  const [second, third] = [takeBuffer(200_000), takeBuffer(200_000)];
  t.equal(second.buffer, first.buffer);
  t.not(third.buffer, first.buffer);
  const foreign = Buffer.alloc(300_000);
  giveBack(foreign);
  t.not(takeBuffer(200_000).buffer, foreign.buffer);
});

void t.test(
  'a packet stays right when the memory of its pieces is used for the next',
  async (t) => {
    const stream = Buffer.concat([
      encode(packetType.WRITE, 1, 'hand', 0n, Buffer.alloc(40_000, 'a')),
      encode(packetType.OPEN, 2, 'name', 1, 0),
      encode(packetType.WRITE, 3, 'hand', 7n, Buffer.alloc(100, 'b'), 'junk'),
      encode(packetType.CLOSE, 4, 'hand'),
    ]);
    const memory = Buffer.alloc(999);
    const reader = createPacketReader();
    const found: string[] = [];
    const takeAll = (): void => {
      for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
        const { type, id, body, data } = packet;
        found.push(`${type} ${id} ${body.text()} ${data.length} ${new Set(data).size}`);
      }
    };
    for (let at = 0; at < stream.length; at += memory.length) {
      reader.feed(memory.subarray(0, stream.copy(memory, 0, at)));
      // Now and then nothing is taken: the session is busy.
      if ((at / memory.length) % 5 !== 0) takeAll();
      reader.keep();
    }
    takeAll();
    t.same(found, ['6 1 hand 40000 1', '3 2 name 0 0', '6 3 hand 100 1', '4 4 hand 0 0']);
  },
);

void t.test('a socket lends its memory, unless somebody holds on to it', async (t) => {
  let holds = false;
  const pieces: Buffer[] = [];
  let socket: Socket | undefined;
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    const shared = shareReads(accepted, createHandshakes(), 'somewhere');
    socket = shared.socket;
    socket.on('data', (piece) => pieces.push(piece));
    socket.on('end', () => socket?.end('bye'));
    shared.lend({
      mayHold: () => holds,
      ready: (bytes) => bytes.length - (bytes.at(-1) === 43 ? 2 : 0),
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connectSocket((server.address() as AddressInfo).port, '127.0.0.1');
  const answer: Buffer[] = [];
  client.on('data', (piece) => answer.push(piece));
  const say = async (text: string): Promise<Buffer> => {
    const before = pieces.length;
    client.write(text);
    t.ok(await until(() => pieces.length > before));
    return pieces.at(-1) as Buffer;
  };
  await say('first');
  const one = await say('one');
  const two = await say('two');
  t.equal(one.buffer, two.buffer, 'the same memory');
  t.equal(one.toString(), 'two');
  holds = true;
  const three = await say('three');
  const four = await say('four');
  t.equal(three.toString(), 'three', 'held');
  t.not(three.buffer, four.buffer);
  t.equal((await say('five6+')).toString(), 'five', 'what is not ready');
  t.equal((await say('7')).toString(), '6+7', 'comes in front of the next');
  socket?.pause();
  client.write('waits');
  await until(() => false, 30);
  t.equal(pieces.at(-1)?.toString(), '6+7', 'nothing comes while it is paused');
  socket?.resume();
  t.ok(await until(() => pieces.at(-1)?.toString() === 'waits'));
  client.end();
  t.ok(await until(() => Buffer.concat(answer).toString() === 'bye'));
  await new Promise((resolve) => server.close(resolve));
  t.pass('the server knows that its connection ended');
});
