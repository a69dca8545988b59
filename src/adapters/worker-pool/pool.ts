// The Processor on worker threads (piscina): parsing, de-identifying and encrypting never block the thread that answers
// SFTP. A worker that ends in the middle costs its task alone: the pool goes on with a new thread.

import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
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
} from './messages.ts';

export interface WorkerPoolOptions {
  /** The only one that may see the crosswalk is the main thread: it owns the database and the keys. */
  readonly crosswalk: Crosswalk;
  /** Threads; by default one less than there are cores, at least 1 and at most 4. */
  readonly width?: number | undefined;
  /** The module with the exported function `run`; for tests. */
  readonly workerFile?: string;
  readonly heapMb?: number;
  /** How long an aborted task may take to clean up before its thread is ended. */
  readonly abortGraceMs?: number;
}

export const defaultWidth = (): number => Math.max(1, Math.min(availableParallelism() - 1, 4));

/**
 * The heap itself stays under 100 MB. But below 2 GB V8 also takes buffers outside the heap for a shortage, and collects
 * all garbage every few files: a third of all CPU (Node 20; npm run bench -- deid).
 */
const defaultHeapMb = 2048;

const shippedWorker = (): string =>
  fileURLToPath(
    new URL(`../../worker-main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
  );

export function createWorkerPool(options: WorkerPoolOptions): Processor {
  const width = options.width ?? defaultWidth();
  const pool = new Piscina<unknown, WorkerReply>({
    filename: options.workerFile ?? shippedWorker(),
    name: 'run',
    minThreads: 1,
    maxThreads: width,
    idleTimeout: 60_000,
    // A worker that waits in Atomics.wait would not see the answers on the tasks' ports.
    atomics: 'disabled',
    recordTiming: false,
    resourceLimits: { maxOldGenerationSizeMb: options.heapMb ?? defaultHeapMb },
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
  let graceTimer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    send(line, { kind: 'abort', error: toWire(signal.reason) });
    graceTimer = setTimeout(() => hard.abort(), options.abortGraceMs ?? 10_000);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  line.on('message', (question: CrosswalkQuestion) => {
    void answer(question, line, options.crosswalk);
  });
  try {
    const reply = await pool.run({ task, port }, { transferList: [port], signal: hard.signal });
    if (reply.kind === 'outcome') return reply.outcome;
    signal.throwIfAborted();
    throw fromWire(reply.error);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    await removeRemains(task);
    signal.throwIfAborted();
    throw new AppError('WORKER_DIED', { cause });
  } finally {
    clearTimeout(graceTimer);
    signal.removeEventListener('abort', onAbort);
    line.close();
  }
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
