// Hard links to what jobs that are not done yet read from or have made, so that a backup has it, whoever removes it while the
// backup is made.

import fs from 'node:fs';
import { link, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstancePaths } from '../../core/instance.ts';
import type { RowCopy } from '../../flow/ports/backup.ts';

/** Links to what is owed work, made when the rows were copied. */
export interface Owed {
  /** Claims that were not there any more: the rows are older than the disk, a new copy of them is needed. */
  readonly missing: number;
  /** Name below data/ of each link that was made. */
  readonly links: ReadonlyMap<string, { readonly at: string; readonly inode: string }>;
  remove(): Promise<void>;
}

/** To be called when the rows are copied. */
export async function linkOwed(paths: InstancePaths, folder: string, rows: RowCopy): Promise<Owed> {
  const links = new Map<string, { at: string; inode: string }>();
  let missing = 0;
  for (const { path, inode } of rows.owed()) {
    const at = join(folder, String(links.size));
    const early = join(folder, 'early', path.replaceAll('/', '_'));
    const facts = (await tryLink(join(paths.data, path), at)) ?? (await tryLink(early, at));
    if (facts !== undefined && (inode === undefined || facts.inode === inode)) {
      links.set(path, { at, inode: facts.inode });
      continue;
    }
    await rm(at, { force: true });
    if (path.startsWith('spool/claims/')) missing += 1;
  }
  return { links, missing, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Before the rows are copied: what a job has claimed or made may be gone right after. */
export async function linkEarly(paths: InstancePaths, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(join(folder, 'early'), { recursive: true, mode: 0o700 });
  for (const area of ['claims', 'outputs']) {
    for (const name of await readdir(join(paths.spool, area)).catch(ifMissing)) {
      await tryLink(join(paths.spool, area, name), join(folder, 'early', `spool_${area}_${name}`));
    }
  }
}

/** An area that nothing was put into yet. One that cannot be read ends the backup: it would not be whole. */
function ifMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code !== 'ENOENT') throw error;
  return [];
}

async function tryLink(from: string, to: string): Promise<{ inode: string } | undefined> {
  try {
    await link(from, to);
    return { inode: String(fs.lstatSync(to, { bigint: true }).ino) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined;
    throw error;
  }
}
