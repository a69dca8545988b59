// Open files and folders of one session. Everything on one handle happens in the order of asking: READ and FSTAT after
// WRITE see its bytes, CLOSE waits for all of them (closing at once corrupted files under lftp). WRITEs that continue one
// another become one writev.

import { AppError } from '../../core/errors.ts';
import type { RealPlace, VirtualPlace } from '../../core/tree.ts';
import type { Writing } from '../../flow/ports/intake.ts';
import type { OpenFile } from '../../flow/ports/storage.ts';
import { giveBack } from './buffers.ts';

/** One entry of a listing, ready to be shown. */
export interface Listed {
  readonly name: string;
  readonly fields: readonly (number | bigint)[];
  readonly longName: string;
}

export interface FileHandle {
  readonly kind: 'file';
  readonly place: RealPlace;
  readonly file: OpenFile;
  readonly writing: Writing | undefined;
  readonly canRead: boolean;
  readonly appends: boolean;
  readonly queue: HandleQueue;
}

export interface FolderHandle {
  readonly kind: 'folder';
  readonly place: RealPlace | VirtualPlace;
  readonly entries: AsyncIterator<readonly Listed[]>;
  readonly queue: HandleQueue;
}

export type Handle = FileHandle | FolderHandle;

export interface WriteJob {
  readonly offset: number;
  /** Given back (buffers.ts) when they are written. */
  readonly data: Uint8Array;
  readonly lengthBytes: number;
  readonly done: (error?: unknown) => void;
}

interface TaskJob {
  readonly run: () => Promise<void>;
  readonly isParallel: boolean;
}

export interface HandleQueue {
  write(job: WriteJob): void;
  /** `isParallel`: neighbours that are parallel too may run at the same time (READs). `run` must not reject. */
  task(run: () => Promise<void>, isParallel?: boolean): void;
  readonly isIdle: boolean;
  /** Resolves when everything that was asked before is done. */
  barrier(): Promise<void>;
}

const maximumJoinedBytes = 1 << 20;
const maximumParallel = 8;

/** Writes contiguous chunks at an offset. */
type Store = (offset: number, chunks: readonly Uint8Array[], lengthBytes: number) => Promise<void>;

class Queue implements HandleQueue {
  readonly #store: Store;
  #jobs: (WriteJob | TaskJob)[] = [];
  #running: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  write(job: WriteJob): void {
    this.#add(job);
  }

  task(run: () => Promise<void>, isParallel = false): void {
    this.#add({ run, isParallel });
  }

  get isIdle(): boolean {
    return this.#running === undefined;
  }

  barrier(): Promise<void> {
    return new Promise((resolve) => {
      this.task(async () => resolve());
    });
  }

  #add(job: WriteJob | TaskJob): void {
    this.#jobs.push(job);
    this.#running ??= this.#start();
  }

  /** Begins a moment later, so that WRITEs which came together are joined. */
  async #start(): Promise<void> {
    await Promise.resolve();
    try {
      for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
        await ('run' in job ? this.#runTasks(job) : this.#writeJoined(job));
      }
    } finally {
      this.#running = undefined;
    }
  }

  #runTasks(first: TaskJob): Promise<unknown> {
    const jobs = this.#jobs;
    let count = 1;
    if (first.isParallel) {
      for (let next = jobs[count]; count < maximumParallel; next = jobs[count]) {
        if (next === undefined || !('run' in next) || !next.isParallel) break;
        count += 1;
      }
    }
    const together = jobs.splice(0, count) as TaskJob[];
    return count === 1 ? first.run() : Promise.all(together.map((task) => task.run()));
  }

  #takeWrites(first: WriteJob): WriteJob[] {
    const jobs = this.#jobs;
    let count = 1;
    let end = first.offset + first.lengthBytes;
    for (let bytes = first.lengthBytes; count < jobs.length; count += 1) {
      const next = jobs[count];
      if (next === undefined || 'run' in next || next.offset !== end) break;
      bytes += next.lengthBytes;
      if (bytes > maximumJoinedBytes) break;
      end += next.lengthBytes;
    }
    return jobs.splice(0, count) as WriteJob[];
  }

  async #writeJoined(first: WriteJob): Promise<void> {
    const taken = this.#takeWrites(first);
    const chunks = taken.map(({ data }) => data);
    const lengthBytes = taken.reduce((sum, job) => sum + job.lengthBytes, 0);
    let failure: { readonly error: unknown } | undefined;
    try {
      await this.#store(first.offset, chunks, lengthBytes);
    } catch (error) {
      failure = { error };
    }
    for (const chunk of chunks) giveBack(chunk);
    for (const job of taken) job.done(failure?.error);
  }
}

