// The rows of uploads and jobs: leases between processes, illegal moves, and that no order of events breaks the table of
// legal moves or the audit.

import fc from 'fast-check';
import { join } from 'node:path';
import t from 'tap';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { createJobStore } from '../../src/adapters/sql/jobs.ts';
import { fitRows } from '../../src/adapters/sql/restored.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { AppError } from '../../src/core/errors.ts';
import { isLegalMove, type UploadState } from '../../src/core/upload.ts';
import type { Ending, UploadChange } from '../../src/flow/ports/jobs.ts';
import { makeRig, sha256, upload, type Rig } from '../support/fakes.ts';

const identity = { sizeBytes: 3, modifiedMs: 1, device: '1', inode: '1' };

const begin = (rig: Rig, path = 'ji_brain/alice/gpg/a.dcm') =>
  rig.uploads.begin(
    {
      projectId: 'p1',
      memberId: 'm-alice',
      kind: 'intake',
      partner: undefined,
      path,
      declaredSizeBytes: undefined,
      coverage: [[0, 3]],
      closed: true,
      identity,
      state: 'settling',
      reason: undefined,
      settleAt: 1,
    },
    'm-alice',
  );

void t.test('two processes never claim the same job', async (t) => {
  const rig = await makeRig();
  const other = await openSqlite(join(rig.folder, 'clubhouse.db'));
  t.teardown(async () => {
    await other.close();
    await rig.close();
  });
  const audit = new AuditLog(new Uint8Array(32), rig.clock);
  const theirs = createJobStore({ db: other.db, audit, clock: rig.clock });
  for (let n = 0; n < 20; n += 1) {
    const { id } = await begin(rig, `ji_brain/alice/gpg/${n}.dcm`);
    await rig.uploads.change(id, { to: { state: 'queued' } }, 'server');
  }
  // Both look first and claim then, so that they always want the same one.
  const claimed: string[] = [];
  let refused = 0;
  for (;;) {
    const turn = { lastServed: new Map(), mostBytes: Number.POSITIVE_INFINITY };
    const due = await rig.jobs.nextDue(rig.clock.now(), turn);
    const same = await theirs.nextDue(rig.clock.now(), turn);
    if (due === undefined || same === undefined) break;
    t.equal(due.id, same.id);
    const won = [
      await rig.jobs.claim(due.id, 'ours', rig.clock.now() + 1000),
      await theirs.claim(same.id, 'theirs', rig.clock.now() + 1000),
    ].filter((job) => job !== undefined);
    refused += 2 - won.length;
    claimed.push(...won.map((job) => job.id));
  }
  t.equal(refused, 20);
  t.equal(new Set(claimed).size, 20);
  t.equal(await rig.audit.firstFault(rig.db), undefined);
});

void t.test('an illegal move is refused and changes neither state nor audit', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const row = await rig.uploads.latest('ji_brain/alice/gpg/a.dcm', 'm-alice');
  const entries = await rig.audit.list(rig.db);
  const to = { state: 'settling', settleAt: 1 } as const;
  await t.rejects(rig.uploads.change(row?.id ?? '', { path: 'elsewhere', to }, 'm-alice'), {
    code: 'CONFLICT',
  });
  t.strictSame(await rig.uploads.find(row?.id ?? ''), row, 'nothing of it happened');
  t.strictSame(await rig.audit.list(rig.db), entries);
});

void t.test('a project without a partner gets its jobs when it has some', async (t) => {
  const rig = await makeRig({ partners: [] });
  t.teardown(() => rig.close());
  const { id } = await begin(rig);
  t.match(await rig.desk.list(), [{ partner: '' }]);
  for (const partner of ['KUMC', 'UMHS']) {
    await rig.db.insertInto('project_partner').values({ projectId: 'p1', partner }).execute();
  }
  await rig.uploads.change(id, { to: { state: 'queued' } }, 'server');
  t.match(await rig.desk.list(), [
    { partner: 'KUMC', state: 'queued' },
    { partner: 'UMHS', state: 'queued' },
  ]);
});

