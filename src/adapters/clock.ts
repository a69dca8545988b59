// The machine's clock.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../flow/ports/clock.ts';

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  },
};
