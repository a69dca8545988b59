// Migration 003: signed receipts of deliveries, and how much and when a partner is sent to.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

export const replicationMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    const statements = [
      `alter table partner add column "limitBytes" bigint`,
      `alter table partner add column "sendWindow" text`,
      `create table delivery_receipt (
        "deliveryId" text not null, sha256 text not null, statement text not null, signature text not null,
        "hostKey" text not null, "createdAt" bigint not null, primary key ("deliveryId", sha256))`,
    ];
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
