// Who may wait in front of the login. Everybody may until one source holds its share; when the house is full, the source
// with the most strangers gives up its oldest for one that has fewer. So a flood hurts its own source alone.

export interface Stranger {
  /** As `sourceOf` names it. */
  readonly source: string;
  /** Ends the connection. */
  turnAway(): void;
}

export interface Door {
  /** False: no room. */
  enter(stranger: Stranger): boolean;
  /** Logged in, or gone. Calling it again is fine. */
  leave(stranger: Stranger): void;
  readonly count: number;
}

/** Addresses count as one source when one customer gets them together: an IPv6 /64, an IPv4 address. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.toLowerCase().replace(/%.*$/, '').split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  const groups = [...front, ...Array.from({ length: middle }, () => '0'), ...back];
  const network = groups.slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ''));
  return `${network.join(':')}::/64`;
}

export function createDoor(limits: { readonly total: number; readonly perSource: number }): Door {
  /** Oldest first. */
  const waiting = new Map<string, Set<Stranger>>();
  let count = 0;
  const held = (source: string): number => waiting.get(source)?.size ?? 0;
  const leave = (stranger: Stranger): void => {
    const mine = waiting.get(stranger.source);
    if (mine?.delete(stranger) !== true) return;
    count -= 1;
    if (mine.size === 0) waiting.delete(stranger.source);
  };
  const makeRoom = (source: string): boolean => {
    const [most] = [...waiting.values()].sort((a, b) => b.size - a.size);
    const [oldest] = most ?? [];
    if (most === undefined || oldest === undefined || most.size <= held(source) + 1) return false;
    leave(oldest);
    oldest.turnAway();
    return true;
  };
  return {
    enter: (stranger) => {
      if (held(stranger.source) >= limits.perSource) return false;
      if (count >= limits.total && !makeRoom(stranger.source)) return false;
      const mine = waiting.get(stranger.source) ?? new Set();
      waiting.set(stranger.source, mine.add(stranger));
      count += 1;
      return true;
    },
    leave,
    get count() {
      return count;
    },
  };
}
