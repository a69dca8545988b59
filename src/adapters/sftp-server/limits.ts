// How many may knock at once, and for how long. ssh2 has neither a login grace time nor MaxStartups nor an idle limit.
// OpenSSH drops at random from ten strangers on, whoever they are, so a client with eight connections of its own fails
// now and then; here only those who hold more than their share are dropped (door.ts).

export interface ServerLimits {
  /** Time to log in, then the connection ends. */
  readonly loginGraceMs: number;
  /** Connections that did not log in yet, from all sources together. */
  readonly strangers: number;
  /** The same from one source; a hospital behind one address is one source. */
  readonly strangersPerSource: number;
  readonly connections: number;
  readonly connectionsPerUser: number;
  /** Channels open at a time on one connection. */
  readonly channels: number;
  readonly loginAttempts: number;
  /** The least time that a refused password takes: nothing can be read off it. */
  readonly refusalMs: number;
  /** Handles open at a time in one session, and in all sessions of one user. */
  readonly handles: number;
  readonly handlesPerUser: number;
  /** A connection without a request for so long ends, unless one is being worked on. */
  readonly idleMs: number;
  /** How often the accounts' version is looked at. */
  readonly accountsEveryMs: number;
}

export const defaultLimits: ServerLimits = {
  loginGraceMs: 120_000,
  strangers: 300,
  strangersPerSource: 100,
  connections: 1000,
  connectionsPerUser: 50,
  channels: 10,
  loginAttempts: 6,
  refusalMs: 250,
  handles: 512,
  handlesPerUser: 2048,
  idleMs: 30 * 60_000,
  accountsEveryMs: 500,
};
