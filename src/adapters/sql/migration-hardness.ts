// Migration 002: who may log in from where, with how much room; penalties by source and user take the place of a lock of the
// account.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

const statements: readonly string[] = [
  `alter table member drop column failures`,
  `alter table member drop column "lockedUntil"`,
  `alter table member add column sources text not null default '[]'`,
  `alter table member add column "quotaBytes" bigint`,
  `alter table member_key add column sources text not null default '[]'`,
  `alter table partner_key add column sources text not null default '[]'`,
  `create table login_penalty (
    source text not null, who text not null, failures integer not null, "endsAt" bigint not null,
    enforced integer not null, "updatedAt" bigint not null, primary key (source, who))`,
];

export const hardnessMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
