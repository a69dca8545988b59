// How a job changes its state: through core/upload's table, with the audit entry and the note that the receipt is due, all in
// the caller's transaction. Apart from the stores, because uploads, jobs, members and the desk all move jobs. Only a
// delivery is noted elsewhere (settle-deliveries.ts), by the same table, for it is audited with its evidence; and a restore
// puts back what the disk does not have (restored.ts), before anything runs.

import type { Kysely, Selectable, Transaction, Updateable } from 'kysely';
import { AppError } from '../../core/errors.ts';
import { isLegalMove, queuePenaltyMs, type UploadState } from '../../core/upload.ts';
import type { Upload } from '../../flow/ports/jobs.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { AuditLog } from './audit.ts';
import { prepared, updateRow } from './prepared.ts';
import type { Database, JobTable, UploadTable } from './schema.ts';

export interface Parts {
  readonly audit: AuditLog;
  readonly clock: Clock;
}

export type JobRecord = Selectable<JobTable>;
export type UploadRecord = Selectable<UploadTable>;

/** States that say something new to the sender. The rest pass by too quickly for a receipt. */
const told: ReadonlySet<UploadState> = new Set<UploadState>([
  'partial',
  'waiting',
  'held',
  'failed',
  'published',
  'delivered',
  'rejected',
  'superseded',
  'withdrawn',
]);

export interface Move {
  readonly to: UploadState;
  readonly actor: string;
  /** Ids, codes, counts, hashes. */
  readonly detail?: Readonly<Record<string, unknown>>;
  /** Further columns of the job. Reason and detail are emptied unless given. */
  readonly set?: Updateable<JobTable>;
}

const sizeOf = prepared<{ id: string }, { sizeBytes: number }>((db, value) =>
  db.selectFrom('upload').select('sizeBytes').where('id', '=', value('id')),
);

/** A queued job's place among those of its member. */
export async function rankOf(
  trx: Transaction<Database>,
  dueAt: number,
  uploadId: string,
): Promise<number> {
  const [upload] = await sizeOf(trx, { id: uploadId });
  return dueAt + queuePenaltyMs(upload?.sizeBytes ?? 0);
}

/** Moves one job, or throws CONFLICT. A job that is there already only gets the further columns. */
export async function moveJob(
  parts: Parts,
  trx: Transaction<Database>,
  job: Pick<JobRecord, 'id' | 'state' | 'uploadId'>,
  move: Move,
): Promise<void> {
  const now = parts.clock.now();
  if (job.state !== move.to && !isLegalMove(job.state, move.to)) {
    throw new AppError('CONFLICT', { detail: `job ${job.id}: ${job.state} to ${move.to}` });
  }
  const dueAt = typeof move.set?.dueAt === 'number' ? move.set.dueAt : now;
  const rankAt = move.to === 'queued' ? await rankOf(trx, dueAt, job.uploadId) : null;
  await updateRow(trx, 'job', job.id, {
    reason: null,
    detail: null,
    ...move.set,
    rankAt,
    state: move.to,
    updatedAt: now,
  });
  if (job.state === move.to && move.set?.reason === undefined) return;
  await parts.audit.append(trx, {
    actor: move.actor,
    action: `job.${move.to}`,
    object: job.id,
    detail: {
      upload: job.uploadId,
      from: job.state,
      ...(typeof move.set?.reason === 'string' ? { reason: move.set.reason } : {}),
      ...move.detail,
    },
  });
  if (!told.has(move.to)) return;
  await updateRow(trx, 'upload', job.uploadId, { receiptDue: 1, updatedAt: now });
}

const jobsOfUpload = prepared<{ uploadId: string }, JobRecord>((db, value) =>
  db.selectFrom('job').selectAll().where('uploadId', '=', value('uploadId')).orderBy('partner'),
);

export const jobsOf = (trx: Kysely<Database>, uploadId: string): Promise<readonly JobRecord[]> =>
  jobsOfUpload(trx, { uploadId });

export const toUpload = (row: UploadRecord, states: readonly UploadState[]): Upload => ({
  id: row.id,
  projectId: row.projectId,
  memberId: row.memberId,
  kind: row.kind,
  partner: row.partner ?? undefined,
  path: row.path,
  key: row.uploadKey,
  generation: row.generation,
  sizeBytes: row.sizeBytes,
  declaredSizeBytes: row.declaredSizeBytes ?? undefined,
  coverage: JSON.parse(row.coverage) as Upload['coverage'],
  closed: row.closed === 1,
  device: row.device ?? undefined,
  inode: row.inode ?? undefined,
  modifiedMs: row.modifiedMs ?? undefined,
  createdAt: row.createdAt,
  touchedAt: row.touchedAt,
  settleAt: row.settleAt ?? undefined,
  claim: row.claim ?? undefined,
  sha256: row.sha256 ?? undefined,
  rawRemovedAt: row.rawRemovedAt ?? undefined,
  states,
});
