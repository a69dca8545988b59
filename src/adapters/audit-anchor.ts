// Where the audit trail ended, noted outside of the database: keys/audit.head. Who can write the database alone can put it
// back to an earlier state, with a head that was once right; this file then speaks of an entry that is not there. It is
// written after the commit, so that it is never ahead of the database, whatever kills the process. Who can write both has
// the master key beside them; against that helps a head that somebody else keeps (`clubhouse audit verify --head`).

import { readFile } from 'node:fs/promises';
import { AppError } from '../core/errors.ts';
import { writeWhole } from './whole-file.ts';

export interface Head {
  readonly seq: number;
  readonly hash: string;
}

/** What the anchor needs of the trail (sql/audit.ts) of one database. */
export interface Trail {
  /** Committed. `isSealed`: it was made with our key. */
  head(): Promise<Head & { readonly isSealed: boolean }>;
  /** Does the trail have this very entry? */
  passes(head: Head): Promise<boolean>;
  /** Gives a trail from before there were heads its first one. */
  sealNow(): Promise<void>;
  sealAnchor(head: Head): string;
  /** Undefined when the line is not one of ours. */
  openAnchor(line: string): Head | undefined;
}

export interface Anchor {
  /** Makes the file for a new trail, or for one from before there was an anchor; otherwise nothing. */
  begin(): Promise<void>;
  /** Moves it to where the trail ends now. One that does not fit stays as it is: it is the proof that something is wrong. */
  move(): Promise<void>;
  /** After a restore: whatever it said, the trail ends here now. */
  replace(): Promise<void>;
  /** To be read before the trail. A text: what is wrong with the anchor itself. */
  read(): Promise<Head | string>;
}

export function createAnchor(path: string, trail: Trail): Anchor {
  const replace = async (): Promise<void> => write(path, trail.sealAnchor(await trail.head()));
  const read = async (): Promise<Head | 'missing' | 'broken'> => {
    const line = await lineOf(path);
    return line === undefined ? 'missing' : (trail.openAnchor(line) ?? 'broken');
  };
  return {
    begin: async () => {
      if ((await read()) !== 'missing') return;
      const head = await trail.head();
      // With a sealed head there was an anchor: that it is gone must show.
      if (head.isSealed) return;
      if (head.seq > 0) await trail.sealNow();
      await replace();
    },
    move: async () => {
      const before = await read();
      const now = await trail.head();
      if (typeof before === 'string' || !now.isSealed || before.seq >= now.seq) return;
      if (before.seq > 0 && !(await trail.passes(before))) return;
      await write(path, trail.sealAnchor(now));
    },
    replace,
    read: async () => {
      const head = await read();
      if (head === 'missing')
        return 'keys/audit.head, which says how far the trail reached, is gone';
      if (head === 'broken')
        return 'keys/audit.head, which says how far the trail reached, is not ours';
      return head;
    },
  };
}

async function lineOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new AppError('STORAGE_FAILED', { cause, detail: 'keys/audit.head cannot be read' });
  }
}

const write = (path: string, line: string): Promise<void> =>
  writeWhole(path, line, 'keys/audit.head cannot be written');
