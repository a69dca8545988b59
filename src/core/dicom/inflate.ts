// The dataset of a deflated file is one raw deflate stream (PS3.5 §A.5). Inflated here piece by piece, under a cap, for a
// few bytes can stand for gigabytes; and to the last byte, for what follows the stream would be bytes nobody looked at.

import { once } from 'node:events';
import { crc32, createInflateRaw, type InflateRaw } from 'node:zlib';
import { AppError } from '../errors.ts';

export interface InflateLimits {
  /** How many bytes may come out at most; more is DICOM_TOO_LARGE. */
  readonly inflatedBytes: number;
}

/** CRC-32 and length behind the stream, as gzip writes them (RFC 1952 §2.3.1): some writers cut off gzip's head alone. */
const gzipTrailer = 8;

/**
 * Inflates what follows the head of a deflated file. One pad byte behind the stream is allowed (PS3.5 §A.5), also gzip's
 * trailer if it is right. Throws DICOM_TRUNCATED where the stream does not end, DICOM_MALFORMED where it is broken or
 * something else follows it; errors of the source come through as they are.
 */
export async function* inflateDataSet(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limits: InflateLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inflate = createInflateRaw();
  const feeding = feed(inflate, source);
  feeding.catch((error: unknown) => inflate.destroy(error as Error)); // the loop below then throws it
  let out = 0;
  let checksum = 0;
  try {
    for await (const bytes of inflate as AsyncIterable<Uint8Array>) {
      out += bytes.length;
      if (out > limits.inflatedBytes) {
        throw new AppError('DICOM_TOO_LARGE', { detail: 'inflated dataset' });
      }
      checksum = crc32(bytes, checksum);
      yield bytes;
    }
    checkBehind(await feeding, checksum, out);
  } catch (error) {
    throw asAppError(error);
  } finally {
    inflate.destroy();
  }
}

/** Writes the source into the stream at the pace of its reader, and gives what is behind the stream's end. */
async function feed(
  inflate: InflateRaw,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Buffer> {
  let fed = 0;
  let behind = Buffer.alloc(0);
  for await (const bytes of source) {
    if (bytes.length === 0) continue;
    fed += bytes.length;
    if (behind.length === 0) await write(inflate, bytes);
    if (inflate.destroyed) break;
    const more = fed - inflate.bytesWritten - behind.length;
    if (more > 0) behind = Buffer.concat([behind, bytes.subarray(bytes.length - more)]);
    if (behind.length > gzipTrailer + 1) throw bytesBehind();
  }
  inflate.end();
  return behind;
}

const bytesBehind = (): AppError =>
  new AppError('DICOM_MALFORMED', { detail: 'bytes behind the deflated dataset' });

function checkBehind(behind: Buffer, checksum: number, length: number): void {
  let pad = behind;
  if (behind.length >= gzipTrailer) {
    const isRight = behind.readUInt32LE(0) === checksum && behind.readUInt32LE(4) === length >>> 0;
    if (!isRight) throw bytesBehind();
    pad = behind.subarray(gzipTrailer);
  }
  if (pad.length > 1 || (pad[0] ?? 0) !== 0) throw bytesBehind();
}

async function write(inflate: InflateRaw, bytes: Uint8Array): Promise<void> {
  const done = new AbortController();
  const { signal } = done;
  try {
    await Promise.race([
      new Promise<void>((resolve, reject) => {
        inflate.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
      // a stream that is destroyed does not always call back
      once(inflate, 'close', { signal }),
    ]);
  } finally {
    done.abort();
  }
}

function asAppError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'Z_BUF_ERROR') return new AppError('DICOM_TRUNCATED', { detail: 'deflated' });
  if (typeof code === 'string' && code.startsWith('Z_')) {
    return new AppError('DICOM_MALFORMED', { detail: `deflated, ${code}` });
  }
  return error;
}
