// One site for end-to-end tests: its own folder, made and run by the built command as an administrator would.

import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import ssh2 from 'ssh2';
import { createHash } from 'node:crypto';
import { here } from './command-line.ts';
import { run, until, type Finished } from './programs.ts';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

let isHere = false;
let last: Promise<unknown> = Promise.resolve();

/**
 * From now on this test file's commands run in its own process, one after the other, through the function that the binary
 * runs: a process of its own costs each half a second of CPU. `serve`, and what reads standard input, stay processes.
 */
export function runCommandsHere(): void {
  isHere = true;
}

async function command(args: readonly string[], input: string | undefined): Promise<Finished> {
  if (!isHere || input !== undefined) {
    return run(process.execPath, [main, ...args], { input: input ?? '' });
  }
  const turn = last.then(() => here(args));
  last = turn.catch(() => undefined);
  const { code, out, err } = await turn;
  return { code: code ?? -1, stdout: Buffer.from(out), stderr: err };
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === 'string') reject(new Error('no port'));
        else resolve(address.port);
      });
    });
  });
}

export interface JobRow {
  readonly id: string;
  readonly project: string;
  readonly member: string;
  readonly partner: string;
  readonly upload: string;
  readonly state: string;
  readonly reason: string | null;
  readonly exclusions: readonly unknown[];
  readonly output: string | null;
}

export class Site {
  readonly code: string;
  readonly home: string;
  readonly port: number;
  readonly #logFile: string;
  #server: ChildProcess | undefined;

  private constructor(code: string, home: string, port: number) {
    this.code = code;
    this.home = home;
    this.port = port;
    this.#logFile = join(home, 'serve.log');
  }

  /** `settings`: more YAML for config/clubhouse.yaml. `folder`: where the site's own folder is made. */
  static async make(code: string, settings: string, folder = tmpdir()): Promise<Site> {
    const home = await mkdtemp(join(folder, `clubhouse-${code.toLowerCase()}-`));
    const port = await freePort();
    const site = new Site(code, home, port);
    await site.run(['init', '--site', code, '--listen', `127.0.0.1:${port}`]);
    await writeFile(
      join(home, 'config', 'clubhouse.yaml'),
      `site: ${code}\nlisten: { host: 127.0.0.1, port: ${port} }\n${settings}\n`,
    );
    return site;
  }

  /** A site that was made otherwise, such as out of a backup. */
  static at(code: string, home: string, port: number): Site {
    return new Site(code, home, port);
  }

  /** Runs a command; throws unless it ends with `code` (0 by default). */
  async run(
    args: readonly string[],
    options: { readonly input?: string; readonly code?: number } = {},
  ): Promise<Finished> {
    const done = await command(['--home', this.home, ...args], options.input);
    if (done.code !== (options.code ?? 0)) {
      throw new Error(
        `${args.join(' ')} ended with ${done.code}: ${done.stderr}${done.stdout.toString()}`,
      );
    }
    return done;
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse((await this.run([...args, '--json'])).stdout.toString('utf8')) as T;
  }

  jobs(): Promise<readonly JobRow[]> {
    return this.json<readonly JobRow[]>(['job', 'list']);
  }

  /** Waits until every job that `which` picks is in one of the states; there must be at least `atLeast`. */
  async settled(
    states: readonly string[],
    atLeast: number,
    which: (job: JobRow) => boolean = () => true,
    timeoutMs = 120_000,
  ): Promise<readonly JobRow[]> {
    const fits = (rows: readonly Pick<JobRow, 'state'>[]): boolean =>
      rows.length >= atLeast && rows.every((job) => states.includes(job.state));
    const end = Date.now() + timeoutMs;
    for (;;) {
      // A look into the tables costs far less than a command; the command has the last word.
      const seen = this.#look().filter((row) => which(row));
      if (fits(seen)) {
        const rows = (await this.jobs()).filter(which);
        if (fits(rows)) return rows;
      }
      if (Date.now() > end) {
        const outcome = seen.map((job) => `${job.state}/${job.reason ?? ''}`).join(' ');
        throw new Error(`jobs did not become ${states.join('|')}: ${outcome}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** The rows of `job list`, as far as `settled` needs them. */
  #look(): readonly JobRow[] {
    const database = new Database(join(this.home, 'data', 'state', 'clubhouse.db'), {
      readonly: true,
    });
    try {
      return database
        .prepare(
          `select job.id, job.state, job.reason, job.partner, '/home/' || upload.path as upload
           from job join upload on upload.id = job."uploadId"`,
        )
        .all() as JobRow[];
    } finally {
      database.close();
    }
  }

  /** `SHA256:…` of the ed25519 host key. */
  async hostKey(): Promise<string> {
    const parsed = ssh2.utils.parseKey(await readFile(join(this.home, 'keys', 'host_ed25519')));
    if (parsed instanceof Error) throw parsed;
    const key = Array.isArray(parsed) ? parsed[0] : parsed;
    const digest = createHash('sha256').update(key.getPublicSSH()).digest('base64');
    return `SHA256:${digest.replace(/=+$/, '')}`;
  }

  /** Of the server's process. */
  get pid(): number | undefined {
    return this.#server?.pid;
  }

  /** `env`: more variables for the server. */
  async start(env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = spawn(process.execPath, [main, 'serve', '--home', this.home], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let hasTold = false;
    const keep = (chunk: Buffer): void => {
      hasTold ||= chunk.includes('"msg":"listening on');
      try {
        appendFileSync(this.#logFile, chunk);
      } catch {
        // A test may fill the disk that the log is on.
      }
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.#server = child;
    await until(
      `${this.code} to listen`,
      async () => {
        // Killed by who wants it killed.
        if (child.signalCode !== null) return true;
        if (child.exitCode !== null) throw new Error(`serve ended: ${await this.log()}`);
        // Where the log says it, no key exchange is needed to find it out.
        return hasTold || (await answers(this.port)) ? true : undefined;
      },
      60_000,
    );
  }

  /** Ends the server: SIGTERM by default, SIGKILL for a crash. Gives the exit code. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.#server;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return child?.exitCode ?? null;
    }
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return ended;
  }

  /** Did it end without being asked to? */
  get isGone(): boolean {
    return this.#server?.signalCode != null || this.#server?.exitCode != null;
  }

  log(): Promise<string> {
    return readFile(this.#logFile, 'utf8').catch(() => '');
  }

  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    await rm(this.home, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const client = new ssh2.Client();
    const finish = (yes: boolean): void => {
      client.end();
      resolve(yes);
    };
    client.on('error', (error: Error & { level?: string }) =>
      finish(error.level === 'client-authentication'),
    );
    client.on('ready', () => finish(true));
    // A server that dies in the middle of the key exchange is no error to ssh2.
    client.on('close', () => finish(false));
    client.connect({ host: '127.0.0.1', port, username: 'nobody', readyTimeout: 3000 });
  });
}
