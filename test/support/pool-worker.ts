// A worker module for the pool's tests: what it does is named by the task's uploadName.

import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { serveRequest } from '../../src/adapters/worker-pool/worker-side.ts';
import type { WorkerReply, WorkerRequest } from '../../src/adapters/worker-pool/messages.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Crosswalk, ProcessOutcome, ProcessTask } from '../../src/flow/ports/processing.ts';

export const run = async (request: WorkerRequest): Promise<WorkerReply> =>
  serveRequest(request, (task, crosswalk, signal) =>
    behave(task, crosswalk, signal, request.steps),
  );

const passed: ProcessOutcome = { kind: 'passed', sourceSha256: 'ab' };

async function behave(
  task: ProcessTask,
  crosswalk: Crosswalk,
  signal: AbortSignal,
  steps: Int32Array,
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
    case 'hang':
      await leaveRemains(task);
      for (;;);
    case 'slow':
      for (let n = 0; n < 8; n += 1) {
        await new Promise((resolve) => setTimeout(resolve, 400));
        Atomics.add(steps, 0, 1);
      }
      return passed;
    case 'seal':
      return seal(task);
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

async function seal(task: ProcessTask): Promise<ProcessOutcome> {
  const hash = (of: string): string => createHash('sha256').update(of).digest('hex');
  await writeFile(task.output, 'sealed', { flag: 'wx', mode: 0o600 });
  return {
    kind: 'sealed',
    name: 'JI-1/one.dcm.gpg',
    sizeBytes: 6,
    sha256: hash('sealed'),
    recipientFingerprints: ['AA'],
    sourceSha256: hash(await readFile(task.source, 'utf8')),
    exclusions: [],
    report: { files: 1, dicomFiles: 1, actions: {}, subjects: ['JI-1'] },
  };
}

async function leaveRemains(task: ProcessTask): Promise<void> {
  await writeFile(task.output, 'half');
  await mkdir(task.scratch, { recursive: true });
  await writeFile(`${task.scratch}/entry`, 'half');
}
