// What is owed to partners, as rows. Every settlement says `where fence = mine` for the pass's lease and `where sha256 =
// what I sent`, so neither a pass that was taken over nor a newer file is ever noted wrongly.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import { isLegalMove } from '../../core/upload.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Deliveries, Delivery, Evidence } from '../../flow/ports/deliveries.ts';
import type { Lease } from '../../flow/ports/leases.ts';
import type { AuditLog } from './audit.ts';
import { counts, passes, troubles } from './delivery-reports.ts';
import { groupCommits } from './group-commit.ts';
import { notePass } from './passes.ts';
import type { Database } from './schema.ts';

export { recordPending } from './record-pending.ts';

export interface DeliveryParts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

export function createDeliveries(parts: DeliveryParts): Deliveries {
  const { db } = parts;
  const commit = groupCommits<boolean>(db);
  const settle = (delivery: Delivery, lease: Lease, change: Change): Promise<boolean> =>
    commit((trx) => settleRow(parts, trx, delivery, lease, change));
  return {
    due: async (partner, now, limit) =>
      (
        await dueRows(db, partner, now)
          .innerJoin('project', 'project.id', 'delivery.projectId')
          .where('project.state', '=', 'active')
          .selectAll('delivery')
          .select('project.name as project')
          .orderBy('delivery.dueAt')
          .orderBy('delivery.id')
          .limit(limit)
          .execute()
      ).map(({ jobId, previousSha256, sha256, ...row }) => ({
        ...row,
        jobId: jobId ?? undefined,
        sha256: sha256 ?? '',
        previousSha256: previousSha256 === null ? [] : previousSha256.split(','),
      })),
    anyDue: async (partner, now) =>
      (await dueRows(db, partner, now)
        .innerJoin('project', 'project.id', 'delivery.projectId')
        .where('project.state', '=', 'active')
        .select('delivery.id')
        .limit(1)
        .executeTakeFirst()) !== undefined,
    hasten: async (partner, now) => {
      await db
        .updateTable('delivery')
        .set({ dueAt: now })
        .where('partner', '=', partner)
        .where('state', 'in', owed)
        .execute();
    },
    delivered: (delivery, evidence, lease) =>
      settle(delivery, lease, {
        action: 'file.delivered',
        row: { state: 'delivered', evidence, reason: null, dueAt: null },
        detail: { evidence, sha256: delivery.sha256 },
      }),
    failed: async (delivery, code, dueAt, lease) => {
      await settle(delivery, lease, {
        action: 'file.delivery-failed',
        row: {
          state: 'failed',
          reason: code,
          attempts: delivery.attempts + 1,
          dueAt: dueAt ?? null,
        },
        detail: { code },
      });
    },
    conflict: async (delivery, dueAt, lease) => {
      await settle(delivery, lease, {
        action: 'file.delivery-conflict',
        row: {
          state: 'conflict',
          reason: 'REMOTE_CONFLICT',
          attempts: delivery.attempts + 1,
          dueAt,
        },
        detail: {},
      });
    },
    gone: async (delivery, lease) => {
      await settle(delivery, lease, {
        action: 'file.delivery-gone',
        row: { state: 'gone', reason: null, dueAt: null },
        detail: {},
      });
    },
    passEnded: (pass) => db.transaction().execute((trx) => notePass(parts, trx, pass)),
    counts: () => counts(db),
    troubles: (limit) => troubles(db, limit),
    passes: (partner, limit) => passes(db, partner, limit),
  };
}

/** Well over the pause after a conflict, and over two cycles of replication of any sensible length. */
const longestPauseMs = 86_400_000;

/** States in which the partner does not have the file yet. */
const owed = ['pending', 'failed', 'conflict'] as const;

const dueRows = (db: Kysely<Database>, partner: string, now: number) =>
  db
    .selectFrom('delivery')
    .where('delivery.partner', '=', partner)
    .where('delivery.state', 'in', owed)
    // Nothing is put off for longer: a time behind that is from before the clock was set back.
    .where((where) =>
      where.or([
        where('delivery.dueAt', '<=', now),
        where('delivery.dueAt', '>', now + longestPauseMs),
      ]),
    )
    .where('delivery.sha256', 'is not', null);

interface Change {
  readonly action: string;
  readonly row: {
    readonly state: 'delivered' | 'failed' | 'conflict' | 'gone';
    /** An error code. */
    readonly reason: string | null;
    readonly dueAt: number | null;
    readonly attempts?: number;
    readonly evidence?: Evidence;
  };
  readonly detail: Readonly<Record<string, unknown>>;
}

/** False when the row no longer speaks of the content that was sent. */
async function settleRow(
  { audit, clock }: DeliveryParts,
  trx: Transaction<Database>,
  delivery: Delivery,
  lease: Lease,
  change: Change,
): Promise<boolean> {
  const now = clock.now();
  await assertHeld(trx, lease);
  const isDelivered = change.row.state === 'delivered';
  const before = await trx
    .selectFrom('delivery')
    .select(['state', 'reason', 'jobId'])
    .where('id', '=', delivery.id)
    .where('sha256', '=', delivery.sha256)
    .executeTakeFirst();
  if (before === undefined) return false;
  // What was proven at the partner stays so, whatever went wrong here afterwards.
  if (before.state === 'delivered') return isDelivered;
  await trx
    .updateTable('delivery')
    .set({ ...change.row, updatedAt: now, ...(isDelivered ? { deliveredAt: now } : {}) })
    .where('id', '=', delivery.id)
    .execute();
  if (before.state === change.row.state && before.reason === change.row.reason) {
    return true; // The same trouble once more: no further line in audit and receipt.
  }
  if (before.jobId !== null) await tellJob(trx, before.jobId, isDelivered, now);
  await audit.append(trx, {
    actor: 'server',
    action: change.action,
    object: before.jobId ?? delivery.id,
    detail: { delivery: delivery.id, partner: delivery.partner, ...change.detail },
  });
  return true;
}

async function tellJob(
  trx: Transaction<Database>,
  jobId: string,
  isDelivered: boolean,
  now: number,
): Promise<void> {
  const job = await trx
    .selectFrom('job')
    .select(['state', 'uploadId'])
    .where('id', '=', jobId)
    .executeTakeFirst();
  if (job === undefined) return;
  // A job that a newer generation superseded meanwhile stays superseded.
  if (isDelivered && isLegalMove(job.state, 'delivered')) {
    await trx
      .updateTable('job')
      .set({ state: 'delivered', deliveredAt: now, updatedAt: now })
      .where('id', '=', jobId)
      .execute();
  }
  await trx
    .updateTable('upload')
    .set({ receiptDue: 1, updatedAt: now })
    .where('id', '=', job.uploadId)
    .execute();
}

async function assertHeld(trx: Transaction<Database>, lease: Lease): Promise<void> {
  const row = await trx
    .selectFrom('lease')
    .select('fence')
    .where('name', '=', lease.name)
    .where('owner', '=', lease.owner)
    .where('fence', '=', lease.fence)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('LEASE_LOST', { detail: lease.name });
}
