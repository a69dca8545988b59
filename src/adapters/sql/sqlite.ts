// Opens the embedded database. Three traps of SQLite are met here (see ARCHITECTURE, decisions): a WAL database comes back
// at synchronous=NORMAL, which loses commits on power loss; Kysely's BEGIN is deferred and fails with
// SQLITE_BUSY_SNAPSHOT when a read turns into a write; and the command line writes beside a running server.

import BetterSqlite3 from 'better-sqlite3';
import type {
  DatabaseConnection,
  Driver,
  Kysely as KyselyType,
  SqliteDatabase,
  SqliteDialectConfig,
  SqliteStatement,
} from 'kysely';
import { AppError } from '../../core/errors.ts';
import { allowAtOnce, type Engine } from './at-once.ts';
import { CompiledQuery, Kysely, Migrator, SqliteDialect, SqliteDriver } from './kysely.ts';
import { migrations } from './migrations.ts';
import type { Database } from './schema.ts';

type Before = (what: 'query' | 'transaction') => void;

/** A write transaction takes the write lock at once, so it can wait for others instead of failing half way. */
class ImmediateDriver extends SqliteDriver {
  readonly #before: Before;

  constructor(config: SqliteDialectConfig, before: Before) {
    super(config);
    this.#before = before;
  }

  /** There is one connection, so nobody has a transaction open. */
  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection();
    try {
      this.#before('query');
    } catch (error) {
      await super.releaseConnection();
      throw error;
    }
    return connection;
  }

  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
    try {
      // Another process may have noted something while we waited for its lock.
      this.#before('transaction');
    } catch (error) {
      // A full disk has undone it already.
      await this.rollbackTransaction(connection).catch(() => undefined);
      throw error;
    }
  }
}

class ImmediateSqliteDialect extends SqliteDialect {
  readonly #config: SqliteDialectConfig;
  readonly #before: Before;

  constructor(config: SqliteDialectConfig, before: Before) {
    super(config);
    this.#config = config;
    this.#before = before;
  }

  override createDriver(): Driver {
    return new ImmediateDriver(this.#config, this.#before);
  }
}

export interface OpenDatabase {
  readonly db: KyselyType<Database>;
  /** Changes when another connection has committed since the last call (PRAGMA data_version): a hint to look again. */
  dataVersion(): number;
  close(): Promise<void>;
}

/** Opens (and makes) the database at `path` and brings it to the newest schema. */
export async function openSqlite(path: string): Promise<OpenDatabase> {
  const sqlite = openFile(path);
  sqlite.pragma('synchronous = FULL');
  sqlite.pragma('foreign_keys = ON');
  sqlite.pragma('busy_timeout = 10000');
  // 16 MB of log before it is written into the file, four times SQLite's own: few pages change again and again.
  sqlite.pragma('wal_autocheckpoint = 4000');
  const database = rememberStatements(sqlite);
  const engine = engineOf(sqlite, database);
  const before: Before = (what) => engine.before?.({ db, engine }, what);
  const db = new Kysely<Database>({ dialect: new ImmediateSqliteDialect({ database }, before) });
  await bringUpToDate(db, sqlite);
  allowAtOnce(db, engine);
  return {
    db,
    dataVersion: () => sqlite.pragma('data_version', { simple: true }) as number,
    close: async () => {
      try {
        before('transaction');
      } catch {
        // What was noted stays noted, for whoever opens it next.
      }
      await db.destroy();
      // Kysely has not opened it where all went past it (at-once), and closes only what it opened.
      if (sqlite.open) sqlite.close();
    },
  };
}

function engineOf(sqlite: BetterSqlite3.Database, database: SqliteDatabase): Engine {
  const begun = sqlite.transaction((work: () => unknown) => work());
  return {
    prepare: (text) => database.prepare(text),
    inTransaction: () => sqlite.inTransaction,
    transaction: <T>(work: () => T) => begun.immediate(work) as T,
    before: undefined,
  };
}

/** More than the program has, with some room for lists of different lengths. */
const mostStatements = 400;

/**
 * Kysely prepares each statement anew, which costs more than most of them take to run. A statement is used by one query at a
 * time: Kysely's one connection is given to one caller until its rows are read.
 */
function rememberStatements(sqlite: BetterSqlite3.Database): SqliteDatabase {
  const known = new Map<string, SqliteStatement>();
  return {
    close: () => {
      known.clear();
      sqlite.close();
    },
    prepare: (text) => {
      const there = known.get(text);
      if (there !== undefined) known.delete(text);
      const statement = there ?? (sqlite.prepare(text) as SqliteStatement);
      known.set(text, statement);
      for (const oldest of known.keys()) {
        if (known.size <= mostStatements) break;
        known.delete(oldest);
      }
      return statement;
    },
  };
}

function openFile(path: string): BetterSqlite3.Database {
  try {
    const sqlite = new BetterSqlite3(path);
    sqlite.pragma('journal_mode = WAL');
    return sqlite;
  } catch (cause) {
    const code = String((cause as { code?: unknown }).code);
    const isBroken = /NOTADB|CORRUPT/.test(code);
    const what = isBroken ? 'is damaged; restore it from a backup' : `cannot be opened (${code})`;
    throw new AppError('STORAGE_FAILED', { cause, detail: `data/state/clubhouse.db ${what}` });
  }
}

/** The number in the file's head says that nothing is to do, so that most openings need not ask the Migrator. */
async function bringUpToDate(
  db: KyselyType<Database>,
  sqlite: BetterSqlite3.Database,
): Promise<void> {
  const newest = Object.keys(await migrations.getMigrations()).length;
  const found = Number(sqlite.pragma('user_version', { simple: true }));
  if (found === newest) return;
  if (found > newest) {
    await db.destroy();
    throw new AppError('CONFLICT', {
      detail: 'data/state/clubhouse.db is of a newer version of Clubhouse; install that one again',
    });
  }
  const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
  if (error !== undefined) {
    await db.destroy();
    throw new AppError('INTERNAL', {
      cause: error,
      detail: 'the database could not be brought up to date',
    });
  }
  sqlite.pragma(`user_version = ${newest}`);
}
