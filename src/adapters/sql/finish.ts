// How a job ends: state, audit, delivery and what becomes of its predecessors, in one transaction under the fence.

import type { Transaction } from 'kysely';
import { AppError, unreachable } from '../../core/errors.ts';
import { isLegalMove, type UploadState } from '../../core/upload.ts';
import type { Ending } from '../../flow/ports/jobs.ts';
import {
  jobsOf,
  moveJob,
  type JobRecord,
  type Move,
  type Parts,
  type UploadRecord,
} from './moves.ts';
import { beforeClaim } from './new-uploads.ts';
import { recordPending } from './record-pending.ts';
import type { Database } from './schema.ts';

/** All generations that publish under one key: of one member, or of one path in the outgoing folder. */
const sameKey = (
  trx: Transaction<Database>,
  upload: Pick<UploadRecord, 'kind' | 'memberId' | 'uploadKey' | 'path'>,
) =>
  trx
    .selectFrom('upload')
    .where('upload.kind', '=', upload.kind)
    .$if(upload.kind === 'intake', (query) =>
      query
        .where('upload.memberId', '=', upload.memberId)
        .where('upload.uploadKey', '=', upload.uploadKey),
    )
    .$if(upload.kind === 'direct', (query) => query.where('upload.path', '=', upload.path));

/** The jobs of the generations before this job's, for all partners. */
export async function olderJobs(
  trx: Transaction<Database>,
  job: Pick<JobRecord, 'uploadId'>,
): Promise<readonly (JobRecord & { generation: number; sourceSha256: string | null })[]> {
  const own = await trx
    .selectFrom('upload')
    .selectAll()
    .where('id', '=', job.uploadId)
    .executeTakeFirstOrThrow();
  return await sameKey(trx, own)
    .innerJoin('job', 'job.uploadId', 'upload.id')
    .selectAll('job')
    .select(['upload.generation', 'upload.sha256 as sourceSha256'])
    .where('upload.generation', '<', own.generation)
    .where('job.state', 'not in', ['superseded', 'withdrawn'])
    .execute();
}

/** Was a newer generation of it claimed, or did it get further? */
export async function hasNewer(trx: Transaction<Database>, own: UploadRecord): Promise<boolean> {
  const newer = await sameKey(trx, own)
    .innerJoin('job', 'job.uploadId', 'upload.id')
    .select(['job.state', 'upload.claim'])
    .where('upload.generation', '>', own.generation)
    .execute();
  return newer.some(
    (other) =>
      other.claim !== null || !(beforeClaim.has(other.state) || other.state === 'withdrawn'),
  );
}

/**
 * How it ends when a newer generation is in work already: that one's claim could not put this one aside, since it was in
 * work too; now nobody else would.
 */
async function asOvertaken(
  trx: Transaction<Database>,
  job: JobRecord,
  ending: Ending,
): Promise<Ending> {
  switch (ending.state) {
    case 'published':
    case 'superseded':
    case 'settling':
    case 'withdrawn':
      return ending;
    case 'held':
    case 'partial':
    case 'waiting':
    case 'failed':
    case 'queued': {
      const own = await trx
        .selectFrom('upload')
        .selectAll()
        .where('id', '=', job.uploadId)
        .executeTakeFirstOrThrow();
      return (await hasNewer(trx, own)) ? { state: 'superseded' } : ending;
    }
    default:
      return unreachable(ending);
  }
}

export async function finishJob(
  parts: Parts,
  trx: Transaction<Database>,
  id: string,
  fence: number,
  wanted: Ending,
): Promise<{ readonly dropClaim: string | undefined }> {
  const job = await trx
    .selectFrom('job')
    .selectAll()
    .where('id', '=', id)
    .where('fence', '=', fence)
    .where('state', '=', 'processing')
    .executeTakeFirst();
  if (job === undefined) throw new AppError('LEASE_LOST', { detail: `job ${id}` });
  const ending = await asOvertaken(trx, job, wanted);
  const move = (to: UploadState, more: Omit<Move, 'to' | 'actor'> = {}): Promise<void> =>
    moveJob(parts, trx, job, {
      ...more,
      to,
      actor: 'server',
      set: { leaseOwner: null, leaseUntil: null, dueAt: null, ...more.set },
    });
  switch (ending.state) {
    case 'published':
      await publish(parts, trx, job, ending.file, move);
      break;
    case 'held':
      await move('held', {
        set: {
          reason: ending.reason,
          detail: ending.detail ?? null,
          exclusions: JSON.stringify(ending.exclusions),
        },
      });
      await keepHash(trx, job.uploadId, ending.sourceSha256);
      break;
    case 'partial':
      await move('partial', { set: { reason: ending.reason } });
      await moveUnclaimed(parts, trx, job.uploadId, 'partial', ending.reason);
      break;
    case 'waiting':
      await move('waiting', { set: { reason: ending.reason, attempts: job.attempts - 1 } });
      break;
    case 'failed':
      await move('failed', { set: { reason: ending.reason, detail: ending.detail ?? null } });
      break;
    case 'superseded':
      await move('superseded');
      break;
    case 'settling':
    case 'withdrawn':
      await restart(parts, trx, job, ending, move);
      break;
    case 'queued':
      await move('queued', {
        set: {
          dueAt: ending.dueAt,
          reason: ending.reason ?? null,
          attempts: ending.counts === 'nothing' ? job.attempts - 1 : job.attempts,
          workerDeaths: job.workerDeaths + (ending.counts === 'death' ? 1 : 0),
        },
      });
      break;
    default:
      unreachable(ending);
  }
  return { dropClaim: await releaseClaim(trx, job.uploadId) };
}

