// From a settled upload to its publication: generations, claims, retries, waiting, crashes at each step, fairness.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import tap from 'tap';
import { AppError, type ErrorCode } from '../../src/core/errors.ts';
import { maximumAttempts } from '../../src/core/upload.ts';
import { createWorker } from '../../src/flow/worker.ts';
import {
  makeRig,
  openFor,
  place,
  remove,
  rename,
  seal,
  sha256,
  upload,
  type Rig,
} from '../support/fakes.ts';

const outgoing = 'ji_brain/club_house/From_PUHSC_To_UMHS';

async function rigFor(
  t: Pick<typeof tap, 'teardown'>,
  how: Parameters<typeof makeRig>[0] = {},
): Promise<Rig> {
  const rig = await makeRig(how);
  t.teardown(() => rig.close());
  return rig;
}

async function published(rig: Rig, partner = 'UMHS'): Promise<readonly string[]> {
  const folder = join(rig.folder, 'home', `ji_brain/club_house/From_PUHSC_To_${partner}`);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

const deliveries = (rig: Rig) =>
  rig.db.selectFrom('delivery').selectAll().orderBy('createdAt').execute();

async function markDelivered(rig: Rig): Promise<void> {
  const deliveredAt = rig.clock.now();
  const done = { state: 'delivered', deliveredAt } as const;
  await rig.db
    .updateTable('delivery')
    .set({ ...done, evidence: 'check-file' })
    .execute();
  await rig.db.updateTable('job').set(done).where('state', '=', 'published').execute();
  await rig.db.updateTable('upload').set({ receiptDue: 1, updatedAt: deliveredAt }).execute();
}

async function receipts(rig: Rig): Promise<readonly string[]> {
  const folder = join(rig.folder, 'home/ji_brain/alice/receipts');
  const names = await readdir(folder);
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
}

const failing = (code: ErrorCode) => (): Promise<never> => Promise.reject(new AppError(code));

void tap.test(
  'a published upload has its file, its delivery, its receipt, and stays stat-able',
  async (t) => {
    const rig = await rigFor(t);
    await upload(rig, 'a.dcm', 'abc');
    await rig.settle();
    const [row] = await rig.desk.list();
    const name = (await published(rig))[0] ?? '';
    t.match(row, {
      project: 'brain',
      member: 'alice',
      partner: 'UMHS',
      upload: '/home/ji_brain/alice/gpg/a.dcm',
      state: 'published',
      output: `/home/${outgoing}/gpg-alice/JI-1/${name}`,
      bytes: 3,
    });
    const [delivery] = await deliveries(rig);
    const bytes = await rig.read(`${outgoing}/gpg-alice/JI-1/${name}`);
    t.match(delivery, {
      state: 'pending',
      path: `gpg-alice/JI-1/${name}`,
      sha256: sha256(bytes),
      jobId: row?.id,
      sizeBytes: bytes.length,
    });
    t.equal(await rig.read(place('a.dcm').path), 'abc');
    const [receipt] = await receipts(rig);
    t.match(receipt, /a\.dcm/);
    t.match(receipt, /State: published/);
    await markDelivered(rig);
    await rig.run();
    t.match(await receipts(rig), [
      /State: delivered on 2026-01-05.*\n.*\n.*\n.*SHA-256 that the partner/,
    ]);
    const details = await rig.desk.show(row?.id.slice(0, 30) ?? '');
    t.match(details, { sha256: sha256('abc'), recipients: ['AA', 'BB'], generation: 1 });
  },
);

void tap.test('overwritten while queued, only the new content is taken', async (t) => {
  const rig = await rigFor(t, { partners: [] });
  await upload(rig, 'a.dcm', 'old');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'waiting no-partner' });
  await upload(rig, 'a.dcm', 'newer');
  await rig.db.insertInto('project_partner').values({ projectId: 'p1', partner: 'UMHS' }).execute();
  rig.recipients.set('UMHS', ['key']);
  rig.clock.advance(40_000);
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
  t.match(await rig.desk.list(), [{ partner: 'UMHS', bytes: 5 }]);
});

