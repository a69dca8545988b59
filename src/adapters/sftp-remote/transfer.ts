// The two long loops, with many requests in flight so that a line's round trip costs nothing. Hot code: bytes in flight are
// bounded, so memory does not grow with the file or with a slow partner.

import { createHash } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import type { RemoteSource } from '../../flow/ports/replication.ts';
import { RemoteStatus, type SftpChannel } from './channel.ts';
import { statusCodes, uint32, uint64 } from './wire.ts';

export interface TransferLimits {
  readonly readBytes: number;
  readonly writeBytes: number;
}

/** A file: 128 requests of 32 KB, or 16 of 255 KB. Covers 100 MB/s at 40 ms. */
const inFlightBytes = 4 * 1024 * 1024;

/** Writes [offset, sizeBytes) of the source. SOURCE_CHANGED when the source ends too early. */
export async function writeAll(
  channel: SftpChannel,
  handle: Buffer,
  source: RemoteSource,
  how: { readonly offset: number; readonly sizeBytes: number; readonly limits: TransferLimits },
  signal: AbortSignal,
): Promise<void> {
  const chunkBytes = how.limits.writeBytes;
  const inFlight = new Set<Promise<void>>();
  let failure: { readonly error: unknown } | undefined;
  let offset = how.offset;
  while (offset < how.sizeBytes && failure === undefined) {
    signal.throwIfAborted();
    const data = await source.read(offset, Math.min(chunkBytes, how.sizeBytes - offset));
    if (data.length === 0) {
      failure = { error: new AppError('SOURCE_CHANGED', { at: offset }) };
      break;
    }
    const written = channel
      .request('WRITE', [handle, uint64(offset), uint32(data.length), data], 'STATUS')
      .then(
        () => undefined,
        (error: unknown) => {
          failure ??= { error };
        },
      )
      .finally(() => inFlight.delete(written));
    inFlight.add(written);
    offset += data.length;
    if (inFlight.size * chunkBytes >= inFlightBytes) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
  if (failure !== undefined) throw failure.error;
}

/** SHA-256 of the first `lengthBytes`, lower-case hex. REMOTE_MISMATCH when the file is shorter. */
export async function hashByReading(
  channel: SftpChannel,
  handle: Buffer,
  lengthBytes: number,
  limits: TransferLimits,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  const chunkBytes = limits.readBytes;
  const ahead: Promise<Buffer[]>[] = [];
  const width = Math.ceil(inFlightBytes / chunkBytes);
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
    const piece = (await channel.request('READ', parts, 'DATA').catch(toMismatch)).string();
    if (piece.length === 0 || piece.length > length - at) throw new AppError('REMOTE_MISMATCH');
    pieces.push(piece);
    at += piece.length;
  }
  return pieces;
}

function toMismatch(error: unknown): never {
  const isEnd = error instanceof RemoteStatus && error.number === statusCodes.EOF;
  throw isEnd
    ? new AppError('REMOTE_MISMATCH', { detail: 'it ends too early', cause: error })
    : error;
}