type MoveOwn = (to: UploadState, more?: Omit<Move, 'to' | 'actor'>) => Promise<void>;

async function publish(
  parts: Parts,
  trx: Transaction<Database>,
  job: JobRecord,
  file: Extract<Ending, { state: 'published' }>['file'],
  move: MoveOwn,
): Promise<void> {
  const now = parts.clock.now();
  const before = (await olderJobs(trx, job)).filter(
    (older) =>
      older.partner === job.partner && (older.state === 'published' || older.state === 'delivered'),
  );
  const [same] = before.toSorted((a, b) => b.generation - a.generation);
  const detail = {
    sha256: job.outputSha256,
    bytes: job.outputBytes,
    recipients: job.recipients,
    profile: job.profileHash,
  };
  if (file === undefined) {
    if (same === undefined) throw new AppError('CONFLICT', { detail: `job ${job.id}` });
    const { output, outputSha256, outputBytes, publishedAt, deliveredAt } = same;
    await move('published', {
      detail: { same: same.id },
      set: { output, outputSha256, outputBytes, publishedAt },
    });
    await trx.updateTable('delivery').set({ jobId: job.id }).where('jobId', '=', same.id).execute();
    if (same.state === 'delivered') {
      const after = { ...job, state: 'published' as const };
      await moveJob(parts, trx, after, { to: 'delivered', actor: 'server', set: { deliveredAt } });
    }
  } else {
    await move('published', { detail, set: { publishedAt: now } });
    await recordPending(trx, {
      projectId: job.projectId,
      partner: job.partner,
      path: job.output ?? '',
      jobId: job.id,
      sizeBytes: file.sizeBytes,
      modifiedMs: file.modifiedMs,
      inode: file.inode,
      sha256: job.outputSha256 ?? '',
      now,
    });
  }
  for (const older of before) await replacePredecessor(parts, trx, older, job);
}

async function replacePredecessor(
  parts: Parts,
  trx: Transaction<Database>,
  older: JobRecord,
  job: JobRecord,
): Promise<void> {
  await moveJob(parts, trx, older, {
    to: 'superseded',
    actor: 'server',
    detail: { by: job.uploadId },
  });
  await trx
    .updateTable('delivery')
    .set({ state: 'gone', dueAt: null, updatedAt: parts.clock.now() })
    .where('jobId', '=', older.id)
    .where('state', 'in', ['pending', 'failed', 'conflict'])
    .execute();
}

/** The bytes at the path are others now, or none. Two legal moves, so that the audit shows both. */
async function restart(
  parts: Parts,
  trx: Transaction<Database>,
  job: JobRecord,
  ending: Extract<Ending, { state: 'settling' | 'withdrawn' }>,
  move: MoveOwn,
): Promise<void> {
  await move('queued', { set: { dueAt: parts.clock.now() } });
  await moveUnclaimed(parts, trx, job.uploadId, ending.state, null);
  await trx
    .updateTable('upload')
    .set(
      ending.state === 'settling'
        ? { settleAt: ending.settleAt }
        : { rawRemovedAt: parts.clock.now() },
    )
    .where('id', '=', job.uploadId)
    .execute();
}

/** What was seen of the bytes holds for the jobs for the other partners too, whether queued, waiting or partial. */
async function moveUnclaimed(
  parts: Parts,
  trx: Transaction<Database>,
  uploadId: string,
  to: UploadState,
  reason: string | null,
): Promise<void> {
  for (const other of await jobsOf(trx, uploadId)) {
    if (!beforeClaim.has(other.state) || !isLegalMove(other.state, to)) continue;
    // An attempt was made on these very bytes, so the quiet ten minutes do not try them again.
    const attempts = Math.max(1, other.attempts);
    const set = { reason, dueAt: null, attempts };
    await moveJob(parts, trx, other, { to, actor: 'server', set });
  }
}

async function keepHash(
  trx: Transaction<Database>,
  uploadId: string,
  sha256: string | undefined,
): Promise<void> {
  if (sha256 === undefined) return;
  await trx.updateTable('upload').set({ sha256 }).where('id', '=', uploadId).execute();
}

/** Gives the claim back when no job of this generation needs the bytes any more. */
export async function releaseClaim(
  trx: Transaction<Database>,
  uploadId: string,
): Promise<string | undefined> {
  const states = (await jobsOf(trx, uploadId)).map((job) => job.state);
  const needed = states.some(
    (state) => state === 'queued' || state === 'processing' || state === 'waiting',
  );
  if (needed) return undefined;
  const row = await trx
    .selectFrom('upload')
    .select('claim')
    .where('id', '=', uploadId)
    .executeTakeFirst();
  await trx.updateTable('upload').set({ claim: null }).where('id', '=', uploadId).execute();
  return row?.claim ?? undefined;
}
