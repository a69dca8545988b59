// A zip that must be held as a whole. It is thrown, because a wrong checksum or a bomb shows only while an entry is being
// read; it carries the closed reason so that nobody has to guess one from a text.

import { AppError } from './errors.ts';
import type { HoldReason } from './reasons.ts';

export type ZipHoldReason = Extract<HoldReason, `zip-${string}`>;

/** `reason` is what the job is held with; `detail` holds numbers and entry indexes, never a name. */
export class ZipRefusal extends AppError {
  readonly reason: ZipHoldReason;

  constructor(reason: ZipHoldReason, detail: string, cause?: unknown) {
    super('ZIP_BROKEN', { detail: `${reason}: ${detail}`, cause });
    this.name = 'ZipRefusal';
    this.reason = reason;
  }
}