void tap.test(
  'overwritten while processed: the claim keeps its bytes, the newest wins',
  async (t) => {
    const rig = await rigFor(t);
    const read: string[] = [];
    let isFirst = true;
    rig.processor.answer = async (task, bytes) => {
      if (isFirst) {
        isFirst = false;
        const handle = await openFor(rig, 'a.dcm', { truncate: true });
        await handle.write(0, 'the new bytes');
        await handle.end('close');
        read.push(await readFile(task.source, 'utf8'));
      } else read.push(bytes.toString());
      return seal(task, bytes);
    };
    await upload(rig, 'a.dcm', 'the old');
    await rig.settle();
    await rig.settle();
    t.strictSame(read, ['the old', 'the new bytes']);
    const rows = await rig.desk.list();
    t.strictSame(
      rows.map((row) => row.state),
      ['superseded', 'published'],
    );
    t.equal((await published(rig)).length, 1);
    const [delivery, ...others] = await deliveries(rig);
    t.strictSame(others, []);
    t.equal(delivery?.jobId, rows[1]?.id);
    t.strictSame(await rig.storage.listSpool('claims'), []);
  },
);

void tap.test(
  'a generation that was overtaken while it was processed is not published',
  async (t) => {
    const rig = await rigFor(t, { width: 2 });
    const order: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    rig.processor.answer = async (task, bytes) => {
      if (bytes.toString() === 'old') await gate;
      order.push(bytes.toString());
      return seal(task, bytes);
    };
    await upload(rig, 'a.dcm', 'old');
    rig.clock.advance(5001);
    await rig.worker.turn();
    await upload(rig, 'a.dcm', 'new');
    rig.clock.advance(5001);
    await rig.worker.turn();
    while (order.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    release();
    await rig.worker.idle();
    t.strictSame(order, ['new', 'old']);
    t.strictSame(
      (await rig.desk.list()).map((row) => row.state),
      ['superseded', 'published'],
    );
    t.match(await rig.desk.show((await rig.desk.list())[1]?.id ?? ''), { sha256: sha256('new') });
    t.equal((await published(rig)).length, 1);
  },
);

void tap.test('the same content again is not published again', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  await markDelivered(rig);
  const before = await deliveries(rig);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const rows = await rig.desk.list();
  t.strictSame(
    rows.map((row) => row.state),
    ['superseded', 'delivered'],
  );
  t.equal(rows[1]?.output, rows[0]?.output);
  t.strictSame(
    await deliveries(rig),
    before.map((row) => ({ ...row, jobId: rows[1]?.id })),
  );
  rig.profile.hash = 'profile-2';
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.match(await deliveries(rig), [{ state: 'pending' }], 'another profile gives another file');
});

void tap.test('the receipt is the newest generation’s, whichever row changed last', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  await markDelivered(rig);
  const receipt = async (): Promise<string> => {
    const folder = join(rig.folder, 'home/ji_brain/alice/receipts');
    const [name = ''] = await readdir(folder);
    return readFile(join(folder, name), 'utf8');
  };
  await upload(rig, 'a.dcm', 'abc');
  // Each look at the clock is a millisecond later, as on a busy machine.
  const now = rig.clock.now.bind(rig.clock);
  let looks = 0;
  rig.clock.now = () => now() + (looks += 1);
  await rig.settle();
  t.match(await receipt(), 'State: delivered');
});

void tap.test('a successor with another name removes its predecessor’s file', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  rig.processor.answer = async (task, bytes) => {
    const outcome = await seal(task, bytes);
    return outcome.kind === 'sealed' ? { ...outcome, name: 'JI-2/other.dcm.gpg' } : outcome;
  };
  await upload(rig, 'a.dcm', 'abcd');
  await rig.settle();
  t.strictSame(await published(rig), ['other.dcm.gpg']);
  t.match(await deliveries(rig), [{ state: 'gone' }, { state: 'pending' }]);
});

void tap.test(
  'a published file that is renamed keeps its publication, and its old name is free',
  async (t) => {
    const rig = await rigFor(t);
    await upload(rig, 'a.dcm', 'first');
    await rig.settle();
    await rename(rig, 'a.dcm', 'b.dcm');
    await rig.settle();
    t.strictSame(await rig.states(), { 'b.dcm': 'published' });
    t.equal((await published(rig)).length, 1);
    await upload(rig, 'a.dcm', 'second');
    await rig.settle();
    t.strictSame(await rig.states(), { 'a.dcm': 'published', 'b.dcm': 'published' });
    t.equal((await published(rig)).length, 2, 'neither took the other’s name');
    await upload(rig, 'b.dcm', 'third');
    await rig.settle();
    t.equal((await published(rig)).length, 2, 'a newer generation takes its predecessor’s place');
  },
);

