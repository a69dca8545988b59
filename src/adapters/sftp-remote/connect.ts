// Logs in at a partner with our replicator's key, after its host key was found to be the pinned one.

import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, {
  type Client as ClientType,
  type ClientChannel,
  type ConnectConfig,
  type ServerHostKeyAlgorithm,
} from 'ssh2';
import { AppError } from '../../core/errors.ts';
import { fingerprintOfBlob } from '../../core/sshsig.ts';
import type { RemoteAddress } from '../../flow/ports/replication.ts';
import { takeInflow } from '../ssh2-inflow.ts';
import { reusePackets, takesPackets } from '../ssh2-packets.ts';
import { ignoreOtherHostKeys } from './other-host-keys.ts';
import { mostFlightBytes } from './transfer.ts';

const { Client } = ssh2;

export interface ConnectOptions {
  /** The private half of keys/replicator_ed25519; read anew at each login, so a new key needs no restart. */
  readonly keyPath: string;
  /** Until the login is done. */
  readonly timeoutMs: number;
  /** A partner that leaves more than this unread is left. */
  readonly unsentBytes?: number;
}

export interface SftpStream {
  readonly stream: Duplex;
  /** Calls `hear` with all that comes; instead of the stream's 'data'. */
  readonly receive: (hear: (bytes: Buffer) => void) => void;
}

export interface Connection extends SftpStream {
  /** One more SFTP session on the same connection. Rejects when the server opens none. */
  readonly another: () => Promise<SftpStream>;
  readonly hostKey: string;
  /** What is sent inside leaves in one call of the operating system. */
  readonly atOnce: (send: () => void) => void;
  end(): void;
}

/**
 * Host keys by family, best first. The pin is one fingerprint, but a server shows only the first type that we ask for: when
 * that is another key than the pinned one, the other types are asked for before it counts as changed.
 */
const families = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
  ecdsa: ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
} as const;

const exchanges = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'diffie-hellman-group16-sha512',
  'diffie-hellman-group18-sha512',
  'diffie-hellman-group-exchange-sha256',
  'diffie-hellman-group14-sha256',
] as const;

const ciphers = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
  'aes256-ctr',
  'aes128-ctr',
] as const;

const macs = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'] as const;

/** REMOTE_UNREACHABLE, REMOTE_AUTH or REMOTE_HOST_KEY (detail: pinned and presented fingerprint). */
export async function connectSftp(
  address: RemoteAddress,
  options: ConnectOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const privateKey = await readFile(options.keyPath, 'utf8').catch((cause: unknown) => {
    throw new AppError('CONFIG_INVALID', { cause, detail: 'the replicator key cannot be read' });
  });
  const all = Object.values(families).flat();
  const first = await attempt(address, { privateKey, hostKeys: all, ...options }, signal);
  if (first.kind === 'connected') return first.connection;
  if (first.kind === 'no-key') throw unreachableBy('no common host key type');
  for (const [family, hostKeys] of Object.entries(families)) {
    if (first.algorithm.startsWith(family)) continue;
    const next = await attempt(address, { privateKey, hostKeys, ...options }, signal);
    if (next.kind === 'connected') return next.connection;
  }
  throw new AppError('REMOTE_HOST_KEY', {
    detail: `pinned ${address.hostKey}, presented ${first.fingerprint}`,
  });
}

type Attempt =
  | { readonly kind: 'connected'; readonly connection: Connection }
  | { readonly kind: 'other-key'; readonly algorithm: string; readonly fingerprint: string }
  | { readonly kind: 'no-key' };

interface AttemptOptions extends ConnectOptions {
  readonly privateKey: string;
  readonly hostKeys: readonly ServerHostKeyAlgorithm[];
}

async function attempt(
  address: RemoteAddress,
  options: AttemptOptions,
  signal: AbortSignal,
): Promise<Attempt> {
  const socket = await dial(address, options.timeoutMs, signal);
  const client = new Client();
  let presented: Buffer | undefined;
  const stop = (): void => {
    client.destroy();
    socket.destroy();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    const stream = await login(client, {
      ...toConfig(address, options, socket),
      hostVerifier: (key: Buffer) => {
        presented = key;
        return isPinned(key, address.hostKey);
      },
    });
    if (presented === undefined) throw new AppError('REMOTE_HOST_KEY');
    // From here on the channel's own close event tells; without a listener an error would end the process.
    client.on('error', () => stop());
    client.on('close', () => signal.removeEventListener('abort', stop));
    reusePackets(client, socket);
    // ssh2 begins anew with each exchange of keys.
    client.on('handshake', () => reusePackets(client, socket));
    // ssh2 answers whatever comes (signs of life, new channels), whether the answers are read or not.
    socket.on('data', () => {
      if (socket.writableLength > (options.unsentBytes ?? mostUnsentBytes)) stop();
    });
    return {
      kind: 'connected',
      connection: {
        ...asSftpStream(stream),
        another: async () => asSftpStream(await openSftp(client, options.timeoutMs)),
        hostKey: fingerprintOfBlob(presented),
        atOnce: (send) => {
          socket.cork();
          send();
          socket.uncork();
        },
        end: () => {
          client.end();
          // That closes our half of it; the other half is the partner's, who may keep it open and go on talking.
          setTimeout(stop, farewellMs).unref();
        },
      },
    };
  } catch (error) {
    signal.removeEventListener('abort', stop);
    client.on('error', () => {});
    stop();
    if (presented !== undefined && !isPinned(presented, address.hostKey)) {
      return {
        kind: 'other-key',
        algorithm: typeOf(presented),
        fingerprint: fingerprintOfBlob(presented),
      };
    }
    if (error instanceof Error && error.message.includes('no matching host key format')) {
      return { kind: 'no-key' };
    }
    throw toAppError(error);
  }
}

