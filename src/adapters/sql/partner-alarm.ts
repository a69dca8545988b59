// What an administrator must see to at a partner: it begins, ends, and the audit hears of it once.

import type { Kysely, Transaction } from 'kysely';
import { errorCodes, type ErrorCode } from '../../core/errors.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { AuditLog } from './audit.ts';
import type { Database } from './schema.ts';

export const noAlarm = { alarm: null, alarmDetail: null, alarmAt: null } as const;

/** Inside a transaction. The audit hears of an alarm when it begins, not each time that it is found again. */
export async function setAlarm(
  trx: Transaction<Database>,
  how: { readonly audit: AuditLog; readonly now: number },
  code: string,
  alarm: { readonly code: ErrorCode; readonly detail: string },
): Promise<void> {
  const changed = await trx
    .updateTable('partner')
    .set({ alarm: alarm.code, alarmDetail: alarm.detail, alarmAt: how.now })
    .where('code', '=', code)
    .where((eb) =>
      eb.or([
        eb('alarm', 'is', null),
        eb('alarm', '<>', alarm.code),
        eb('alarmDetail', '<>', alarm.detail),
      ]),
    )
    .executeTakeFirst();
  if (changed.numUpdatedRows === 0n) return;
  await how.audit.append(trx, {
    actor: 'server',
    action: 'partner.alarm',
    object: code,
    detail: { code: alarm.code, detail: alarm.detail },
  });
}

const strangers = 'OUTBOX_STRANGER' satisfies ErrorCode;

/** The alarm about files that we did not make; without a detail it is taken back. It never displaces another alarm. */
export const tellStrangers = (
  {
    db,
    audit,
    clock,
  }: { readonly db: Kysely<Database>; readonly audit: AuditLog; readonly clock: Clock },
  code: string,
  detail: string | undefined,
): Promise<void> =>
  db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom('partner')
      .select('alarm')
      .where('code', '=', code)
      .where('state', '=', 'active')
      .executeTakeFirst();
    const isOurs = row?.alarm === null || row?.alarm === strangers;
    if (row === undefined || !isOurs) return;
    if (detail !== undefined) {
      await setAlarm(trx, { audit, now: clock.now() }, code, { code: strangers, detail });
    } else if (row.alarm === strangers) {
      await trx.updateTable('partner').set(noAlarm).where('code', '=', code).execute();
    }
  });

/** A code that this version does not know any more reads as INTERNAL. */
export const toErrorCode = (text: string): ErrorCode =>
  Object.hasOwn(errorCodes, text) ? (text as ErrorCode) : 'INTERNAL';
