// The way past Kysely's executor for queries that are put together already (prepared.ts). SQLite answers within microseconds and
// on this thread anyway; Kysely's way there, through its plugins, its mutex and a dozen promises, takes ten times as long.

import type { CompiledQuery, Kysely, SqliteStatement, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Database } from './schema.ts';

export interface Engine {
  readonly prepare: (sql: string) => SqliteStatement;
  /** Is a transaction open, whoever's it is? */
  readonly inTransaction: () => boolean;
  /** Begins with the write lock and ends with `work`; inside of another one it is a savepoint. Throws what `work` throws. */
  readonly transaction: <T>(work: () => T) => T;
  /** Runs before whatever is asked outside of a transaction, before each transaction, and first in each of Kysely's. */
  before: ((own: Own, what: 'query' | 'transaction') => void) | undefined;
}

/**
 * A transaction of one's own in which each query is answered before the next line runs. Whoever has one must not wait for
 * anything in between.
 */
export interface Own {
  readonly db: Kysely<Database>;
  readonly engine: Engine;
}

/** By the adapter, of which each database has one that its transactions share. */
const engines = new WeakMap<object, Engine>();

export function allowAtOnce(db: Kysely<Database>, engine: Engine): void {
  engines.set(db.getExecutor().adapter, engine);
}

export function beforeQueries(db: Kysely<Database>, run: NonNullable<Engine['before']>): void {
  const engine = engineOf(db);
  if (engine !== undefined) engine.before = run;
}

const engineOf = (db: Kysely<Database>): Engine | undefined =>
  engines.get(db.getExecutor().adapter);

/** Inside of a transaction of Kysely's the connection is one's own. */
export function ownOf(trx: Transaction<Database>): Own {
  const engine = engineOf(trx);
  if (engine === undefined) throw new AppError('INTERNAL', { detail: 'this is not our database' });
  return { db: trx, engine };
}

/** Undefined while a transaction is open: its turn comes after that. */
export function freeOwn(db: Kysely<Database>): Own | undefined {
  const engine = engineOf(db);
  return engine === undefined || engine.inTransaction() ? undefined : { db, engine };
}

/**
 * The rows, or undefined where the query has to wait for its turn: in somebody else's transaction it would see, and change,
 * what is not committed. Inside of a transaction of one's own the connection is one's own.
 */
export function runAtOnce(
  db: Kysely<Database>,
  { sql, parameters }: Pick<CompiledQuery, 'sql' | 'parameters'>,
): readonly unknown[] | undefined {
  const engine = engineOf(db);
  if (engine === undefined) return undefined;
  if (!db.isTransaction) {
    if (engine.inTransaction()) return undefined;
    engine.before?.({ db, engine }, 'query');
  }
  return answer(engine.prepare(sql), parameters);
}

export function answer(
  statement: SqliteStatement,
  parameters: readonly unknown[],
): readonly unknown[] {
  if (statement.reader) return statement.all(parameters);
  statement.run(parameters);
  return none;
}

const none: readonly unknown[] = [];
