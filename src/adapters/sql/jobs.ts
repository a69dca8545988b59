// The queue: who is next, leases with fences, and what a worker records. How a job ends is in finish.ts.

import { sql, type Kysely, type Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Exclusion } from '../../core/reasons.ts';
import type { ClaimedJob, JobStore, Output, Standing } from '../../flow/ports/jobs.ts';
import type { ProcessReport } from '../../flow/ports/processing.ts';
import { finishJob, olderJobs, releaseClaim, sameKey } from './finish.ts';
import { jobsOf, moveJob, toUpload, type JobRecord, type Parts } from './moves.ts';
import { beforeClaim, insertJobs } from './new-uploads.ts';
import type { Database } from './schema.ts';

export function createJobStore(parts: Parts & { readonly db: Kysely<Database> }): JobStore {
  const { db, clock } = parts;
  const inTransaction = <T>(work: (trx: Transaction<Database>) => Promise<T>): Promise<T> =>
    db.transaction().execute(work);
  return {
    nextDue: (now, lastServed) => nextDue(db, now, lastServed),
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
        .select(['projectId', 'partner'])
        .where('state', '=', 'waiting')
        .distinct()
        .execute(),
    wake: (projectId, partner) => inTransaction((trx) => wake(parts, trx, projectId, partner)),
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

async function needJob(trx: Transaction<Database>, id: string): Promise<JobRecord> {
  const row = await trx.selectFrom('job').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new AppError('NOT_FOUND', { detail: `job ${id}` });
  return row;
}

async function nextDue(
  db: Kysely<Database>,
  now: number,
  lastServed: ReadonlyMap<string, number>,
): ReturnType<JobStore['nextDue']> {
  const members = await db
    .selectFrom('job')
    .select(['memberId', sql<number>`min("dueAt")`.as('oldest')])
    .where('state', '=', 'queued')
    .where('dueAt', '<=', now)
    .groupBy('memberId')
    .execute();
  if (members.length === 0) return undefined;
  const inWork = await db
    .selectFrom('job')
    .select(['memberId', sql<number>`count(*)`.as('count')])
    .where('state', '=', 'processing')
    .groupBy('memberId')
    .execute();
  const busy = new Map(inWork.map((row) => [row.memberId, row.count]));
  const [chosen] = members.toSorted(
    (a, b) =>
      (busy.get(a.memberId) ?? 0) - (busy.get(b.memberId) ?? 0) ||
      (lastServed.get(a.memberId) ?? 0) - (lastServed.get(b.memberId) ?? 0) ||
      a.oldest - b.oldest,
  );
  return await db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.id', 'job.projectId', 'job.memberId', 'job.partner', 'job.uploadId'])
    .select(['upload.kind', 'upload.path'])
    .where('job.state', '=', 'queued')
    .where('job.memberId', '=', chosen?.memberId ?? '')
    .where('job.dueAt', '<=', now)
    .orderBy('job.dueAt')
    .orderBy('job.id')
    .limit(1)
    .executeTakeFirst();
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

async function standing(trx: Transaction<Database>, id: string): Promise<Standing> {
  const job = await needJob(trx, id);
  const own = await trx
    .selectFrom('upload')
    .selectAll()
    .where('id', '=', job.uploadId)
    .executeTakeFirstOrThrow();
  const newer = await sameKey(trx, own)
    .innerJoin('job', 'job.uploadId', 'upload.id')
    .select(['job.state', 'upload.claim'])
    .where('upload.generation', '>', own.generation)
    .execute();
  const isOvertaken = newer.some(
    (other) =>
      other.claim !== null || !(beforeClaim.has(other.state) || other.state === 'withdrawn'),
  );
  const before = (await olderJobs(trx, job)).filter(
    (older) =>
      older.partner === job.partner &&
      (older.state === 'published' || older.state === 'delivered') &&
      older.output !== null,
  );
  const [last] = before.toSorted((a, b) => b.generation - a.generation);
  const isTaken = await trx
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select('job.id')
    .where('job.projectId', '=', job.projectId)
    .where('job.partner', '=', job.partner)
    .where('job.output', '=', job.output)
    .where('job.state', 'in', ['published', 'delivered'])
    .where('upload.uploadKey', '<>', own.uploadKey)
    .limit(1)
    .executeTakeFirst();
  return {
    isOvertaken,
    isTaken: isTaken !== undefined,
    predecessor:
      last === undefined
        ? undefined
        : {
            jobId: last.id,
            name: last.output ?? '',
            sha256: last.outputSha256 ?? '',
            isSame:
              last.sourceSha256 === own.sha256 &&
              last.output === job.output &&
              last.profileHash === job.profileHash &&
              last.recipients === job.recipients &&
              last.exclusions === job.exclusions,
          },
  };
}

async function wake(
  parts: Parts,
  trx: Transaction<Database>,
  projectId: string,
  partner: string,
): Promise<number> {
  const jobs = await trx
    .selectFrom('job')
    .selectAll()
    .where('state', '=', 'waiting')
    .where('projectId', '=', projectId)
    .where('partner', '=', partner)
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

/** A processing job counts as a user: it may have recorded the name just before it publishes. */
const leftovers = (
  db: Kysely<Database>,
  limit: number,
): Promise<{ jobId: string; project: string; partner: string; name: string }[]> =>
  db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .innerJoin('project', 'project.id', 'job.projectId')
    .select(['job.id as jobId', 'project.name as project', 'job.partner'])
    .select(sql<string>`job.output`.as('name'))
    .where('upload.kind', '=', 'intake')
    .where('job.state', '=', 'superseded')
    .where('job.output', 'is not', null)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('job as user')
            .select('user.id')
            .whereRef('user.projectId', '=', 'job.projectId')
            .whereRef('user.partner', '=', 'job.partner')
            .whereRef('user.output', '=', 'job.output')
            .where('user.state', 'in', ['published', 'delivered', 'processing']),
        ),
      ),
    )
    .orderBy('job.id')
    .limit(limit)
    .execute();
