// Queries that are asked for every small file. Kysely puts a query together anew each time, which takes it longer than SQLite
// takes to run it: a third of the CPU time of an upload of 100 KB (npm run bench -- sftp). Here that is done once for each
// query and database; afterwards only the values are put in.

import type { Compilable, CompiledQuery, InsertObject, Kysely, UpdateObject } from 'kysely';
import { runAtOnce } from './at-once.ts';
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

async function runWith<Row>(
  db: Kysely<Database>,
  query: CompiledQuery,
  values: Values,
): Promise<readonly Row[]> {
  const parameters = query.parameters.map((one) => (one instanceof Blank ? values[one.name] : one));
  const there = runAtOnce(db, { sql: query.sql, parameters });
  if (there !== undefined) return there as readonly Row[];
  const { rows } = await db.executeQuery({ ...query, parameters });
  return rows as Row[];
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
): (db: Kysely<Database>, values: V) => Promise<readonly Row[]> {
  const blank = <K extends keyof V & string>(name: K): V[K] => new Blank(name) as unknown as V[K];
  return (db, values) =>
    runWith<Row>(
      db,
      compiledOnce(db, build, () => build(db, blank).compile()),
      values,
    );
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

export async function insertRow<T extends keyof Database>(
  db: Kysely<Database>,
  table: T,
  row: InsertObject<Database, T>,
): Promise<void> {
  const columns = setColumns(row);
  if (hasExpression(row)) {
    await loosely(db)
      .insertInto(table as string)
      .values(row as Values)
      .execute();
    return;
  }
  const query = compiledOnce(db, `insert ${table} ${columns.join()}`, () =>
    loosely(db)
      .insertInto(table as string)
      .values(blanksFor(columns))
      .compile(),
  );
  await runWith(db, query, row as Values);
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
