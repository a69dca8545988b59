// Who may wait in front of the login: OpenSSH's MaxStartups, random early drop, made fair. From `begin` strangers on each
// newcomer means with a growing chance that somebody goes, at `full` for certain: not whoever came last, but the oldest
// stranger of the source that has the most, where that is another one. So a flood hurts its own source alone. A source
// from which somebody logged in lately is no stranger's: a hospital whose client opens thirty connections at once loses
// none of them.

import { isInside } from '../../core/networks.ts';

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
  /** Somebody logged in from there. */
  trust(source: string): void;
  readonly count: number;
}

/** As OpenSSH writes it, 10:30:100. */
export interface Startups {
  readonly begin: number;
  readonly percent: number;
  readonly full: number;
}

export interface DoorParts {
  readonly startups: Startups;
  readonly perSource: number;
  /** Networks that no chance drops. */
  readonly exempt: readonly string[];
  now(): number;
  /** 0 to below 1. */
  random(): number;
}

const trustedMs = 3_600_000;
const mostTrusted = 10_000;

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

export function createDoor(parts: DoorParts): Door {
  const { startups, perSource } = parts;
  /** Oldest first. */
  const waiting = new Map<string, Set<Stranger>>();
  const trusted = new Map<string, number>();
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
  const isTrusted = (source: string): boolean =>
    (trusted.get(source) ?? 0) > parts.now() ||
    isInside(parts.exempt, source.replace('::/64', '::'));
  const mustDrop = (source: string): boolean => {
    const { begin, percent, full } = startups;
    if (count >= full) return true;
    if (count < begin || isTrusted(source)) return false;
    const chance = percent + ((100 - percent) * (count - begin)) / Math.max(1, full - begin);
    return parts.random() * 100 < chance;
  };
  return {
    enter: (stranger) => {
      if (held(stranger.source) >= perSource) return false;
      if (mustDrop(stranger.source) && !makeRoom(stranger.source)) return false;
      const mine = waiting.get(stranger.source) ?? new Set();
      waiting.set(stranger.source, mine.add(stranger));
      count += 1;
      return true;
    },
    leave,
    trust: (source) => {
      trusted.delete(source);
      trusted.set(source, parts.now() + trustedMs);
      const [oldest] = trusted.keys();
      if (trusted.size > mostTrusted && oldest !== undefined) trusted.delete(oldest);
    },
    get count() {
      return count;
    },
  };
}
