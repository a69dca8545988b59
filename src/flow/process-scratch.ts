// The worker's own temporary files: an entry of a zip is whole in one of them before it goes on.

import { mkdir, open, rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Makes the folder of the task anew, so that remains of a worker that died are not in the way. */
export async function makeScratch(path: string): Promise<void> {
  await removeScratch(path);
  await mkdir(path, { recursive: true, mode: 0o700 });
}

export const removeScratch = async (path: string): Promise<void> =>
  rm(path, { recursive: true, force: true });

export interface ScratchFile {
  readonly sizeBytes: number;
  readonly crc32: number;
}

export async function writeScratch(
  path: string,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ScratchFile> {
  const file = await open(path, 'wx', 0o600);
  try {
    let sizeBytes = 0;
    let crc = 0;
    for await (const chunk of body) {
      signal.throwIfAborted();
      crc = crc32(chunk, crc);
      sizeBytes += chunk.length;
      for (let done = 0; done < chunk.length;) {
        done += (await file.write(chunk, done)).bytesWritten;
      }
    }
    return { sizeBytes, crc32: crc };
  } finally {
    await file.close();
  }
}
