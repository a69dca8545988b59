// The dataset of a deflated file is one raw deflate stream (PS3.5 §A.5). Inflated here piece by piece, under a cap, for a
// few bytes can stand for gigabytes; and to the last byte, for what follows the stream would be bytes nobody looked at.

import { once } from 'node:events';
import { createInflateRaw, type InflateRaw } from 'node:zlib';
import { AppError } from '../errors.ts';

export interface InflateLimits {
  /** How many bytes may come out at most; more is DICOM_TOO_LARGE. */
  readonly inflatedBytes: number;
}

/**
 * Inflates what follows the head of a deflated file. One pad byte behind the stream is allowed (PS3.5 §A.5). Throws
 * DICOM_TRUNCATED where the stream does not end, DICOM_MALFORMED where it is broken or something follows it; errors of
 * the source come through as they are.
 */
export async function* inflateDataSet(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limits: InflateLimits,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inflate = createInflateRaw();
  const feeding = feed(inflate, source);
  feeding.catch((error: unknown) => inflate.destroy(error as Error)); // the loop below then throws it
  let out = 0;
  try {
    for await (const bytes of inflate as AsyncIterable<Uint8Array>) {
      out += bytes.length;
      if (out > limits.inflatedBytes) {
        throw new AppError('DICOM_TOO_LARGE', { detail: 'inflated dataset' });
      }
      yield bytes;
    }
    await feeding;
  } catch (error) {
    throw asAppError(error);
  } finally {
    inflate.destroy();
  }
}

/** Writes the source into the stream at the pace of its reader, and looks at what is behind the stream's end. */
async function feed(
  inflate: InflateRaw,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  let fed = 0;
  let isOver = false;
  for await (const bytes of source) {
    if (bytes.length === 0) continue;
    fed += bytes.length;
    if (!isOver) await write(inflate, bytes);
    if (inflate.destroyed) return;
    const behind = fed - inflate.bytesWritten;
    isOver = behind > 0;
    if (behind > 1 || (behind === 1 && bytes.at(-1) !== 0)) {
      throw new AppError('DICOM_MALFORMED', { detail: 'bytes behind the deflated dataset' });
    }
  }
  inflate.end();
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
