// A small file of the instance, there as a whole or not at all: a temporary name, sync, rename. What a killed process left under
// the temporary name is written over by the next one with its number.

import { open, rename, rm } from 'node:fs/promises';
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
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new AppError('STORAGE_FAILED', { cause, ...(detail === undefined ? {} : { detail }) });
  }
}