export const createHandleQueue = (store: Store): HandleQueue => new Queue(store);

export interface Handles {
  /** Its id, to be told to the client at once. */
  add(handle: Handle): Buffer;
  get(id: Buffer): Handle;
  file(id: Buffer): FileHandle;
  /** Takes it out, so that no later request reaches it. */
  remove(id: Buffer): Handle;
  all(): Iterable<Handle>;
  /** The shortest time from telling the client an id to the first request that names it: the way there and back, and what the
   *  client needs for it. Infinity before there was one. */
  readonly roundTripMs: number;
  /** Takes out those that no longer may be, by the same test for each. */
  removeWhere(isOver: (handle: Handle) => boolean): readonly Handle[];
  /** Room for one more, before it is opened; TOO_MANY_HANDLES. Give it back with `release` once added or failed. */
  reserve(): void;
  release(): void;
  /** The session is over: its handles do not count any more. */
  end(): void;
}

/** How many handles one user may have in all sessions together, so that nobody uses up the process's descriptors. */
export interface Budget {
  readonly left: number;
  /** Counts `handles` (the live number of one session) in, until it is taken back. */
  join(handles: () => number): () => void;
}

export interface Budgets {
  of(userId: string): Budget;
}

export function createBudgets(maximum: number): Budgets {
  const users = new Map<string, Set<() => number>>();
  return {
    of: (userId) => ({
      get left() {
        const sessions = [...(users.get(userId) ?? [])];
        return sessions.reduce((left, count) => left - count(), maximum);
      },
      join: (handles) => {
        const mine = users.get(userId) ?? new Set();
        users.set(userId, mine.add(handles));
        return () => {
          mine.delete(handles);
          if (mine.size === 0 && users.get(userId) === mine) users.delete(userId);
        };
      },
    }),
  };
}

/** `maximum` open at a time; ids are counted up and never used twice in a session. */
export function createHandles(
  maximum: number,
  budget?: Budget,
  now: () => number = () => performance.now(),
): Handles {
  const open = new Map<number, Handle>();
  /** When the client was told of those that it has not named yet. */
  const told = new Map<number, number>();
  let roundTripMs = Infinity;
  let last = 0;
  let reserved = 0;
  const heard = (id: number): void => {
    const at = told.get(id);
    if (at === undefined) return;
    told.delete(id);
    roundTripMs = Math.min(roundTripMs, now() - at);
  };
  const key = (id: Buffer): number => {
    if (id.length !== 4) throw new AppError('BAD_HANDLE');
    return id.readUInt32BE(0);
  };
  const leave = budget?.join(() => open.size + reserved);
  const get = (id: Buffer): Handle => {
    const number = key(id);
    const handle = open.get(number);
    if (handle === undefined) throw new AppError('BAD_HANDLE');
    heard(number);
    return handle;
  };
  return {
    add: (handle) => {
      last = (last + 1) >>> 0;
      open.set(last, handle);
      told.set(last, now());
      const id = Buffer.alloc(4);
      id.writeUInt32BE(last, 0);
      return id;
    },
    get,
    file: (id) => {
      const handle = get(id);
      if (handle.kind !== 'file') throw new AppError('BAD_HANDLE');
      return handle;
    },
    remove: (id) => {
      const handle = get(id);
      open.delete(key(id));
      return handle;
    },
    removeWhere: (isOver) => {
      const over = [...open].filter(([, handle]) => isOver(handle));
      // Asking may have taken some away already: each is handed out once, since whoever gets it closes it.
      const removed = over.filter(([id]) => open.delete(id));
      for (const [id] of removed) told.delete(id);
      return removed.map(([, handle]) => handle);
    },
    get roundTripMs() {
      return roundTripMs;
    },
    all: () => open.values(),
    reserve: () => {
      const isFull = open.size + reserved >= maximum || (budget?.left ?? 1) <= 0;
      if (isFull) throw new AppError('TOO_MANY_HANDLES');
      reserved += 1;
    },
    release: () => {
      reserved -= 1;
    },
    end: () => leave?.(),
  };
}
