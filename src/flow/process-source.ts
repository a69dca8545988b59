// Reads a claimed generation once, in pieces, and hashes it on the way: the SHA-256 that is compared at the commit is
// that of the very bytes that were de-identified.

import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';

const pieceBytes = 256 * 1024;

export interface Source {
  readonly sizeBytes: number;
  /** From the start to the end, once. */
  chunks(): AsyncGenerator<Uint8Array>;
  /** Reads what was not read, for the hash alone. Hex. */
  sha256(): Promise<string>;
  close(): Promise<void>;
}

export async function openSource(path: string, signal: AbortSignal): Promise<Source> {
  const file = await open(path, 'r');
  try {
    return new SourceFile(file, (await file.stat()).size, signal);
  } catch (error) {
    await file.close();
    throw error;
  }
}

class SourceFile implements Source {
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #signal: AbortSignal;
  readonly #hash: Hash = createHash('sha256');
  #position = 0;
  #digest: string | undefined;

  constructor(file: FileHandle, sizeBytes: number, signal: AbortSignal) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#signal = signal;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = await this.#next();
      if (piece.length === 0) return;
      yield piece;
    }
  }

  async sha256(): Promise<string> {
    if (this.#digest === undefined) {
      while ((await this.#next()).length > 0);
      this.#digest = this.#hash.digest('hex');
    }
    return this.#digest;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #next(): Promise<Uint8Array> {
    this.#signal.throwIfAborted();
    // A new buffer each time: the walker and the encryptor keep slices of it.
    const buffer = Buffer.allocUnsafeSlow(pieceBytes);
    const { bytesRead } = await this.#file.read(buffer, 0, pieceBytes, this.#position);
    const piece = buffer.subarray(0, bytesRead);
    this.#position += bytesRead;
    this.#hash.update(piece);
    return piece;
  }
}

export async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const source = await openSource(path, signal);
  try {
    return await source.sha256();
  } finally {
    await source.close();
  }
}

/** Bytes that can be looked at before they are used, and read to their end by somebody else than who began. */
export interface Bytes {
  /** At least `count` of the first bytes, unless there are fewer. */
  peek(count: number): Promise<Uint8Array>;
  /** All bytes that were not taken yet. Leaving it early takes nothing more and closes nothing. */
  chunks(): AsyncGenerator<Uint8Array>;
  /** Reads and forgets the rest, so that whoever gives the bytes can check them to the end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export function bytesOf(source: AsyncIterable<Uint8Array>): Bytes {
  const input = source[Symbol.asyncIterator]();
  const peeked: Uint8Array[] = [];
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const first = peeked.shift();
      if (first !== undefined) {
        yield first;
        continue;
      }
      const next = await input.next();
      if (next.done === true) return;
      yield next.value;
    }
  }
  return {
    chunks,
    peek: async (count) => {
      let length = peeked.reduce((sum, chunk) => sum + chunk.length, 0);
      while (length < count) {
        const next = await input.next();
        if (next.done === true) break;
        peeked.push(next.value);
        length += next.value.length;
      }
      return Buffer.concat(peeked).subarray(0, count);
    },
    drain: async () => {
      for await (const chunk of chunks()) chunk.at(0);
    },
    close: async () => {
      await input.return?.();
    },
  };
}
