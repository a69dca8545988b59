// Keeps the worker threads busy, and nobody waiting for somebody else: members take turns, and when large files have all the
// threads, one more is there for small ones (SPEC 10).

import { largeBytes } from '../core/upload.ts';
import type { ClaimedJob } from './ports/jobs.ts';
import { runJob, takeNext, type RunParts } from './run-job.ts';

export interface Slots {
  /** Starts what is due and has room. Answers whether anything moved. */
  fill(): Promise<boolean>;
  /** Resolves when no job is in work. */
  idle(): Promise<void>;
}

export interface SlotHooks {
  /** Nothing new is taken from then on. */
  readonly stopping: AbortSignal;
  /** What is in work is given back. */
  readonly abandoning: AbortSignal;
  /** A job ended, so there is room again. */
  readonly ended: () => void;
  /** A job was put aside to wait for somebody. */
  readonly waits: () => void;
  /** A job could not even be ended. */
  readonly failed: (error: unknown) => void;
}

export function createSlots(parts: RunParts, hooks: SlotHooks): Slots {
  /** Bytes of the uploads in work. */
  const running = new Map<Promise<void>, number>();
  const lastServed = new Map<string, number>();
  let turns = 0;

  const start = (job: ClaimedJob): void => {
    lastServed.set(job.upload.memberId, (turns += 1));
    const work = runJob(parts, job, hooks.abandoning);
    running.set(work, job.upload.sizeBytes);
    void forget(work);
  };

  const forget = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      hooks.failed(error);
    } finally {
      running.delete(work);
      hooks.ended();
    }
  };

  return {
    fill: async () => {
      let hasMoved = false;
      while (!hooks.stopping.aborted) {
        const mostBytes = roomFor(running, parts.processor.width);
        if (mostBytes === undefined) break;
        const taken = await takeNext(parts, { lastServed, mostBytes });
        if (taken === undefined) break;
        hasMoved = true;
        if (taken.job !== undefined) start(taken.job);
        else if (taken.waits) hooks.waits();
      }
      return hasMoved;
    },
    idle: async () => {
      while (running.size > 0) await Promise.allSettled(running.keys());
    },
  };
}

/** How large a file may be taken now; undefined when there is no room. */
function roomFor(running: ReadonlyMap<unknown, number>, width: number): number | undefined {
  if (running.size < width) return Number.POSITIVE_INFINITY;
  const areLarge = [...running.values()].every((bytes) => bytes > largeBytes);
  return running.size === width && areLarge ? largeBytes : undefined;
}
