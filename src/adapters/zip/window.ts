// Reads small pieces of a file in rising order with few system calls: the headers of 100,000 entries lie close to each
// other when the entries are small, so one read serves many of them.

import type { FileHandle } from 'node:fs/promises';
import { AppError } from '../../core/errors.ts';

const windowBytes = 128 * 1024;

export class FileWindow {
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  #start = 0;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
  }

  /** The bytes [offset, offset + length), or fewer where the file ends. Valid until the next call. */
  async at(offset: number, length: number): Promise<Buffer> {
    const wanted = Math.max(0, Math.min(length, this.sizeBytes - offset));
    if (offset < this.#start || offset + wanted > this.#start + this.#bytes.length) {
      await this.#load(offset, wanted);
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + wanted);
  }

  async #load(offset: number, wanted: number): Promise<void> {
    const length = Math.min(Math.max(wanted, windowBytes), this.sizeBytes - offset);
    const buffer = Buffer.allocUnsafe(Math.max(0, length));
    let filled = 0;
    while (filled < buffer.length) {
      const { bytesRead } = await this.#file.read(
        buffer,
        filled,
        buffer.length - filled,
        offset + filled,
      );
      if (bytesRead === 0) throw new AppError('SOURCE_CHANGED', { detail: 'the file got shorter' });
      filled += bytesRead;
    }
    this.#start = offset;
    this.#bytes = buffer;
  }
}
