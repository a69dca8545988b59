// What any thrown thing means to a client. The only place where an unknown error becomes an answer; it is logged there.

import { AppError, framesOf } from '../../core/errors.ts';
import type { Log } from '../../flow/ports/clock.ts';

/** An AppError as it is; anything else is INTERNAL and leaves a line in the log without its text, which may hold a path. */
export function asFailure(error: unknown, log: Log, request: string): AppError {
  if (error instanceof AppError) {
    if (
      error.code === 'STORAGE_FAILED' ||
      error.code === 'DISK_FULL' ||
      error.code === 'INTERNAL'
    ) {
      log.error({ request, code: error.code, detail: error.detail }, 'request failed');
    }
    return error;
  }
  const kind = error instanceof Error ? error.constructor.name : typeof error;
  log.error({ request, code: 'INTERNAL', kind, at: framesOf(error, 4) }, 'request failed');
  return new AppError('INTERNAL');
}
