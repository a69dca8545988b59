// One `serve` per instance. The lock is an exclusive SQLite transaction on a file of its own: the operating system lets go
// of it when the process ends, however it ends, so no stale lock is ever in the way.

import BetterSqlite3 from 'better-sqlite3';
import { AppError } from '../core/errors.ts';

export interface ServeLock {
  release(): void;
}

/** How long a starting server waits: `isServed` of a command holds the lock for a moment. */
const patienceMs = 1000;

/** Throws BUSY when another process serves this instance. */
export function takeServeLock(path: string, timeoutMs = patienceMs): ServeLock {
  const file = new BetterSqlite3(path, { timeout: timeoutMs });
  try {
    file.exec('begin exclusive');
  } catch (cause) {
    file.close();
    if (!/^SQLITE_(BUSY|LOCKED)/.test(String((cause as { code?: unknown }).code))) throw cause;
    throw new AppError('BUSY', { cause, detail: 'another clubhouse serve runs on this instance' });
  }
  return { release: () => file.close() };
}

/** Does a process serve this instance now? */
export function isServed(path: string): boolean {
  try {
    takeServeLock(path, 0).release();
    return false;
  } catch {
    return true;
  }
}
