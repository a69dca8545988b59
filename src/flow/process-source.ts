// Reads a claimed generation once, in pieces, and hashes it on the way: the SHA-256 that is compared at the commit is
// that of the very bytes that were de-identified. The calls are synchronous: a worker thread has but this file to do, and a
// trip through the thread pool costs more than reading a slice. Benchmark: npm run bench -- deid.

import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { AppError } from '../core/errors.ts';
import { noteStep } from './process-progress.ts';

/** Most slices are one piece, and it stays in the processor's cache while it is hashed and written. */
const pieceBytes = 1024 * 1024;
/** After so many bytes other events get their turn, first of all an abort. */
const turnBytes = 4 * pieceBytes;

export interface Source {
  readonly sizeBytes: number;
  /** From the start to the end, once. The pieces keep their content until they are released, or the source is closed. */
  chunks(): AsyncIterable<Uint8Array>;
  /** Nobody looks at the piece any more: its memory may be read into again. */
  release(piece: Uint8Array): void;
  /** Reads what was not read, for the hash alone. Hex. */
  sha256(): Promise<string>;
  close(): void;
}

/** `digest`: whether to take it; where nobody asks for it, it costs as much as all the rest. */
export function openSource(
  path: string,
  signal: AbortSignal,
  digest: 'digest' | 'no digest' = 'digest',
): Source {
  const file = openSync(path, 'r');
  try {
    return new SourceFile(file, fstatSync(file).size, signal, digest);
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

class SourceFile implements Source {
  readonly sizeBytes: number;
  readonly #file: number;
  readonly #signal: AbortSignal;
  readonly #hash: Hash | undefined;
  /** Read into and not released. */
  readonly #lent = new Map<ArrayBufferLike, Buffer>();
  #position = 0;
  #nextTurn = turnBytes;
  #digest: string | undefined;

  constructor(
    file: number,
    sizeBytes: number,
    signal: AbortSignal,
    digest: 'digest' | 'no digest',
  ) {
    this.#hash = digest === 'digest' ? createHash('sha256') : undefined;
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#signal = signal;
  }

  chunks(): AsyncIterable<Uint8Array> {
    const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
      const piece = await this.#next();
      return piece.length === 0 ? { done: true, value: undefined } : { done: false, value: piece };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  release(piece: Uint8Array): void {
    const buffer = this.#lent.get(piece.buffer);
    if (buffer === undefined || !this.#lent.delete(piece.buffer)) return;
    if (spares.length < maximumSpares) spares.push(buffer);
  }

  async sha256(): Promise<string> {
    if (this.#hash === undefined) throw new AppError('INTERNAL', { detail: 'no digest was taken' });
    if (this.#digest === undefined) {
      for (;;) {
        const piece = await this.#next();
        if (piece.length === 0) break;
        this.release(piece);
      }
      this.#digest = this.#hash.digest('hex');
    }
    return this.#digest;
  }

  close(): void {
    closeSync(this.#file);
    for (const buffer of this.#lent.values()) this.release(buffer);
  }

  async #next(): Promise<Uint8Array> {
    if (this.#position >= this.#nextTurn) {
      this.#nextTurn = this.#position + turnBytes;
      await setImmediate();
    }
    this.#signal.throwIfAborted();
    noteStep();
    const buffer = spares.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
    this.#lent.set(buffer.buffer, buffer);
    // whoever does not release leaves them to the garbage collector
    const [oldest] = this.#lent.keys();
    if (this.#lent.size > maximumSpares && oldest !== undefined) this.#lent.delete(oldest);
    const bytesRead = readSync(this.#file, buffer, 0, pieceBytes, this.#position);
    const piece = buffer.subarray(0, bytesRead);
    if (bytesRead === 0) this.release(piece);
    this.#position += bytesRead;
    this.#hash?.update(piece);
    return piece;
  }
}

/**
 * Buffers of files that are done, for those that come: new memory for each piece costs more than reading into it, and it is
 * what the garbage collector is called for. One thread has a file or two at a time.
 */
const spares: Buffer[] = [];
const maximumSpares = 4;

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
  /** Of what came from `chunks`: nobody looks at it any more, see Source. */
  release(piece: Uint8Array): void;
  /** Reads and forgets the rest, so that whoever gives the bytes can check them to the end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export function bytesOf(
  source: AsyncIterable<Uint8Array>,
  release: (piece: Uint8Array) => void = () => undefined,
): Bytes {
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
    release,
    peek: async (count) => {
      let length = peeked.reduce((sum, chunk) => sum + chunk.length, 0);
      while (length < count) {
        const next = await input.next();
        if (next.done === true) break;
        peeked.push(next.value);
        length += next.value.length;
      }
      const all = peeked.length === 1 ? peeked[0] : undefined;
      return (all ?? Buffer.concat(peeked)).subarray(0, count);
    },
    drain: async () => {
      for await (const chunk of chunks()) release(chunk);
    },
    close: async () => {
      await input.return?.();
    },
  };
}
