// The worker thread's end of the pool: the crosswalk and the abort signal, both over the task's own port.

import type { MessagePort } from 'node:worker_threads';
import type {
  Crosswalk,
  ProcessOutcome,
  ProcessTask,
  SubjectAnswer,
} from '../../flow/ports/processing.ts';
import { AppError } from '../../core/errors.ts';
import {
  fromWire,
  toWire,
  type CrosswalkQuestion,
  type ToWorker,
  type WorkerReply,
  type WorkerRequest,
} from './messages.ts';

/** Runs one request. Never throws: an error is a reply, so that whatever rejects in the pool means a dead worker. */
export async function serveRequest(
  { task, port, steps }: WorkerRequest,
  process: (
    task: ProcessTask,
    crosswalk: Crosswalk,
    signal: AbortSignal,
  ) => Promise<ProcessOutcome>,
): Promise<WorkerReply> {
  Atomics.add(steps, 0, 1);
  const abort = new AbortController();
  const waiting = new Map<number, Waiting>();
  port.on('message', (message: ToWorker) => receive(message, waiting, abort));
  try {
    const outcome = await process(task, remoteCrosswalk(port, waiting, abort.signal), abort.signal);
    return { kind: 'outcome', outcome };
  } catch (error) {
    return { kind: 'error', error: toWire(error) };
  } finally {
    port.close();
  }
}

interface Waiting {
  readonly resolve: (answer: SubjectAnswer) => void;
  readonly reject: (error: AppError) => void;
}

function receive(message: ToWorker, waiting: Map<number, Waiting>, abort: AbortController): void {
  if (message.kind === 'abort') {
    const reason = fromWire(message.error);
    abort.abort(reason);
    for (const one of waiting.values()) one.reject(reason);
    waiting.clear();
    return;
  }
  const one = waiting.get(message.id);
  waiting.delete(message.id);
  if (message.kind === 'answer') one?.resolve(message.answer);
  else one?.reject(fromWire(message.error));
}

function remoteCrosswalk(
  port: MessagePort,
  waiting: Map<number, Waiting>,
  signal: AbortSignal,
): Crosswalk {
  let lastId = 0;
  return {
    resolve: async (projectId, identity, how) => {
      signal.throwIfAborted();
      const id = (lastId += 1);
      return new Promise<SubjectAnswer>((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        const question: CrosswalkQuestion = { id, projectId, identity, how };
        port.postMessage(question);
      });
    },
  };
}
