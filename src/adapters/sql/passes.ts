// How passes went: the partner's failures and alarm, and the history for `replicate status`.

import type { Transaction } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Deliveries } from '../../flow/ports/deliveries.ts';
import type { AuditLog } from './audit.ts';
import { noAlarm, setAlarm } from './partner-alarm.ts';
import { newId } from './new-id.ts';
import type { Database } from './schema.ts';

/** Passes that are kept, a partner. */
const keptPasses = 1000;

interface PassParts {
  readonly audit: AuditLog;
  readonly clock: Clock;
}

/** The end of a pass: in the partner's row, and in the history when there was something to do. */
export async function notePass(
  { audit, clock }: PassParts,
  trx: Transaction<Database>,
  pass: Parameters<Deliveries['passEnded']>[0],
): Promise<void> {
  const { partner, startedAt, delivered, failed, error } = pass;
  const now = clock.now();
  const row = await trx
    .selectFrom('partner')
    .select(['failures', 'alarm'])
    .where('code', '=', partner)
    .executeTakeFirst();
  if (row === undefined) return;
  const isWell = error === undefined && (pass.connected || row.failures === 0);
  const isOver = error === undefined && pass.connected && row.alarm?.startsWith('REMOTE_') === true;
  await trx
    .updateTable('partner')
    .set({ lastPassAt: startedAt })
    .$if(isWell, (query) => query.set({ lastSuccessAt: now, failures: 0 }))
    .$if(error !== undefined, (query) => query.set({ failures: row.failures + 1 }))
    .$if(isOver, (query) => query.set(noAlarm))
    .where('code', '=', partner)
    .execute();
  if (isOver) {
    const detail = { code: row.alarm };
    await audit.append(trx, { actor: 'server', action: 'partner.well', object: partner, detail });
  }
  if (pass.alarm !== undefined) await setAlarm(trx, { audit, now }, partner, pass.alarm);
  if (!pass.connected && error === undefined) return;
  const counted = { delivered, failed, error: error ?? null };
  await trx
    .insertInto('pass')
    .values({ id: newId(), partner, startedAt, endedAt: now, ...counted })
    .execute();
  await prunePasses(trx, partner);
}

async function prunePasses(trx: Transaction<Database>, partner: string): Promise<void> {
  const oldest = await trx
    .selectFrom('pass')
    .select('startedAt')
    .where('partner', '=', partner)
    .orderBy('startedAt', 'desc')
    .offset(keptPasses)
    .limit(1)
    .executeTakeFirst();
  if (oldest === undefined) return;
  await trx
    .deleteFrom('pass')
    .where('partner', '=', partner)
    .where('startedAt', '<=', oldest.startedAt)
    .execute();
}
