// One site of the demo: an instance folder of its own, driven by the same commands and the same server that an
// administrator runs, each in a process of its own.

import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import ssh2 from 'ssh2';
import type { JobRow } from '../../app.ts';
import { AppError } from '../../core/errors.ts';
import { fingerprintOfBlob } from '../../core/sshsig.ts';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const startMs = 30_000;
const waitMs = 90_000;

export class DemoSite {
  readonly code: string;
  readonly home: string;
  readonly port: number;
  #server: ChildProcess | undefined;

  readonly #signal: AbortSignal;

  /** `home` is a folder in the demo's folder, where commands run, so that they can name files shortly. */
  constructor(
    code: string,
    where: { readonly home: string; readonly port: number },
    signal: AbortSignal,
  ) {
    this.code = code;
    this.home = where.home;
    this.port = where.port;
    this.#signal = signal;
  }

  /** Runs one command of ours to its end and gives what it printed. */
  async run(args: readonly string[]): Promise<string> {
    this.#signal.throwIfAborted();
    const child = spawn(process.execPath, [main, ...args], {
      cwd: dirname(this.home),
      env: { ...process.env, CLUBHOUSE_HOME: this.home },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    const end = (): boolean => child.kill('SIGKILL');
    this.#signal.addEventListener('abort', end, { once: true });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    this.#signal.removeEventListener('abort', end);
    this.#signal.throwIfAborted();
    if (code !== 0) {
      throw new AppError('INTERNAL', {
        detail: `the demo's ${args[0] ?? ''} ended: ${err.trim()}`,
      });
    }
    return out;
  }

  /** Makes the instance, with short waits so that the story does not take ten minutes. */
  async init(
    partner: string,
  ): Promise<readonly { readonly command: string; readonly output: string }[]> {
    await mkdir(this.home, { recursive: true, mode: 0o700 });
    const listen = `127.0.0.1:${this.port}`;
    const args = ['init', '--site', this.code, '--partner', partner, '--listen', listen];
    const said = await this.run(args);
    await writeFile(
      join(this.home, 'config', 'clubhouse.yaml'),
      [
        `site: ${this.code}`,
        `listen: { host: 127.0.0.1, port: ${this.port} }`,
        'intake: { settle: 1s }',
        'replication: { every: 2s }',
        'workers: 1',
        '',
      ].join('\n'),
      { mode: 0o600 },
    );
    return [{ command: `clubhouse ${args.join(' ')}`, output: said.split('\n', 2).join('\n') }];
  }

  async start(): Promise<void> {
    this.#signal.throwIfAborted();
    const child = spawn(process.execPath, [main, 'serve', '--home', this.home], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(this.home, 'serve.log'), { flags: 'a', mode: 0o600 });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.#server = child;
    const end = Date.now() + startMs;
    while (!(await listens(this.port))) {
      this.#signal.throwIfAborted();
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

  /** Asks again until `fits`; in this process, since that is many times. */
  async jobsWhen(fits: (jobs: readonly JobRow[]) => boolean): Promise<readonly JobRow[]> {
    const { openApp } = await import('../../app.ts');
    const app = await openApp(this.home);
    try {
      const end = Date.now() + waitMs;
      for (;;) {
        const jobs = await app.jobs.list();
        if (fits(jobs)) return jobs;
        if (this.#server?.exitCode !== null || Date.now() > end) {
          throw new AppError('INTERNAL', {
            detail: `the demo did not go as it should; see ${this.home}/serve.log`,
          });
        }
        await sleep(200, undefined, { signal: this.#signal });
      }
    } finally {
      await app.close();
    }
  }

  /** The public half of the host key: the line for known_hosts, and the fingerprint that people compare. */
  async hostKey(): Promise<{ readonly line: string; readonly fingerprint: string }> {
    const parsed = ssh2.utils.parseKey(await readFile(join(this.home, 'keys', 'host_ed25519')));
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    if (key === undefined || key instanceof Error) throw new AppError('INTERNAL', { cause: key });
    const blob = key.getPublicSSH();
    return {
      line: `[127.0.0.1]:${this.port} ${key.type} ${blob.toString('base64')}`,
      fingerprint: fingerprintOfBlob(blob),
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
