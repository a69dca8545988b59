// Many small commits at once: a commit waits for the disk (synchronous=FULL), and with SQLite the whole process waits along.
// What is asked for in one turn of the event loop is committed together; each caller hears only after that commit.

import type { CompiledQuery as CompiledQueryType, Kysely, Transaction } from 'kysely';
import { runAtOnce } from './at-once.ts';
import { CompiledQuery } from './kysely.ts';
import type { Database } from './schema.ts';

type Work = (trx: Transaction<Database>) => Promise<unknown>;

interface Waiting {
  readonly work: Work;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export type Commit = <T>(work: (trx: Transaction<Database>) => Promise<T>) => Promise<T>;

/** As long as one transaction may hold up all others. */
const largest = 32;

/** Work that throws is undone alone, and its caller alone hears of it. When the commit fails, everybody in it does. */
export function createCommitQueue(db: Kysely<Database>): Commit {
  const queue: Waiting[] = [];
  let isRunning = false;
  const drain = async (): Promise<void> => {
    while (queue.length > 0) await commitAll(db, queue.splice(0, largest));
    isRunning = false;
  };
  return <T>(work: (trx: Transaction<Database>) => Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      queue.push({ work, resolve: (value) => resolve(value as T), reject });
      if (isRunning) return;
      isRunning = true;
      // Whoever asks in this turn comes along.
      setImmediate(() => void drain());
    });
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
  for (const answer of answers) answer();
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
