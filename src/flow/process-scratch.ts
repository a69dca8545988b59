// The worker's own temporary files: an entry of a zip is whole in one of them before it goes on, or in memory when it is
// small, since a file for each of thousands of slices costs more than cleaning them.

import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { noteStep } from './process-progress.ts';

/** Makes the folder of the task anew, so that remains of a worker that died are not in the way. */
export function makeScratch(path: string): void {
  removeScratch(path);
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

export function removeScratch(path: string): void {
  if (existsSync(path)) rmSync(path, { recursive: true, force: true });
}

export interface ScratchFile {
  readonly sizeBytes: number;
  readonly crc32: number;
}

/** Larger ones go to the disk; one at a time is in memory. */
const memoryBytes = 8 * 1024 * 1024;

/** All of the body, with `bytes` when it is small; else it is in the file `path`. */
export async function keepScratch(
  path: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ScratchFile & { readonly bytes?: Uint8Array }> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  const input = body[Symbol.asyncIterator]();
  try {
    while (sizeBytes <= memoryBytes) {
      signal.throwIfAborted();
      const next = await input.next();
      if (next.done === true) {
        const bytes = Buffer.concat(pieces, sizeBytes);
        return { sizeBytes, crc32: crc32(bytes), bytes };
      }
      pieces.push(next.value);
      sizeBytes += next.value.length;
    }
    const all = async function* (): AsyncGenerator<Uint8Array> {
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) yield piece;
      for (let next = await input.next(); next.done !== true; next = await input.next()) {
        yield next.value;
      }
    };
    return await writeScratch(path, all(), signal);
  } finally {
    await input.return?.();
  }
}

export async function writeScratch(
  path: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ScratchFile> {
  const file = openSync(path, 'wx', 0o600);
  try {
    let sizeBytes = 0;
    let crc = 0;
    for await (const chunk of body) {
      signal.throwIfAborted();
      noteStep();
      crc = crc32(chunk, crc);
      sizeBytes += chunk.length;
      for (let done = 0; done < chunk.length;) {
        done += writeSync(file, chunk, done);
      }
    }
    return { sizeBytes, crc32: crc };
  } finally {
    closeSync(file);
  }
}
