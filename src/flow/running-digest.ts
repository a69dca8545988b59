// SHA-256 of a file that is read once, from its beginning to its end, while its bytes go elsewhere.

import { createHash } from 'node:crypto';
import { AppError } from '../core/errors.ts';
import type { OpenFile } from './ports/storage.ts';

const pieceBytes = 1024 * 1024;

type Readable = Pick<OpenFile, 'readIntoAll'>;

export class RunningDigest {
  readonly #file: Readable;
  readonly #hash = createHash('sha256');
  #at = 0;

  constructor(file: Readable) {
    this.#file = file;
  }

  /** Fills the targets with what lies at `offset`, which is where the last reading ended; how many bytes there were. */
  async readInto(targets: readonly Uint8Array[], offset: number): Promise<number> {
    if (offset !== this.#at) throw new AppError('INTERNAL', { detail: 'read out of order' });
    const count = await this.#file.readIntoAll(targets, offset);
    let left = count;
    for (const target of targets) {
      this.#hash.update(target.subarray(0, left));
      left = Math.max(0, left - target.length);
    }
    this.#at += count;
    return count;
  }

  /** Reads on to `offset`, or to the end of the file if that comes first. */
  async advance(offset: number, signal: AbortSignal): Promise<void> {
    const piece = Buffer.allocUnsafe(Math.max(0, Math.min(pieceBytes, offset - this.#at)));
    while (this.#at < offset) {
      signal.throwIfAborted();
      const wanted = piece.subarray(0, offset - this.#at);
      if ((await this.readInto([wanted], this.#at)) === 0) return;
    }
  }

  /** Of all that was read so far, lower-case hex. */
  soFar(): string {
    return this.#hash.copy().digest('hex');
  }
}

export async function sha256Of(
  file: Readable,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const digest = new RunningDigest(file);
  await digest.advance(sizeBytes, signal);
  return digest.soFar();
}
