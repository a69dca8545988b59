// Command lines in tests. Most run in this process, through the very function that the binary runs, because a process of its
// own costs half a second; what needs standard input, an environment or a signal runs the built binary.

import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '../../src/cli/run.ts';

export const binary = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line here. Nothing else may print meanwhile; standard input is never a terminal. */
export async function here(args: readonly string[]): Promise<Ended> {
  const { stdout, stderr } = process;
  const [toOut, toErr] = [stdout.write.bind(stdout), stderr.write.bind(stderr)];
  const umask = process.umask(0o077);
  const wasTerminal = process.stdin.isTTY;
  let [out, err] = ['', ''];
  process.stdin.isTTY = false;
  stdout.write = (text: string | Uint8Array): boolean => {
    out += String(text);
    return true;
  };
  stderr.write = (text: string | Uint8Array): boolean => {
    err += String(text);
    return true;
  };
  try {
    const code = await runCommandLine(args);
    return { code, out, err };
  } finally {
    stdout.write = toOut;
    stderr.write = toErr;
    process.stdin.isTTY = wasTerminal;
    process.umask(umask);
  }
}

export interface Running {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<Ended>;
}

/** Starts the binary; standard input is never a terminal. */
export function begin(
  args: readonly string[],
  input: string | Uint8Array = '',
  env: NodeJS.ProcessEnv = {},
): Running {
  const child = spawn(process.execPath, [binary, ...args], { env: { ...process.env, ...env } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, out, err }));
  });
  return { child, out: () => out, err: () => err, ended };
}

/** Runs the binary to its end. */
export const run = (
  args: readonly string[],
  input: string | Uint8Array = '',
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> => begin(args, input, env).ended;
