// What wrong logins cost. Kept for source and user together: OpenSSH keeps it for the source alone, but then one bad client
// behind a hospital's address locks out the rest; and a lock of the account would let a stranger lock out the user. While
// a penalty runs nothing is checked and every password is wrong; keys open as before. It survives a restart (port
// PenaltyStore): what is enforced is written down now and then, a bounded number at a time, so that a flood of guesses is
// no flood of writes.

import type { Penalty, PenaltyStore } from '../../flow/ports/penalties.ts';

export interface Penalties {
  isUnder(source: string, user: string): boolean;
  failed(source: string, user: string): void;
  forgive(source: string, user: string): void;
  /** May this refusal stand in the audit by itself? A flood must not fill it. */
  mayRecord(source: string): boolean;
  /** Reads what was written down: at the start, and when a command may have taken something back. */
  reload(): Promise<void>;
  /** Writes down what changed since; nothing when nothing did. */
  save(): Promise<void>;
}

/** OpenSSH's numbers: five seconds a failure, enforced from fifteen on, at most ten minutes. */
const eachMs = 5_000;
const enforcedFromMs = 15_000;
const mostMs = 600_000;
/** Who goes on guessing for longer than that pays twice as much each time: 30 s, 60 s … */
const patience = 10;
const impatientMs = 30_000;
/** How long failures count on after their penalty. */
const rememberedMs = 3_600_000;
const mostKept = 20_000;
const mostSavedAtOnce = 500;
const recordsPerMinute = 60;
const recordsPerMinuteOfAll = 600;

interface Entry extends Penalty {
  /** In the store, as it was at some time. */
  readonly isSaved: boolean;
  readonly isChanged: boolean;
  /** The last failure; of what was written down before, when that was read. */
  readonly failedAt: number;
}

export function createPenalties(now: () => number, store?: PenaltyStore): Penalties {
  const entries = new Map<string, Entry>();
  const over = new Map<string, Pick<Penalty, 'source' | 'who'>>();
  const who = (user: string): string => store?.who(user) ?? user;
  const keyOf = (source: string, who: string): string => `${source}\0${who}`;
  let last: Promise<void> = Promise.resolve();
  /** One look at the store at a time, or a reload would take back what is just being saved. */
  const inTurn = (run: () => Promise<void>): Promise<void> => {
    const mine = last.then(run, run);
    last = mine.catch(() => undefined);
    return mine;
  };
  const drop = (key: string, entry: Entry): void => {
    entries.delete(key);
    if (entry.isSaved) over.set(key, { source: entry.source, who: entry.who });
  };
  const known = (key: string): Entry | undefined => {
    const entry = entries.get(key);
    if (entry !== undefined && entry.endsAt + rememberedMs <= now()) drop(key, entry);
    return entries.get(key);
  };
  const put = (key: string, entry: Entry): void => {
    entries.delete(key);
    entries.set(key, entry);
    over.delete(key);
    const [oldest] = entries;
    if (entries.size > mostKept && oldest !== undefined) drop(...oldest);
  };
  const fail = (source: string, user: string): void => {
    const name = who(user);
    const key = keyOf(source, name);
    const before = known(key);
    const failures = (before?.failures ?? 0) + 1;
    const isRunning = before !== undefined && before.endsAt > now();
    const extra = failures < patience ? 0 : impatientMs * 2 ** (failures - patience);
    const left = (isRunning ? before.endsAt - now() : 0) + eachMs + extra;
    const enforced = (isRunning && before.enforced) || left > enforcedFromMs - eachMs / 2;
    const endsAt = now() + Math.min(left, mostMs);
    // One that was just forgotten may still be written down.
    const isSaved = before?.isSaved === true || over.has(key);
    const penalty = { source, who: name, failures, endsAt, enforced };
    put(key, { ...penalty, isSaved, isChanged: true, failedAt: now() });
  };
  const save = async (): Promise<void> => {
    const changed = [...entries.values()]
      .filter((entry) => entry.isChanged && (entry.enforced || entry.isSaved))
      .slice(0, mostSavedAtOnce);
    const gone = [...over].slice(0, mostSavedAtOnce);
    if (store === undefined || changed.length + gone.length === 0) return;
    const plain = changed.map(({ source, who, failures, endsAt, enforced }) => {
      return { source, who, failures, endsAt, enforced };
    });
    await store.save(
      plain,
      gone.map(([, one]) => one),
      now() - rememberedMs,
    );
    for (const [key, one] of gone) if (over.get(key) === one) over.delete(key);
    for (const entry of changed) {
      const key = keyOf(entry.source, entry.who);
      const isStill = entries.get(key) === entry;
      if (isStill) entries.set(key, { ...entry, isSaved: true, isChanged: false });
      else noteSaved(key, entry);
    }
  };
  /** It changed or ended while it was being written. */
  const noteSaved = (key: string, { source, who }: Entry): void => {
    const entry = entries.get(key);
    if (entry === undefined) over.set(key, { source, who });
    else entries.set(key, { ...entry, isSaved: true });
  };
  const reload = async (): Promise<void> => {
    if (store === undefined) return;
    const rows = new Map(
      (await store.load(now() - rememberedMs)).map((row) => [keyOf(row.source, row.who), row]),
    );
    const forgiven = new Map(
      (await store.forgiven(now() - rememberedMs)).map(({ who, at }) => [who, at]),
    );
    for (const [key, entry] of entries) {
      const isForgiven = entry.failedAt <= (forgiven.get(entry.who) ?? -1);
      if (isForgiven) drop(key, entry);
      else if (entry.isSaved && !rows.has(key)) entries.delete(key);
    }
    for (const [key, row] of rows) {
      if (entries.has(key) || over.has(key) || entries.size >= mostKept) continue;
      entries.set(key, { ...row, isSaved: true, isChanged: false, failedAt: now() });
    }
  };
  return {
    isUnder: (source, user) => {
      const entry = known(keyOf(source, who(user)));
      return entry?.enforced === true && entry.endsAt > now();
    },
    failed: fail,
    forgive: (source, user) => {
      const key = keyOf(source, who(user));
      const entry = entries.get(key);
      if (entry !== undefined) drop(key, entry);
    },
    mayRecord: limitPerMinute(now),
    reload: () => inTurn(reload),
    save: () => inTurn(save),
  };
}

/** True so many times a minute for each source, and for all together. */
function limitPerMinute(now: () => number): (source: string) => boolean {
  let minute = -1;
  let all = 0;
  const counts = new Map<string, number>();
  return (source) => {
    const current = Math.floor(now() / 60_000);
    if (current !== minute) {
      minute = current;
      all = 0;
      counts.clear();
    }
    const count = counts.get(source) ?? 0;
    if (all >= recordsPerMinuteOfAll || count >= recordsPerMinute) return false;
    all += 1;
    counts.set(source, count + 1);
    return true;
  };
}