void t.test('the same path of another member of the same name is another upload', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  await begin(rig);
  t.not(await rig.uploads.latest('ji_brain/alice/gpg/a.dcm', 'm-alice'), undefined);
  t.equal(await rig.uploads.latest('ji_brain/alice/gpg/a.dcm', 'm-another'), undefined);
});

void t.test('folders are told apart from names that begin alike', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  for (const name of ['a/x', 'a.b', 'a_/x', 'a%/x', 'a']) {
    await begin(rig, `ji_brain/alice/gpg/${name}`);
  }
  const below = await rig.uploads.below('ji_brain/alice/gpg/a');
  t.strictSame(
    below.map((row) => row.path),
    ['ji_brain/alice/gpg/a/x'],
  );
});

/** How the work on an older generation can end while a newer one is in work already. */
const lateEndings: readonly Ending[] = [
  { state: 'partial', reason: 'truncated' },
  {
    state: 'held',
    reason: 'burned-in',
    detail: undefined,
    exclusions: [],
    sourceSha256: undefined,
  },
  { state: 'failed', reason: 'INTERNAL', detail: undefined },
  { state: 'waiting', reason: 'no-valid-key' },
  { state: 'queued', dueAt: 1, reason: 'DISK_FULL', counts: 'attempt' },
];

void t.test('an older generation leaves nothing behind when a newer one is in work', async (t) => {
  for (const ending of lateEndings) {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    const claimed = [];
    for (const _ of ['older', 'newer']) {
      const { id } = await begin(rig);
      await rig.uploads.change(id, { to: { state: 'queued' } }, 'server');
      const [job] = await rig.desk.list({ state: 'queued' });
      claimed.push(await rig.jobs.claim(job?.id ?? '', 'ours', rig.clock.now() + 1000));
    }
    const [older] = claimed;
    await rig.jobs.finish(older?.id ?? '', older?.fence ?? 0, ending);
    t.match(await rig.desk.show(older?.id ?? ''), { state: 'superseded' }, ending.state);
  }
});

type Step =
  | {
      readonly kind: 'change';
      readonly to: NonNullable<UploadChange['to']>;
      readonly touched: boolean;
    }
  | { readonly kind: 'withdraw' | 'begin' | 'claim' | 'wake' | 'retry' | 'release' | 'reject' }
  | { readonly kind: 'finish'; readonly ending: Ending };

const output = {
  name: 'gpg-alice/x.gpg',
  sha256: sha256('out'),
  sizeBytes: 3,
  sourceSha256: sha256('in'),
  recipients: ['AA'],
  profileHash: 'p',
  exclusions: [],
  report: undefined,
} as const;

const endings: readonly Ending[] = [
  { state: 'published', file: identity },
  { state: 'published', file: undefined },
  {
    state: 'held',
    reason: 'burned-in',
    detail: undefined,
    exclusions: [],
    sourceSha256: sha256('in'),
  },
  { state: 'partial', reason: 'truncated' },
  { state: 'waiting', reason: 'no-valid-key' },
  { state: 'failed', reason: 'INTERNAL', detail: undefined },
  { state: 'superseded' },
  { state: 'settling', settleAt: 1 },
  { state: 'withdrawn' },
  { state: 'queued', dueAt: 1, reason: undefined, counts: 'nothing' },
];

const changes: readonly NonNullable<UploadChange['to']>[] = [
  { state: 'uploading' },
  { state: 'settling', settleAt: 1 },
  { state: 'partial', reason: 'disconnected' },
  { state: 'queued' },
  { state: 'held', reason: 'incomplete' },
];

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('change' as const),
    to: fc.constantFrom(...changes),
    touched: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom(
      'withdraw',
      'begin',
      'claim',
      'claim',
      'wake',
      'retry',
      'release',
      'reject',
    ),
  }),
  fc.record({ kind: fc.constant('finish' as const), ending: fc.constantFrom(...endings) }),
);

