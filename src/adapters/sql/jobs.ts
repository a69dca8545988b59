// The queue: leases with fences, and what a worker records. Who is next is in job-queries.ts, how a job ends in finish.ts.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Exclusion } from '../../core/reasons.ts';
import type { ClaimedJob, JobStore, Output, Waiting } from '../../flow/ports/jobs.ts';
import type { ProcessReport } from '../../flow/ports/processing.ts';
import { finishJob, olderJobs, releaseClaim } from './finish.ts';
import { leftovers, needJob, nextDue, standing } from './job-queries.ts';
import { jobsOf, moveJob, toUpload, type JobRecord, type Parts } from './moves.ts';
import { beforeClaim, insertJobs } from './new-uploads.ts';
import type { Database } from './schema.ts';

export function createJobStore(parts: Parts & { readonly db: Kysely<Database> }): JobStore {
  const { db, clock } = parts;
  const inTransaction = <T>(work: (trx: Transaction<Database>) => Promise<T>): Promise<T> =>
    db.transaction().execute(work);
  return {
    nextDue: (now, turn) => nextDue(db, now, turn),
    claim: (id, owner, leaseUntil) =>
      inTransaction((trx) => claim(parts, trx, id, owner, leaseUntil)),
    renew: async (id, fence, leaseUntil) => {
      const result = await db
        .updateTable('job')
        .set({ leaseUntil })
        .where('id', '=', id)
        .where('fence', '=', fence)
        .where('state', '=', 'processing')
        .executeTakeFirst();
      return result.numUpdatedRows > 0n;
    },
    record: (id, fence, output) => inTransaction((trx) => record(parts, trx, id, fence, output)),
    standing: (id) => inTransaction((trx) => standing(trx, id)),
    finish: (id, fence, ending) => inTransaction((trx) => finishJob(parts, trx, id, fence, ending)),
    wait: (id, reason) =>
      inTransaction(async (trx) => {
        const job = await needJob(trx, id);
        if (job.state !== 'queued') return;
        await moveJob(parts, trx, job, { to: 'waiting', actor: 'server', set: { reason } });
      }),
    waiting: () =>
      db
        .selectFrom('job')
        .select(['projectId', 'partner', 'reason'])
        .where('state', '=', 'waiting')
        .distinct()
        .$castTo<Waiting>()
        .execute(),
    wake: (waiting) => inTransaction((trx) => wake(parts, trx, waiting)),
    takeOver: (now, owner, leaseUntil) =>
      inTransaction((trx) => takeOver(trx, now, owner, leaseUntil)),
    leftovers: (limit) => leftovers(db, limit),
    cleared: async (jobId) => {
      await db
        .updateTable('job')
        .set({ output: null, updatedAt: clock.now() })
        .where('id', '=', jobId)
        .execute();
    },
    liveClaims: async () => {
      const rows = await db
        .selectFrom('upload')
        .select('claim')
        .where('claim', 'is not', null)
        .execute();
      return new Set(rows.flatMap((row) => (row.claim === null ? [] : [row.claim])));
    },
  };
}

async function claim(
  parts: Parts,
  trx: Transaction<Database>,
  id: string,
  owner: string,
  leaseUntil: number,
): Promise<ClaimedJob | undefined> {
  const job = await needJob(trx, id);
  if (job.state !== 'queued') return undefined;
  await moveJob(parts, trx, job, {
    to: 'processing',
    actor: 'server',
    detail: { attempt: job.attempts + 1 },
    set: {
      leaseOwner: owner,
      leaseUntil,
      fence: job.fence + 1,
      attempts: job.attempts + 1,
      dueAt: null,
      output: null,
      outputSha256: null,
      outputBytes: null,
    },
  });
  const now = parts.clock.now();
  await trx
    .updateTable('upload')
    .set({ claim: job.uploadId, claimedAt: now, updatedAt: now })
    .where('id', '=', job.uploadId)
    .where('claim', 'is', null)
    .execute();
  for (const older of await olderJobs(trx, job)) {
    if (older.state !== 'rejected' && (beforeClaim.has(older.state) || isStuck(older))) {
      await moveJob(parts, trx, older, {
        to: 'superseded',
        actor: 'server',
        detail: { by: job.uploadId },
        set: { dueAt: null },
      });
      await trx
        .updateTable('upload')
        .set({ settleAt: null })
        .where('id', '=', older.uploadId)
        .execute();
      await releaseClaim(trx, older.uploadId);
    }
  }
  return claimedJob(trx, id);
}

const isStuck = (job: JobRecord): boolean => job.state === 'held' || job.state === 'failed';

