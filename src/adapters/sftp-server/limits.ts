// How many may knock at once, and for how long. ssh2 has neither a login grace time nor MaxStartups, penalties, an idle
// limit or an automatic change of keys. The defaults are OpenSSH's where it has one.

import type { Startups } from './door.ts';

export interface ServerLimits {
  /** Time to log in, then the connection ends. */
  readonly loginGraceMs: number;
  /** Connections that did not log in yet: from how many on some are dropped at random, and how many there may be. */
  readonly startups: Startups;
  /** The same from one source; a hospital behind one address is one source. */
  readonly strangersPerSource: number;
  readonly connections: number;
  readonly connectionsPerUser: number;
  /** Channels open at a time on one connection. */
  readonly channels: number;
  /** SFTP sessions at a time of one user, on all connections. */
  readonly sessionsPerUser: number;
  readonly loginAttempts: number;
  /** The least time that a refused password takes: nothing can be read off it. */
  readonly refusalMs: number;
  /** Networks without penalties and without random drop. */
  readonly exempt: readonly string[];
  /** After so many bytes in both directions together, and after so long, new keys are agreed on (RFC 4253 §9). */
  readonly rekeyBytes: number;
  readonly rekeyMs: number;
  /** Handles open at a time in one session, and in all sessions of one user. */
  readonly handles: number;
  readonly handlesPerUser: number;
  /** A connection without a request for so long ends, unless one is being worked on. */
  readonly idleMs: number;
  /** How often the accounts' version is looked at. */
  readonly accountsEveryMs: number;
  /** How often penalties are written down, and refusals told. */
  readonly penaltiesEveryMs: number;
  readonly refusalsEveryMs: number;
}

export const defaultLimits: ServerLimits = {
  loginGraceMs: 120_000,
  startups: { begin: 10, percent: 30, full: 100 },
  strangersPerSource: 100,
  connections: 1000,
  connectionsPerUser: 50,
  channels: 10,
  sessionsPerUser: 100,
  loginAttempts: 6,
  refusalMs: 250,
  exempt: [],
  rekeyBytes: 4 * 1024 ** 3,
  rekeyMs: 3_600_000,
  handles: 512,
  handlesPerUser: 2048,
  idleMs: 30 * 60_000,
  accountsEveryMs: 500,
  penaltiesEveryMs: 1_000,
  refusalsEveryMs: 60_000,
};

/** What one session may have asked without an answer, or not have taken of what was answered. */
export interface SessionLimits {
  readonly requests: number;
  readonly bytes: number;
  readonly unsentBytes: number;
}

export const sessionLimits: SessionLimits = {
  requests: 256,
  bytes: 4 << 20,
  unsentBytes: 2 << 20,
};
