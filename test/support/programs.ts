// Real programs that the tests drive. Where one is missing a test may skip on a developer's machine; CI sets
// CLUBHOUSE_REQUIRE_PROGRAMS and then nothing skips.

import { spawn, spawnSync } from 'node:child_process';
import { delimiter } from 'node:path';

export const searchPath = `${process.env['PATH'] ?? ''}${delimiter}/usr/sbin`;

const has = (program: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${program}`], { env: { PATH: searchPath } }).status === 0;

/** For tap's `skip` option: false when all are there or must be, else a sentence that names what is missing. */
export function missing(...programs: readonly string[]): string | false {
  if (process.env['CLUBHOUSE_REQUIRE_PROGRAMS'] !== undefined) return false;
  const absent = programs.filter((program) => !has(program));
  return absent.length === 0 ? false : `needs ${absent.join(', ')}`;
}

export interface Finished {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a program to its end, within `timeoutMs`. Never through a shell. */
export function run(
  program: string,
  args: readonly string[],
  options: {
    readonly input?: string | Uint8Array;
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly timeoutMs?: number;
  } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, PATH: searchPath, ...options.env },
      timeout: options.timeoutMs ?? 60_000,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', reject);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
    child.on('close', (code) => {
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(out),
        stderr: Buffer.concat(err).toString('utf8'),
      });
    });
  });
}

/** Asks again until the answer is not undefined; throws after `timeoutMs` with what was awaited. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 60_000,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
