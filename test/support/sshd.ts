// A real OpenSSH server for tests, on a random port of 127.0.0.1, with its files in a temporary folder.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { makeWorkingPair } from '../../src/adapters/keys.ts';
import type { RemoteAddress } from '../../src/flow/ports/replication.ts';

const { utils } = ssh2;

/** sshd insists on an absolute path. */
const sshdPath =
  ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path)) ?? '/usr/sbin/sshd';

export interface KeyPair {
  readonly path: string;
  readonly publicLine: string;
  readonly fingerprint: string;
}

export async function makeKey(path: string, type: 'ed25519' | 'rsa' = 'ed25519'): Promise<KeyPair> {
  const pair = makeWorkingPair(type, 'test', () =>
    type === 'rsa'
      ? utils.generateKeyPairSync('rsa', { bits: 2048 })
      : utils.generateKeyPairSync(type),
  );
  await writeFile(path, pair.private, { mode: 0o600 });
  const blob = Buffer.from(pair.public.split(' ')[1] ?? '', 'base64');
  const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
  return { path, publicLine: pair.public, fingerprint: `SHA256:${digest}` };
}

export interface TestServer {
  /** A folder for files, and for whatever else the test keeps; removed by close. */
  readonly folder: string;
  readonly keyPath: string;
  readonly address: RemoteAddress;
  readonly hostKeys: readonly KeyPair[];
  /** Cuts the next connection when it has carried so many bytes to the server. */
  cutAfter(bytes: number): void;
  /** Cuts the line to the server and all that goes over it; `start` opens it again on the same port. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function startSshd(
  hostKeyTypes: readonly ('ed25519' | 'rsa')[] = ['ed25519'],
  /** Further lines of its configuration. */
  lines: readonly string[] = [],
): Promise<TestServer> {
  const base = await mkdtemp(join(tmpdir(), 'clubhouse-sshd-'));
  const folder = join(base, 'files');
  await mkdir(folder);
  const hostKeys: KeyPair[] = [];
  for (const type of hostKeyTypes) hostKeys.push(await makeKey(join(base, `host_${type}`), type));
  const login = await makeKey(join(base, 'login'));
  await writeFile(join(base, 'authorized'), login.publicLine);
  const innerPort = await freePort();
  await writeFile(join(base, 'sshd_config'), sshdConfig(base, innerPort, hostKeys, lines));
  // As root, sshd wants the folder for its privilege separation, which only its start script makes.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn(sshdPath, ['-f', join(base, 'sshd_config'), '-D', '-e'], { stdio: 'ignore' });
  await untilListening(innerPort);
  const line = await openLine(innerPort);
  return {
    folder,
    keyPath: login.path,
    hostKeys,
    address: {
      host: '127.0.0.1',
      port: line.port,
      user: userInfo().username,
      hostKey: hostKeys[0]?.fingerprint ?? '',
    },
    cutAfter: (bytes) => line.cutAfter(bytes),
    start: () => line.open(),
    stop: () => line.cut(),
    close: async () => {
      await line.cut();
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
      await rm(base, { recursive: true, force: true });
    },
  };
}

/** A line to a local port that can be cut: sshd's sessions outlive its own end, a cable's do not. */
async function openLine(innerPort: number): Promise<{
  readonly port: number;
  cutAfter(bytes: number): void;
  open(): Promise<void>;
  cut(): Promise<void>;
}> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let budget: number | undefined;
  const carry = (outer: Socket): void => {
    const inner = connect(innerPort, '127.0.0.1');
    for (const [from, to] of [[outer, inner] as const, [inner, outer] as const]) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
    let left = budget ?? Number.POSITIVE_INFINITY;
    budget = undefined;
    outer.on('data', (bytes: Buffer) => {
      left -= bytes.length;
      if (left < 0) outer.destroy();
    });
  };
  const open = async (): Promise<void> => {
    const listening = createServer(carry);
    server = listening;
    await new Promise<void>((resolve) => listening.listen(port, '127.0.0.1', resolve));
  };
  await open();
  return {
    port,
    cutAfter: (bytes) => {
      budget = bytes;
    },
    open,
    cut: async () => {
      const listening = server;
      server = undefined;
      for (const socket of sockets) socket.destroy();
      if (listening !== undefined) await new Promise((resolve) => listening.close(resolve));
    },
  };
}

const sshdConfig = (
  base: string,
  port: number,
  hostKeys: readonly KeyPair[],
  lines: readonly string[],
): string =>
  [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    ...hostKeys.map((key) => `HostKey ${key.path}`),
    `AuthorizedKeysFile ${join(base, 'authorized')}`,
    `PidFile ${join(base, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'Subsystem sftp internal-sftp',
    ...lines,
    '',
  ].join('\n');

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function untilListening(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isUp) return;
    await sleep(25);
  }
  throw new Error('sshd did not start');
}
