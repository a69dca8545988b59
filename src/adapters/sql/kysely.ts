// Kysely's values, through its CommonJS build: as ES modules its 262 files take twice the time to load, which every command
// would pay. Types are imported from 'kysely' as usual.

import { createRequire } from 'node:module';

const load = createRequire(import.meta.url) as (name: 'kysely') => typeof import('kysely');

export const { CompiledQuery, Kysely, Migrator, SqliteDialect, SqliteDriver, sql } = load('kysely');

/** For `in`: all of them as one parameter, where they may be more than a statement takes. */
export const oneOf = (values: readonly string[]) =>
  sql<string>`(select value from json_each(${JSON.stringify(values)}))`;
