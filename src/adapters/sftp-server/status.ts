// What any thrown thing means to a client. The only place where an unknown error becomes an answer; it is logged there.

import { AppError, framesOf, type ErrorCode } from '../../core/errors.ts';
import type { Log } from '../../flow/ports/clock.ts';

const serious: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'STORAGE_FAILED',
  'DISK_FULL',
  'INTERNAL',
]);
const again = { everyMs: 60_000, lines: 10 };
const told = new WeakMap<Log, Map<string, { at: number; lines: number }>>();

/** On a disk that is full every request fails, and a client can ask for thousands in a second: ten of a kind in a minute. */
function mayTell(log: Log, kind: string): boolean {
  const kinds = told.get(log) ?? new Map<string, { at: number; lines: number }>();
  told.set(log, kinds);
  const now = performance.now();
  const last = kinds.get(kind);
  if (last === undefined || now - last.at > again.everyMs) {
    kinds.set(kind, { at: now, lines: 1 });
    return true;
  }
  last.lines += 1;
  return last.lines <= again.lines;
}

/** An AppError as it is; anything else is INTERNAL and leaves a line in the log without its text, which may hold a path. */
export function asFailure(error: unknown, log: Log, request: string): AppError {
  if (error instanceof AppError) {
    if (serious.has(error.code) && mayTell(log, `${request} ${error.code}`)) {
      log.error({ request, code: error.code, detail: error.detail }, 'request failed');
    }
    return error;
  }
  const kind = error instanceof Error ? error.constructor.name : typeof error;
  if (mayTell(log, `${request} INTERNAL`)) {
    log.error({ request, code: 'INTERNAL', kind, at: framesOf(error, 4) }, 'request failed');
  }
  return new AppError('INTERNAL');
}
