// How fast bytes may go to a partner: a token bucket. What it holds back waits in the order of asking.

import type { Clock } from './ports/clock.ts';

/** So much of the line's time may be used at once after a pause. */
const burstMs = 250;

/** Resolves when so many bytes may go. Undefined `limitBytes` (a second): at once. */
export type Throttle = (bytes: number, signal: AbortSignal) => Promise<void>;

export function createThrottle(
  clock: Pick<Clock, 'now' | 'sleep'>,
  limitBytes: number | undefined,
): Throttle {
  if (limitBytes === undefined) return () => Promise.resolve();
  /** Until then the line is spoken for. */
  let busyUntil = Number.NEGATIVE_INFINITY;
  return async (bytes, signal) => {
    const now = clock.now();
    const from = Math.max(busyUntil, now - burstMs);
    busyUntil = from + (bytes / limitBytes) * 1000;
    const wait = busyUntil - now;
    if (wait > 0) await clock.sleep(wait, signal);
  };
}