async function perform(rig: Rig, current: string, step: Step): Promise<string> {
  const { jobs, uploads, desk } = rig;
  const rows = await rig.db.selectFrom('job').selectAll().orderBy('id').execute();
  const last = rows.findLast((row) => row.uploadId === current) ?? rows[0];
  const id = last?.id ?? '';
  switch (step.kind) {
    case 'begin':
      return (await begin(rig)).id;
    case 'change':
      await uploads.change(current, { to: step.to, touched: step.touched }, 'm-alice');
      return current;
    case 'withdraw':
      await uploads.withdraw(current, 'm-alice');
      return current;
    case 'claim':
      await jobs.claim(id, 'me', rig.clock.now() + 1000);
      return current;
    case 'wake':
      for (const waiting of await jobs.waiting()) await jobs.wake(waiting);
      return current;
    case 'retry':
      await desk.retry(id, 'cli');
      return current;
    case 'release':
    case 'reject':
      await desk[step.kind](id, 'because', 'cli');
      return current;
    case 'finish': {
      const inWork = rows.find((row) => row.state === 'processing');
      if (inWork === undefined) return current;
      if (step.ending.state === 'published') await jobs.record(inWork.id, inWork.fence, output);
      await jobs.finish(inWork.id, inWork.fence, step.ending);
      return current;
    }
  }
}

void t.test('what a restore has to make anew is taken from the queue', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const { id: uploadId } = await begin(rig);
  await rig.uploads.change(uploadId, { to: { state: 'queued' } }, 'server');
  const turn = { lastServed: new Map(), mostBytes: Number.POSITIVE_INFINITY };
  const first = await rig.jobs.nextDue(rig.clock.now(), turn);
  const job = await rig.jobs.claim(first?.id ?? '', 'ours', rig.clock.now() + 1000);
  await rig.jobs.record(job?.id ?? '', job?.fence ?? 0, output);
  await rig.jobs.finish(job?.id ?? '', job?.fence ?? 0, {
    state: 'published',
    file: identity,
  });
  t.equal(await rig.jobs.nextDue(rig.clock.now(), turn), undefined, 'nothing is owed');
  const raw = { device: '2', inode: '2', sizeBytes: 3 };
  const disk = {
    file: async (path: string) => (path.includes('/alice/') ? raw : undefined),
    hasClaim: async () => false,
  };
  const tools = { db: rig.db, audit: rig.audit, clock: rig.clock, disk, site: 'PUHSC' };
  t.same(await fitRows(tools, {}), { again: 1, lost: 0 });
  t.match(await rig.jobs.nextDue(rig.clock.now(), turn), { id: job?.id });
});

void t.test('any order of events goes along the legal moves alone', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    for (const table of ['delivery', 'release', 'job', 'upload', 'audit', 'audit_head'] as const) {
      await rig.db.deleteFrom(table).execute();
    }
    let current = (await begin(rig)).id;
    for (const step of steps) {
      try {
        current = await perform(rig, current, step);
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'CONFLICT') throw error;
      }
    }
    const entries = await rig.audit.list(rig.db);
    const moves = entries.filter((entry) => /^job\.(?!released)/.test(entry.action));
    for (const { action, detail } of moves) {
      const from = detail['from'] as UploadState;
      const to = action.slice('job.'.length) as UploadState;
      if (from !== to && !isLegalMove(from, to)) throw new Error(`${from} to ${to}`);
    }
    const live = await rig.db
      .selectFrom('job')
      .select('id')
      .where('state', 'in', ['published', 'delivered'])
      .execute();
    if (live.length > 1) throw new Error('two generations of one path are published');
    const owed = await rig.db
      .selectFrom('delivery')
      .selectAll()
      .where('state', '=', 'pending')
      .execute();
    const known = new Set(live.map((row) => row.id));
    if (owed.some((row) => !known.has(row.jobId ?? ''))) throw new Error('an orphan delivery');
    if ((await rig.audit.firstFault(rig.db)) !== undefined) throw new Error('a broken chain');
  });
  await fc.assert(property, { numRuns: 20 });
});
