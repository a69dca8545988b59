// A partner that means harm, or is broken, from its login on: whatever it sends, our own server goes on and its connection ends.

import { join } from 'node:path';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import ssh2, { type Connection, type ServerChannel } from 'ssh2';
import t, { type Test } from 'tap';
import { connectSftp } from '../../src/adapters/sftp-remote/connect.ts';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { FrameReader, packet, packetTypes, uint32 } from '../../src/adapters/sftp-remote/wire.ts';
import type { Remote, RemoteAddress } from '../../src/flow/ports/replication.ts';
import { fingerprintOfBlob } from '../../src/core/sshsig.ts';
import { message, say, string } from '../support/ssh-messages.ts';
import { until } from '../support/sftp-client.ts';
import { makeKey } from '../support/sftp-server.ts';

t.setTimeout(60_000);
const never = new AbortController().signal;

interface Inside {
  readonly _sock: Socket;
  readonly _protocol: {
    channelOpenConfirm(remote: number, local: number, window: number, packet: number): void;
    channelData(id: number, data: Buffer): void;
    channelExtData(id: number, data: Buffer, type: number): void;
    channelEOF(id: number): void;
    channelClose(id: number): void;
    readonly _handlers: Record<string, (...args: readonly unknown[]) => void>;
  };
}

interface Session {
  readonly channel: ServerChannel;
  readonly id: number;
  readonly inside: Inside;
  /** Counts from 1 on each connection. */
  readonly number: number;
}

const version = packet(packetTypes.VERSION, [uint32(3)]);

