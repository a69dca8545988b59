// What people ask about jobs and do to them (`clubhouse job`, `held`), beside a running server.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import { holdReasons, type Exclusion, type HoldReason } from '../../core/reasons.ts';
import { sharedFolder } from '../../core/tree.ts';
import { uploadStates, type UploadState } from '../../core/upload.ts';
import type { HeldRow, JobDesk, JobDetails, JobRow } from '../../flow/ports/jobs.ts';
import type { ProcessReport } from '../../flow/ports/processing.ts';
import { deliveryOf } from './delivery-of.ts';
import { moveJob, toUpload, type JobRecord, type Parts } from './moves.ts';
import { ownOf } from './at-once.ts';
import { insertUpload } from './new-uploads.ts';
import { newId } from './new-id.ts';
import type { Database } from './schema.ts';

type DeskParts = Parts & {
  readonly db: Kysely<Database>;
  /** Our own code, for the outgoing folder's name. */
  readonly site: string;
};

export function createJobDesk(parts: DeskParts): JobDesk {
  const { db } = parts;
  const act = (
    id: string,
    work: (trx: Transaction<Database>, job: JobRecord) => Promise<void>,
  ): Promise<JobRow> =>
    db.transaction().execute(async (trx) => {
      const job = await find(trx, id);
      await work(trx, job);
      return toRow(
        parts,
        await rowQuery(trx).where('job.id', '=', job.id).executeTakeFirstOrThrow(),
      );
    });
  return {
    list: async (filter = {}) => {
      const rows = await rowQuery(db)
        .$if(filter.project !== undefined, (q) =>
          q.where('project.name', '=', filter.project ?? ''),
        )
        .$if(filter.member !== undefined, (q) => q.where('member.name', '=', filter.member ?? ''))
        .$if(filter.state !== undefined, (q) =>
          q.where('job.state', '=', filter.state ?? 'uploading'),
        )
        .execute();
      return rows.map((row) => toRow(parts, row));
    },
    show: async (id) => {
      const job = await find(db, id);
      const row = await rowQuery(db).where('job.id', '=', job.id).executeTakeFirstOrThrow();
      return { ...toDetails(parts, row), delivery: await deliveryOf(db, job) };
    },
    held: async (filter = {}) => {
      const rows = await rowQuery(db)
        .where('job.state', 'in', ['held', 'published', 'delivered'])
        .where((where) =>
          where.or([where('job.state', '=', 'held'), where('job.exclusions', '<>', '[]')]),
        )
        .$if(filter.project !== undefined, (q) =>
          q.where('project.name', '=', filter.project ?? ''),
        )
        .execute();
      return rows.flatMap((row) => toHeld(parts, row));
    },
    retry: (id, actor) => act(id, (trx, job) => retry(parts, trx, job, actor)),
    release: (id, note, actor) => act(id, (trx, job) => release(parts, trx, job, note, actor)),
    reject: (id, note, actor) =>
      act(id, async (trx, job) => {
        if (job.state !== 'held' && job.state !== 'failed') {
          throw wrongState(job, 'held or failed');
        }
        const { reason } = job;
        await moveJob(parts, trx, job, {
          to: 'rejected',
          actor,
          detail: { note },
          set: { reason, dueAt: null },
        });
      }),
    counts: async () => {
      const rows = await db
        .selectFrom('job')
        .select(['state', (e) => e.fn.countAll<number>().as('count')])
        .groupBy('state')
        .execute();
      const counts = Object.fromEntries(uploadStates.map((state) => [state, 0]));
      for (const row of rows) counts[row.state] = row.count;
      return counts as Record<UploadState, number>;
    },
  };
}

const rowQuery = (db: Kysely<Database>) =>
  db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .innerJoin('project', 'project.id', 'job.projectId')
    .innerJoin('member', 'member.id', 'job.memberId')
    .selectAll('job')
    .select(['project.name as project', 'member.name as member', 'upload.path'])
    .select(['upload.generation', 'upload.sizeBytes', 'upload.sha256 as sourceSha256'])
    .select('upload.kind')
    .orderBy('job.createdAt')
    .orderBy('job.id');

