// What the worker asks about the queue: who is next, where a job stands, which outputs nobody uses. Changes nothing.

import type { ExpressionBuilder, Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { JobStore, Standing } from '../../flow/ports/jobs.ts';
import { hasNewer, olderJobs } from './finish.ts';
import { sql } from './kysely.ts';
import type { JobRecord } from './moves.ts';
import type { Database } from './schema.ts';

export async function needJob(trx: Transaction<Database>, id: string): Promise<JobRecord> {
  const row = await trx.selectFrom('job').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new AppError('NOT_FOUND', { detail: `job ${id}` });
  return row;
}

/** Longer than any pause between tries: a time behind it is from before the clock was set back. */
const longestPauseMs = 2 * 3_600_000;

const isDue = (where: ExpressionBuilder<Database, 'job'>, now: number) =>
  where.or([where('job.dueAt', '<=', now), where('job.dueAt', '>', now + longestPauseMs)]);

/** What an archived project has in the queue stays there until it is brought back. */
const activeProjects = (db: Kysely<Database>) =>
  db.selectFrom('project').select('id').where('state', '=', 'active');

/**
 * Costs the same with ten jobs in the queue as with 100,000: the members are found by leaps through the index of the queue, and
 * of one member's jobs the first due one alone is read.
 */
export async function nextDue(
  db: Kysely<Database>,
  now: number,
  { lastServed, mostBytes }: Parameters<JobStore['nextDue']>[1],
): ReturnType<JobStore['nextDue']> {
  const members = await membersInQueue(db);
  if (members.length === 0) return undefined;
  const inWork = await db
    .selectFrom('job')
    .select(['memberId', sql<number>`count(*)`.as('count')])
    .where('state', '=', 'processing')
    .groupBy('memberId')
    .execute();
  const busy = new Map(inWork.map((row) => [row.memberId, row.count]));
  const inTurn = members.toSorted(
    (a, b) =>
      (busy.get(a) ?? 0) - (busy.get(b) ?? 0) ||
      (lastServed.get(a) ?? 0) - (lastServed.get(b) ?? 0),
  );
  for (const memberId of inTurn) {
    const first = await firstOf(db, now, memberId, mostBytes);
    if (first !== undefined) return first;
  }
  return undefined;
}

async function membersInQueue(db: Kysely<Database>): Promise<readonly string[]> {
  const { rows } = await sql<{ memberId: string }>`
    with recursive owner("memberId") as (
      select min("memberId") from job where "rankAt" is not null
      union all
      select (select min("memberId") from job where "rankAt" is not null and "memberId" > owner."memberId")
      from owner where owner."memberId" is not null)
    select "memberId" from owner where "memberId" is not null`.execute(db);
  return rows.map((row) => row.memberId);
}

const firstOf = (
  db: Kysely<Database>,
  now: number,
  memberId: string,
  mostBytes: number,
): ReturnType<JobStore['nextDue']> =>
  db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.id', 'job.projectId', 'job.memberId', 'job.partner', 'job.uploadId'])
    .select(['upload.kind', 'upload.path', 'upload.sizeBytes'])
    .where('job.rankAt', 'is not', null)
    .where('job.memberId', '=', memberId)
    .where((where) => isDue(where, now))
    .where('job.projectId', 'in', activeProjects(db))
    .$if(Number.isFinite(mostBytes), (query) => query.where('upload.sizeBytes', '<=', mostBytes))
    .orderBy('job.rankAt')
    .orderBy('job.id')
    .limit(1)
    .executeTakeFirst();

export async function standing(trx: Transaction<Database>, id: string): Promise<Standing> {
  const job = await needJob(trx, id);
  const own = await trx
    .selectFrom('upload')
    .selectAll()
    .where('id', '=', job.uploadId)
    .executeTakeFirstOrThrow();
  const isOvertaken = await hasNewer(trx, own);
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

/** A processing job counts as a user: it may have recorded the name just before it publishes. */
export const leftovers = (
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
    .where('job.state', '=', sql.lit('superseded' as const))
    .where('job.output', 'is not', null)
    // A legal hold keeps what was published as well.
    .where('project.holdReason', 'is', null)
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