const endings: readonly {
  name: string;
  code: ErrorCode;
  state: string;
  rounds: number;
}[] = [
  { name: 'a worker that dies twice', code: 'WORKER_DIED', state: 'held poison', rounds: 2 },
  {
    name: 'trouble that may pass',
    code: 'STORAGE_FAILED',
    state: 'failed STORAGE_FAILED',
    rounds: maximumAttempts,
  },
  {
    name: 'trouble that stays',
    code: 'OUTBOX_CONFLICT',
    state: 'failed OUTBOX_CONFLICT',
    rounds: 1,
  },
  { name: 'keys that ran out', code: 'NO_VALID_KEY', state: 'waiting no-valid-key', rounds: 1 },
];
for (const { name, code, state, rounds } of endings) {
  void tap.test(`${name} ends as ${state} after ${rounds}`, async (t) => {
    const rig = await rigFor(t);
    rig.processor.answer = failing(code);
    await upload(rig, 'a.dcm', 'abc');
    await rig.settle();
    for (let round = 1; round < rounds; round += 1) {
      t.match(await rig.states(), { 'a.dcm': `queued ${code}` });
      rig.clock.advance(3_600_000);
      await rig.run();
    }
    t.equal(rig.processor.tasks.length, rounds);
    t.match(await rig.states(), { 'a.dcm': state });
    t.strictSame(await published(rig), []);
    t.strictSame(await rig.storage.listSpool('outputs'), []);
  });
}

void tap.test(
  'an output that has no place fails after its tries, and is retried by hand at any time',
  async (t) => {
    const rig = await rigFor(t);
    const folder = join(rig.folder, 'home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice');
    await writeFile(folder, 'a file where the folder was');
    await upload(rig, 'a.dcm', 'abc');
    await rig.settle();
    for (let round = 1; round < maximumAttempts; round += 1) {
      t.match(await rig.states(), { 'a.dcm': 'queued STORAGE_FAILED' });
      rig.clock.advance(3_600_000);
      await rig.run();
    }
    t.match(await rig.states(), { 'a.dcm': 'failed STORAGE_FAILED' });
    t.equal(rig.processor.tasks.length, maximumAttempts);
    const [job] = await rig.desk.list({ state: 'failed' });
    const id = job?.id ?? '';
    await rig.desk.retry(id, 'cli');
    await rig.run();
    t.match(await rig.states(), { 'a.dcm': 'queued STORAGE_FAILED' }, 'with all its tries');
    await rm(folder);
    await rig.run();
    t.match(await rig.states(), { 'a.dcm': 'queued STORAGE_FAILED' }, 'not before its time');
    await rig.desk.retry(id, 'cli');
    await rig.run();
    t.match(await rig.states(), { 'a.dcm': 'published' }, 'but at once when somebody says so');
    const asked = (await rig.audit.list(rig.db)).filter(({ actor }) => actor === 'cli');
    t.match(asked, [{ action: 'job.queued' }, { action: 'job.queued' }]);
    t.equal(asked.length, 2);
  },
);

void tap.test('a failed job is retried by hand; others are refused', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = failing('ZIP_BROKEN');
  await upload(rig, 'a.zip', 'abc');
  await rig.settle();
  const [job] = await rig.desk.list();
  const id = job?.id ?? '';
  await t.rejects(rig.desk.release(id, 'why', 'cli'), { code: 'CONFLICT' });
  rig.processor.answer = seal;
  await rig.desk.retry(id, 'cli');
  await rig.run();
  t.match(await rig.states(), { 'a.zip': 'published' });
  await t.rejects(rig.desk.retry(id, 'cli'), { code: 'CONFLICT' });
  await t.rejects(rig.desk.reject(id, 'no', 'cli'), { code: 'CONFLICT' });
  await t.rejects(rig.desk.show('nothing'), { code: 'NOT_FOUND' });
  await t.rejects(rig.desk.show('0'.repeat(8)), { code: 'NOT_FOUND' });
});

