// Migration 005: where the audit trail ends, so that a cut tail shows. A trail that is there already is taken as it is, without a
// seal, since a migration has no key; the next entry seals it.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

export const auditMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql
      .raw(
        `create table audit_head (
          id integer primary key check (id = 1), seq bigint not null, hash text not null, mac text)`,
      )
      .execute(db);
    await sql
      .raw(
        `insert into audit_head (id, seq, hash)
          select 1, seq, hash from audit order by seq desc limit 1`,
      )
      .execute(db);
  },
};
