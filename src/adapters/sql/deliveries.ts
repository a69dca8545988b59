// What is owed to partners, as rows. Every settlement says `where fence = mine` for the pass's lease and `where sha256 =
// what I sent`, so neither a pass that was taken over nor a newer file is ever noted wrongly.

import type { Kysely } from 'kysely';
import type { ErrorCode } from '../../core/errors.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Deliveries } from '../../flow/ports/deliveries.ts';
import type { AuditLog } from './audit.ts';
import { counts, passes, troubles } from './delivery-reports.ts';
import { notePass } from './passes.ts';
import type { Database } from './schema.ts';
import { settleTogether } from './settle-deliveries.ts';

export { recordPending } from './record-pending.ts';

export interface DeliveryParts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

export function createDeliveries(parts: DeliveryParts): Deliveries {
  const { db } = parts;
  const settle = settleTogether(parts);
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
    delivered: (delivery, proof, lease) =>
      settle(delivery, lease, {
        action: 'file.delivered',
        row: { state: 'delivered', evidence: proof.evidence, reason: null, dueAt: null },
        detail: { evidence: proof.evidence, sha256: delivery.sha256 },
        ...(proof.evidence === 'receipt' ? { signed: proof } : {}),
      }),
    failed: (delivery, code, dueAt, lease) =>
      settle(delivery, lease, {
        action: 'file.delivery-failed',
        row: {
          state: 'failed',
          reason: code,
          attempts: delivery.attempts + 1,
          dueAt: dueAt ?? null,
        },
        detail: { code },
      }),
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
        row: { state: 'gone', reason: 'OUTBOX_GONE' satisfies ErrorCode, dueAt: null },
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
