// Migration 008: new uploads that are closed and durable, and whose rows are made together (fresh-uploads.ts).

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

export const freshMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await sql
      .raw(
        `create table fresh_upload (
          seq integer primary key, upload text not null, actor text not null, "createdAt" bigint not null)`,
      )
      .execute(db);
  },
};
