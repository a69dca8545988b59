// Migration 006: which files are being moved to where they have no row yet, and which folders the server could not look through.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

const statements: readonly string[] = [
  `create table arrival (
    path text primary key, device text not null, inode text not null)`,
  `create table unread_root (
    "projectId" text not null references project(id), "memberId" text not null default '',
    partner text not null default '', code text not null, detail text, since bigint not null,
    primary key ("projectId", "memberId", partner))`,
];

export const upkeepMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
