// The two long loops, with many requests in flight so that a line's round trip costs nothing. Hot code: bytes in flight are
// bounded, so memory does not grow with the file or with a slow partner.

import { createHash } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import type { RemoteSource } from '../../flow/ports/replication.ts';
import { RemoteStatus, writeRoomBytes, type SftpChannel } from './channel.ts';
import { statusCodes, uint32, uint64 } from './wire.ts';

const leastFlightBytes = 4 << 20;
/** Of one file, whatever the line. */
export const mostFlightBytes = 16 << 20;
/** What a fast line carries. */
export const bytesEachMs = 400_000;

/** The end of a file that was cut short on several lanes, in which there may be holes. */
export const raggedBytes = 2 * mostFlightBytes;

/** How many bytes of one file are under way, so that the line is never idle for want of an answer. */
export const flightBytesFor = (roundTripMs: number): number =>
  Math.min(mostFlightBytes, Math.max(leastFlightBytes, Math.ceil(roundTripMs * bytesEachMs)));

/** Read at once, of a file. */
const readAheadBytes = 4 * 255 * 1024;
/** Memory for WRITEs, used again and again: new memory for each is the collector's work, which costs more than the sending. */
export interface Pieces {
  readonly dataBytes: number;
  readonly flightBytes: number;
  /** With room in front for the packet's fields (channel.ts). */
  take(): Buffer;
  giveBack(memory: Buffer): void;
}

/** For one connection, whatever its files: twice what one of them has under way is kept. */
export function createPieces(dataBytes: number, flightBytes: number): Pieces {
  const free: Buffer[] = [];
  const most = Math.ceil((2 * flightBytes) / dataBytes);
  return {
    dataBytes,
    flightBytes,
    take: () => free.pop() ?? Buffer.allocUnsafeSlow(writeRoomBytes + dataBytes),
    giveBack: (memory) => {
      if (free.length < most) free.push(memory);
    },
  };
}

/** An open file: its handle, and the channel on which it has this handle. */
export interface Lane {
  readonly channel: SftpChannel;
  readonly handle: Buffer;
}

/**
 * Writes [offset, sizeBytes) of the source, on all lanes in turn. Where that is cut short, what the partner holds may have holes
 * in its last `raggedBytes`, and none before. SOURCE_CHANGED when the source ends too early.
 */
export async function writeAll(
  lanes: readonly [Lane, ...Lane[]],
  source: RemoteSource,
  how: { readonly offset: number; readonly sizeBytes: number; readonly pieces: Pieces },
  signal: AbortSignal,
): Promise<void> {
  const { pieces, sizeBytes } = how;
  const flight = new Flight(lanes, pieces);
  const read = (offset: number): Promise<ReadPieces> => {
    const reading = readPieces(source, pieces, offset, sizeBytes);
    reading.catch(() => undefined); // Heard below, when there is room; without this an early failure would end the process.
    return reading;
  };
  let offset = how.offset;
  let ahead = read(offset);
  try {
    while (offset < sizeBytes && flight.failure === undefined) {
      signal.throwIfAborted();
      const { list, count } = await ahead;
      if (count === 0) throw new AppError('SOURCE_CHANGED', { at: offset });
      const from = offset;
      offset += count;
      // Read while this is encrypted and sent.
      ahead = read(offset);
      flight.send(list, from, count);
      await flight.room();
    }
  } finally {
    // The file must not be closed under a reading, nor the handle under a writing.
    await Promise.allSettled([ahead, flight.landed()]);
  }
  if (flight.failure !== undefined) throw flight.failure.error;
}

interface ReadPieces {
  readonly list: readonly Buffer[];
  /** How many bytes they hold together; only the last ones may be short. */
  readonly count: number;
}

/** Several pieces at once: the way through a thread costs more than the reading. */
async function readPieces(
  source: RemoteSource,
  pieces: Pieces,
  offset: number,
  endBytes: number,
): Promise<ReadPieces> {
  const wanted = Math.min(endBytes - offset, Math.max(readAheadBytes, pieces.dataBytes));
  const list: Buffer[] = [];
  const targets: Buffer[] = [];
  for (let at = 0; at < wanted; at += pieces.dataBytes) {
    const memory = pieces.take();
    list.push(memory);
    const length = Math.min(pieces.dataBytes, wanted - at);
    targets.push(memory.subarray(writeRoomBytes, writeRoomBytes + length));
  }
  return { list, count: wanted === 0 ? 0 : await source.readInto(targets, offset) };
}

