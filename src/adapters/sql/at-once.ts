// The way past Kysely's executor for queries that are put together already (prepared.ts). SQLite answers within microseconds and
// on this thread anyway; Kysely's way there, through its plugins, its mutex and a dozen promises, takes ten times as long.

import type { CompiledQuery, Kysely, SqliteDatabase } from 'kysely';
import type { Database } from './schema.ts';

interface Engine {
  readonly statements: SqliteDatabase;
  /** Is a transaction open, whoever's it is? */
  readonly inTransaction: () => boolean;
}

/** By the adapter, of which each database has one that its transactions share. */
const engines = new WeakMap<object, Engine>();

export function allowAtOnce(db: Kysely<Database>, engine: Engine): void {
  engines.set(db.getExecutor().adapter, engine);
}

/**
 * The rows, or undefined where the query has to wait for its turn: in somebody else's transaction it would see, and change,
 * what is not committed. Inside of a transaction of one's own the connection is one's own.
 */
export function runAtOnce(
  db: Kysely<Database>,
  { sql, parameters }: Pick<CompiledQuery, 'sql' | 'parameters'>,
): readonly unknown[] | undefined {
  const engine = engines.get(db.getExecutor().adapter);
  if (engine === undefined || (!db.isTransaction && engine.inTransaction())) return undefined;
  const statement = engine.statements.prepare(sql);
  if (statement.reader) return statement.all(parameters);
  statement.run(parameters);
  return none;
}

const none: readonly unknown[] = [];
