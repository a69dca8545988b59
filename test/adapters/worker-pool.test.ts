// The pool with threads that behave badly in every way, and its line to the crosswalk.

import t from 'tap';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createWorkerPool } from '../../src/adapters/worker-pool/pool.ts';
import { AppError } from '../../src/core/errors.ts';
import { makeRig, upload } from '../support/fakes.ts';
import type { Crosswalk, ProcessTask } from '../../src/flow/ports/processing.ts';

const folder = await mkdtemp(join(tmpdir(), 'ch-pool-'));
const workerFile = fileURLToPath(new URL('../support/pool-worker.js', import.meta.url));
const never = new AbortController().signal;

const crosswalk: Crosswalk = {
  resolve: async (_project, identity) => {
    if (identity.key === 'broken') throw new AppError('BUSY');
    return { kind: 'subject', subject: { code: `JI-${identity.key}`, dateOffsetDays: -3 } };
  },
};
const pool = createWorkerPool({ crosswalk, workerFile, width: 2, heapMb: 64, abortGraceMs: 300 });
t.teardown(async () => {
  await pool.stop();
  await rm(folder, { recursive: true, force: true });
});

const task = (what: string): ProcessTask => ({
  jobId: 'j',
  projectId: 'p',
  kind: 'deidentify',
  source: '/nowhere',
  output: join(folder, `${what}.out`),
  scratch: join(folder, `${what}.scratch`),
  profile: '{}',
  keys: { uid: '', name: '', identity: '' },
  uploadKey: '',
  uploadName: what,
  recipients: [],
  releases: [],
  limits: { headerBytes: 1, inflatedBytes: 1, inflateRatio: 1, zipEntries: 1, zipDepth: 1 },
  closedByClient: true,
});

void t.test('an outcome comes back, and several run at once', async (t) => {
  const outcomes = await Promise.all(
    ['pass', 'pass', 'pass'].map(async (w) => pool.run(task(w), never)),
  );
  t.strictSame(outcomes[2], { kind: 'passed', sourceSha256: 'ab' });
  t.equal(pool.width, 2);
});

void t.test('the worker asks the crosswalk of the main thread', async (t) => {
  const outcome = await pool.run(task('ask'), never);
  t.match(outcome, { sourceSha256: /"code":"JI-1".*"code":"JI-2"/ });
});

void t.test(
  'an AppError crosses with its facts, any other error without its message',
  async (t) => {
    await t.rejects(pool.run(task('app-error'), never), {
      name: 'AppError',
      code: 'DICOM_MALFORMED',
      tag: '(0010,0010)',
      at: 12,
      detail: 'odd',
    });
    const error = await pool.run(task('other-error'), never).catch((error: unknown) => error);
    t.match(error, { code: 'INTERNAL', detail: 'TypeError' });
    t.notMatch(`${(error as Error).stack} ${((error as Error).cause as Error).stack}`, /Wang/);
    t.match(((error as Error).cause as Error).stack, /pool-worker/);
  },
);

void t.test('a worker that ends costs its own task alone and leaves nothing on disk', async (t) => {
  for (const what of ['exit', 'throw-aside', 'out-of-memory']) {
    const beside = pool.run(task('ask'), never);
    await t.rejects(pool.run(task(what), never), { code: 'WORKER_DIED' }, what);
    t.notOk(existsSync(task(what).output));
    t.notOk(existsSync(task(what).scratch));
    t.match(await beside, { kind: 'passed' });
    t.match(
      await pool.run(task('pass'), never),
      { kind: 'passed' },
      `the pool lives on after ${what}`,
    );
  }
});

void t.test('an abort reaches the worker, and one that does not listen is ended', async (t) => {
  for (const what of ['wait', 'ignore-abort']) {
    const abort = new AbortController();
    const result = pool.run(task(what), abort.signal);
    setTimeout(() => abort.abort(new AppError('LEASE_LOST')), 50);
    await t.rejects(result, { code: 'LEASE_LOST' }, what);
    t.notOk(existsSync(task(what).output));
  }
  t.match(await pool.run(task('pass'), never), { kind: 'passed' });
  const gone = AbortSignal.abort(new AppError('LEASE_LOST'));
  await t.rejects(pool.run(task('pass'), gone), { code: 'LEASE_LOST' });
});

void t.test('a thread that stands still is ended, one that is slow is not', async (t) => {
  const own = createWorkerPool({ crosswalk, workerFile, width: 1, stallMs: 2000 });
  t.teardown(() => own.stop());
  await own.run(task('pass'), never);
  t.match(await own.run(task('slow'), never), { kind: 'passed' });
  await t.rejects(own.run(task('hang'), never), { code: 'WORKER_DIED' });
  t.notOk(existsSync(task('hang').output));
  t.notOk(existsSync(task('hang').scratch));
  t.match(await own.run(task('pass'), never), { kind: 'passed' }, 'the pool lives on');
});

for (const poison of ['exit', 'hang'] as const) {
  void t.test(
    `a file whose worker meets with ‘${poison}’ twice is held, the next goes through`,
    async (t) => {
      const own = createWorkerPool({ crosswalk, workerFile, width: 1, stallMs: 2000 });
      const rig = await makeRig({ isFast: true, processor: own });
      t.teardown(async () => {
        await rig.close();
        await own.stop();
      });
      await upload(rig, poison, 'poison');
      await rig.settle();
      t.match(await rig.states(), { [poison]: 'queued WORKER_DIED' });
      rig.clock.advance(3_600_000);
      await rig.run();
      t.match(await rig.states(), { [poison]: 'held poison' });
      await upload(rig, 'seal', 'sound');
      await rig.settle();
      t.match(await rig.states(), { [poison]: 'held poison', seal: 'published' });
      t.strictSame(await rig.storage.listSpool('outputs'), []);
      t.strictSame(await rig.storage.listSpool('scratch'), []);
      t.strictSame(await rig.storage.listSpool('claims'), []);
    },
  );
}

void t.test('stopping waits for what is under way and takes nothing new', async (t) => {
  const own = createWorkerPool({ crosswalk, workerFile, width: 1 });
  const last = own.run(task('ask'), never);
  const stopping = own.stop();
  await t.rejects(own.run(task('pass'), never), { code: 'BUSY' });
  t.match(await last, { kind: 'passed' });
  await stopping;
});
