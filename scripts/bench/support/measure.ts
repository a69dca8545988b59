// CPU seconds, time and peak memory of a program and of a process of ours that is warm already. CPU seconds are what
// counts: on a busy machine wall time says more about the neighbours.

import { fork, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Writable } from 'node:stream';

export interface Usage {
  /** User and system, of all threads and children. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly peakBytes: number;
  /** Of a warm process: how far the peak was above what it held before. */
  readonly growthBytes?: number;
}

/** Runs a program to its end. Throws when it fails, with the end of its stderr. */
export async function measureProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Usage> {
  // The shell's `time` counts to the millisecond and with children; its report goes to a pipe of its own.
  const script = 'TIMEFORMAT="%R %U %S"; { time "$0" "$@" 2>&3; } 3>&2 2>&4';
  const child = spawn('bash', ['-c', script, program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ignore', 'pipe'],
    env,
  });
  let [report, errors, peakBytes] = ['', '', 0];
  (child.stdio[4] as NodeJS.ReadableStream).on('data', (text: Buffer) => (report += String(text)));
  child.stderr?.on('data', (text: Buffer) => (errors = (errors + String(text)).slice(-500)));
  const looking = setInterval(() => {
    peakBytes = Math.max(peakBytes, ...childrenOf(child.pid ?? 0).map(highWaterOf));
  }, 10);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(looking);
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}: ${errors}`);
  const [wall = 0, user = 0, system = 0] = report.trim().split(' ').map(Number);
  return { cpuSeconds: user + system, wallSeconds: wall, peakBytes };
}

function childrenOf(pid: number): number[] {
  const text = readOr('', `/proc/${pid}/task/${pid}/children`);
  return text.trim().split(' ').filter(Boolean).map(Number);
}

const highWaterOf = (pid: number): number => fieldOf(pid, 'VmHWM');

function fieldOf(pid: number | 'self', field: string): number {
  const found = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readOr('', `/proc/${pid}/status`));
  return Number(found?.[1] ?? 0) * 1024;
}

function readOr(otherwise: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}

/** A process of ours that stays for many rounds, so that start and JIT are not counted again and again. */
export class WarmProcess<Request> {
  readonly #child: ChildProcess;

  /** `module`: one that calls `serveMeasured`. */
  constructor(module: string, args: readonly string[] = []) {
    this.#child = fork(module, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  async ask(request: Request): Promise<Usage> {
    this.#child.send(request as object);
    return new Promise((resolve, reject) => {
      const gone = (code: unknown): void => reject(new Error(`ended with ${String(code)}`));
      this.#child.once('exit', gone);
      this.#child.once('message', (reply: Usage | { error: string }) => {
        this.#child.off('exit', gone);
        if ('error' in reply) reject(new Error(reply.error));
        else resolve(reply);
      });
    });
  }

  stop(): void {
    this.#child.disconnect();
  }
}

/** The other end: does what is asked and says what it took. */
export function serveMeasured(run: (request: unknown) => Promise<void>): void {
  process.on('message', (request) => {
    void measured(() => run(request)).then(
      (usage) => process.send?.(usage),
      (error: unknown) => process.send?.({ error: String((error as Error).stack ?? error) }),
    );
  });
}

async function measured(work: () => Promise<void>): Promise<Usage> {
  // Linux: from here on the high-water mark counts anew.
  writeFileSync('/proc/self/clear_refs', '5');
  const before = fieldOf('self', 'VmRSS');
  const [cpu, start] = [process.cpuUsage(), process.hrtime.bigint()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  const wallSeconds = Number(process.hrtime.bigint() - start) / 1e9;
  const peakBytes = fieldOf('self', 'VmHWM');
  return {
    cpuSeconds: (user + system) / 1e6,
    wallSeconds,
    peakBytes,
    growthBytes: Math.max(0, peakBytes - before),
  };
}

export const say = (text: string, out: Writable = process.stdout): void => {
  out.write(`${text}\n`);
};
