// One site of the demo: an instance folder of its own, driven by the same commands and the same server that an
// administrator runs, each in a process of its own.

import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import ssh2 from 'ssh2';
import { AppError } from '../../core/errors.ts';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const startMs = 20_000;

export interface DemoJob {
  readonly id: string;
  readonly upload: string;
  readonly state: string;
  readonly reason: string | null;
  readonly output: string | null;
}

export class DemoSite {
  readonly code: string;
  readonly home: string;
  readonly port: number;
  #server: ChildProcess | undefined;

  constructor(code: string, home: string, port: number) {
    this.code = code;
    this.home = home;
    this.port = port;
  }

  /** Runs one command of ours to its end and gives what it printed. */
  async run(args: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [main, '--home', this.home, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    if (code !== 0) {
      throw new AppError('INTERNAL', {
        detail: `the demo's ${args[0] ?? ''} ended: ${err.trim()}`,
      });
    }
    return out;
  }

  /** Makes the instance, with short waits so that the story does not take ten minutes. */
  async init(partner: string): Promise<string> {
    await mkdir(this.home, { recursive: true, mode: 0o700 });
    const listen = `127.0.0.1:${this.port}`;
    const said = await this.run([
      'init',
      '--site',
      this.code,
      '--partner',
      partner,
      '--listen',
      listen,
    ]);
    await writeFile(
      join(this.home, 'config', 'clubhouse.yaml'),
      [
        `site: ${this.code}`,
        `listen: { host: 127.0.0.1, port: ${this.port} }`,
        'intake: { settle: 2s }          # default 5s',
        'replication: { every: 5s }      # default 5m',
        'workers: 1',
        '',
      ].join('\n'),
      { mode: 0o600 },
    );
    return said;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [main, 'serve', '--home', this.home], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(this.home, 'serve.log'), { flags: 'a', mode: 0o600 });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.#server = child;
    const end = Date.now() + startMs;
    while (!(await listens(this.port))) {
      if (child.exitCode !== null || Date.now() > end) {
        throw new AppError('INTERNAL', { detail: `the server of ${this.code} did not start` });
      }
      await sleep(100);
    }
  }

  async stop(): Promise<void> {
    const child = this.#server;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(late);
  }

  async jobs(): Promise<readonly DemoJob[]> {
    return JSON.parse(await this.run(['job', 'list', '--json'])) as readonly DemoJob[];
  }

  /** The public half of the host key: the line for known_hosts, and the fingerprint that people compare. */
  async hostKey(): Promise<{ readonly line: string; readonly fingerprint: string }> {
    const parsed = ssh2.utils.parseKey(await readFile(join(this.home, 'keys', 'host_ed25519')));
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    if (key === undefined || key instanceof Error) throw new AppError('INTERNAL', { cause: key });
    const blob = key.getPublicSSH();
    const digest = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
    return {
      line: `[127.0.0.1]:${this.port} ${key.type} ${blob.toString('base64')}`,
      fingerprint: `SHA256:${digest}`,
    };
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** A port of this machine that is free at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      );
    });
  });
}