void tap.test('a held file is released for its content alone', async (t) => {
  const rig = await rigFor(t);
  const hash = sha256('abc');
  rig.processor.answer = async (task, bytes) =>
    task.releases.includes(`burned-in:${sha256(bytes)}`)
      ? seal(task, bytes)
      : {
          kind: 'held',
          reason: 'burned-in',
          detail: '(0028,0301)',
          sourceSha256: sha256(bytes),
          exclusions: [],
        };
  await upload(rig, 'a.dcm', 'abc');
  await upload(rig, 'b.dcm', 'other');
  await rig.settle();
  t.match(await rig.desk.held(), [
    { reason: 'burned-in', releasable: true },
    { reason: 'burned-in', releasable: true },
  ]);
  t.match((await receipts(rig))[0], /State: held, not passed on/);
  const [first, second] = await rig.desk.held();
  await rig.desk.release(first?.id ?? '', 'looked at it', 'cli');
  await rig.run();
  t.match(await rig.states(), { 'a.dcm': 'published', 'b.dcm': 'held burned-in' });
  const audit = await rig.audit.list(rig.db, { object: first?.id ?? '' });
  t.match(
    audit.find((entry) => entry.action === 'job.released'),
    { actor: 'cli', detail: { sha256: hash, note: 'looked at it' } },
  );
  await rig.desk.reject(second?.id ?? '', 'text in the pixels', 'cli');
  t.match(await rig.states(), { 'b.dcm': 'rejected burned-in' });
  t.equal((await published(rig)).length, 1);
});

void tap.test('what cannot be released is refused, and stays held', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = (_task, bytes) =>
    Promise.resolve({
      kind: 'held',
      reason: 'not-parseable',
      detail: undefined,
      sourceSha256: sha256(bytes),
      exclusions: [],
    });
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const [job] = await rig.desk.held();
  t.equal(job?.releasable, false);
  await t.rejects(rig.desk.release(job?.id ?? '', 'please', 'cli'), { code: 'CONFLICT' });
  t.strictSame(await rig.states(), { 'a.dcm': 'held not-parseable' });
  t.strictSame(await rig.db.selectFrom('release').selectAll().execute(), []);
});

void tap.test('an entry of a published zip is released: its successor has it', async (t) => {
  const rig = await rigFor(t);
  const exclusion = { index: 0, name: 'us.dcm', reason: 'burned-in' } as const;
  rig.processor.answer = async (task, bytes) => {
    const outcome = await seal(task, bytes);
    const isReleased = task.releases.length > 0;
    return outcome.kind !== 'sealed' || isReleased
      ? outcome
      : { ...outcome, exclusions: [exclusion] };
  };
  await upload(rig, 'a.zip', 'abc');
  await rig.settle();
  const [held] = await rig.desk.held();
  t.match(held, { state: 'published', releasable: true, exclusions: [{ name: 'us.dcm' }] });
  t.match(await receipts(rig), [/Left out: 1 file of the zip\.\n {2}- us\.dcm: /]);
  await rig.desk.release(held?.id ?? '', 'fine', 'cli');
  await rig.settle();
  t.match(await rig.desk.list(), [{ state: 'superseded' }, { state: 'published', exclusions: [] }]);
  t.equal((await published(rig)).length, 1);
});

void tap.test('a crash at each step of publishing ends with one publication', async (t) => {
  const steps = ['record', 'standing', 'publish', 'finish', 'after publish'] as const;
  for (const step of steps) {
    const rig = await makeRig();
    const { jobs, storage } = rig.parts;
    const dead = (): Promise<never> => Promise.reject(new Error('the power went'));
    await upload(rig, 'a.dcm', 'abc');
    if (step === 'record' || step === 'standing') jobs[step] = dead;
    if (step === 'publish') storage.publish = dead;
    const publish = storage.publish.bind(storage);
    if (step === 'after publish') {
      storage.publish = async (request) => {
        await publish(request);
        jobs.finish = dead;
      };
    }
    if (step !== 'after publish') jobs.finish = dead;
    await rig.settle();
    t.match(await rig.states(), { 'a.dcm': 'processing' }, `${step}: nothing was noted`);
    await rig.restart();
    await rig.settle();
    t.strictSame(await rig.states(), { 'a.dcm': 'published' }, step);
    const names = await published(rig);
    t.equal(names.length, 1, `${step}: one file`);
    const [delivery, ...more] = await deliveries(rig);
    t.strictSame(more, []);
    t.equal(delivery?.sha256, sha256(await rig.read(`${outgoing}/${delivery?.path}`)), step);
    t.strictSame(await rig.storage.listSpool('claims'), []);
    t.strictSame(await rig.storage.listSpool('outputs'), []);
    await rig.close();
  }
});

