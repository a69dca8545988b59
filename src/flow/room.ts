// How much may be stored: quotas of members and projects, and the free space that uploads leave for results. What counts
// is what lies on the disk, by its blocks: folders are measured when they are first written to, and again before somebody
// is refused; in between, what open files add is counted as it comes.

import { AppError } from '../core/errors.ts';
import { sizeText } from '../core/sizes.ts';
import type { Principal } from './ports/accounts.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { WritePlace } from './ports/intake.ts';
import type { FileFacts, OpenFile, Storage } from './ports/storage.ts';

export interface Room {
  /** Before a file is opened for writing; `needBytes` is what it is known to need. Throws QUOTA_REACHED or LOW_SPACE. */
  enter(principal: Principal, place: WritePlace, needBytes: number): Promise<void>;
  /** Before a folder is made. Throws LOW_SPACE: a million of them would leave no room either. */
  enterFolder(): Promise<void>;
  /** The same file, whose writes are refused when there is no room. `facts`: as it is now. */
  watch(principal: Principal, place: WritePlace, file: OpenFile, facts: FileFacts): OpenFile;
}

export interface RoomParts {
  readonly storage: Pick<Storage, 'list' | 'space'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly keepFreeBytes: number;
}

/** A measurement this old is taken again before an OPEN, or a WRITE, is refused by it. */
const freshForOpenMs = 2_000;
const freshForWriteMs = 30_000;
/** What a file is thought to have added is looked up after so much. */
const settleBytes = 8 << 20;
const spaceEveryMs = 500;
/** What a folder takes where it takes anything. */
const folderBytes = 4096;
/** Files that uploads leave for results; of few a twentieth. */
const keepFreeFiles = 20_000;
const tellEveryMs = 60_000;

/** Everything that one quota counts. */
interface Account {
  readonly key: string;
  readonly folders: readonly string[];
  readonly limitBytes: number;
}

interface Usage {
  bytes: number;
  /** What open files have added since they were last looked at, at most. */
  pending: number;
  measuredAt: number;
  /** Grows with each measurement of anything. */
  turn: number;
  measuring: Promise<void> | undefined;
}

export function createRoom(parts: RoomParts): Room {
  const { clock } = parts;
  const quotas = createQuotas(parts);
  const floor = createFloor(parts);
  return {
    enter: async (principal, place, needBytes) => {
      await floor.need(needBytes);
      for (const account of accountsOf(principal, place)) {
        await quotas.need(account, Math.max(1, needBytes), { since: clock.now() - freshForOpenMs });
      }
    },
    enterFolder: async () => {
      await floor.need(folderBytes);
    },
    watch: (principal, place, file, facts) => {
      const accounts = accountsOf(principal, place);
      const meter = accounts.length === 0 ? undefined : quotas.meter(accounts, file, facts);
      return new WatchedFile(file, floor, meter);
    },
  };
}

class WatchedFile implements OpenFile {
  readonly #file: OpenFile;
  readonly #floor: Floor;
  readonly #meter: Meter | undefined;

  constructor(file: OpenFile, floor: Floor, meter: Meter | undefined) {
    this.#file = file;
    this.#floor = floor;
    this.#meter = meter;
  }

  write(offset: number, chunks: readonly Uint8Array[]): Promise<void> {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const wait = this.#floor.need(bytes);
    return wait === undefined && this.#meter === undefined
      ? this.#file.write(offset, chunks)
      : this.#writeIfRoom(wait, bytes, offset, chunks);
  }

  async #writeIfRoom(
    wait: Promise<void> | undefined,
    bytes: number,
    offset: number,
    chunks: readonly Uint8Array[],
  ): Promise<void> {
    await wait;
    await this.#meter?.charge(offset, bytes);
    await this.#file.write(offset, chunks);
  }

  async close(): Promise<void> {
    await this.#meter?.settle().catch(() => undefined);
    await this.#file.close();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#file.read(offset, length);
  }

  readInto(target: Uint8Array, offset: number): Promise<number> {
    return this.#file.readInto(target, offset);
  }

  readIntoAll(targets: readonly Uint8Array[], offset: number): Promise<number> {
    return this.#file.readIntoAll(targets, offset);
  }

  facts(): Promise<FileFacts> {
    return this.#file.facts();
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#file.truncate(sizeBytes);
  }

  setTimes(accessedMs: number, modifiedMs: number): Promise<void> {
    return this.#file.setTimes(accessedMs, modifiedMs);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }
}

function accountsOf(principal: Principal, place: WritePlace): readonly Account[] {
  const accounts: Account[] = [];
  const project = principal.projects.find(({ id }) => id === place.projectId);
  if (project !== undefined && typeof project.quotaBytes === 'number') {
    const folders = [`ji_${project.name}`];
    accounts.push({ key: `project ${project.id}`, folders, limitBytes: project.quotaBytes });
  }
  if (principal.kind !== 'member' || typeof principal.quotaBytes !== 'number') return accounts;
  // What lies in the shared folders counts for the project alone.
  const own = principal.projects.map(({ name }) => `ji_${name}/${principal.name}`);
  if (own.some((folder) => place.path.startsWith(`${folder}/`))) {
    const limitBytes = principal.quotaBytes;
    accounts.push({ key: `member ${principal.id}`, folders: own, limitBytes });
  }
  return accounts;
}

type Floor = ReturnType<typeof createFloor>;
type Meter = ReturnType<ReturnType<typeof createQuotas>['meter']>;

interface Since {
  readonly since: number;
  readonly behind?: number;
}

const everMeasured: Since = { since: -Infinity };

