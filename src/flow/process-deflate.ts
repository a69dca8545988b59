// Deflates a clean dataset again for the deflated transfer syntax (PS3.5 §A.5): one raw deflate stream, padded to even length.

import { Readable, pipeline } from 'node:stream';
import { createDeflateRaw } from 'node:zlib';

/** `start`: the bytes of the dataset before those that come. */
export async function* deflated(
  dataset: AsyncIterable<Uint8Array>,
  start: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const deflate = createDeflateRaw();
  let failure: unknown;
  // The error of the dataset is thrown as it is, and not as the stream's.
  const watched = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield start;
      yield* dataset;
    } catch (error) {
      failure = error;
      throw error;
    }
  };
  pipeline(Readable.from(watched(), { objectMode: false }), deflate, () => undefined);
  let length = 0;
  try {
    for await (const piece of deflate as AsyncIterable<Uint8Array>) {
      length += piece.length;
      yield piece;
    }
  } catch (error) {
    throw failure ?? error;
  } finally {
    deflate.destroy();
  }
  if (length % 2 === 1) yield new Uint8Array(1);
}
