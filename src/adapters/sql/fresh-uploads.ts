// New uploads that are closed, and whose rows are made a moment later, many at a time. The rows of one touch twenty pages, which
// go to the log with each commit: as many bytes again as a small file has. Noted down it is one page, and the rows of a hundred
// share most of theirs. Nobody sees the difference: whatever is asked of the database makes the rows first, in this
// process and in any other that opens it.

import BetterSqlite3 from 'better-sqlite3';
import type { Kysely, Selectable } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { NewUpload } from '../../flow/ports/jobs.ts';
import { beforeQueries, freeOwn, type Own } from './at-once.ts';
import type { CommitQueue } from './commit-queue.ts';
import type { Parts } from './moves.ts';
import { insertRows } from './new-uploads.ts';
import { sql } from './kysely.ts';
import { insertion, prepared } from './prepared.ts';
import type { Database, FreshUploadTable } from './schema.ts';

export interface FreshUploads {
  /** Resolves when it is durable. */
  note(queue: CommitQueue, upload: NewUpload, actor: string): Promise<void>;
  /** May rows of this path be still to be made? */
  has(path: string): boolean;
}

/** So late rows are made at the latest. */
const latestMs = 200;
/** After a failure: a try may wait for another's lock, and everybody with it. */
const againMs = 10_000;
/** In one transaction, and without waiting longer: more would hold up everybody else. */
const together = 100;

const insertNote = insertion('fresh_upload', ['upload', 'actor', 'createdAt']);

const oldest = prepared<Record<string, never>, Selectable<FreshUploadTable>>((db) =>
  db.selectFrom('fresh_upload').selectAll().orderBy('seq').limit(sql.lit(together)),
);

const removeUntil = prepared<{ seq: number }, unknown>((db, value) =>
  db.deleteFrom('fresh_upload').where('seq', '<=', value('seq')),
);

/** By the database: there are several stores on one. */
const known = new WeakMap<Kysely<Database>, FreshUploads>();

/** From now on the rows of what was noted are made before any other query of this database runs. */
export function freshUploads(parts: Parts & { readonly db: Kysely<Database> }): FreshUploads {
  const there = known.get(parts.db) ?? createFreshUploads(parts);
  known.set(parts.db, there);
  return there;
}

type Note = Selectable<FreshUploadTable>;

function makeAll({ audit }: Parts, own: Own, notes: readonly Note[]): void {
  const entries = notes.map(
    ({ upload, actor, createdAt }) =>
      insertRows(own, JSON.parse(upload) as NewUpload, actor, createdAt).entry,
  );
  audit.appendNow(own, entries);
}

/**
 * One that cannot have rows, for instance of a project that is no more, must not keep all others from being found. Its file is an
 * upload without a row then, and is found as such by the next start (lookout.ts).
 */
function makeOneByOne(parts: Parts, own: Own, notes: readonly Note[]): void {
  for (const note of notes) {
    try {
      own.engine.transaction(() => makeAll(parts, own, [note]));
    } catch (error) {
      if (!isItsFault(error) || !own.engine.inTransaction()) throw error;
    }
  }
}

const isItsFault = (error: unknown): boolean =>
  error instanceof SyntaxError ||
  (error instanceof BetterSqlite3.SqliteError && error.code.startsWith('SQLITE_CONSTRAINT'));

const isFull = (error: unknown): boolean =>
  error instanceof BetterSqlite3.SqliteError && error.code === 'SQLITE_FULL';

/** While the disk is full, whoever only asks something need not wait for a try each time. */
const fullMs = 1000;

function createFreshUploads(parts: Parts & { readonly db: Kysely<Database> }): FreshUploads {
  const { db, clock } = parts;
  /** Of what this process noted, as far as it has no rows yet. */
  const paths = new Set<string>();
  /** Only a server notes, and one at a time. Whoever does not, as a command beside it, has to look each time. */
  let doOthersNote = true;
  let hasNoted = false;
  let timer: NodeJS.Timeout | undefined;

  const makeSome = (own: Own, make: typeof makeAll): void => {
    const notes = oldest.now(own, {});
    make(parts, own, notes);
    removeUntil.now(own, { seq: notes.at(-1)?.seq ?? 0 });
  };
  const makeFirst = (own: Own): void => {
    try {
      own.engine.transaction(() => makeSome(own, makeAll));
    } catch (error) {
      if (!isItsFault(error)) throw error;
      own.engine.transaction(() => makeSome(own, makeOneByOne));
    }
  };
  const makeRows = (own: Own): void => {
    if (!doOthersNote && paths.size === 0) return;
    const isInside = own.engine.inTransaction();
    // Without a lock first: most processes find nothing.
    while (oldest.now(own, {}).length > 0) makeFirst(own);
    // What is made inside of a transaction may be undone with it.
    if (isInside) return;
    clearTimeout(timer);
    timer = undefined;
    paths.clear();
    doOthersNote = !hasNoted;
  };
  let fullUntil = -Infinity;
  beforeQueries(db, (own, what) => {
    if (what === 'query' && performance.now() < fullUntil) return;
    try {
      makeRows(own);
    } catch (error) {
      if (!isFull(error)) throw error;
      // Nobody may change anything without them. But a full disk is no reason not to answer.
      if (what === 'transaction') throw new AppError('DISK_FULL', { cause: error });
      fullUntil = performance.now() + fullMs;
    }
  });

  const makeNow = (): void => {
    clearTimeout(timer);
    timer = undefined;
    let waitMs = latestMs;
    try {
      const own = freeOwn(db);
      if (own !== undefined) makeRows(own);
    } catch {
      // They stay noted, and whoever asks next is told.
      waitMs = againMs;
    }
    if (paths.size > 0) makeSoon(waitMs);
  };
  const makeSoon = (waitMs: number): void => {
    timer ??= setTimeout(makeNow, waitMs).unref();
  };
  return {
    has: (path) => doOthersNote || paths.has(path),
    note: (queue, upload, actor) => {
      const row = { upload: JSON.stringify(upload), actor, createdAt: clock.now() };
      return queue.commitApart((own) => {
        insertNote(own, row);
        hasNoted = true;
        paths.add(upload.path);
        makeSoon(latestMs);
        if (paths.size === together) setImmediate(makeNow);
      });
    },
  };
}
