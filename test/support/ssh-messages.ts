// SSH messages as bytes, sent below the interface of ssh2's client: what an honest client would never send. And the proof that
// somebody else is served all the same.

import { readFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { Test } from 'tap';
import { connect, openSftp, type RawClient } from './sftp-client.ts';
import type { TestServer } from './sftp-server.ts';

/** Attacks come from here; everybody else from 127.0.0.1. */
export const attacker = '127.0.0.2';

/** Numbers of RFC 4250 §4.1.2. */
export const message = {
  IGNORE: 2,
  SERVICE_REQUEST: 5,
  KEXINIT: 20,
  USERAUTH_REQUEST: 50,
  GLOBAL_REQUEST: 80,
  CHANNEL_OPEN: 90,
  WINDOW_ADJUST: 93,
  CHANNEL_DATA: 94,
  CHANNEL_EXTENDED_DATA: 95,
  CHANNEL_EOF: 96,
  CHANNEL_CLOSE: 97,
  CHANNEL_REQUEST: 98,
} as const;

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** With its length in front (RFC 4251 §5). */
export const string = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([uint32(bytes.length), bytes]);
};

interface Inside {
  readonly _protocol: {
    rekey(): void;
    readonly _kex: { readonly sessionID: Buffer };
    readonly _authsQueue: string[];
    readonly _handlers: Record<string, (...args: unknown[]) => void>;
    readonly _packetRW: {
      write: { allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer };
    };
    readonly _cipher: { encrypt(packet: Buffer): void };
  };
  readonly _sock: Socket;
}
export const inside = (client: ssh2.Client): Inside => client as unknown as Inside;

/** Sends a message, encrypted. False: the connection has ended. */
export function say(client: ssh2.Client, ...fields: readonly (number | Uint8Array)[]): boolean {
  if (socketOf(client).destroyed) return false;
  const { _packetRW: packets, _cipher: cipher } = inside(client)._protocol;
  const payload = Buffer.concat(
    fields.map((field) => (typeof field === 'number' ? Buffer.of(field) : field)),
  );
  try {
    const packet = packets.write.alloc(payload.length);
    payload.copy(packet, packets.write.allocStart);
    cipher.encrypt(packets.write.finalize(packet));
    return true;
  } catch {
    return false; // ssh2 throws when its socket has ended.
  }
}

export const socketOf = (client: ssh2.Client): Socket => inside(client)._sock;
export const sessionIdOf = (client: ssh2.Client): Buffer => inside(client)._protocol._kex.sessionID;

/** The next answer is one to a login: ssh2's client keeps count. */
export const expectLogin = (client: ssh2.Client): void => {
  inside(client)._protocol._authsQueue.push('publickey');
};

/** Resolves to false when the server has refused the login that was expected. */
export function refusalOf(client: ssh2.Client): Promise<false> {
  const { _handlers: handlers } = inside(client)._protocol;
  return new Promise((resolve) => {
    handlers['USERAUTH_FAILURE'] = () => resolve(false);
  });
}

export interface Stranger {
  readonly client: ssh2.Client;
  /** Resolves when the connection has ended. */
  readonly gone: Promise<void>;
  /** Has it got in? */
  readonly isIn: () => boolean;
}

/** A connection from the attacker with keys agreed on, in front of the login. */
export function stranger(port: number, config: ssh2.ConnectConfig = {}): Promise<Stranger> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    let isIn = false;
    const gone = new Promise<void>((end) => client.on('close', () => end()));
    client.on('ready', () => (isIn = true)).on('error', reject);
    const authHandler: ssh2.AuthHandlerMiddleware = () =>
      resolve({ client, gone, isIn: () => isIn });
    const from = { host: '127.0.0.1', localAddress: attacker, port, username: 'alice' };
    client.connect({ ...from, ...config, authHandler });
  });
}

/** Logs in as alice from the attacker's address. */
export async function insider(server: TestServer): Promise<RawClient> {
  const { privateKey = '' } = server.users.get('alice')?.key ?? {};
  const ssh = await new Promise<ssh2.Client>((resolve, reject) => {
    const client = new ssh2.Client();
    client.on('ready', () => resolve(client)).on('error', reject);
    const from = { host: '127.0.0.1', localAddress: attacker, port: server.port };
    client.connect({ ...from, username: 'alice', privateKey });
  });
  ssh.setMaxListeners(0);
  return openSftp(ssh);
}

/** A bare socket from the attacker; `bytes` are sent at once. */
export function bareSocket(port: number, bytes: string | Uint8Array = ''): Socket {
  const socket = createConnection({ host: '127.0.0.1', localAddress: attacker, port });
  socket.on('error', () => undefined).on('data', () => undefined);
  socket.write(bytes);
  return socket;
}

/** How long somebody else may wait, whatever goes on. */
const mostMs = 5_000;
let proofs = 0;

/** Somebody else logs in and uploads, in time; nothing of before was an error that is not typed. */
export async function servesOthers(t: Test, server: TestServer): Promise<void> {
  proofs += 1;
  const name = `after-${proofs}.dcm`;
  const begun = Date.now();
  const bob = await connect(server, 'bob');
  t.equal(await bob.put(`/home/ji_brain/bob/gpg/${name}`, name), 'OK', 'somebody else uploads');
  const tookMs = Date.now() - begun;
  t.ok(tookMs < mostMs, `within five seconds: ${tookMs} ms`);
  t.equal(readFileSync(join(server.home, 'ji_brain/bob/gpg', name), 'utf8'), name);
  bob.end();
  const errors = server.log.lines.filter((line) => line.startsWith('error'));
  t.same(errors, [], 'no error that is not typed');
}
