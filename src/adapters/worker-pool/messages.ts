// What crosses between the main thread and a worker thread. AppErrors travel as their facts, since structured clone
// would make plain Errors of them; of any other error only its class and the frames of its stack travel, because a
// library's message may quote a value of a patient.

import type { MessagePort } from 'node:worker_threads';
import { AppError, framesOf, type ErrorCode } from '../../core/errors.ts';
import type {
  ProcessOutcome,
  ProcessTask,
  SubjectAnswer,
  SubjectIdentity,
} from '../../flow/ports/processing.ts';

export interface WorkerRequest {
  readonly task: ProcessTask;
  /** This task's own line to the main thread: questions to the crosswalk one way, answers and `abort` the other. */
  readonly port: MessagePort;
  /** Counts what the thread gets done; the main thread ends one that stands still. */
  readonly steps: Int32Array<SharedArrayBuffer>;
}

export interface ErrorOnTheWire {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly at: number | undefined;
  readonly tag: string | undefined;
  readonly frames: string;
}

export type WorkerReply =
  | { readonly kind: 'outcome'; readonly outcome: ProcessOutcome }
  | { readonly kind: 'error'; readonly error: ErrorOnTheWire };

export interface CrosswalkQuestion {
  readonly id: number;
  readonly projectId: string;
  readonly identity: SubjectIdentity;
  readonly how: {
    readonly code: 'random' | 'sequential' | 'hmac' | 'csv';
    readonly prefix: string;
    readonly wholeWeeks: boolean;
  };
}

export type ToWorker =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: SubjectAnswer }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorOnTheWire }
  | { readonly kind: 'abort'; readonly error: ErrorOnTheWire };

export function toWire(error: unknown): ErrorOnTheWire {
  const frames = framesOf(error, 12)
    .map((frame) => `    ${frame}`)
    .join('\n');
  if (error instanceof AppError) {
    return { code: error.code, detail: error.detail, at: error.at, tag: error.tag, frames };
  }
  const detail = error instanceof Error ? error.name : typeof error;
  return { code: 'INTERNAL', detail, at: undefined, tag: undefined, frames };
}

export function fromWire(error: ErrorOnTheWire): AppError {
  const cause = new Error('in the worker thread');
  cause.stack = `${cause.message}\n${error.frames}`;
  return new AppError(error.code, {
    cause,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.at === undefined ? {} : { at: error.at }),
    ...(error.tag === undefined ? {} : { tag: error.tag }),
  });
}
