// In which order a session's requests happen. What names a path runs one after another, after everything that was asked
// earlier on handles of that path or below it: clients send CLOSE and SETSTAT or RENAME of the same file in one go. What
// names a handle runs in the handle's own queue (handles.ts).

import type { FileHandle, Handle, Handles } from './handles.ts';
import type { Share } from './shares.ts';

/** Runs a READ at once, and its answer when those before it are answered. */
export type InTurn = (
  run: () => Promise<Buffer>,
  answer: (result: () => Promise<Buffer>) => Promise<void>,
) => Promise<void>;

export interface Order {
  /** After every path request before it. `isLong`: those after it do not wait. `run` must not reject. */
  inPathOrder(isLong: boolean, run: () => Promise<void>): void;
  /** Everything that was asked earlier on handles of this path, or of something below it, is done. Undefined: it is. */
  settled(path: string): Promise<unknown> | undefined;
  /** From CLOSE's arrival to its answer the handle is in no table, but still counts. */
  closing(handle: Handle): { done(): void };
  turn(handle: Handle): InTurn;
  /** All path requests so far are done. */
  pathsDone(): Promise<unknown>;
}

const isWithin = (path: string, folder: string): boolean =>
  path.startsWith(folder) && (path.length === folder.length || path[folder.length] === '/');

export function createOrder(handles: Handles, share: Share): Order {
  const closing = new Set<FileHandle>();
  const turns = createTurns();
  let lastPath: Promise<unknown> = Promise.resolve();
  return {
    inPathOrder: (isLong, run) => {
      // Hundreds may have waited for one that took long: they do not all run in the turn in which it ends.
      const mine = lastPath.then(() => share.turn()).then(run);
      if (!isLong) lastPath = mine;
    },
    settled: (path) => {
      const waits: Promise<void>[] = [];
      const look = (handle: Handle): void => {
        if (handle.kind !== 'file' || handle.queue.isIdle) return;
        if (isWithin(handle.place.shown, path)) waits.push(handle.queue.barrier());
      };
      for (const handle of handles.all()) look(handle);
      for (const handle of closing) look(handle);
      return waits.length === 0 ? undefined : Promise.all(waits);
    },
    closing: (handle) => {
      if (handle.kind === 'file') closing.add(handle);
      return {
        done: () => {
          if (handle.kind === 'file') closing.delete(handle);
        },
      };
    },
    turn: turns,
    pathsDone: () => lastPath,
  };
}

/**
 * READs of one handle run together and are answered in the order of asking: the draft allows any order, but OpenSSH's
 * sftp and scp (9.2) cut the file they download at the last answer when answers were out of order, and report success.
 */
function createTurns(): (handle: Handle) => InTurn {
  const last = new WeakMap<Handle, Promise<void>>();
  return (handle) => {
    const before = last.get(handle);
    let mark: () => void = () => undefined;
    last.set(handle, new Promise((resolve) => (mark = resolve)));
    return async (run, answer) => {
      const [result] = await Promise.allSettled([Promise.resolve().then(run), before]);
      await answer(async () => {
        if (result.status === 'rejected') throw result.reason;
        return result.value;
      });
      mark();
    };
  };
}
