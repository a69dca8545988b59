// Migration 004: whose turn it is in the queue, legal holds, and which warnings of ending keys were given.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

const statements: readonly string[] = [
  `alter table job add column "rankAt" bigint`,
  `update job set "rankAt" = "dueAt" where state = 'queued'`,
  `drop index job_queue`,
  `create index job_turn on job ("memberId", "rankAt", id, "dueAt", "projectId")
    where "rankAt" is not null`,
  `create index upload_raw on upload ("createdAt", id) where "rawRemovedAt" is null and kind = 'intake'`,
  `create index upload_claim on upload (claim) where claim is not null`,
  `create index job_leftover on job (id) where state = 'superseded' and output is not null`,
  `alter table project add column "holdReason" text`,
  `alter table project add column "heldAt" bigint`,
  `alter table recipient add column "warnedDays" integer`,
];

export const jobsMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