type Row = Awaited<ReturnType<ReturnType<typeof rowQuery>['executeTakeFirstOrThrow']>>;

const iso = (ms: number): string => new Date(ms).toISOString();
const isoOrNull = (ms: number | null): string | null => (ms === null ? null : iso(ms));
const exclusionsOf = (row: { exclusions: string }): readonly Exclusion[] =>
  JSON.parse(row.exclusions) as Exclusion[];

function toRow(parts: DeskParts, row: Row): JobRow {
  const outgoing = `/home/${sharedFolder(row.project, parts.site, row.partner)}`;
  return {
    id: row.id,
    project: row.project,
    member: row.member,
    partner: row.partner,
    upload: `/home/${row.path}`,
    state: row.state,
    reason: row.reason,
    exclusions: exclusionsOf(row).map(({ name, reason, detail }) => ({
      name,
      reason,
      detail: detail ?? null,
    })),
    output: row.output === null ? null : `${outgoing}/${row.output}`,
    bytes: row.sizeBytes,
    updatedAt: iso(row.updatedAt),
  };
}

const toDetails = (parts: DeskParts, row: Row): Omit<JobDetails, 'delivery'> => ({
  ...toRow(parts, row),
  uploadId: row.uploadId,
  generation: row.generation,
  detail: row.detail,
  attempts: row.attempts,
  sha256: row.sourceSha256,
  outputSha256: row.outputSha256,
  outputBytes: row.outputBytes,
  recipients: (row.recipients ?? '').split(',').filter((print) => print !== ''),
  profileHash: row.profileHash,
  report: row.report === null ? null : (JSON.parse(row.report) as ProcessReport),
  createdAt: iso(row.createdAt),
  publishedAt: isoOrNull(row.publishedAt),
  deliveredAt: isoOrNull(row.deliveredAt),
  dueAt: isoOrNull(row.dueAt),
});

const isHoldReason = (reason: string | null): reason is HoldReason =>
  reason !== null && Object.hasOwn(holdReasons, reason);

function toHeld(parts: DeskParts, row: Row): readonly HeldRow[] {
  const heldEntries = exclusionsOf(row).filter(({ reason }) => isHoldReason(reason));
  const reason = row.state === 'held' ? row.reason : (heldEntries[0]?.reason ?? null);
  if (!isHoldReason(reason)) return [];
  const text = holdReasons[reason].text;
  const releasable = row.sourceSha256 !== null && releasableReasons(row).length > 0;
  return [{ ...toRow(parts, row), reason, detail: row.detail, releasable, text }];
}

/** The job's own reason; of a zip also those of its entries. */
function releasableReasons(
  job: Pick<JobRecord, 'state' | 'reason' | 'exclusions'>,
): readonly HoldReason[] {
  const own = job.state === 'held' ? [job.reason] : [];
  const entries = exclusionsOf(job).map(({ reason }) => reason);
  const ofZip = job.reason === 'zip-nothing-left' || job.reason === 'zip-exclusions';
  const asked = job.state !== 'held' || ofZip ? [...own, ...entries] : own;
  return [...new Set(asked)].filter(
    (reason): reason is HoldReason =>
      isHoldReason(reason as string | null) && holdReasons[reason as HoldReason].releasable,
  );
}

/** By the whole id, or by a prefix of at least six characters that is one job's alone. */
async function find(db: Kysely<Database>, id: string): Promise<JobRecord> {
  const exact = await db.selectFrom('job').selectAll().where('id', '=', id).executeTakeFirst();
  if (exact !== undefined) return exact;
  const isPrefix = /^[0-9a-f-]{6,36}$/.test(id);
  const some = isPrefix
    ? await db
        .selectFrom('job')
        .selectAll()
        .where('id', '>', id)
        .where('id', '<', `${id}g`)
        .orderBy('id')
        .limit(2)
        .execute()
    : [];
  if (some.length > 1) throw new AppError('CONFLICT', { detail: 'several jobs begin like this' });
  const [job] = some;
  if (job === undefined) throw new AppError('NOT_FOUND', { detail: 'no job has this id' });
  return job;
}