async function claimedJob(trx: Transaction<Database>, id: string): Promise<ClaimedJob> {
  const job = await needJob(trx, id);
  const row = await trx
    .selectFrom('upload')
    .selectAll()
    .where('id', '=', job.uploadId)
    .executeTakeFirstOrThrow();
  const names = await trx
    .selectFrom('project')
    .innerJoin('member', (join) => join.on('member.id', '=', job.memberId))
    .select(['project.name as project', 'member.name as member'])
    .where('project.id', '=', job.projectId)
    .executeTakeFirstOrThrow();
  const releases = await trx
    .selectFrom('release')
    .select(['reason', 'sha256'])
    .where('projectId', '=', job.projectId)
    .execute();
  const { fence, partner, attempts, workerDeaths } = job;
  const states = (await jobsOf(trx, row.id)).map((other) => other.state);
  return {
    id,
    fence,
    partner,
    ...names,
    attempts,
    workerDeaths,
    releases: releases.map((release) => `${release.reason}:${release.sha256}`),
    upload: toUpload(row, states),
  };
}

async function record(
  parts: Parts,
  trx: Transaction<Database>,
  id: string,
  fence: number,
  output: Output,
): Promise<void> {
  const now = parts.clock.now();
  const result = await trx
    .updateTable('job')
    .set({
      output: output.name,
      outputSha256: output.sha256,
      outputBytes: output.sizeBytes,
      recipients: output.recipients.join(','),
      profileHash: output.profileHash,
      exclusions: JSON.stringify(output.exclusions),
      report: output.report === undefined ? null : JSON.stringify(output.report),
      updatedAt: now,
    })
    .where('id', '=', id)
    .where('fence', '=', fence)
    .where('state', '=', 'processing')
    .executeTakeFirst();
  if (result.numUpdatedRows === 0n) throw new AppError('LEASE_LOST');
  const { uploadId } = await needJob(trx, id);
  await trx
    .updateTable('upload')
    .set({ sha256: output.sourceSha256 })
    .where('id', '=', uploadId)
    .execute();
}

async function wake(
  parts: Parts,
  trx: Transaction<Database>,
  { projectId, partner, reason }: Waiting,
): Promise<number> {
  const jobs = await trx
    .selectFrom('job')
    .selectAll()
    .where('state', '=', 'waiting')
    .where('projectId', '=', projectId)
    .where('partner', '=', partner)
    .where('reason', '=', reason)
    .orderBy('id')
    .limit(500)
    .execute();
  const now = parts.clock.now();
  if (partner === '' && !(await hasPartner(trx, projectId))) return 0;
  for (const job of jobs) {
    if (partner === '') {
      await insertJobs(parts, trx, { ...job, id: job.uploadId, partner: null }, 'queued');
    }
    await moveJob(parts, trx, job, { to: 'queued', actor: 'server', set: { dueAt: now } });
  }
  return jobs.length;
}

const hasPartner = async (trx: Transaction<Database>, projectId: string): Promise<boolean> =>
  (await trx
    .selectFrom('project_partner')
    .select('partner')
    .where('projectId', '=', projectId)
    .limit(1)
    .executeTakeFirst()) !== undefined;

async function takeOver(
  trx: Transaction<Database>,
  now: number,
  owner: string,
  leaseUntil: number,
): ReturnType<JobStore['takeOver']> {
  const stale = await trx
    .selectFrom('job')
    .selectAll()
    .where('state', '=', 'processing')
    .$if(now !== Number.POSITIVE_INFINITY, (query) => query.where('leaseUntil', '<', now))
    .orderBy('id')
    .execute();
  const taken = [];
  for (const row of stale) {
    await trx
      .updateTable('job')
      .set({ leaseOwner: owner, leaseUntil, fence: row.fence + 1 })
      .where('id', '=', row.id)
      .execute();
    const job = await claimedJob(trx, row.id);
    taken.push({ job, output: toOutput(row, job.upload.sha256) });
  }
  return taken;
}

function toOutput(row: JobRecord, sourceSha256: string | undefined): Output | undefined {
  if (row.output === null || row.outputSha256 === null) return undefined;
  return {
    name: row.output,
    sha256: row.outputSha256,
    sizeBytes: row.outputBytes ?? 0,
    sourceSha256: sourceSha256 ?? '',
    recipients: (row.recipients ?? '').split(',').filter((print) => print !== ''),
    profileHash: row.profileHash ?? '',
    exclusions: JSON.parse(row.exclusions) as Exclusion[],
    report: row.report === null ? undefined : (JSON.parse(row.report) as ProcessReport),
  };
}
