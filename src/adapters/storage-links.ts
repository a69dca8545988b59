// Which second names of a file are our own. A hard link that somebody planted would open what lies outside the tree, or let it
// be written; only claims, in the spool, are second names that we made.

import type fs from 'node:fs';
import { AppError } from '../core/errors.ts';
import { calls } from './storage-calls.ts';

const inodeOf = ({ dev, ino }: fs.BigIntStats): string => `${dev}:${ino}`;

/** How many claims each inode has. Who asks while a look is under way gets the next one, together with others. */
export function countClaims(folder: string): () => Promise<ReadonlyMap<string, number>> {
  const look = async (): Promise<ReadonlyMap<string, number>> => {
    const counts = new Map<string, number>();
    for await (const { name } of await calls.opendir(folder)) {
      const stats = await calls.lstat(`${folder}/${name}`).catch(() => undefined);
      if (stats === undefined) continue;
      counts.set(inodeOf(stats), (counts.get(inodeOf(stats)) ?? 0) + 1);
    }
    return counts;
  };
  let running: Promise<unknown> | undefined;
  let next: Promise<ReadonlyMap<string, number>> | undefined;
  return () => {
    next ??= (running ?? Promise.resolve()).then(() => {
      const mine = look();
      next = undefined;
      running = mine.catch(() => undefined);
      return mine;
    });
    return next;
  };
}

/** Claims come and go while we look, so it is asked a few times before it counts. */
const looks = 3;

export async function refuseForeign(
  claims: () => Promise<ReadonlyMap<string, number>>,
  look: () => Promise<fs.BigIntStats>,
): Promise<void> {
  for (let count = 0; count < looks; count += 1) {
    if ((await look()).nlink <= 1n) return;
    const own = await claims();
    const stats = await look();
    if (stats.nlink <= 1 + (own.get(inodeOf(stats)) ?? 0)) return;
  }
  throw new AppError('NO_SUCH_FILE');
}