void tap.test('a file that was changed by hand after it settled is looked at anew', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  rig.clock.advance(5001);
  const { jobs } = rig.parts;
  const nextDue = jobs.nextDue.bind(jobs);
  let isFirst = true;
  jobs.nextDue = async (...args) => {
    const due = await nextDue(...args);
    if (isFirst && due !== undefined) {
      isFirst = false;
      await writeFile(join(rig.folder, 'home', place('a.dcm').path), 'abcdef');
    }
    return due;
  };
  await rig.run();
  await rig.settle();
  t.strictSame(
    await rig.states(),
    { 'a.dcm': 'partial gap' },
    'bytes that nobody sent are no upload',
  );
  t.strictSame(await published(rig), []);
});

void tap.test('a file that vanished before the claim is withdrawn', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.storage.removeFile(place('a.dcm').path);
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'withdrawn' });
});

void tap.test('one sender’s many files do not keep another’s single file waiting', async (t) => {
  const rig = await rigFor(t, { width: 1 });
  const order: string[] = [];
  rig.processor.answer = (task, bytes) => {
    order.push(bytes.toString());
    return seal(task, bytes);
  };
  for (let n = 0; n < 12; n += 1) await upload(rig, `a${n}.dcm`, `alice ${n}`);
  const bobs = { ...place('x.dcm'), path: 'ji_brain/bob/gpg/b.dcm' };
  const { file, writing } = await rig.intake.open(
    { kind: 'member', id: 'm-bob', name: 'bob', projects: [] },
    bobs,
    {
      read: false,
      write: true,
      create: true,
      exclusive: false,
      truncate: true,
      freshInode: false,
      declaredSizeBytes: undefined,
    },
    (how) => rig.storage.open(bobs.path, how),
  );
  await file.write(0, [Buffer.from('bob')]);
  writing.wrote(0, 3);
  await writing.end('close');
  await file.close();
  await rig.settle();
  t.equal(order.length, 13);
  t.ok(order.indexOf('bob') <= 2, `bob was number ${order.indexOf('bob') + 1}`);
});

void tap.test('stop gives work back that does not end, and a new worker does it', async (t) => {
  const rig = await rigFor(t);
  let hasStarted = (): void => undefined;
  const started = new Promise<void>((resolve) => (hasStarted = resolve));
  rig.processor.answer = () => {
    hasStarted();
    return new Promise(() => undefined);
  };
  await upload(rig, 'a.dcm', 'abc');
  rig.clock.advance(5001);
  const worker = createWorker(rig.parts);
  await worker.start();
  await started;
  await worker.stop(0);
  t.strictSame(await rig.states(), { 'a.dcm': 'queued' });
  rig.processor.answer = seal;
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});

void tap.test('a lost lease changes nothing', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = async (task, bytes) => {
    const outcome = await seal(task, bytes);
    await rig.db.updateTable('job').set({ fence: 99, leaseOwner: 'somebody else' }).execute();
    return outcome;
  };
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'processing' });
  t.strictSame(await published(rig), []);
  t.strictSame(await deliveries(rig), []);
  rig.processor.answer = seal;
  rig.clock.advance(120_000);
  await rig.run();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' }, 'taken over when the lease ran out');
});

void tap.test('raw files go after their time, and not before all partners have them', async (t) => {
  const rig = await rigFor(t, { partners: ['KUMC', 'UMHS'] });
  const week = 7 * 24 * 3_600_000 + 60_000;
  rig.recipients.set('KUMC', []);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  await markDelivered(rig);
  rig.clock.advance(week);
  await rig.run();
  t.equal(await rig.read(place('a.dcm').path), 'abc', 'one partner still waits');
  rig.recipients.set('KUMC', ['key']);
  rig.clock.advance(31_000);
  await rig.run();
  await markDelivered(rig);
  rig.clock.advance(week);
  await rig.run();
  await t.rejects(rig.read(place('a.dcm').path), { code: 'ENOENT' });
  const entries = await rig.audit.list(rig.db);
  t.match(
    entries.find((entry) => entry.action === 'upload.raw-removed'),
    { detail: { sha256: sha256('abc'), bytes: 3 } },
  );
  t.equal((await published(rig)).length, 1, 'the publication stays');
});

