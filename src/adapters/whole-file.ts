// Small files of the instance that outlive a power cut. One that is replaced is there as a whole or not at all: a temporary name,
// sync, rename. What a killed process left under the temporary name goes when the server starts.

import { lstat, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError } from '../core/errors.ts';

/** For our own account alone (0600). Throws STORAGE_FAILED with `detail`; then the file is as it was. */
export async function writeWhole(path: string, text: string, detail?: string): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new AppError('STORAGE_FAILED', { cause, ...(detail === undefined ? {} : { detail }) });
  }
}

/** A new file for our own account alone, on the disk with its name when this ends. Throws what the system says, EEXIST too. */
export async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncFolder(dirname(path));
}

/** So that no power cut takes names out of it. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Longer than any of these files is written. A living process of another container is none of ours, but no slower either. */
const writtenWithinMs = 60_000;

/** Removes what killed processes left under the temporary names of `writeWhole` in these folders; never a living one's. */
export async function removeDeadParts(
  folders: readonly string[],
  living: { readonly now: number; readonly isRunning: (pid: number) => boolean },
  failed: (errno: string | undefined) => void,
): Promise<void> {
  for (const folder of folders) {
    for (const name of await readdir(folder)) {
      const pid = /.\.(\d{1,10})\.part$/.exec(name)?.[1];
      if (pid === undefined || living.isRunning(Number(pid))) continue;
      try {
        const path = join(folder, name);
        const facts = await lstat(path);
        const isOld = facts.isFile() && living.now - facts.mtimeMs > writtenWithinMs;
        if (isOld) await rm(path, { force: true });
      } catch (error) {
        // A read-only mount, say: what lies there is in nobody's way.
        failed((error as NodeJS.ErrnoException).code);
      }
    }
  }
}
