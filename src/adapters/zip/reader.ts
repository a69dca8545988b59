// Opens a zip: the strict checks first, then each entry's bytes through unzipper, counted and checked on the way, because
// unzipper accepts wrong checksums and has no limits. It is shown a directory of the one entry that is read, so that its
// memory does not grow with the number of entries.

import { open, type FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import unzipper from 'unzipper';
import { AppError } from '../../core/errors.ts';
import { ZipRefusal } from '../../core/zip-refusal.ts';
import type { ProcessLimits } from '../../flow/ports/processing.ts';
import type { ZipBudget, ZipEntry, ZipSource } from '../../flow/ports/zip.ts';
import { readDirectory, type DirectoryRecord } from './directory.ts';
import { readEndRecord } from './end-record.ts';
import { FileWindow } from './window.ts';

/** Up to here a high ratio is no bomb: blank images compress a thousandfold. */
const harmlessBytes = 64 * 1024 * 1024;

export async function openZip(
  path: string,
  limits: ProcessLimits,
  budget: ZipBudget = { inflatedBytes: 0, entries: 0 },
): Promise<ZipSource> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const window = new FileWindow(file, size);
    const end = await readEndRecord(window);
    budget.entries += end.entries;
    if (budget.entries > limits.zipEntries) throw new ZipRefusal('zip-entries', `${end.entries}`);
    const records = await readDirectory(window, end, limits);
    return new OpenZip(file, size, records, limits, budget);
  } catch (error) {
    await file.close();
    throw error;
  }
}

type Kept = Omit<DirectoryRecord, 'nameBytes'>;

class OpenZip implements ZipSource {
  readonly entries: readonly ZipEntry[];
  readonly budget: ZipBudget;
  readonly #file: FileHandle;
  readonly #sizeBytes: number;
  readonly #limits: ProcessLimits;
  readonly #records = new Map<number, Kept>();
  /** How far each entry was read already: reading it again costs nothing of the budget. */
  readonly #counted = new Map<number, number>();
  #inflated = 0;

  constructor(
    file: FileHandle,
    sizeBytes: number,
    records: readonly DirectoryRecord[],
    limits: ProcessLimits,
    budget: ZipBudget,
  ) {
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#limits = limits;
    this.budget = budget;
    const files = records.filter((record) => !record.isFolder);
    for (const { nameBytes: _, ...kept } of files) this.#records.set(kept.index, kept);
    this.entries = files.map(({ index, name, method, sizeBytes }) => ({
      index,
      name,
      method,
      sizeBytes,
    }));
  }

  async *read(entry: ZipEntry, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    const record = this.#records.get(entry.index);
    if (record === undefined) throw new AppError('INTERNAL', { detail: 'no such entry' });
    let crc = 0;
    let size = 0;
    let held: Uint8Array | undefined;
    for await (const chunk of this.#inflate(record, signal)) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      if (size > record.sizeBytes) {
        throw new ZipRefusal('zip-bomb', `entry ${record.index} is longer than it says`);
      }
      this.#spend(record.index, size);
      // One chunk behind, so that nobody gets the last one before the checksum was found right.
      if (held !== undefined) yield held;
      held = chunk;
    }
    if (size !== record.sizeBytes) {
      throw new ZipRefusal('zip-broken', `entry ${record.index} is shorter than it says`);
    }
    if (crc !== record.crc32) throw new ZipRefusal('zip-crc', `entry ${record.index}`);
    if (held !== undefined) yield held;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #spend(index: number, size: number): void {
    const more = size - (this.#counted.get(index) ?? 0);
    if (more <= 0) return;
    this.#counted.set(index, size);
    this.#inflated += more;
    this.budget.inflatedBytes += more;
    const { inflatedBytes, inflateRatio } = this.#limits;
    const allowed = Math.max(harmlessBytes, this.#sizeBytes * inflateRatio);
    if (this.budget.inflatedBytes > inflatedBytes || this.#inflated > allowed) {
      throw new ZipRefusal('zip-bomb', `at entry ${index}`);
    }
  }

  async *#inflate(record: Kept, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
    // unzipper takes an entry of no bytes for one whose end it has to search.
    if (record.compressedBytes === 0) return;
    const opened: Readable[] = [];
    const source = this.#oneEntrySource(record, opened);
    try {
      const directory = await unzipper.Open.custom(source);
      const entry = directory.files[0];
      if (entry === undefined) throw new Error('unzipper sees no entry');
      const stream = entry.stream();
      const stop = (): void => void stream.destroy(signal?.reason as Error);
      signal?.addEventListener('abort', stop, { once: true });
      try {
        for await (const chunk of stream) yield chunk as Buffer;
      } finally {
        signal?.removeEventListener('abort', stop);
        stream.destroy();
      }
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof AppError) throw cause;
      throw new ZipRefusal('zip-broken', `entry ${record.index} cannot be inflated`, cause);
    } finally {
      for (const stream of opened) stream.destroy();
    }
  }

  /**
   * The file as unzipper sees it: the tail is an end record of ours, the directory is the record of this entry, and a
   * request with a length is for the entry's own bytes.
   */
  #oneEntrySource(record: Kept, opened: Readable[]): Parameters<typeof unzipper.Open.custom>[0] {
    const end = Buffer.alloc(endBytes);
    end.writeUInt32LE(0x06054b50, 0);
    end.writeUInt16LE(1, 8);
    end.writeUInt16LE(1, 10);
    let asked = 0;
    const give = (stream: Readable): Readable => {
      opened.push(stream);
      return stream;
    };
    const at = (start: number, length: number): Readable =>
      Readable.from(pieces(this.#file, start, Math.min(start + length, this.#sizeBytes)), {
        objectMode: false,
        highWaterMark: pieceBytes,
      });
    return {
      size: () => Promise.resolve(endBytes),
      stream: (offset: number, length?: number) => {
        asked += 1;
        if (length !== undefined) return give(at(offset, length));
        return give(
          asked === 1 ? Readable.from([end]) : at(record.recordOffset, record.recordBytes),
        );
      },
    } as Parameters<typeof unzipper.Open.custom>[0];
  }
}

const endBytes = 22;
const pieceBytes = 256 * 1024;

async function* pieces(file: FileHandle, from: number, to: number): AsyncIterable<Buffer> {
  for (let at = from; at < to;) {
    const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, to - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw new AppError('SOURCE_CHANGED', { detail: 'the file got shorter' });
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
