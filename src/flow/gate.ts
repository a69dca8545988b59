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
  readonly done: Promise<void>;
}

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(`${folder}/`);

const meet = (some: readonly string[], others: readonly string[]): boolean =>
  some.some((one) => others.some((other) => isWithin(one, other) || isWithin(other, one)));

export function createGate(): Gate {
  const tails = new Map<string, Promise<void>>();
  const running = new Set<Holder>();
  const moving = new Set<Holder>();

  /** Queues `work` behind `before`; the answer settles with it, and `done` never rejects. */
  const behind = <T>(
    before: readonly Promise<void>[],
    paths: readonly string[],
    work: () => Promise<T>,
  ): { readonly result: Promise<T>; readonly holder: Holder } => {
    const result = Promise.all(before).then(work);
    const done = result.then(
      () => undefined,
      () => undefined,
    );
    const holder = { paths, done };
    running.add(holder);
    void forget(done, () => running.delete(holder));
    return { result, holder };
  };

  const met = (holders: Iterable<Holder>, paths: readonly string[]): Promise<void>[] =>
    [...holders].filter((holder) => meet(holder.paths, paths)).map(({ done }) => done);

  return {
    writers: new Map(),
    doubtful: new Set(),
    hold: (paths, work) => {
      const names = [...new Set(paths)];
      const before = names.flatMap((name) => tails.get(name) ?? []);
      const { result, holder } = behind([...met(moving, names), ...before], names, work);
      const { done } = holder;
      for (const name of names) {
        tails.set(name, done);
        void forget(done, () => tails.get(name) === done && tails.delete(name));
      }
      return result;
    },
    alone: (folders, work) => {
      const { result, holder } = behind(met(running, folders), folders, work);
      moving.add(holder);
      void forget(holder.done, () => moving.delete(holder));
      return result;
    },
  };
}

async function forget(done: Promise<void>, remove: () => unknown): Promise<void> {
  await done;
  remove();
}
