// When folders are compared with their rows (strays.ts): all of them after a start, and later those where something went
// wrong. A folder that cannot be read, as on a bad sector, keeps nobody else's files waiting: it is told, and tried again.

import { AppError, codeOf } from '../core/errors.ts';
import { isWithin } from './gate.ts';
import { writeDownBelow } from './late-rows.ts';
import type { UnreadRoot, UnreadRoots } from './ports/upkeep.ts';
import { filesBelow } from './renames.ts';
import { entersIn, findStrays, rootsOf, type Root, type StrayParts } from './strays.ts';

export type LookoutParts = StrayParts & { readonly unread: UnreadRoots };

export interface Lookout {
  /** After a start, before anybody can connect: nobody else changes anything. */
  all(): Promise<void>;
  /** Where there is doubt, and where an earlier look failed and its time has come. Mostly there is nothing to do. */
  again(): Promise<void>;
}

interface Failed extends UnreadRoot {
  readonly triedAt: number;
  readonly waitMs: number;
}

const firstWaitMs = 30_000;
const longestWaitMs = 600_000;
/** A look holds up its owner's changes, so it takes at most so much of the time. */
const restForEach = 10;

export function createLookout(parts: LookoutParts): Lookout {
  const { clock, gate, unread, log } = parts;
  const failed = new Map<string, Failed>();
  let rest = { from: 0, ms: 0 };

  const note = ({ folder, projectId, memberId, partner }: Root, error: unknown): void => {
    const code = codeOf(error);
    const detail = error instanceof AppError ? error.detail : undefined;
    const waitMs = Math.min(longestWaitMs, 2 * (failed.get(folder)?.waitMs ?? firstWaitMs / 2));
    failed.set(folder, {
      ...{ projectId, memberId, partner, code, detail },
      ...{ triedAt: clock.now(), waitMs },
    });
    const who = memberId === undefined ? { partner } : { member: memberId };
    log.error({ project: projectId, ...who, code, errno: detail }, 'a folder cannot be read');
  };
  const look = async (root: Root, find: () => ReturnType<typeof findStrays>): Promise<void> => {
    try {
      const missed = await find();
      if (missed === undefined) failed.delete(root.folder);
      else note(root, missed.error);
    } catch (error) {
      note(root, error);
    }
  };
  const live = (root: Root): Promise<void> =>
    look(root, () =>
      gate.alone([root.folder], async () => {
        for (const path of gate.doubtful)
          if (isWithin(path, root.folder)) gate.doubtful.delete(path);
        await writeDownBelow(parts, root.folder);
        return findStrays(parts, root);
      }),
    );
  const isDue = (root: Root): boolean => {
    const one = failed.get(root.folder);
    // Also when the clock was set back.
    return one !== undefined && Math.abs(clock.now() - one.triedAt) >= one.waitMs;
  };
  /** An own folder has no rows, and a root may be gone: archived, or its member removed. */
  const forgetOthers = (roots: readonly Root[], doubts: readonly string[]): void => {
    const folders = roots.map(({ folder }) => folder);
    for (const path of doubts) {
      if (!folders.some((folder) => isWithin(path, folder))) gate.doubtful.delete(path);
    }
    for (const folder of failed.keys()) if (!folders.includes(folder)) failed.delete(folder);
  };
  const told = (): string =>
    JSON.stringify([...failed].map(([folder, { code, detail }]) => [folder, code, detail]));
  const isResting = (): boolean => Math.abs(clock.now() - rest.from) < rest.ms;

  return {
    all: async () => {
      for (const root of await rootsOf(parts)) await look(root, () => findStrays(parts, root));
      await unread.replace([...failed.values()]);
    },
    again: async () => {
      const doubts = [...gate.doubtful];
      if ((doubts.length === 0 && failed.size === 0) || isResting()) return;
      const from = clock.now();
      const before = told();
      const roots = await rootsOf(parts);
      for (const root of roots) {
        const isDoubted = doubts.some((path) => isWithin(path, root.folder));
        if (!isDoubted && !isDue(root)) continue;
        // Its owner need not wait for a look that fails again.
        const missed = isDoubted ? undefined : await triedIn(parts, root);
        if (missed === undefined) await live(root);
        else note(root, missed.error);
      }
      forgetOthers(roots, doubts);
      rest = { from, ms: restForEach * (clock.now() - from) };
      if (told() !== before) await unread.replace([...failed.values()]);
    },
  };
}

/** Why not everything in it can be read, if so. */
async function triedIn(parts: LookoutParts, root: Root): Promise<{ error: unknown } | undefined> {
  let missed: { error: unknown } | undefined;
  const miss = (error: unknown): void => {
    missed ??= { error };
  };
  try {
    for await (const found of filesBelow(parts, root.folder, entersIn(root), miss)) void found;
    return missed;
  } catch (error) {
    return { error };
  }
}