/** `hear`: what a session is asked, as it comes. */
async function partner(
  t: Test,
  hear: (session: Session, bytes: Buffer) => void,
  packetBytes = 32_768,
): Promise<{
  readonly connect: (timeoutMs?: number, lanes?: number) => Promise<Remote>;
  readonly sockets: Socket[];
  readonly address: RemoteAddress;
  readonly keyPath: string;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-partner-'));
  const [host, login] = [makeKey(), makeKey()];
  await writeFile(join(folder, 'key'), login.privateKey, { mode: 0o600 });
  const sockets: Socket[] = [];
  const ssh = new ssh2.Server(
    { hostKeys: [host.privateKey], ident: 'OpenSSH_9.9' },
    (arrived: Connection) => {
      const inside = arrived as unknown as Inside;
      sockets.push(inside._sock);
      // It does not say goodbye.
      inside._sock.end = () => inside._sock;
      let number = 0;
      arrived.on('authentication', (attempt) => attempt.accept());
      arrived.on('error', () => undefined);
      const { _protocol: protocol } = inside;
      const confirm = protocol.channelOpenConfirm.bind(protocol);
      protocol.channelOpenConfirm = (remote, local, window) =>
        confirm(remote, local, window, packetBytes);
      arrived.on('session', (accept) => {
        const raw = accept() as unknown as {
          on(event: 'subsystem', listener: (accept: () => ServerChannel) => void): void;
        };
        raw.on('subsystem', (take) => {
          const channel = take();
          const { outgoing } = channel as unknown as { readonly outgoing: { readonly id: number } };
          number += 1;
          const session = { channel, id: outgoing.id, inside, number };
          channel.on('error', () => undefined);
          channel.on('data', (bytes: Buffer) => hear(session, bytes));
        });
      });
    },
  );
  const server = createServer({ allowHalfOpen: true }, (socket) => ssh.injectSocket(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  const { port } = server.address() as AddressInfo;
  const address = { host: '127.0.0.1', port, user: 'x', hostKey: fingerprintOfBlob(host.blob) };
  const keyPath = join(folder, 'key');
  return {
    sockets,
    address,
    keyPath,
    connect: (timeoutMs = 5_000, lanes = 1) =>
      createRemotes({ keyPath, timeoutMs, lanes }).connect(address, never),
  };
}

/** Both ends of the line are in this process, and the partner keeps its own open. */
const ourEnds = (theirs: readonly Socket[]): number =>
  process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length -
  theirs.filter(({ destroyed }) => !destroyed).length;

void t.test('a channel that takes packets of nothing is not written to', async (t) => {
  const { connect } = await partner(t, () => undefined, 0);
  await t.rejects(connect(), { code: 'REMOTE_UNREACHABLE' });
});

void t.test('a frame in pieces of one byte costs no more than its bytes', async (t) => {
  const reader = new FrameReader();
  const whole = packet(102, [Buffer.alloc(200_000)]);
  const begun = process.cpuUsage();
  let frames = 0;
  for (const byte of whole) frames += reader.push(Buffer.of(byte)).length;
  const { user } = process.cpuUsage(begun);
  t.equal(frames, 1);
  t.ok(user < 2_000_000, `${user / 1000} ms`);
});

void t.test('what comes after nonsense is not kept, and the connection goes', async (t) => {
  let flooding: NodeJS.Timeout | undefined;
  let sentBytes = 0;
  const { connect, sockets } = await partner(t, ({ channel, id, inside }, bytes) => {
    if (bytes[4] === packetTypes.INIT) {
      channel.write(version);
      return;
    }
    if (flooding !== undefined) return;
    const chunk = Buffer.alloc(32_000, 0x7f);
    flooding = setInterval(() => {
      if (inside._sock.writableLength > 4 << 20 || sentBytes > 300e6) return;
      for (let count = 0; count < 50; count += 1) inside._protocol.channelData(id, chunk);
      sentBytes += 50 * chunk.length;
    }, 1);
  });
  t.teardown(() => clearInterval(flooding));
  const remote = await connect();
  await t.rejects(remote.facts('/x'), { code: 'REMOTE_UNREACHABLE' });
  const before = process.memoryUsage().arrayBuffers;
  await until(() => sentBytes > 200e6, 3_000);
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 64 << 20, `${grown >> 20} MB grown after ${sentBytes / 1e6} MB`);
  await remote.close();
  t.ok(await until(() => ourEnds(sockets) === 0, 5_000), 'it is gone');
});

void t.test('a partner that does not say goodbye is left', async (t) => {
  const { connect, sockets } = await partner(t, ({ channel }) => void channel.write(version));
  await (await connect()).close();
  t.ok(ourEnds(sockets) > 0, 'it has its time');
  t.ok(await until(() => ourEnds(sockets) === 0, 5_000));
});

void t.test('what a partner complains of on the side takes nothing of the window', async (t) => {
  let granted = 0;
  const { connect } = await partner(t, ({ channel, id, inside }, bytes) => {
    if (bytes[4] === packetTypes.INIT) {
      channel.write(version);
      return;
    }
    const { outgoing } = channel as unknown as { readonly outgoing: { window: number } };
    const before = outgoing.window;
    for (let sent = 0; sent < 40 << 20; sent += 32_000) {
      inside._protocol.channelExtData(id, Buffer.alloc(32_000), 1);
    }
    void until(() => outgoing.window > before).then(() => {
      granted = outgoing.window - before;
      channel.write(packet(packetTypes.STATUS, [uint32(1), uint32(2)]));
    });
  });
  const remote = await connect();
  t.teardown(() => remote.close());
  t.equal(await remote.facts('/x'), undefined);
  t.ok(granted >= 8 << 20, `${granted} bytes`);
});

/** A message that wants an answer. */
const asks = (inside: Inside, name: string, ...rest: readonly Buffer[]): boolean =>
  say(inside as unknown as ssh2.Client, message.GLOBAL_REQUEST, string(name), 1, ...rest);

void t.test('answers that a partner asks for and does not read do not pile up', async (t) => {
  const { address, keyPath } = await partner(t, ({ inside }) => {
    inside._sock.pause();
    const ask = (): void => {
      for (let count = 0; count < 1_000; count += 1) asks(inside, 'keepalive@openssh.com');
      if (!inside._sock.destroyed) setTimeout(ask, 1);
    };
    ask();
  });
  const options = { keyPath, timeoutMs: 5_000, unsentBytes: 1 << 20 };
  const connection = await connectSftp(address, options, never);
  const { stream } = connection;
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream.resume();
  stream.write('x');
  await closed;
  t.pass('the connection ended');
  connection.end();
});

void t.test('a partner is not asked to prove keys that we do not want', async (t) => {
  const asked: string[] = [];
  const { connect } = await partner(t, ({ channel, inside }, bytes) => {
    if (bytes[4] === packetTypes.INIT) {
      const handlers = inside._protocol._handlers;
      handlers['GLOBAL_REQUEST'] = (_from, name) => void asked.push(String(name));
      asks(inside, 'hostkeys-00@openssh.com', string(makeKey().blob));
      channel.write(version);
    } else channel.write(packet(packetTypes.STATUS, [uint32(1), uint32(2)]));
  });
  const remote = await connect();
  t.equal(await remote.facts('/x'), undefined);
  await remote.close();
  t.same(asked, []);
});

for (const ending of ['channelClose', 'channelEOF', 'silence'] as const) {
  void t.test(`one of several sessions ends by ${ending} before it has begun`, async (t) => {
    const { connect } = await partner(t, ({ channel, id, inside, number }, bytes) => {
      if (bytes[4] !== packetTypes.INIT) {
        channel.write(packet(packetTypes.STATUS, [uint32(1), uint32(2)]));
      } else if (number === 1 || ending === 'silence') channel.write(version);
      else inside._protocol[ending](id);
    });
    const remote = await connect(5_000, 4);
    t.equal(await remote.facts('/x'), undefined, 'the others are used');
    await remote.close();
  });
}
