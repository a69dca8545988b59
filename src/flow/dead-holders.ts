// Leases of processes that are no more. A lease ends by itself, but a command that somebody waits for need not wait so long
// when it can tell that its holder is dead.

import type { Leases } from './ports/leases.ts';

/** Owners of leases begin with it: only one server runs at a time, so the next one may end what a dead one held. */
export const serverOwner = 'server:';

/** A command's: `cli:<host>:<pid>:<random>`. The host, since containers may share an instance, but not their processes. */
export const commandOwner = (host: string, pid: number, random: string): string =>
  `cli:${encodeURIComponent(host)}:${pid}:${random}`;

export interface Living {
  /** Does any process serve the instance? */
  readonly isServing: boolean;
  readonly host: string;
  readonly isRunning: (pid: number) => boolean;
}

export async function endDeadHolders(
  leases: Pick<Leases, 'holders' | 'endThoseOf'>,
  living: Living,
): Promise<void> {
  for (const owner of await leases.holders()) {
    if (isDead(owner, living)) await leases.endThoseOf(owner);
  }
}

function isDead(owner: string, { isServing, host, isRunning }: Living): boolean {
  if (owner.startsWith(serverOwner)) return !isServing;
  const [kind, at, pid] = owner.split(':');
  const isOurs = kind === 'cli' && at === encodeURIComponent(host);
  return isOurs && /^\d{1,10}$/.test(pid ?? '') && !isRunning(Number(pid));
}
