// Small files of the instance that outlive a power cut. One that is replaced is there as a whole or not at all: a temporary name,
// sync, rename. What a killed process left under the temporary name is written over by the next one with its number.

import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
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