const wrongState = (job: JobRecord, needed: string): AppError =>
  new AppError('CONFLICT', { detail: `job ${job.id} is ${job.state}, not ${needed}` });

async function retry(
  parts: Parts,
  trx: Transaction<Database>,
  job: JobRecord,
  actor: string,
): Promise<void> {
  // One that is to be tried again within the hour need not wait for that.
  const isBetweenTries = job.state === 'queued' && job.reason !== null;
  if (job.state !== 'failed' && job.state !== 'waiting' && !isBetweenTries) {
    throw wrongState(job, 'failed or waiting');
  }
  await refuseOvertaken(trx, job);
  await moveJob(parts, trx, job, { to: 'queued', actor, set: { ...again(parts), reason: null } });
}

const again = (parts: Parts) => ({ dueAt: parts.clock.now(), attempts: 0, workerDeaths: 0 });

async function refuseOvertaken(trx: Transaction<Database>, job: JobRecord): Promise<void> {
  const own = await uploadOf(trx, job);
  if (own.rawRemovedAt !== null && own.claim === null) {
    throw new AppError('CONFLICT', { detail: `the raw file of job ${job.id} was removed` });
  }
  const newer = await trx
    .selectFrom('upload')
    .innerJoin('job', 'job.uploadId', 'upload.id')
    .select('upload.id')
    .where('upload.path', '=', own.path)
    .where('upload.memberId', '=', own.memberId)
    .where('upload.generation', '>', own.generation)
    .where('job.state', '<>', 'withdrawn')
    .executeTakeFirst();
  if (newer !== undefined) {
    throw new AppError('CONFLICT', { detail: `a newer upload took the place of job ${job.id}` });
  }
}

const uploadOf = (trx: Transaction<Database>, job: JobRecord) =>
  trx.selectFrom('upload').selectAll().where('id', '=', job.uploadId).executeTakeFirstOrThrow();

async function release(
  parts: Parts,
  trx: Transaction<Database>,
  job: JobRecord,
  note: string,
  actor: string,
): Promise<void> {
  const reasons = releasableReasons(job);
  const isOut = job.state === 'published' || job.state === 'delivered';
  if (job.state !== 'held' && !(isOut && reasons.length > 0)) throw wrongState(job, 'held');
  if (reasons.length === 0) {
    throw new AppError('CONFLICT', { detail: `${job.reason ?? 'this'} cannot be released` });
  }
  await refuseOvertaken(trx, job);
  const upload = await uploadOf(trx, job);
  if (upload.sha256 === null) {
    throw new AppError('CONFLICT', { detail: `the content of job ${job.id} is not known` });
  }
  const { projectId } = job;
  const { sha256 } = upload;
  for (const reason of reasons) {
    await trx
      .insertInto('release')
      .values({ id: newId(), projectId, sha256, reason, note, createdAt: parts.clock.now() })
      .onConflict((c) => c.columns(['projectId', 'sha256', 'reason']).doUpdateSet({ note }))
      .execute();
  }
  await parts.audit.append(trx, {
    actor,
    action: 'job.released',
    object: job.id,
    detail: { reasons, sha256, note },
  });
  if (!isOut) {
    await moveJob(parts, trx, job, { to: 'queued', actor, set: again(parts) });
    return;
  }
  // What is published stays until its successor with the released entries takes its place.
  const { kind, path, memberId, sizeBytes, modifiedMs, device, inode } = upload;
  const identity = {
    sizeBytes,
    modifiedMs: modifiedMs ?? 0,
    device: device ?? '',
    inode: inode ?? '',
  };
  const { coverage, partner, declaredSizeBytes } = toUpload(upload, []);
  const place = { projectId, memberId, kind, path, partner, declaredSizeBytes };
  const settling = { closed: true, state: 'settling', reason: undefined } as const;
  const settleAt = parts.clock.now();
  insertUpload(parts, ownOf(trx), { ...place, coverage, identity, ...settling, settleAt }, actor);
}