void tap.test('files that a crash left without a row are found at the next start', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  await rig.storage.rename(place('a.dcm').path, place('b.dcm').path, false);
  await writeFile(join(rig.folder, 'home', place('stray.dcm').path), 'stray');
  const scratch = rig.storage.spoolPath('scratch', 'left-over');
  await mkdir(join(scratch, 'deeper'), { recursive: true });
  await writeFile(rig.storage.spoolPath('claims', 'nobodys'), 'claim');
  await rig.restart();
  t.strictSame(await rig.storage.listSpool('scratch'), []);
  t.strictSame(await rig.storage.listSpool('claims'), []);
  t.strictSame(await rig.states(), {
    'b.dcm': 'published',
    'stray.dcm': 'partial disconnected',
  });
  rig.clock.advance(11 * 60_000);
  await rig.settle();
  t.strictSame(await rig.states(), { 'b.dcm': 'published', 'stray.dcm': 'published' });
  t.equal(rig.processor.tasks.at(-1)?.closedByClient, false, 'its structure has to decide');
  await remove(rig, 'b.dcm');
});

void tap.test('a file put into the outgoing folder by hand is looked at once', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = (_task, bytes) =>
    Promise.resolve({ kind: 'passed', sourceSha256: sha256(bytes) });
  const { path } = place('>plan.txt');
  await writeFile(join(rig.folder, 'home', path), 'by hand');
  const adopt = async (): Promise<boolean> => {
    const identity = await rig.storage.facts(path);
    if (identity === undefined) throw new Error('not there');
    const settleAt = rig.clock.now();
    return rig.uploads.adoptDirect({ projectId: 'p1', partner: 'UMHS', path, identity, settleAt });
  };
  t.equal(await adopt(), true);
  t.equal(await adopt(), false);
  await rig.run();
  t.match(await rig.desk.list(), [{ state: 'published', member: '' }]);
  t.equal(await adopt(), false);
  await writeFile(join(rig.folder, 'home', path), 'by hand, changed');
  t.equal(await adopt(), true);
  await rig.run();
  t.match(await deliveries(rig), [{ path: 'plan.txt', sha256: sha256('by hand, changed') }]);
});

void tap.test('what a job records is the profile that was used, not a newer one', async (t) => {
  const rig = await rigFor(t);
  rig.processor.answer = (task, bytes) => {
    rig.profile.hash = 'profile-2';
    return seal(task, bytes);
  };
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const [row] = await rig.desk.list();
  t.match(await rig.desk.show(row?.id ?? ''), { state: 'published', profileHash: 'profile-1' });
});

void tap.test('many uploads with holes do not strand one whose CLOSE was lost', async (t) => {
  const rig = await rigFor(t);
  await upload(rig, 'whole.dcm', 'abc');
  const lost = { state: 'partial', reason: 'disconnected' } as const;
  await rig.db.updateTable('job').set(lost).execute();
  await rig.db.updateTable('upload').set({ settleAt: null }).execute();
  const row = await rig.db.selectFrom('upload').selectAll().executeTakeFirstOrThrow();
  const job = await rig.db.selectFrom('job').selectAll().executeTakeFirstOrThrow();
  const ids = Array.from({ length: 201 }, (_, i) => `holes-${i}`);
  const touchedAt = row.touchedAt - 1;
  const holes = ids.map((id) => ({ ...row, id, path: id, coverage: '[[0,1]]', touchedAt }));
  await rig.db.insertInto('upload').values(holes).execute();
  const jobs = ids.map((id) => ({ ...job, id, uploadId: id }));
  await rig.db.insertInto('job').values(jobs).execute();
  rig.clock.advance(11 * 60_000);
  await rig.run();
  await rig.settle();
  t.equal((await rig.states())['whole.dcm'], 'published');
});

void tap.test('the log has places in code and never the words of a foreign error', async (t) => {
  const rig = await rigFor(t);
  const lines: string[] = [];
  const tell = (fields: object, message: string): void => {
    lines.push(JSON.stringify({ ...fields, message }));
  };
  const log = { debug: tell, info: tell, warn: tell, error: tell };
  const words = (): Error => new Error('Wang Xiaodong\nPUMC-0099345\n  at home, 1971');
  rig.processor.answer = () => Promise.reject(words());
  const worker = createWorker({
    ...rig.parts,
    log,
    receipts: { ...rig.parts.receipts, due: () => Promise.reject(words()) },
  });
  await upload(rig, 'a.dcm', 'abc');
  rig.clock.advance(5001);
  await worker.start();
  while (lines.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  await worker.stop(0);
  t.match(lines.join('\n'), /worker\.test/, 'the place is there');
  t.notMatch(lines.join('\n'), /Wang|PUMC|home, 1971/);
});
