// Reads a claimed generation once, in pieces, and hashes it on the way: the SHA-256 that is compared at the commit is
// that of the very bytes that were de-identified. The calls are synchronous: a worker thread has but this file to do, and a
// trip through the thread pool costs more than reading a slice. Benchmark: npm run bench -- deid.

import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** A slice comes in few pieces; what is larger does not need more memory. */
const pieceBytes = 512 * 1024;
/** After so many bytes other events get their turn, first of all an abort. */
const turnBytes = 8 * pieceBytes;

export interface Source {
  readonly sizeBytes: number;
  /** From the start to the end, once. */
  chunks(): AsyncGenerator<Uint8Array>;
  /** Reads what was not read, for the hash alone. Hex. */
  sha256(): Promise<string>;
  close(): void;
}

export function openSource(path: string, signal: AbortSignal): Source {
  const file = openSync(path, 'r');
  try {
    return new SourceFile(file, fstatSync(file).size, signal);
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

class SourceFile implements Source {
  readonly sizeBytes: number;
  readonly #file: number;
  readonly #signal: AbortSignal;
  readonly #hash: Hash = createHash('sha256');
  #position = 0;
  #nextTurn = turnBytes;
  #digest: string | undefined;

  constructor(file: number, sizeBytes: number, signal: AbortSignal) {
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

  close(): void {
    closeSync(this.#file);
  }

  async #next(): Promise<Uint8Array> {
    if (this.#position >= this.#nextTurn) {
      this.#nextTurn = this.#position + turnBytes;
      await setImmediate();
    }
    this.#signal.throwIfAborted();
    // A new buffer each time, since the walker keeps slices of it; but no larger than what is left, for memory outside the
    // heap is what the garbage collector is called for. The last look, behind the end, needs hardly any.
    const left = Math.max(this.sizeBytes - this.#position, 1024);
    const buffer = Buffer.allocUnsafeSlow(Math.min(left, pieceBytes));
    const bytesRead = readSync(this.#file, buffer, 0, buffer.length, this.#position);
    const piece = buffer.subarray(0, bytesRead);
    this.#position += bytesRead;
    this.#hash.update(piece);
    return piece;
  }
}

export async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const source = openSource(path, signal);
  try {
    return await source.sha256();
  } finally {
    source.close();
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
