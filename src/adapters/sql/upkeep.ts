// The server's notes about folders (ports Arrivals and UnreadRoots). Few rows at any time, mostly none.

import type { Kysely } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Arrivals, UnreadRoot, UnreadRoots } from '../../flow/ports/upkeep.ts';
import type { AuditLog } from './audit.ts';
import { toErrorCode } from './partner-alarm.ts';
import type { Database } from './schema.ts';

export function createArrivals(db: Kysely<Database>): Arrivals {
  return {
    note: async (arrival) => {
      await db
        .insertInto('arrival')
        .values(arrival)
        .onConflict((conflict) => conflict.column('path').doUpdateSet(arrival))
        .execute();
    },
    below: (folder) =>
      db
        .selectFrom('arrival')
        .selectAll()
        .where('path', '>', `${folder}/`)
        .where('path', '<', `${folder}0`)
        .execute(),
    forget: async (path) => {
      await db
        .deleteFrom('arrival')
        .where((where) =>
          where.or([
            where('path', '=', path),
            where.and([where('path', '>', `${path}/`), where('path', '<', `${path}0`)]),
          ]),
        )
        .execute();
    },
  };
}

interface Parts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

const keyOf = (one: { projectId: string; memberId?: unknown; partner?: unknown }): string =>
  JSON.stringify([one.projectId, one.memberId ?? '', one.partner ?? '']);

export function createUnreadRoots({ db, audit, clock }: Parts): UnreadRoots {
  return {
    list: async () =>
      (
        await db
          .selectFrom('unread_root')
          .innerJoin('project', 'project.id', 'unread_root.projectId')
          .leftJoin('member', 'member.id', 'unread_root.memberId')
          .select(['project.name as project', 'member.name as member', 'unread_root.partner'])
          .select(['unread_root.code', 'unread_root.detail', 'unread_root.since'])
          .where('project.state', '=', 'active')
          .orderBy('project.name')
          .orderBy('member.name')
          .execute()
      ).map(({ project, member, partner, code, detail, since }) => ({
        ...{ project, since, code: toErrorCode(code) },
        member: member ?? undefined,
        partner: partner === '' ? undefined : partner,
        detail: detail ?? undefined,
      })),
    replace: (all: readonly UnreadRoot[]) =>
      db.transaction().execute(async (trx) => {
        const before = await trx.selectFrom('unread_root').selectAll().execute();
        const known = new Map(before.map((row) => [keyOf(row), row.since]));
        await trx.deleteFrom('unread_root').execute();
        for (const { projectId, memberId = '', partner = '', code, detail = null } of all) {
          const row = { projectId, memberId, partner, code, detail };
          const since = known.get(keyOf(row));
          await trx
            .insertInto('unread_root')
            .values({ ...row, since: since ?? clock.now() })
            .execute();
          if (since !== undefined) continue;
          const place = memberId === '' ? { partner } : { member: memberId };
          await audit.append(trx, {
            ...{ actor: 'server', action: 'folder.unread', object: projectId },
            detail: { ...place, code, ...(detail === null ? {} : { detail }) },
          });
        }
      }),
  };
}
