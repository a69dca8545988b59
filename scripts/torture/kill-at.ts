// Loaded into a server before its own code (node --import), so that it can be killed at a named step of the flow without the
// product knowing: right before or right after the n-th commit that notes an action in the audit trail, or the n-th call that
// claims, publishes, syncs or clears a file. TORTURE_KILL_AT: `<before|after> <n> <step>`.

import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import Database from 'better-sqlite3';

const [side, nth, ...words] = (process.env['TORTURE_KILL_AT'] ?? '').split(' ');
const wanted = words.join(' ');
let left = Number(nth);

/** Runs the call, and kills this process around it if it is the one. */
function around<T>(step: string | undefined, call: () => T): T {
  const isIt = step !== undefined && step === wanted && (left -= 1) === 0;
  if (isIt && side === 'before') process.kill(process.pid, 'SIGKILL');
  const result = call();
  if (!isIt) return result;
  if (!(result instanceof Promise)) process.kill(process.pid, 'SIGKILL');
  void Promise.resolve(result).finally(() => process.kill(process.pid, 'SIGKILL'));
  return result;
}

/** What a call on the disk is for, as far as its paths tell. */
function stepOf(name: string, from: unknown, to: unknown): string | undefined {
  const [a, b] = [String(from), String(to)];
  if (name === 'link' && b.includes('/spool/claims/')) return 'claim';
  if (name === 'rename' && a.includes('/spool/outputs/')) return 'publish';
  if (name === 'rename' && a.includes('/spool/scratch/')) return 'receipt';
  if (name === 'rename') return 'client rename';
  if (name === 'rm' && a.includes('/spool/claims/')) return 'drop claim';
  if (name === 'rm' && a.includes('/spool/outputs/')) return 'drop output';
  if (name === 'fsync') return 'sync';
  return undefined;
}

type Callback = (...results: unknown[]) => void;
type Call = (...args: unknown[]) => unknown;

for (const name of ['link', 'rename', 'fsync'] as const) {
  const calls = fs as unknown as Record<string, Call>;
  const original = calls[name];
  if (original === undefined) continue;
  calls[name] = (...args) => {
    const step = stepOf(name, args[0], args[1]);
    const isIt = step !== undefined && step === wanted && (left -= 1) === 0;
    if (!isIt) return original(...args);
    if (side === 'before') process.kill(process.pid, 'SIGKILL');
    const done = args.at(-1) as Callback;
    return original(...args.slice(0, -1), (...results: unknown[]) => {
      process.kill(process.pid, 'SIGKILL');
      done(...results);
    });
  };
}
// What is made at once where the disk is quick (adapters/storage-pace).
const { fsyncSync, renameSync, linkSync } = fs;
fs.fsyncSync = (fd) => around(stepOf('fsync', fd, undefined), () => fsyncSync(fd));
fs.renameSync = (from, to) => around(stepOf('rename', from, to), () => renameSync(from, to));
fs.linkSync = (from, to) => around(stepOf('link', from, to), () => linkSync(from, to));
const remove = promises.rm;
promises.rm = (path, options) => around(stepOf('rm', path, undefined), () => remove(path, options));
syncBuiltinESMExports();

/** Actions that the open transaction notes. */
const noted = new Set<string>();
const probe = new Database(':memory:');
const statements = Object.getPrototypeOf(probe.prepare('select 1')) as Record<string, Call>;
probe.close();

function statement(this: { readonly source: string }, call: Call, args: unknown[]): unknown {
  const run = (): unknown => call.apply(this, args);
  if (this.source.startsWith('insert into "audit" ')) {
    for (const one of args.flat()) {
      if (typeof one === 'string' && /^[a-z]+\.[a-z-]+$/.test(one)) noted.add(one);
    }
    return run();
  }
  if (this.source === 'rollback') noted.clear();
  if (this.source !== 'commit') return run();
  const isNoted = noted.has(wanted);
  noted.clear();
  return around(isNoted ? wanted : undefined, run);
}

for (const name of ['run', 'all', 'get'] as const) {
  const original = statements[name];
  if (original === undefined) continue;
  statements[name] = function (this: { readonly source: string }, ...args: unknown[]): unknown {
    return statement.call(this, original, args);
  };
}
