// The Processor on worker threads (piscina): parsing, de-identifying and encrypting never block the thread that answers
// SFTP. A worker that ends in the middle costs its task alone: the pool goes on with a new thread.

import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { AppError } from '../../core/errors.ts';
import type {
  Crosswalk,
  ProcessOutcome,
  Processor,
  ProcessTask,
} from '../../flow/ports/processing.ts';
import {
  fromWire,
  toWire,
  type CrosswalkQuestion,
  type ToWorker,
  type WorkerReply,
  type WorkerRequest,
} from './messages.ts';

export interface WorkerPoolOptions {
  /** The only one that may see the crosswalk is the main thread: it owns the database and the keys. */
  readonly crosswalk: Crosswalk;
  /** How many threads. */
  readonly width: number;
  /** The module with the exported function `run`; for tests. */
  readonly workerFile?: string;
  readonly heapMb?: number;
  /** How long a thread may get nothing done before it is ended. Default ten minutes. */
  readonly stallMs?: number;
  /** How long an aborted task may take to clean up before its thread is ended. */
  readonly abortGraceMs?: number;
}

/**
 * The heap itself stays under 100 MB. But below 2 GB V8 also takes buffers outside the heap for a shortage, and collects
 * all garbage every few files: a third of all CPU (Node 20; npm run bench -- deid).
 */
const defaultHeapMb = 2048;

/** A third of what Node gives a thread: each then keeps 4 MB less for nothing, and takes no more time that could be measured. */
const youngHeapMb = 12;

const defaultStallMs = 600_000;

const shippedWorker = (): string =>
  fileURLToPath(
    new URL(`../../worker-main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
  );

export function createWorkerPool(options: WorkerPoolOptions): Processor {
  const { width } = options;
  const pool = new Piscina<unknown, WorkerReply>({
    filename: options.workerFile ?? shippedWorker(),
    name: 'run',
    minThreads: 1,
    // One more than `width`, for small files while large ones have all the others (flow/slots).
    maxThreads: width + 1,
    idleTimeout: 60_000,
    // A worker that waits in Atomics.wait would not see the answers on the tasks' ports.
    atomics: 'disabled',
    recordTiming: false,
    resourceLimits: {
      maxOldGenerationSizeMb: options.heapMb ?? defaultHeapMb,
      maxYoungGenerationSizeMb: youngHeapMb,
    },
  });
  // A thread that ends between two tasks is replaced by the next task; there is nobody to tell.
  pool.on('error', () => undefined);
  const underWay = new Set<Promise<unknown>>();
  let stopped = false;
  const run = async (task: ProcessTask, signal: AbortSignal): Promise<ProcessOutcome> => {
    if (stopped) throw new AppError('BUSY', { detail: 'shutting down' });
    signal.throwIfAborted();
    const result = runTask(pool, task, options, signal);
    underWay.add(result);
    try {
      return await result;
    } finally {
      underWay.delete(result);
    }
  };
  const stop = async (): Promise<void> => {
    stopped = true;
    await Promise.allSettled(underWay);
    await pool.destroy();
  };
  return { run, width, stop };
}

async function runTask(
  pool: Piscina<unknown, WorkerReply>,
  task: ProcessTask,
  options: WorkerPoolOptions,
  signal: AbortSignal,
): Promise<ProcessOutcome> {
  const { port1: line, port2: port } = new MessageChannel();
  const hard = new AbortController();
  const steps = new Int32Array(new SharedArrayBuffer(4));
  const watch = endStalled(steps, hard, options.stallMs ?? defaultStallMs);
  let graceTimer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    send(line, { kind: 'abort', error: toWire(signal.reason) });
    graceTimer = setTimeout(() => hard.abort(), options.abortGraceMs ?? 10_000);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  line.on('message', (question: CrosswalkQuestion) => {
    Atomics.add(steps, 0, 1);
    void answer(question, line, options.crosswalk);
  });
  try {
    const request: WorkerRequest = { task, port, steps };
    const reply = await pool.run(request, { transferList: [port], signal: hard.signal });
    if (reply.kind === 'outcome') return reply.outcome;
    signal.throwIfAborted();
    throw fromWire(reply.error);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    await removeRemains(task);
    signal.throwIfAborted();
    throw new AppError('WORKER_DIED', { cause });
  } finally {
    clearInterval(watch);
    clearTimeout(graceTimer);
    signal.removeEventListener('abort', onAbort);
    line.close();
  }
}

/** How long a thread has at least to load its code and to take the task. */
const leastBeginMs = 60_000;

/**
 * A hanging thread hears no abort, so it is ended; for the task that is as if it had died. The first step says that the thread
 * has the task: until then it may still load its code, which takes a busy machine its time.
 */
function endStalled(steps: Int32Array, hard: AbortController, stallMs: number): NodeJS.Timeout {
  let seen = 0;
  let movedAt = performance.now();
  return setInterval(
    () => {
      const now = performance.now();
      const count = Atomics.load(steps, 0);
      if (count !== seen) {
        seen = count;
        movedAt = now;
      } else if (now - movedAt >= (count === 0 ? Math.max(stallMs, leastBeginMs) : stallMs)) {
        hard.abort();
      }
    },
    Math.min(1000, stallMs / 4),
  );
}

async function answer(
  question: CrosswalkQuestion,
  line: MessagePort,
  crosswalk: Crosswalk,
): Promise<void> {
  const { id, projectId, identity, how } = question;
  try {
    const found = await crosswalk.resolve(projectId, identity, how);
    send(line, { kind: 'answer', id, answer: found });
  } catch (error) {
    send(line, { kind: 'error', id, error: toWire(error) });
  }
}

const send = (line: MessagePort, message: ToWorker): void => line.postMessage(message);

/** A worker that ended could not clean up after itself. */
async function removeRemains(task: ProcessTask): Promise<void> {
  await rm(task.output, { force: true });
  await rm(task.scratch, { recursive: true, force: true });
}
