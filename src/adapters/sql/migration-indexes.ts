// Migration 007: an index that a unique constraint has already, and one that has entries for jobs without an output. Each new file
// writes a page of every index to the log.

import type { Kysely, Migration } from 'kysely';
import { sql } from './kysely.ts';

const statements: readonly string[] = [
  `drop index job_upload`,
  `drop index job_output`,
  `create index job_output on job ("projectId", partner, output) where output is not null`,
];

export const indexesMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
