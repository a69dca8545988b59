// Everybody who writes one path at the moment, and which bytes are known to be there. Kept in memory while a handle is
// open and written down as it goes, so that a restart knows what it may believe.

import { cover, cut, type Coverage } from '../core/coverage.ts';
import type { LateRow } from './late-rows.ts';
import type { OpenFile } from './ports/storage.ts';

/** More ranges than any honest client leaves at once. What is beyond is forgotten: the file then counts as not whole. */
const mostRanges = 4096;

export class WriterGroup {
  path: string;
  /** The row that follows this file; undefined in places that the flow does not follow. */
  uploadId: string | undefined;
  /** The row is still to be written. */
  late: LateRow | undefined;
  /** Open handles. */
  readonly open = new Set<OpenFile>();
  /** A handle was lost with bytes in it, or the disk failed: what was promised is not all there. */
  isBroken = false;
  /** It was the disk, and the client was told. */
  isRefused = false;
  /** Bytes came, or the size was set, since the first of these handles was opened. */
  hasChanged = false;
  /** The file at this path is another one now, or none: nothing that still comes concerns the row. */
  isDetached = false;
  persistedAt: number;
  persisting: Promise<void> | undefined;
  /** What was known to be there before. */
  #before: Coverage;
  /** What these handles wrote. */
  #fresh: Coverage = [];

  constructor(path: string, uploadId: string | undefined, before: Coverage, now: number) {
    this.path = path;
    this.uploadId = uploadId;
    this.#before = before;
    this.persistedAt = now;
  }

  wrote(offset: number, length: number): void {
    if (length <= 0) return;
    this.hasChanged = true;
    const fresh = cover(this.#fresh, offset, offset + length);
    this.#fresh = fresh.length > mostRanges ? fresh.slice(0, mostRanges) : fresh;
  }

  truncated(sizeBytes: number): void {
    this.hasChanged = true;
    this.#before = cut(this.#before, sizeBytes);
    this.#fresh = cut(this.#fresh, sizeBytes);
  }

  /** The disk did not take all of what came. */
  refused(): void {
    this.isBroken = true;
    this.isRefused = true;
  }

  /** Nothing of what was written can be believed: the disk said so at fsync. */
  distrust(): void {
    this.refused();
    this.#before = [];
    this.#fresh = [];
  }

  /** When every handle was closed by its client: the new bytes and the old ones around them. */
  whole(): Coverage {
    return union(this.#before, this.#fresh);
  }

  /**
   * While handles are open, or after one was lost: where new bytes lie over old ones, the old ones behind them may
   * belong to another file (`scp` overwrites without truncating), so they do not count. A resumed upload writes
   * behind the old bytes, or into holes, and keeps them.
   */
  certain(): Coverage {
    const from = this.#fresh[0]?.[0];
    const overwrites = this.#fresh.some(([start, end]) =>
      this.#before.some(([oldStart, oldEnd]) => start < oldEnd && end > oldStart),
    );
    const before = overwrites && from !== undefined ? cut(this.#before, from) : this.#before;
    return union(before, this.#fresh);
  }
}

const union = (a: Coverage, b: Coverage): Coverage =>
  b.reduce<Coverage>((all, [from, to]) => cover(all, from, to), a);
