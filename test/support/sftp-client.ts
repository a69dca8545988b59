// A raw SFTP v3 client for tests: it sends exactly the bytes that a test wants, in any order, and pairs answers with ids.
// It speaks over the channel of ssh2's client, not over ssh2's SFTP class, so that odd and broken packets can be sent.

import ssh2 from 'ssh2';
import type { ClientChannel, ConnectConfig } from 'ssh2';
import { Reader, createPacketReader, packetType } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import type { TestServer } from './sftp-server.ts';

export interface Reply {
  readonly type: number;
  readonly body: Reader;
}

export const statusName = [
  'OK',
  'EOF',
  'NO_SUCH_FILE',
  'PERMISSION_DENIED',
  'FAILURE',
  'BAD_MESSAGE',
  'NO_CONNECTION',
  'CONNECTION_LOST',
  'OP_UNSUPPORTED',
];

export interface RawClient {
  readonly ssh: ssh2.Client;
  readonly channel: ClientChannel;
  /** Names of the extensions that VERSION offers. */
  readonly offers: readonly string[];
  /** Sends a request and waits for its answer. */
  ask(type: number, ...fields: readonly (number | bigint | string | Uint8Array)[]): Promise<Reply>;
  /** The same, for an answer that is a STATUS: its name and, when not OK, its text. */
  status(
    type: number,
    ...fields: readonly (number | bigint | string | Uint8Array)[]
  ): Promise<string>;
  /** A handle, or throws with the status. */
  open(path: string | Uint8Array, flags: number): Promise<Buffer>;
  openFolder(path: string): Promise<Buffer>;
  write(handle: Buffer, offset: number, data: Uint8Array): Promise<string>;
  read(handle: Buffer, offset: number, length: number): Promise<Buffer>;
  close(handle: Buffer): Promise<string>;
  list(path: string): Promise<string[]>;
  size(path: string): Promise<number | string>;
  put(path: string, data: Uint8Array | string): Promise<string>;
  get(path: string): Promise<string>;
  /** Bytes as they are, with no request around them. */
  raw(bytes: Uint8Array): void;
  /** Resolves when the server has ended the connection or the channel. */
  readonly gone: Promise<void>;
  /** Ends at once, without any goodbye. */
  cut(): void;
  end(): void;
}

export function connectSsh(config: ConnectConfig): Promise<ssh2.Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    client.on('ready', () => resolve(client));
    client.on('error', reject);
    client.on('close', () => reject(new Error('closed')));
    client.connect({ host: '127.0.0.1', ...config });
  });
}

export async function connect(server: TestServer, name: string): Promise<RawClient> {
  const user = server.users.get(name);
  const ssh = await connectSsh({
    port: server.port,
    username: name,
    privateKey: user?.key.privateKey ?? '',
  });
  return openSftp(ssh);
}

export async function openSftp(ssh: ssh2.Client): Promise<RawClient> {
  const channel = await new Promise<ClientChannel>((resolve, reject) => {
    ssh.subsys('sftp', (error, opened) => {
      if (error === undefined) resolve(opened);
      else reject(error);
    });
  });
  const client = wrap(ssh, channel);
  client.raw(encode(packetType.INIT, 3));
  await client.first;
  return client;
}