/** How long a partner may take to say goodbye. */
const farewellMs = 2_000;

/** More than all files that are under way (flow/flight.ts), and what they are asked. */
const mostUnsentBytes = 96 << 20;

/** So much may be on its way to us: what we asked for, on a line as long as it may be (transfer.ts). ssh2 has 2 MB. */
const windowBytes = 2 * mostFlightBytes;

const asSftpStream = (stream: ClientChannel): SftpStream => ({
  stream,
  receive: (hear) => receive(stream, hear),
});

function receive(stream: ClientChannel, hear: (bytes: Buffer) => void): void {
  let owedBytes = 0;
  const owe = (bytes: Buffer): void => {
    owedBytes += bytes.length;
    if (owedBytes < windowBytes / 4) return;
    inflow?.grant(owedBytes);
    owedBytes = 0;
  };
  // It takes of the same window.
  stream.stderr.on('data', owe);
  const inflow = takeInflow(stream, (bytes) => {
    if (bytes === undefined) {
      inflow?.finish();
      return;
    }
    hear(bytes);
    owe(bytes);
  });
  if (inflow === undefined) stream.on('data', hear);
  else inflow.grant(windowBytes - inflow.windowBytes);
}

/** A connected socket. Small packets go at once: a request must not wait for the answer to the one before. */
function dial(address: RemoteAddress, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(unreachableBy('stopped'));
      return;
    }
    const socket = new Socket();
    const fail = (detail: string): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(unreachableBy(detail));
    };
    const onAbort = (): void => fail('stopped');
    signal.addEventListener('abort', onAbort, { once: true });
    socket.setNoDelay(true);
    socket.setTimeout(timeoutMs, () => fail('no answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? 'socket'));
    socket.connect({ host: address.host, port: address.port }, () => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      signal.removeEventListener('abort', onAbort);
      resolve(socket);
    });
  });
}

const toConfig = (
  address: RemoteAddress,
  options: AttemptOptions,
  socket: Socket,
): ConnectConfig & { readonly readyTimeout: number } => ({
  sock: socket,
  username: address.user,
  privateKey: options.privateKey,
  authHandler: ['publickey'],
  readyTimeout: options.timeoutMs,
  keepaliveInterval: 15_000,
  keepaliveCountMax: 3,
  ident: 'Clubhouse',
  algorithms: {
    kex: [...exchanges],
    cipher: [...ciphers],
    hmac: [...macs],
    compress: ['none'],
    serverHostKey: [...options.hostKeys],
  },
});

function login(
  client: ClientType,
  config: ConnectConfig & { readonly readyTimeout: number },
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.once('ready', () => {
      openSftp(client, config.readyTimeout).then(resolve, reject);
    });
    client.once('error', reject);
    client.once('close', () => reject(unreachableBy('the connection ended')));
    client.connect(config);
    ignoreOtherHostKeys(client);
  });
}

/** ssh2's own time limit ends with the login. */
function openSftp(client: ClientType, timeoutMs: number): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(unreachableBy('no answer')), timeoutMs);
    client.subsys('sftp', (error, stream) => {
      clearTimeout(limit);
      if (error !== undefined) {
        reject(unreachableBy('no sftp subsystem'));
      } else if (takesPackets(stream)) resolve(stream);
      else reject(unreachableBy('it takes no packets'));
    });
  });
}

function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const level = error instanceof Error && 'level' in error ? String(error.level) : 'connection';
  if (level === 'client-authentication') return new AppError('REMOTE_AUTH', { cause: error });
  return new AppError('REMOTE_UNREACHABLE', { cause: error, detail: level });
}

const unreachableBy = (detail: string): AppError => new AppError('REMOTE_UNREACHABLE', { detail });

const isPinned = (key: Buffer, pinned: string): boolean =>
  fingerprintOfBlob(key) === pinned.trim().replace(/=+$/, '');

/** The key's type as its wire form states it. */
const typeOf = (key: Buffer): string =>
  key.length < 4 ? '' : key.subarray(4, 4 + key.readUInt32BE(0)).toString('latin1');
