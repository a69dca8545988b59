// Chance that can be had again: everything that a torture run draws comes from its seed, so a failure can be replayed as far
// as the machine's own timing allows.

import { createCipheriv, createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Chance {
  /** At least 0, less than 1. */
  fraction(): number;
  /** From `from` up to and with `to`. */
  whole(from: number, to: number): number;
  is(probability: number): boolean;
  one<T>(choices: readonly [T, ...T[]]): T;
  /** Pauses for up to `ms`, more often shortly. */
  pause(ms: number): Promise<void>;
}

export function chanceOf(seed: string): Chance {
  let state = createHash('sha256').update(seed).digest().readUInt32LE(0);
  /** mulberry32 */
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    fraction,
    whole: (from, to) => from + Math.floor(fraction() * (to - from + 1)),
    is: (probability) => fraction() < probability,
    one: (choices) => choices[Math.floor(fraction() * choices.length)] ?? choices[0],
    pause: (ms) => sleep(Math.floor(fraction() ** 2 * ms)),
  };
}

/** Bytes that no compression shrinks and that say nothing but their name. */
export function noise(name: string, length: number): Buffer {
  const key = createHash('sha256').update(name).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}