function createQuotas({ storage, clock }: RoomParts) {
  const usages = new Map<string, Usage>();
  let turns = 0;
  const measure = async (account: Account, usage: Usage): Promise<void> => {
    let bytes = 0;
    const before = usage.bytes;
    const startedAt = clock.now();
    const turn = (turns += 1);
    for (const folder of account.folders) bytes += await measureFolder(storage, folder);
    // What was counted meanwhile may have been measured too: it counts twice until the next time, never not at all.
    usage.bytes = bytes + Math.max(0, usage.bytes - before);
    usage.measuredAt = startedAt;
    usage.turn = turn;
  };
  /** As measured since a time, or behind a turn. */
  const fresh = async (account: Account, from: Since): Promise<Usage> => {
    const usage = usages.get(account.key) ?? {
      ...{ bytes: 0, pending: 0, measuredAt: -Infinity, turn: 0, measuring: undefined },
    };
    usages.set(account.key, usage);
    const isOld = usage.measuredAt < from.since || usage.turn <= (from.behind ?? 0);
    if (!isOld) return usage;
    usage.measuring ??= measure(account, usage).finally(() => {
      usage.measuring = undefined;
    });
    await usage.measuring;
    return usage;
  };
  const isOver = (usage: Usage, account: Account, more: number): boolean =>
    usage.bytes + usage.pending + more > account.limitBytes;
  const need = async (account: Account, bytes: number, from: Since): Promise<void> => {
    let usage = await fresh(account, everMeasured);
    if (isOver(usage, account, bytes)) usage = await fresh(account, from);
    if (!isOver(usage, account, bytes)) return;
    const detail = `quota of ${sizeText(account.limitBytes)} reached`;
    throw new AppError('QUOTA_REACHED', { detail });
  };

  const meter = (accounts: readonly Account[], file: OpenFile, opened: FileFacts) => {
    let known = opened;
    // Opening may have made it shorter.
    const openedAt = turns;
    let pending = 0;
    const take = (bytes: number): void => {
      for (const { key } of accounts) (usages.get(key) ?? { pending: 0 }).pending -= bytes;
    };
    const add = (bytes: number): void => {
      pending += bytes;
      take(-bytes);
    };
    const settle = async (): Promise<void> => {
      // At once, so that two that settle together do not both take it off.
      const counted = pending;
      pending = 0;
      try {
        const now = await file.facts();
        const added = now.allottedBytes - known.allottedBytes;
        known = now;
        for (const { key } of accounts) (usages.get(key) ?? { bytes: 0 }).bytes += added;
      } finally {
        take(counted);
      }
    };
    const charge = async (offset: number, bytes: number): Promise<void> => {
      for (const account of accounts) {
        const usage = await fresh(account, everMeasured);
        if (!isOver(usage, account, bytes)) continue;
        await settle();
        const from = { since: clock.now() - freshForWriteMs, behind: openedAt };
        await need(account, growth(known, offset, bytes), from);
      }
      add(bytes);
      if (pending > settleBytes) await settle();
    };
    return { charge, settle };
  };
  return { need, meter };
}

/** What a write adds at most to a file: nothing where its bytes are there already, if it has no holes. */
function growth({ sizeBytes, allottedBytes }: FileFacts, offset: number, bytes: number): number {
  if (allottedBytes < sizeBytes) return bytes;
  return Math.min(bytes, Math.max(0, offset + bytes - sizeBytes));
}

async function measureFolder(storage: Pick<Storage, 'list'>, top: string): Promise<number> {
  let bytes = 0;
  const folders = [top];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    try {
      for await (const entries of storage.list(folder)) {
        for (const { name, facts } of entries) {
          if (facts.kind === 'folder') folders.push(`${folder}/${name}`);
          else bytes += facts.allottedBytes;
        }
      }
    } catch (error) {
      // It was removed meanwhile, or there is none yet.
      if (!(error instanceof AppError) || error.status !== 'NO_SUCH_FILE') throw error;
    }
  }
  return bytes;
}

function createFloor({ storage, clock, log, keepFreeBytes }: RoomParts) {
  let free = 0;
  let floor = 0;
  /** Counted off since the disk was last asked. */
  let taken = 0;
  let areFilesFew = false;
  let askedAt = -Infinity;
  let asking: Promise<void> | undefined;
  let toldAt = -Infinity;
  const ask = async (): Promise<void> => {
    const before = taken;
    const { blockBytes, totalBlocks, freeBlocks, totalFiles, freeFiles } = await storage.space();
    areFilesFew = totalFiles > 0 && freeFiles < Math.min(keepFreeFiles, totalFiles / 20);
    free = freeBlocks * blockBytes;
    floor = Math.min(keepFreeBytes, (totalBlocks * blockBytes) / 20);
    taken -= before;
    askedAt = clock.now();
  };
  const refuse = (): never => {
    if (clock.now() - toldAt >= tellEveryMs) {
      toldAt = clock.now();
      log.warn({ freeBytes: free, keepFreeBytes: floor }, 'uploads are refused: too little space');
    }
    throw new AppError('LOW_SPACE');
  };
  const look = async (bytes: number): Promise<void> => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    await asking;
    if (areFilesFew || free - taken - bytes < floor) refuse();
    taken += bytes;
  };
  return {
    /** Undefined: there is room, and nothing to wait for. Rejects with LOW_SPACE. */
    need: (bytes: number): Promise<void> | undefined => {
      const isRecent = clock.now() - askedAt < spaceEveryMs;
      const isKnown = isRecent && !areFilesFew && free - taken - bytes >= floor;
      if (keepFreeBytes === 0) return undefined;
      if (!isKnown) return look(bytes);
      taken += bytes;
      return undefined;
    },
  };
}
