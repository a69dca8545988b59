// What `replicate status` shows. Reads only.

import type { Kysely } from 'kysely';
import type { DeliveryCounts, DeliveryTrouble, PassRow } from '../../flow/ports/deliveries.ts';
import { toErrorCode } from './partner-alarm.ts';
import type { Database } from './schema.ts';

export async function counts(db: Kysely<Database>): Promise<readonly DeliveryCounts[]> {
  const rows = await db
    .selectFrom('delivery')
    .select(['partner', 'state'])
    .select((eb) => [eb.fn.countAll<number>().as('count'), eb.fn.min('createdAt').as('oldest')])
    .groupBy(['partner', 'state'])
    .orderBy('partner')
    .execute();
  const vanished = await vanishedRows(db)
    .select(['delivery.partner', (eb) => eb.fn.countAll<number>().as('count')])
    .groupBy('delivery.partner')
    .execute();
  const partners = [...new Set(rows.map((row) => row.partner))];
  return partners.map((partner) => {
    const of = (state: string): number =>
      rows.find((row) => row.partner === partner && row.state === state)?.count ?? 0;
    const waiting = rows
      .filter((row) => row.partner === partner && row.state !== 'delivered' && row.state !== 'gone')
      .map((row) => row.oldest);
    return {
      partner,
      pending: of('pending'),
      delivered: of('delivered'),
      failed: of('failed'),
      conflict: of('conflict'),
      gone: vanished.find((row) => row.partner === partner)?.count ?? 0,
      oldestPendingAt: waiting.length === 0 ? undefined : Math.min(...waiting),
    };
  });
}

/** Only Clubhouse writes into `gpg-*`; what a member removes elsewhere is the member's own will. */
const vanishedRows = (db: Kysely<Database>) =>
  db
    .selectFrom('delivery')
    .innerJoin('job', 'job.id', 'delivery.jobId')
    .where('delivery.state', '=', 'gone')
    .where('job.state', '=', 'published')
    .where('delivery.path', 'like', 'gpg-%');

export async function troubles(
  db: Kysely<Database>,
  limit: number,
): Promise<readonly DeliveryTrouble[]> {
  const rows = await db
    .selectFrom('delivery')
    .innerJoin('project', 'project.id', 'delivery.projectId')
    .select(['delivery.id', 'project.name as project', 'delivery.partner', 'delivery.path'])
    .select(['delivery.state', 'delivery.reason', 'delivery.attempts', 'delivery.dueAt'])
    .where((where) =>
      where.or([
        where.and([
          where('delivery.state', 'in', ['pending', 'failed', 'conflict']),
          where('delivery.attempts', '>', 0),
        ]),
        where('delivery.id', 'in', vanishedRows(db).select('delivery.id')),
      ]),
    )
    .orderBy('delivery.updatedAt', 'desc')
    .orderBy('delivery.id')
    .limit(limit)
    .execute();
  return rows.map(({ state, reason, dueAt, ...row }) => ({
    ...row,
    state: state === 'delivered' ? 'pending' : state,
    reason: reason === null ? undefined : toErrorCode(reason),
    dueAt: dueAt ?? undefined,
  }));
}

export async function passes(
  db: Kysely<Database>,
  partner: string,
  limit: number,
): Promise<readonly PassRow[]> {
  const rows = await db
    .selectFrom('pass')
    .select(['partner', 'startedAt', 'endedAt', 'delivered', 'failed', 'error'])
    .where('partner', '=', partner)
    .orderBy('startedAt', 'desc')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    ...row,
    endedAt: row.endedAt ?? undefined,
    error: row.error === null ? undefined : toErrorCode(row.error),
  }));
}