/** The WRITEs of one file that have no answer yet. */
class Flight {
  readonly #lanes: readonly [Lane, ...Lane[]];
  readonly #pieces: Pieces;
  /** Offsets, in the order of sending. */
  readonly #unanswered = new Set<number>();
  #bytes = 0;
  #endBytes = 0;
  #turn = 0;
  #heard = (): void => undefined;
  failure: { readonly error: unknown } | undefined;

  constructor(lanes: readonly [Lane, ...Lane[]], pieces: Pieces) {
    this.#lanes = lanes;
    this.#pieces = pieces;
  }

  send(list: readonly Buffer[], offset: number, count: number): void {
    for (const [index, memory] of list.entries()) {
      const at = index * this.#pieces.dataBytes;
      if (at >= count) this.#pieces.giveBack(memory);
      else this.#sendOne(memory, offset + at, Math.min(this.#pieces.dataBytes, count - at));
    }
  }

  #sendOne(memory: Buffer, offset: number, length: number): void {
    this.#bytes += length;
    this.#endBytes = offset + length;
    this.#unanswered.add(offset);
    const { channel, handle } = this.#lanes[this.#turn % this.#lanes.length] ?? this.#lanes[0];
    this.#turn += 1;
    const whole = memory.subarray(0, writeRoomBytes + length);
    channel
      .write(handle, offset, whole, () => this.#pieces.giveBack(memory))
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => {
        this.#bytes -= length;
        this.#unanswered.delete(offset);
        this.#heard();
      });
  }

  /** One lane that lags must not leave a hole far behind the others. */
  get #spanBytes(): number {
    const [oldest] = this.#unanswered;
    return oldest === undefined ? 0 : this.#endBytes - oldest;
  }

  async room(): Promise<void> {
    while (this.failure === undefined) {
      const isFull = this.#bytes >= this.#pieces.flightBytes;
      if (!isFull && this.#spanBytes < raggedBytes - readAheadBytes) return;
      await this.#answer();
    }
  }

  async landed(): Promise<void> {
    while (this.#bytes > 0) await this.#answer();
  }

  #answer(): Promise<void> {
    return new Promise((resolve) => (this.#heard = resolve));
  }
}

/** SHA-256 of the first `lengthBytes`, lower-case hex. REMOTE_MISMATCH when the file is shorter. */
export async function hashByReading(
  channel: SftpChannel,
  handle: Buffer,
  how: {
    readonly lengthBytes: number;
    /** Of one request. */
    readonly chunkBytes: number;
    readonly flightBytes: number;
  },
  signal: AbortSignal,
): Promise<string> {
  const { lengthBytes, chunkBytes, flightBytes } = how;
  const hash = createHash('sha256');
  const ahead: Promise<Buffer[]>[] = [];
  const width = Math.ceil(flightBytes / chunkBytes);
  let asked = 0;
  while (asked < lengthBytes || ahead.length > 0) {
    signal.throwIfAborted();
    while (asked < lengthBytes && ahead.length < width) {
      const part = readRange(channel, handle, asked, Math.min(chunkBytes, lengthBytes - asked));
      part.catch(() => undefined); // Heard below, in order; without this an early failure would end the process.
      ahead.push(part);
      asked += chunkBytes;
    }
    for (const piece of (await ahead.shift()) ?? []) hash.update(piece);
  }
  return hash.digest('hex');
}

/** A server may answer with less than was asked for; the rest is asked for again. */
async function readRange(
  channel: SftpChannel,
  handle: Buffer,
  offset: number,
  length: number,
): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  let at = 0;
  while (at < length) {
    const parts = [handle, uint64(offset + at), uint32(length - at)];
    const data = (await channel.request('READ', parts, 'DATA').catch(toMismatch)).data();
    if (data.bytes === 0 || data.bytes > length - at) throw new AppError('REMOTE_MISMATCH');
    pieces.push(...data.pieces);
    at += data.bytes;
  }
  return pieces;
}

function toMismatch(error: unknown): never {
  const isEnd = error instanceof RemoteStatus && error.number === statusCodes.EOF;
  throw isEnd
    ? new AppError('REMOTE_MISMATCH', { detail: 'it ends too early', cause: error })
    : error;
}
