// Many small commits at once: a commit waits for the disk (synchronous=FULL), and with SQLite the whole process waits along.
// What is asked for in one turn of the event loop is committed together; each caller hears only after that commit.

import type { CompiledQuery as CompiledQueryType, Kysely, Transaction } from 'kysely';
import { freeOwn, ownOf, runAtOnce, type Own } from './at-once.ts';
import { CompiledQuery } from './kysely.ts';
import type { Database } from './schema.ts';

interface Waiting {
  readonly work: (trx: Transaction<Database>) => Promise<unknown>;
  /** The same, where it is done in one go. */
  readonly atOnce?: (own: Own) => unknown;
  /** See commitApart. */
  readonly isApart?: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface CommitQueue {
  readonly commit: <T>(work: (trx: Transaction<Database>) => Promise<T>) => Promise<T>;
  /** Work that waits for nothing: where all of a turn is such work, it is committed before anything else runs. */
  readonly commitAtOnce: <T>(work: (own: Own) => T) => Promise<T>;
  /** The same for work that may run before what goes before all queries (Engine.before). */
  readonly commitApart: <T>(work: (own: Own) => T) => Promise<T>;
}

/** As long as one transaction may hold up all others. */
const largest = 32;

/** Work that throws is undone alone, and its caller alone hears of it. When the commit fails, everybody in it does. */
export function createCommitQueue(db: Kysely<Database>): CommitQueue {
  const queue: Waiting[] = [];
  let isRunning = false;
  const drain = async (): Promise<void> => {
    while (queue.length > 0) {
      const group = queue.splice(0, largest);
      const own = group.every(({ atOnce }) => atOnce !== undefined) ? freeOwn(db) : undefined;
      if (own === undefined) await commitAll(db, group);
      else commitGroup(own, group);
    }
    isRunning = false;
  };
  const enter = <T>(works: Pick<Waiting, 'work' | 'atOnce' | 'isApart'>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      queue.push({ ...works, resolve: (value) => resolve(value as T), reject });
      if (isRunning) return;
      isRunning = true;
      // Whoever asks in this turn comes along.
      setImmediate(() => void drain());
    });
  const enterAtOnce = <T>(work: (own: Own) => T, isApart: boolean): Promise<T> =>
    enter({ work: async (trx) => work(ownOf(trx)), atOnce: work, isApart });
  return {
    commit: (work) => enter({ work }),
    commitAtOnce: (work) => enterAtOnce(work, false),
    commitApart: (work) => enterAtOnce(work, true),
  };
}

/** Never throws: each caller is told by its own promise. */
function commitGroup(own: Own, group: readonly Waiting[]): void {
  const { engine } = own;
  const answers: (() => void)[] = [];
  try {
    if (!group.every(({ isApart }) => isApart)) engine.before?.(own, 'transaction');
    engine.transaction(() => {
      for (const { atOnce, resolve, reject } of group) {
        try {
          const value =
            group.length === 1 ? atOnce?.(own) : engine.transaction(() => atOnce?.(own));
          answers.push(() => resolve(value));
        } catch (error) {
          // Alone, or with a disk that is full, there is nothing left to commit.
          if (group.length === 1 || !engine.inTransaction()) throw error;
          answers.push(() => reject(error));
        }
      }
    });
  } catch (error) {
    for (const { reject } of group) reject(error);
    return;
  }
  for (const tell of answers) tell();
}

/** Never rejects: each caller is told by its own promise. */
async function commitAll(db: Kysely<Database>, group: readonly Waiting[]): Promise<void> {
  const [first] = group;
  if (first !== undefined && group.length === 1) {
    await db.transaction().execute(first.work).then(first.resolve, first.reject);
    return;
  }
  const answers: (() => void)[] = [];
  try {
    await db.transaction().execute(async (trx) => {
      for (const one of group) answers.push(await runAlone(trx, one));
    });
  } catch (error) {
    for (const { reject } of group) reject(error);
    return;
  }
  for (const tell of answers) tell();
}

const savepoint = CompiledQuery.raw('savepoint one');
const release = CompiledQuery.raw('release savepoint one');
const undo = CompiledQuery.raw('rollback to savepoint one');

async function runAlone(
  trx: Transaction<Database>,
  { work, resolve, reject }: Waiting,
): Promise<() => void> {
  const run = async (query: CompiledQueryType): Promise<void> => {
    if (runAtOnce(trx, query) === undefined) await trx.executeQuery(query);
  };
  await run(savepoint);
  try {
    const value = await work(trx);
    await run(release);
    return () => resolve(value);
  } catch (error) {
    await run(undo);
    await run(release);
    return () => reject(error);
  }
}
