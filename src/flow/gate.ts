// One at a time for each path: an OPEN never races with a claim, a rename never with the look at the file before it is
// queued. A renamed folder moves all paths below it at once, so it waits for those who hold one of them, and they for it;
// nobody else waits, or one member with a large folder would stop all the others.

import type { WriterGroup } from './writers.ts';

export interface Gate {
  /** Runs `work` while it holds these paths. Not reentrant. */
  hold<T>(paths: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Runs `work` while nobody holds one of these folders, or a path below or above one. */
  alone<T>(folders: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Who writes now, by path. Changed only while the path is held. */
  readonly writers: Map<string, WriterGroup>;
  /** What was changed on the disk, and its rows perhaps not: the next look at the folder puts that right (lookout.ts). */
  readonly doubtful: Set<string>;
}

interface Holder {
  readonly paths: readonly string[];
  /** Never rejects. */
  done: Promise<void>;
}

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`);

const meet = (some: readonly string[], others: readonly string[]): boolean =>
  some.some((one) => others.some((other) => isWithin(one, other) || isWithin(other, one)));

const ready = Promise.resolve();

export function createGate(): Gate {
  const last = new Map<string, Holder>();
  const running = new Set<Holder>();
  const moving = new Set<Holder>();

  /** Queues `work` behind `before`; the answer settles with it. */
  const behind = <T>(
    before: readonly Promise<void>[],
    holder: Holder,
    work: () => Promise<T>,
    leave: () => void,
  ): Promise<T> => {
    const result = (before.length === 0 ? ready : Promise.all(before)).then(work);
    const end = (): void => {
      running.delete(holder);
      leave();
    };
    holder.done = result.then(end, end);
    running.add(holder);
    return result;
  };

  const met = (holders: ReadonlySet<Holder>, paths: readonly string[]): Promise<void>[] => {
    const found: Promise<void>[] = [];
    for (const { paths: theirs, done } of holders) if (meet(theirs, paths)) found.push(done);
    return found;
  };

  return {
    writers: new Map(),
    doubtful: new Set(),
    hold: (paths, work) => {
      const names = paths.length === 1 ? paths : [...new Set(paths)];
      const before = met(moving, names);
      const holder: Holder = { paths: names, done: ready };
      for (const name of names) {
        const there = last.get(name);
        if (there !== undefined) before.push(there.done);
        last.set(name, holder);
      }
      return behind(before, holder, work, () => {
        for (const name of names) if (last.get(name) === holder) last.delete(name);
      });
    },
    alone: (folders, work) => {
      const holder: Holder = { paths: folders, done: ready };
      const result = behind(met(running, folders), holder, work, () => moving.delete(holder));
      moving.add(holder);
      return result;
    },
  };
}
