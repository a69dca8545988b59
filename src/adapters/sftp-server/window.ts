// How much a client may send ahead. ssh2's window is 2 MB whatever the line: at 40 ms there and back that is 50 MB a second.
// Here it grows while the client is far away and the disk keeps up, and what is received and not done yet counts as part of
// it, so that a client that is faster than the disk costs no more than its window.

import type { Inflow } from '../ssh2-inflow.ts';

/** All sessions together may promise so much beyond what each has anyway. */
export interface Purse {
  take(bytes: number): boolean;
  giveBack(bytes: number): void;
}

export function createPurse(bytes: number): Purse {
  let left = bytes;
  return {
    take: (wanted) => {
      if (wanted > left) return false;
      left -= wanted;
      return true;
    },
    giveBack: (returned) => {
      left += returned;
    },
  };
}

/** One for the process, as its memory is. */
const sharedPurse = createPurse(256 << 20);

export interface Window {
  /** Bytes have come. False: more than were allowed. */
  received(bytes: number): boolean;
  /** Bytes that came are done with. */
  done(bytes: number): void;
  readonly sizeBytes: number;
  end(): void;
}

export const windowLimits = {
  mostBytes: 16 << 20,
  /** A client is far away when it takes longer than this to use what it was given, and never answered sooner. One that is near and
   *  waits for its turn on a busy machine would only pile up what it may send: OpenSSH's client moves all of it in its memory again
   *  and again, which made four of them half as fast (npm run bench -- sftp). */
  farMs: 8,
};

export function createWindow(
  inflow: Inflow,
  {
    before = () => undefined,
    roundTripMs = () => Infinity,
    purse = sharedPurse,
    now = () => performance.now(),
  }: {
    /** Called before more is granted, so that the grant leaves together with answers. */
    readonly before?: () => void;
    /** The shortest that an answer and what the client does next ever took. */
    readonly roundTripMs?: () => number;
    readonly purse?: Purse;
    readonly now?: () => number;
  } = {},
): Window {
  const firstBytes = inflow.windowBytes;
  let size = firstBytes;
  let left = firstBytes;
  let held = 0;
  let total = 0;
  /** When it was granted what goes beyond `limit` bytes in all. */
  let probe: { readonly limit: number; readonly at: number } | undefined;
  /** That it ever took from a grant to the first byte which needed it. */
  let shortestMs = Infinity;
  let isOver = false;

  const grow = (): void => {
    const more = Math.min(size, windowLimits.mostBytes - size);
    if (more > 0 && purse.take(more)) size += more;
  };
  const grant = (): void => {
    const owed = size - left - held;
    if (isOver || owed < size / 4) return;
    probe ??= { limit: total + left, at: now() };
    left += owed;
    before();
    inflow.grant(owed);
  };
  return {
    received: (bytes) => {
      total += bytes;
      left -= bytes;
      held += bytes;
      if (left < 0) return false;
      if (probe !== undefined && total > probe.limit) {
        shortestMs = Math.min(shortestMs, now() - probe.at);
        const isFar = Math.min(shortestMs, roundTripMs()) >= windowLimits.farMs;
        // What is held says that we are the slow ones.
        if (isFar && held < size / 2) grow();
        probe = undefined;
      }
      return true;
    },
    done: (bytes) => {
      held -= bytes;
      grant();
    },
    get sizeBytes() {
      return size;
    },
    end: () => {
      if (!isOver) purse.giveBack(size - firstBytes);
      isOver = true;
    },
  };
}
