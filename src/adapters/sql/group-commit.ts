// Many small commits at once: a commit waits for the disk (synchronous=FULL), and with SQLite the whole process waits along.
// What is asked for while a commit runs goes into the next one together; each caller still hears only after its own commit.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Database } from './schema.ts';

type Work<T> = (trx: Transaction<Database>) => Promise<T>;

interface Waiting<T> {
  readonly work: Work<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** As long as one transaction may hold up all others. */
const largest = 64;

/**
 * `work` must throw LEASE_LOST only before it wrote anything: that refuses this work alone. Any other error rolls the whole
 * group back, and everybody in it hears of it.
 */
export function groupCommits<T>(db: Kysely<Database>): (work: Work<T>) => Promise<T> {
  const queue: Waiting<T>[] = [];
  let isRunning = false;

  const drain = async (): Promise<void> => {
    isRunning = true;
    while (queue.length > 0) await commit(db, queue.splice(0, largest));
    isRunning = false;
  };
  return (work) =>
    new Promise((resolve, reject) => {
      queue.push({ work, resolve, reject });
      if (!isRunning) void drain();
    });
}

/** Never rejects: each caller is told by its own promise. */
async function commit<T>(db: Kysely<Database>, group: readonly Waiting<T>[]): Promise<void> {
  const answers: (() => void)[] = [];
  try {
    await db.transaction().execute(async (trx) => {
      for (const { work, resolve, reject } of group) {
        try {
          const value = await work(trx);
          answers.push(() => resolve(value));
        } catch (error) {
          if (!(error instanceof AppError) || error.code !== 'LEASE_LOST') throw error;
          answers.push(() => reject(error));
        }
      }
    });
    for (const answer of answers) answer();
  } catch (error) {
    for (const { reject } of group) reject(error);
  }
}
