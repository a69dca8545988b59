// The partners' rows. A partner without an address is one that a project named or that was accepted before it was added.

import type { Kysely, Selectable, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Partner, Partners } from '../../flow/ports/partners.ts';
import type { AuditLog } from './audit.ts';
import { networksOf } from './members.ts';
import { newId } from './new-id.ts';
import { noAlarm, tellStrangers, toErrorCode } from './partner-alarm.ts';
import type { Database, PartnerTable } from './schema.ts';

interface Parts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

export function createPartners(parts: Parts): Partners {
  const { db, audit } = parts;
  return {
    add: (partner, actor) =>
      db.transaction().execute((trx) => addPartner(parts, trx, partner, actor)),
    setPace: (code, pace, actor) =>
      db.transaction().execute(async (trx) => {
        if ((await activeRow(trx, code)) === undefined) {
          throw new AppError('NOT_FOUND', {
            detail: `no partner ${code}; see clubhouse partner list`,
          });
        }
        const { limitBytes, window } = pace;
        if (limitBytes === undefined && window === undefined) return;
        await trx
          .updateTable('partner')
          .$if(limitBytes !== undefined, (query) => query.set({ limitBytes: limitBytes ?? null }))
          .$if(window !== undefined, (query) => query.set({ sendWindow: window ?? null }))
          .where('code', '=', code)
          .execute();
        await audit.append(trx, {
          actor,
          action: 'partner.paced',
          object: code,
          detail: { ...pace },
        });
      }),
    list: async () =>
      (
        await db
          .selectFrom('partner')
          .selectAll()
          .where('state', '=', 'active')
          .orderBy('code')
          .execute()
      ).map(toPartner),
    find: async (code) => {
      const row = await activeRow(db, code);
      return row === undefined ? undefined : toPartner(row);
    },
    remove: (code, actor) =>
      db.transaction().execute(async (trx) => {
        if ((await activeRow(trx, code)) === undefined) {
          throw new AppError('NOT_FOUND', {
            detail: `no partner ${code}; see clubhouse partner list`,
          });
        }
        await trx.deleteFrom('partner_key').where('partner', '=', code).execute();
        await trx
          .updateTable('partner')
          .set({ state: 'removed', host: null, port: null, user: null, hostKey: null, ...quiet })
          .where('code', '=', code)
          .execute();
        await audit.append(trx, { actor, action: 'partner.removed', object: code });
      }),
    accept: (code, key, actor) =>
      db.transaction().execute(async (trx) => {
        await ensureRow(parts, trx, code);
        // A key that is given again without networks stays bound to those that it has.
        const bound = key.sources === undefined ? {} : { sources: JSON.stringify(key.sources) };
        const values = { algorithm: key.algorithm, blob: key.blob, ...bound };
        const old = await trx
          .updateTable('partner_key')
          .set(values)
          .where('partner', '=', code)
          .where('fingerprint', '=', key.fingerprint)
          .executeTakeFirst();
        const given = key.sources === undefined ? {} : { sources: key.sources };
        const detail = { fingerprint: key.fingerprint, ...given };
        await audit.append(trx, { actor, action: 'partner.accepted', object: code, detail });
        if (old.numUpdatedRows > 0n) return 'updated';
        await trx
          .insertInto('partner_key')
          .values({
            id: newId(),
            partner: code,
            fingerprint: key.fingerprint,
            ...values,
            createdAt: parts.clock.now(),
          })
          .execute();
        return 'added';
      }),
    acceptedKeys: async (code) =>
      (
        await db
          .selectFrom('partner_key')
          .select(['fingerprint', 'algorithm', 'blob', 'sources'])
          .where('partner', '=', code)
          .orderBy('createdAt')
          .execute()
      ).map((key) => ({ ...key, sources: networksOf(key.sources) })),
    removeKey: (code, fingerprint, actor) =>
      db.transaction().execute(async (trx) => {
        const gone = await trx
          .deleteFrom('partner_key')
          .where('partner', '=', code)
          .where('fingerprint', '=', fingerprint)
          .executeTakeFirst();
        if (gone.numDeletedRows === 0n) return false;
        const action = 'partner.key-removed';
        await audit.append(trx, { actor, action, object: code, detail: { fingerprint } });
        return true;
      }),
    tellStrangers: (code, detail) => tellStrangers(parts, code, detail),
    projects: (code) =>
      db
        .selectFrom('project')
        .innerJoin('project_partner', 'project_partner.projectId', 'project.id')
        .select(['project.id', 'project.name'])
        .where('project_partner.partner', '=', code)
        .where('project.state', '=', 'active')
        .orderBy('project.name')
        .execute(),
  };
}

/** What a partner starts with, and what `add` makes it forget. */
const quiet = {
  ...noAlarm,
  failures: 0,
  lastPassAt: null,
} as const;

const anyPace = { limitBytes: null, sendWindow: null } as const;

async function addPartner(
  parts: Parts,
  trx: Transaction<Database>,
  partner: Parameters<Partners['add']>[0],
  actor: string,
): Promise<'added' | 'updated'> {
  const wasThere = await ensureRow(parts, trx, partner.code);
  const { host, port, user, hostKey } = partner.address;
  await trx
    .updateTable('partner')
    .set({ host, port, user, hostKey, ...quiet })
    .$if(partner.verify !== undefined, (query) => query.set({ verify: partner.verify ?? 'hash' }))
    .where('code', '=', partner.code)
    .execute();
  const action = wasThere ? 'partner.updated' : 'partner.added';
  await parts.audit.append(trx, {
    actor,
    action,
    object: partner.code,
    detail: { host, port, user, hostKey },
  });
  return wasThere ? 'updated' : 'added';
}

/** Makes the row, or brings a removed one back bare. True when it was there with an address. */
async function ensureRow(
  { clock }: Parts,
  trx: Transaction<Database>,
  code: string,
): Promise<boolean> {
  const row = await trx
    .selectFrom('partner')
    .selectAll()
    .where('code', '=', code)
    .executeTakeFirst();
  const createdAt = clock.now();
  if (row === undefined) {
    await trx.insertInto('partner').values({ code, createdAt }).execute();
  } else if (row.state === 'removed') {
    await trx
      .updateTable('partner')
      .set({
        state: 'active',
        verify: 'hash',
        lastSuccessAt: null,
        createdAt,
        ...quiet,
        ...anyPace,
      })
      .where('code', '=', code)
      .execute();
    return false;
  }
  return row !== undefined && row.host !== null;
}

const activeRow = (db: Kysely<Database>, code: string) =>
  db
    .selectFrom('partner')
    .selectAll()
    .where('code', '=', code)
    .where('state', '=', 'active')
    .executeTakeFirst();

function toPartner(row: Selectable<PartnerTable>): Partner {
  const { host, port, user, hostKey } = row;
  const isPlaced = host !== null && port !== null && user !== null && hostKey !== null;
  return {
    code: row.code,
    address: isPlaced ? { host, port, user, hostKey } : undefined,
    verify: row.verify,
    alarm:
      row.alarm === null
        ? undefined
        : { code: toErrorCode(row.alarm), detail: row.alarmDetail ?? '', at: row.alarmAt ?? 0 },
    lastPassAt: row.lastPassAt ?? undefined,
    lastSuccessAt: row.lastSuccessAt ?? undefined,
    failures: row.failures,
    createdAt: row.createdAt,
    limitBytes: row.limitBytes ?? undefined,
    window: row.sendWindow ?? undefined,
  };
}
