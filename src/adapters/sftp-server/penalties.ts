// What wrong logins cost. Kept for source and user together, as OpenSSH does for the source alone, so that one bad client
// behind a hospital's address does not lock out the rest, and a stranger elsewhere does not lock out the user. While
// a penalty runs nothing is checked and every password is wrong. In memory: a restart forgives.

export interface Penalties {
  isUnder(source: string, user: string): boolean;
  failed(source: string, user: string): void;
  forgive(source: string, user: string): void;
  /** May this refusal stand in the audit? A flood from one source must not fill it. */
  mayRecord(source: string): boolean;
}

/** OpenSSH's numbers: five seconds a failure, enforced from fifteen on, at most ten minutes. */
const eachMs = 5_000;
const enforcedFromMs = 15_000;
const mostMs = 600_000;
const mostKept = 20_000;
const recordsPerMinute = 60;

export function createPenalties(now: () => number): Penalties {
  /** When it will be worked off. */
  const until = new Map<string, { end: number; isEnforced: boolean }>();
  const records = new Map<string, { minute: number; count: number }>();
  const keyOf = (source: string, user: string): string => `${source}\0${user}`;
  const bounded = (map: Map<string, unknown>): void => {
    const [oldest] = map.keys();
    if (map.size > mostKept && oldest !== undefined) map.delete(oldest);
  };
  const running = (key: string): { end: number; isEnforced: boolean } | undefined => {
    const penalty = until.get(key);
    if (penalty !== undefined && penalty.end <= now()) until.delete(key);
    return until.get(key);
  };
  return {
    isUnder: (source, user) => running(keyOf(source, user))?.isEnforced === true,
    failed: (source, user) => {
      const key = keyOf(source, user);
      const before = running(key);
      const left = (before?.end ?? now()) - now() + eachMs;
      const isEnforced = before?.isEnforced === true || left > enforcedFromMs - eachMs / 2;
      until.delete(key);
      until.set(key, { end: now() + Math.min(left, mostMs), isEnforced });
      bounded(until);
    },
    forgive: (source, user) => {
      until.delete(keyOf(source, user));
    },
    mayRecord: (source) => {
      const minute = Math.floor(now() / 60_000);
      const seen = records.get(source);
      const count = seen?.minute === minute ? seen.count + 1 : 1;
      records.delete(source);
      records.set(source, { minute, count });
      bounded(records);
      return count <= recordsPerMinute;
    },
  };
}
