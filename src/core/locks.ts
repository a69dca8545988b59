// One holder per key, in the order of asking. For what must not interleave in this process and has no system call that
// would see to it: two handles that append to one file, a rename that must not overwrite beside an OPEN that creates.

export interface Locks {
  hold<T>(key: string, run: () => Promise<T>): Promise<T>;
}

export function createLocks(): Locks {
  const last = new Map<string, Promise<unknown>>();
  return {
    hold: async (key, run) => {
      const before = last.get(key);
      const mine = before === undefined ? run() : before.then(run, run);
      last.set(key, mine);
      try {
        return await mine;
      } finally {
        if (last.get(key) === mine) last.delete(key);
      }
    },
  };
}
