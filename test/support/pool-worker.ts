// A worker module for the pool's tests: what it does is named by the task's uploadName.

import { mkdir, writeFile } from 'node:fs/promises';
import { serveRequest } from '../../src/adapters/worker-pool/worker-side.ts';
import type { WorkerReply, WorkerRequest } from '../../src/adapters/worker-pool/messages.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Crosswalk, ProcessOutcome, ProcessTask } from '../../src/flow/ports/processing.ts';

export const run = async (request: WorkerRequest): Promise<WorkerReply> =>
  serveRequest(request, behave);

const passed: ProcessOutcome = { kind: 'passed', sourceSha256: 'ab' };

async function behave(
  task: ProcessTask,
  crosswalk: Crosswalk,
  signal: AbortSignal,
): Promise<ProcessOutcome> {
  switch (task.uploadName) {
    case 'pass':
      return passed;
    case 'app-error':
      throw new AppError('DICOM_MALFORMED', { tag: '(0010,0010)', at: 12, detail: 'odd' });
    case 'other-error':
      throw new TypeError('Wang^Xiaodong is not a function');
    case 'ask': {
      const identity = {
        key: 'k',
        patientID: 'P',
        issuer: '',
        patientName: '',
        birthDate: '',
        sex: '',
      };
      const how = { code: 'random', prefix: 'JI-', wholeWeeks: false } as const;
      const answers = await Promise.all(
        ['1', '2'].map(async (key) => crosswalk.resolve('p', { ...identity, key }, how)),
      );
      return { kind: 'passed', sourceSha256: JSON.stringify(answers) };
    }
    case 'wait':
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      throw signal.reason as AppError;
    case 'ignore-abort':
      await leaveRemains(task);
      await new Promise(() => undefined);
      return passed;
    case 'exit':
      await leaveRemains(task);
      return process.exit(3);
    case 'throw-aside':
      setImmediate(() => {
        throw new Error('nobody awaits this');
      });
      await new Promise(() => undefined);
      return passed;
    case 'out-of-memory': {
      const hoard: unknown[] = [];
      for (;;) hoard.push(Array.from({ length: 10_000 }, (_, n) => ({ n })));
    }
    default:
      throw new AppError('BAD_INPUT');
  }
}

async function leaveRemains(task: ProcessTask): Promise<void> {
  await writeFile(task.output, 'half');
  await mkdir(task.scratch, { recursive: true });
  await writeFile(`${task.scratch}/entry`, 'half');
}
