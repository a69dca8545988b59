// Leases as rows. A row stays when its lease ends, so that its fence keeps growing.

import type { Kysely } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Lease, Leases } from '../../flow/ports/leases.ts';
import type { Database } from './schema.ts';

export function createLeases(db: Kysely<Database>, clock: Clock): Leases {
  return {
    acquire: async (name, owner, ttlMs) => {
      const now = clock.now();
      const row = await db
        .insertInto('lease')
        .values({ name, owner, until: now + ttlMs, fence: 1 })
        .onConflict((conflict) =>
          conflict
            .column('name')
            .doUpdateSet((eb) => ({ owner, until: now + ttlMs, fence: eb('lease.fence', '+', 1) }))
            // A lease that ends later than any of now could is from before the clock was set back.
            .where((where) =>
              where.or([where('lease.until', '<=', now), where('lease.until', '>', now + ttlMs)]),
            ),
        )
        .returning('fence')
        .executeTakeFirst();
      return row === undefined ? undefined : { name, owner, fence: row.fence };
    },
    renew: async (lease, ttlMs) => {
      const now = clock.now();
      const result = await held(db, lease)
        .set({ until: now + ttlMs })
        .where('until', '>', now)
        .executeTakeFirst();
      return result.numUpdatedRows > 0n;
    },
    release: async (lease) => {
      await held(db, lease).set({ until: 0 }).execute();
    },
    holders: async () =>
      (
        await db
          .selectFrom('lease')
          .select('owner')
          .distinct()
          .where('until', '>', clock.now())
          .execute()
      ).map(({ owner }) => owner),
    endThoseOf: async (ownerPrefix) => {
      await db
        .updateTable('lease')
        .set({ until: 0 })
        .where('owner', '>=', ownerPrefix)
        .where('owner', '<', `${ownerPrefix}\uffff`)
        .execute();
    },
  };
}

const held = (db: Kysely<Database>, lease: Lease) =>
  db
    .updateTable('lease')
    .where('name', '=', lease.name)
    .where('owner', '=', lease.owner)
    .where('fence', '=', lease.fence);
