// One at a time for each path: an OPEN never races with a claim, a rename never with the look at the file before it is
// queued. A renamed folder moves many paths at once, so it waits for all and goes alone.

import type { WriterGroup } from './writers.ts';

export interface Gate {
  /** Runs `work` while it holds these paths. Not reentrant. */
  hold<T>(paths: readonly string[], work: () => Promise<T>): Promise<T>;
  /** Runs `work` while nobody holds any path. */
  alone<T>(work: () => Promise<T>): Promise<T>;
  /** Who writes now, by path. Changed only while the path is held. */
  readonly writers: Map<string, WriterGroup>;
}

export function createGate(): Gate {
  const tails = new Map<string, Promise<void>>();
  const running = new Set<Promise<void>>();
  let barrier: Promise<void> = Promise.resolve();

  /** Queues `work` behind `before`; the answer settles with it, and `done` never rejects. */
  const behind = <T>(before: readonly Promise<void>[], work: () => Promise<T>) => {
    const result = Promise.all(before).then(work);
    const done = result.then(
      () => undefined,
      () => undefined,
    );
    running.add(done);
    void forget(done, () => running.delete(done));
    return { result, done };
  };

  return {
    writers: new Map(),
    hold: (paths, work) => {
      const names = [...new Set(paths)];
      const before = names.flatMap((name) => tails.get(name) ?? []);
      const { result, done } = behind([barrier, ...before], work);
      for (const name of names) {
        tails.set(name, done);
        void forget(done, () => tails.get(name) === done && tails.delete(name));
      }
      return result;
    },
    alone: (work) => {
      const { result, done } = behind([...running], work);
      barrier = done;
      return result;
    },
  };
}

async function forget(done: Promise<void>, remove: () => unknown): Promise<void> {
  await done;
  remove();
}
