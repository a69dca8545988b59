// How many strangers may knock at once, and for how long. ssh2 has neither a login grace time nor MaxStartups nor an idle
// limit; OpenSSH's defaults are the floor (FACTS 1).

export interface ServerLimits {
  /** Time to log in, then the connection ends. */
  readonly loginGraceMs: number;
  /** Random early drop of connections that did not log in yet: from `begin` on with `ratePercent`, all from `full` on. */
  readonly startups: {
    readonly begin: number;
    readonly ratePercent: number;
    readonly full: number;
  };
  readonly connections: number;
  readonly connectionsPerUser: number;
  /** Channels open at a time on one connection. */
  readonly channels: number;
  readonly loginAttempts: number;
  readonly handles: number;
  /** A connection without a request for so long ends, unless one is being worked on. */
  readonly idleMs: number;
  /** How often the accounts' version is looked at. */
  readonly accountsEveryMs: number;
}

export const defaultLimits: ServerLimits = {
  loginGraceMs: 120_000,
  startups: { begin: 10, ratePercent: 30, full: 100 },
  connections: 1000,
  connectionsPerUser: 50,
  channels: 10,
  loginAttempts: 6,
  handles: 512,
  idleMs: 30 * 60_000,
  accountsEveryMs: 500,
};

/** As sshd's drop_connection: the chance grows from `ratePercent` at `begin` to certainty at `full`. `chance` is in [0, 1). */
export function isDropped(
  strangers: number,
  { begin, ratePercent, full }: ServerLimits['startups'],
  chance: number,
): boolean {
  if (strangers < begin) return false;
  if (strangers >= full || ratePercent >= 100) return true;
  const percent = ratePercent + ((100 - ratePercent) * (strangers - begin)) / (full - begin);
  return chance * 100 < percent;
}
