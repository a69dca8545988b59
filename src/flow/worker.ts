// The loop that keeps everything moving: settles what is due, fills the worker threads, writes receipts, sweeps. All it
// knows stands in the database, so it may be stopped at any point and started again.

import { AppError, codeOf, framesOf, unreachable } from '../core/errors.ts';
import type { ReceiptStore, Waiting } from './ports/jobs.ts';
import { writeReceipts } from './receipts.ts';
import type { KeyWatch } from './key-watch.ts';
import { createLookout, type Lookout, type LookoutParts } from './lookout.ts';
import { settleDue } from './settle.ts';
import { createSlots } from './slots.ts';
import { recover, sweep, type SweepSettings } from './sweep.ts';

export interface WorkerParts extends LookoutParts {
  readonly receipts: ReceiptStore;
  /** Changes when another process committed (SQLite's data_version). */
  readonly dataVersion: () => number;
  readonly temporaryNames: readonly string[];
  readonly settings: SweepSettings;
  readonly keyWatch: KeyWatch;
  /** How often it looks when nothing kicks it. Default 250 ms. */
  readonly tickMs?: number;
}

export interface Worker {
  /** Puts right what a crash left, then starts the loop. Resolves before the loop runs: listen after it. */
  start(): Promise<void>;
  /** No new work; work under way is given back if it does not end within `graceMs`. */
  stop(graceMs?: number): Promise<void>;
  /** Look now. */
  kick(): void;
  /** One round; for tests and tools, instead of start. Answers whether anything moved. */
  turn(): Promise<boolean>;
  /** Resolves when no job is in work. */
  idle(): Promise<void>;
}

const wakeEveryMs = 30_000;
/** While a crowd begins to wait, one after the other. */
const tellEveryMs = 1000;
const sweepEveryMs = 30_000;

export function createWorker(parts: WorkerParts): Worker {
  const stopping = new AbortController();
  const abandoning = new AbortController();
  let looping: Promise<unknown> = Promise.resolve();
  let kicked = new AbortController();

  const kick = (): void => {
    kicked.abort();
    kicked = new AbortController();
  };
  const slots = createSlots(parts, {
    stopping: stopping.signal,
    abandoning: abandoning.signal,
    ended: kick,
    waits: () => tending.look(),
    failed: (error) => tell(parts, error, 'a job could not be ended; the sweep takes it over'),
  });
  const lookout = createLookout(parts);
  const tending = createTending(parts, lookout, kick);

  const loop = async (step: () => Promise<boolean>): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { signal } = kicked;
      const pauseMs = await step().then(
        (hasMoved) => (hasMoved ? 0 : (parts.tickMs ?? 250)),
        (error: unknown) => {
          tell(parts, error, 'a round of the worker failed; it goes on in a moment');
          return 2000;
        },
      );
      await pause(parts, pauseMs, AbortSignal.any([stopping.signal, signal]));
    }
  };

  return {
    start: async () => {
      await recover(parts, parts.settings, lookout);
      // Two loops, so that a thousand files that settle at once do not keep the worker threads idle meanwhile.
      looping = Promise.all([loop(() => slots.fill()), loop(tending.round)]);
    },
    stop: async (graceMs = 10_000) => {
      stopping.abort();
      await looping;
      const grace = new AbortController();
      const ended = slots.idle().then(() => grace.abort());
      await pause(parts, graceMs, grace.signal);
      abandoning.abort(new AppError('BUSY', { detail: 'stopping' }));
      await ended;
    },
    kick,
    turn: async () => {
      const hasMoved = await tending.round();
      return (await slots.fill()) || hasMoved;
    },
    idle: () => slots.idle(),
  };
}

interface Tending {
  /** One round of everything but the jobs themselves; answers whether anything moved. */
  readonly round: () => Promise<boolean>;
  /** Something began to wait: the administrator hears of it with the next round. */
  readonly look: () => void;
}

function createTending(parts: WorkerParts, lookout: Lookout, kick: () => void): Tending {
  let version = parts.dataVersion();
  let wokenAt = Number.NEGATIVE_INFINITY;
  let sweptAt = parts.clock.now();
  let isNew = false;

  const wake = async (): Promise<void> => {
    const now = parts.clock.now();
    const seen = parts.dataVersion();
    // Also when the clock was set back.
    const pauseMs = isNew ? tellEveryMs : wakeEveryMs;
    if (seen === version && Math.abs(now - wokenAt) < pauseMs) return;
    isNew = false;
    version = seen;
    wokenAt = now;
    await wakeWaiting(parts);
    await parts.keyWatch.look(await parts.jobs.waiting());
  };

  const round = async (): Promise<boolean> => {
    const settled = await settleDue(parts);
    await wake();
    if (settled > 0) kick();
    const written = await writeReceipts(parts);
    await lookout.again();
    // Also when the clock was set back.
    if (Math.abs(parts.clock.now() - sweptAt) >= sweepEveryMs) {
      sweptAt = parts.clock.now();
      await sweep(parts, parts.settings);
    }
    return settled > 0 || written > 0;
  };
  return {
    round,
    look: () => {
      isNew = true;
    },
  };
}

async function pause(parts: WorkerParts, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await parts.clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function tell(parts: WorkerParts, error: unknown, message: string): void {
  const name = error instanceof Error ? error.name : typeof error;
  parts.log.error({ code: codeOf(error), error: name, at: framesOf(error) }, message);
}

/** Jobs that wait for a recipient key, a partner or a valid profile go on when there is one. */
export async function wakeWaiting(parts: WorkerParts): Promise<void> {
  for (const waiting of await parts.jobs.waiting()) {
    if (!(await isOver(parts, waiting))) continue;
    let woken = 0;
    do woken = await parts.jobs.wake(waiting);
    while (woken > 0);
  }
}

async function isOver(
  { facts }: WorkerParts,
  { projectId, partner, reason }: Waiting,
): Promise<boolean> {
  switch (reason) {
    case 'no-partner':
      return true; // The rows know whether there is one now.
    case 'no-valid-key':
      return (await facts.recipientsFor(projectId, partner)).length > 0;
    case 'broken-profile':
      return facts.profileFor(projectId).then(
        () => true,
        () => false,
      );
    default:
      return unreachable(reason);
  }
}