function wrap(ssh: ssh2.Client, channel: ClientChannel): RawClient & { first: Promise<void> } {
  const waiting = new Map<number, (reply: Reply) => void>();
  const reader = createPacketReader();
  const offers: string[] = [];
  let lastId = 0;
  let markFirst: () => void = () => undefined;
  const first = new Promise<void>((resolve) => {
    markFirst = resolve;
  });
  channel.on('data', (chunk: Buffer) => {
    reader.feed(chunk);
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      if (packet.type === packetType.VERSION) {
        offers.push(...pairsIn(packet.body));
        markFirst();
      } else waiting.get(packet.id)?.(packet);
    }
  });
  const gone = new Promise<void>((resolve) => {
    channel.on('close', () => resolve());
    ssh.on('close', () => resolve());
  });
  channel.on('error', () => undefined);
  ssh.on('error', () => undefined);

  const ask: RawClient['ask'] = async (type, ...fields) => {
    lastId += 1;
    const id = lastId;
    const reply = new Promise<Reply>((resolve) => waiting.set(id, resolve));
    channel.write(encode(type, id, ...fields));
    const answer = await Promise.race([reply, gone.then(() => undefined)]);
    waiting.delete(id);
    if (answer === undefined) throw new Error('the connection ended');
    return answer;
  };
  const asStatus = ({ type, body }: Reply): string => {
    if (type !== packetType.STATUS) return `answer of type ${type}`;
    const name = statusName[body.uint32()] ?? 'unknown';
    const text = body.string().toString();
    return name === 'OK' ? name : `${name}: ${text}`;
  };
  const status: RawClient['status'] = async (type, ...fields) =>
    asStatus(await ask(type, ...fields));
  const handleOf = (reply: Reply): Buffer => {
    if (reply.type !== packetType.HANDLE) throw new Error(asStatus(reply));
    return Buffer.from(reply.body.string());
  };
  const open: RawClient['open'] = async (path, flags) =>
    handleOf(await ask(packetType.OPEN, path, flags, 0));
  const close: RawClient['close'] = (handle) => status(packetType.CLOSE, handle);
  const write: RawClient['write'] = (handle, offset, data) =>
    status(packetType.WRITE, handle, BigInt(offset), data);
  const read: RawClient['read'] = async (handle, offset, length) => {
    const reply = await ask(packetType.READ, handle, BigInt(offset), length);
    if (reply.type !== packetType.DATA) throw new Error(asStatus(reply));
    return Buffer.from(reply.body.string());
  };
  return {
    ssh,
    channel,
    offers,
    first,
    gone,
    ask,
    status,
    open,
    openFolder: async (path) => handleOf(await ask(packetType.OPENDIR, path)),
    write,
    read,
    close,
    list: async (path) => {
      const handle = handleOf(await ask(packetType.OPENDIR, path));
      const names: string[] = [];
      for (;;) {
        const reply = await ask(packetType.READDIR, handle);
        if (reply.type !== packetType.NAME) break;
        names.push(...namesIn(reply.body));
      }
      await close(handle);
      return names.filter((name) => name !== '.' && name !== '..').sort();
    },
    size: async (path) => {
      const reply = await ask(packetType.STAT, path);
      if (reply.type !== packetType.ATTRS) return asStatus(reply);
      reply.body.uint32();
      return Number(reply.body.uint64());
    },
    put: async (path, data) => {
      const handle = await open(path, 0x1a);
      const stored = await write(handle, 0, Buffer.from(data));
      if (stored !== 'OK') return stored;
      return close(handle);
    },
    get: async (path) => {
      const handle = await open(path, 1);
      const bytes = await read(handle, 0, 1 << 17);
      await close(handle);
      return bytes.toString();
    },
    raw: (bytes) => {
      channel.write(Buffer.from(bytes));
    },
    cut: () => {
      (ssh as unknown as { _sock: { destroy(): void } })._sock.destroy();
    },
    end: () => ssh.end(),
  };
}

/** The names of VERSION's pairs, to the end. */
function pairsIn(body: Reader): string[] {
  const names: string[] = [];
  try {
    for (;;) {
      const name = body.text();
      body.string();
      names.push(name);
    }
  } catch {
    return names;
  }
}

/** The names of a NAME answer. */
export function namesIn(body: Reader): string[] {
  const count = body.uint32();
  return Array.from({ length: count }, () => {
    const name = body.string().toString();
    body.string();
    const flags = body.uint32();
    if (flags & 1) body.uint64();
    if (flags & 2) body.uint64();
    if (flags & 4) body.uint32();
    if (flags & 8) body.uint64();
    return name;
  });
}

/** Until it is so, at most `ms`. */
export async function until(isSo: () => boolean | Promise<boolean>, ms = 5000): Promise<boolean> {
  const end = Date.now() + ms;
  while (Date.now() < end) {
    if (await isSo()) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return isSo();
}
