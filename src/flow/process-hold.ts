// How a thing that went wrong in the processing becomes an outcome (SPEC 6): held by a rule or a doubt, partial because the
// bytes end too early, or an AppError that the caller may try again.

import { AppError } from '../core/errors.ts';
import type { Exclusion, HoldReason } from '../core/reasons.ts';
import { ZipRefusal } from '../core/zip-refusal.ts';
import type { ProcessOutcome } from './ports/processing.ts';

/** Stops the work on a file in the middle of its stream, also when bytes of it were sealed already. */
export class Held extends Error {
  readonly reason: HoldReason;
  /** Tag, offset, kind, counts; no value. */
  readonly detail: string | undefined;

  constructor(reason: HoldReason, detail?: string) {
    super(reason);
    this.name = 'Held';
    this.reason = reason;
    this.detail = detail;
  }
}

const exclusionLists = new WeakMap<object, readonly Exclusion[]>();

/** Gives an error the list of what was left out until it came, for the receipt of a zip that is held. */
export function withExclusions(error: unknown, exclusions: readonly Exclusion[]): unknown {
  if (typeof error === 'object' && error !== null) exclusionLists.set(error, exclusions);
  return error;
}

export const exclusionsOf = (error: unknown): readonly Exclusion[] =>
  typeof error === 'object' && error !== null ? (exclusionLists.get(error) ?? []) : [];

export type Stop =
  | { readonly kind: 'held'; readonly reason: HoldReason; readonly detail: string | undefined }
  | { readonly kind: 'partial'; readonly reason: 'truncated' };

/** What this error says about the content, or undefined when it says nothing about it (disk, keys, abort, a defect). */
export function stopOf(error: unknown): Stop | undefined {
  if (error instanceof Held) return { kind: 'held', reason: error.reason, detail: error.detail };
  if (error instanceof ZipRefusal) {
    return { kind: 'held', reason: error.reason, detail: error.detail };
  }
  if (!(error instanceof AppError)) return undefined;
  const held = (reason: HoldReason): Stop => ({ kind: 'held', reason, detail: whereOf(error) });
  switch (error.code) {
    case 'DICOM_TRUNCATED':
    case 'ZIP_TRUNCATED':
      return { kind: 'partial', reason: 'truncated' };
    case 'DICOM_MALFORMED':
    case 'DICOM_NOT_DICOM':
      return held('not-parseable');
    case 'DICOM_TOO_LARGE':
      return held('too-large');
    case 'DICOM_UNSUPPORTED':
      return held('unsupported');
    case 'ZIP_BROKEN':
      return held('zip-broken');
    default:
      return undefined;
  }
}

function whereOf(error: AppError): string | undefined {
  const parts = [
    error.tag,
    error.at === undefined ? undefined : `byte ${error.at}`,
    error.detail,
  ].filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(', ') : undefined;
}

export const heldOutcome = (
  stop: { readonly reason: HoldReason; readonly detail: string | undefined },
  sourceSha256: string | undefined,
  exclusions: readonly Exclusion[] = [],
): ProcessOutcome => ({
  kind: 'held',
  reason: stop.reason,
  detail: stop.detail,
  sourceSha256,
  exclusions,
});

/** Errors of the file system as AppErrors: they carry host paths, which no message may show. */
export function asAppError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof AppError || error instanceof Held) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new AppError('DISK_FULL', { cause: error });
  if (code !== undefined && /^E[A-Z0-9]+$/.test(code) && 'syscall' in error) {
    return new AppError('STORAGE_FAILED', { cause: error, detail: code });
  }
  return error;
}
