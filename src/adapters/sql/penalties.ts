// Penalties for wrong logins in the database; port PenaltyStore.

import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Penalty, PenaltyStore } from '../../flow/ports/penalties.ts';
import type { Database, LoginPenaltyTable } from './schema.ts';

/** Stands in the place of a source in the row that says when a name was forgiven; no address is like that. */
const forgiveness = '';

export function createPenaltyStore(tools: {
  readonly db: Kysely<Database>;
  readonly clock: Clock;
  /** Derived from the master key for this purpose alone. */
  readonly key: Uint8Array;
}): PenaltyStore {
  const { db, clock } = tools;
  const who = (name: string): string =>
    createHmac('sha256', tools.key).update(name).digest('base64url').slice(0, 22);
  const all = (at: number) => db.selectFrom('login_penalty').selectAll().where('endsAt', '>', at);
  const after = (at: number) => all(at).where('source', '<>', forgiveness);
  return {
    who,
    load: async (at) => (await after(at).orderBy('updatedAt').execute()).map(read),
    of: async (name, at) =>
      (await after(at).where('who', '=', who(name)).where('enforced', '=', 1).execute()).map(read),
    forget: (name) =>
      db.transaction().execute(async (trx) => {
        const now = clock.now();
        const row = { source: forgiveness, who: who(name), failures: 0, enforced: 0 };
        await trx.deleteFrom('login_penalty').where('who', '=', row.who).execute();
        await trx
          .insertInto('login_penalty')
          .values({ ...row, endsAt: now, updatedAt: now })
          .execute();
      }),
    forgiven: async (at) => {
      const rows = await all(at).where('source', '=', forgiveness).execute();
      return rows.map(({ who, endsAt }) => ({ who, at: endsAt }));
    },
    save: (changed, over, forgetBefore) =>
      db.transaction().execute(async (trx) => {
        for (const { enforced, ...penalty } of changed) {
          const row = { ...penalty, enforced: enforced ? 1 : 0, updatedAt: clock.now() };
          await trx
            .insertInto('login_penalty')
            .values(row)
            .onConflict((c) => c.columns(['source', 'who']).doUpdateSet(row))
            .execute();
        }
        for (const { source, who } of over) {
          await trx
            .deleteFrom('login_penalty')
            .where('source', '=', source)
            .where('who', '=', who)
            .execute();
        }
        await trx.deleteFrom('login_penalty').where('endsAt', '<', forgetBefore).execute();
      }),
  };
}

const read = (row: LoginPenaltyTable): Penalty => ({
  source: row.source,
  who: row.who,
  failures: row.failures,
  endsAt: row.endsAt,
  enforced: row.enforced === 1,
});
