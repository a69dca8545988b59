// Queries that are asked for every small file. Kysely puts a query together anew each time, which takes it longer than SQLite
// takes to run it: a third of the CPU time of an upload of 100 KB (npm run bench -- sftp). Here that is done once for each
// query and database; afterwards only the values are put in.

import type {
  Compilable,
  CompiledQuery,
  InsertObject,
  Kysely,
  SqliteStatement,
  UpdateObject,
} from 'kysely';
import { answer, runAtOnce, type Engine, type Own } from './at-once.ts';
import type { Database } from './schema.ts';

/** Stands for a value until one is put in. */
class Blank {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

type Values = Readonly<Record<string, unknown>>;

/** By the adapter, of which each database has one that its transactions share. */
const known = new WeakMap<object, Map<unknown, CompiledQuery>>();

function compiledOnce(
  db: Kysely<Database>,
  key: unknown,
  build: () => CompiledQuery,
): CompiledQuery {
  const { adapter } = db.getExecutor();
  const queries = known.get(adapter) ?? new Map<unknown, CompiledQuery>();
  known.set(adapter, queries);
  const query = queries.get(key) ?? build();
  queries.set(key, query);
  return query;
}

const filled = (query: CompiledQuery, values: Values): unknown[] =>
  query.parameters.map((one) => (one instanceof Blank ? values[one.name] : one));

async function runWith<Row>(
  db: Kysely<Database>,
  query: CompiledQuery,
  values: Values,
): Promise<readonly Row[]> {
  const parameters = filled(query, values);
  const there = runAtOnce(db, { sql: query.sql, parameters });
  if (there !== undefined) return there as readonly Row[];
  const { rows } = await db.executeQuery({ ...query, parameters });
  return rows as Row[];
}

interface Ready {
  readonly query: CompiledQuery;
  readonly statement: SqliteStatement;
}

/** What `build` makes of a database, with its statement, kept as long as the database is open. */
function readyOnce(
  build: (db: Kysely<Database>) => CompiledQuery,
): (own: Own, values: Values) => readonly unknown[] {
  const ready = new WeakMap<Engine, Ready>();
  return ({ db, engine }, values) => {
    let one = ready.get(engine);
    if (one === undefined) {
      const query = build(db);
      one = { query, statement: engine.prepare(query.sql) };
      ready.set(engine, one);
    }
    return answer(one.statement, filled(one.query, values));
  };
}

/** A query with blanks. */
export interface Prepared<V extends Values, Row> {
  (db: Kysely<Database>, values: V): Promise<readonly Row[]>;
  readonly now: (own: Own, values: V) => readonly Row[];
}

/**
 * A query with blanks: `build` is called once and gets `value(name)` where a value goes. The shape must not depend on values:
 * `is null` and `= ?` are two queries.
 */
export function prepared<V extends Values, Row>(
  build: (
    db: Kysely<Database>,
    value: <K extends keyof V & string>(name: K) => V[K],
  ) => Compilable<Row>,
): Prepared<V, Row> {
  const blank = <K extends keyof V & string>(name: K): V[K] => new Blank(name) as unknown as V[K];
  const compile = (db: Kysely<Database>): CompiledQuery => build(db, blank).compile();
  const inTurn = (db: Kysely<Database>, values: V): Promise<readonly Row[]> =>
    runWith<Row>(
      db,
      compiledOnce(db, build, () => compile(db)),
      values,
    );
  return Object.assign(inTurn, {
    now: readyOnce(compile) as Prepared<V, Row>['now'],
  });
}

/** Blanks for all columns that are set. */
const blanksFor = (columns: readonly string[]): Record<string, Blank> =>
  Object.fromEntries(columns.map((column) => [column, new Blank(column)]));

const setColumns = (row: object): string[] =>
  Object.entries(row).flatMap(([column, value]) => (value === undefined ? [] : [column]));

/** An expression is a part of the query itself. */
const hasExpression = (row: object): boolean =>
  Object.values(row).some((value) => typeof value === 'object' && value !== null);

/** Any table; the callers' types have checked what goes into it. */
const loosely = (db: Kysely<Database>): Kysely<Record<string, Record<string, unknown>>> =>
  db as unknown as Kysely<Record<string, Record<string, unknown>>>;

/** Inserts rows that set these very columns, with values and no expressions. */
export function insertion<
  T extends keyof Database,
  C extends keyof InsertObject<Database, T> & string,
>(
  table: T,
  columns: readonly C[],
): (own: Own, row: Required<Pick<InsertObject<Database, T>, C>>) => void {
  return readyOnce((db) =>
    loosely(db).insertInto(table).values(blanksFor(columns)).compile(),
  ) as ReturnType<typeof insertion<T, C>>;
}

export async function updateRow<T extends keyof Database>(
  db: Kysely<Database>,
  table: T,
  id: string,
  set: UpdateObject<Database, T>,
): Promise<void> {
  const columns = setColumns(set);
  if (columns.length === 0) return;
  if (hasExpression(set)) {
    await loosely(db)
      .updateTable(table as string)
      .set(set)
      .where('id', '=', id)
      .execute();
    return;
  }
  const query = compiledOnce(db, `update ${table} ${columns.join()}`, () =>
    loosely(db)
      .updateTable(table as string)
      .set(blanksFor(columns))
      .where('id', '=', new Blank('where id'))
      .compile(),
  );
  await runWith(db, query, { ...(set as Values), 'where id': id });
}
