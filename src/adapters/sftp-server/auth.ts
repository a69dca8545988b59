// Who logs in: a password (asked for in either of SSH's two ways) or a public key, nothing else. ssh2's verify() answers
// true, false or an Error object, so only `=== true` counts, and only when signature and signed bytes are both there and the
// key is of the declared kind (a real product was bypassed for want of that).

import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { AuthContext, KeyboardAuthContext, ParsedKey, PublicKeyAuthContext } from 'ssh2';
import type { Locks } from '../../core/locks.ts';
import { isSignedByToken, readSecurityKey, securityKeyKinds } from '../../core/security-key.ts';
import type { Accounts, Expired, LoginRefusal, Principal } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import type { Penalties } from './penalties.ts';
import type { Refusals } from './refusals.ts';
import { asFailure } from './status.ts';

/** RFC 4256 with one question: some clients know no other way to ask a person. */
const methods = ['publickey', 'password', 'keyboard-interactive'] as const;
const maximumNameLength = 64;
const maximumPasswordLength = 1024;
const maximumKeyBytes = 16 * 1024;
/** Requests of any kind, also those that are no attempt ('none', asking whether a key would do). */
const maximumRequests = 100;

/** Kinds of user keys, as they stand in the key itself. RSA counts with SHA-2 signatures alone. */
const keyKinds: readonly string[] = [
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  ...securityKeyKinds,
];

export interface AuthParts {
  readonly accounts: Accounts;
  readonly log: Log;
  /** The client's address, and the source that it counts as. */
  readonly address: string;
  readonly source: string;
  readonly maximumAttempts: number;
  /** The least time that a refused password takes, whatever the reason. */
  readonly refusalMs: number;
  /** Undefined: the address is exempt. */
  readonly penalties: Penalties | undefined;
  readonly refusals: Refusals;
  /** Asked for each refusal that would be listed. */
  readonly mayRecord: () => boolean;
  /** Shared by the whole server: a password's hash takes a core and 19 MB, and the uploads need the same threads. */
  readonly turns: Locks;
  /** Called once, before the client is told. False: no more connections of this user. */
  admit(principal: Principal): Promise<boolean>;
  /** The attempts are used up. */
  giveUp(): void;
  /** Who proved to be its owner hears that the account has expired, and the connection ends. */
  turnAway(expired: Expired): void;
}

/** The least time that a refused key takes: whether there is such a user does not show in the look-ups. */
const keyRefusalMs = 5;

export interface Authenticator {
  /** The listener for one connection's 'authentication' events. */
  try(attempt: AuthContext): void;
  /** The connection is over. Somebody who only asked whether keys would do, and was told no, is noted now, once. */
  ended(): Promise<void>;
}

export function createAuthenticator(parts: AuthParts): Authenticator {
  const { accounts, log, penalties, source, address } = parts;
  let failures = 0;
  let requests = 0;
  let isDone = false;
  let isOver = false;
  let asked: AuthContext | undefined;

  const refuse = async (attempt: AuthContext, sinceMs: number): Promise<void> => {
    if (attempt.method !== 'none') failures += 1;
    const isLast = failures >= parts.maximumAttempts;
    if (attempt.method !== 'none') {
      const leastMs = isByPassword(attempt) ? parts.refusalMs : keyRefusalMs;
      await evenOut(performance.now() - sinceMs, leastMs);
    }
    if (isLast) parts.giveUp();
    else attempt.reject([...methods]);
  };

  /** `refusal`: what is known of the reason. */
  const record = async (
    attempt: AuthContext,
    accepted: boolean,
    refusal?: LoginRefusal,
  ): Promise<void> => {
    if (!accepted && !parts.mayRecord()) return parts.refusals.note('logins', source);
    asked = undefined;
    const { username: name } = attempt;
    const method = isByPassword(attempt) ? 'password' : 'publickey';
    const known = refusal === undefined ? {} : { refusal };
    await accounts.recordLogin({ name, source, address, method, accepted, ...known });
  };

  /** Who it is, and whether it counts as an attempt that goes into the books. */
  const judge = async (attempt: AuthContext): Promise<void> => {
    const { username: name } = attempt;
    const secret = isByPassword(attempt) ? await passwordOf(attempt) : undefined;
    // From here on: how long somebody took to type says nothing.
    const sinceMs = performance.now();
    if (secret === aborted || isDone) return;
    const principal = await identify(parts, attempt, secret);
    if (principal === 'penalty') {
      await record(attempt, false, 'penalty');
      return refuse(attempt, sinceMs);
    }
    if (principal?.kind === 'ended') {
      await record(attempt, false, 'expired');
      isDone = true;
      return parts.turnAway(principal);
    }
    const isIn = principal !== undefined && (await parts.admit(principal));
    if (secret !== undefined || attempt.method === 'publickey') {
      await record(attempt, isIn, principal !== undefined && !isIn ? 'connections' : undefined);
    }
    if (!isIn) return refuse(attempt, sinceMs);
    penalties?.forgive(source, name);
    isDone = true;
    // ssh2 would look after a client that has gone, for a minute.
    if (!isOver) attempt.accept();
  };

  const decide = async (attempt: AuthContext): Promise<void> => {
    const sinceMs = performance.now();
    requests += 1;
    if (requests > maximumRequests) return parts.giveUp();
    if (isDone || attempt.username.length > maximumNameLength) return refuse(attempt, sinceMs);
    const isQuestion = attempt.method === 'publickey' && attempt.signature === undefined;
    if (!isQuestion) return judge(attempt);
    const principal = isUsableKey(attempt) ? await find(parts, attempt) : undefined;
    if (principal !== undefined) return attempt.accept();
    asked = attempt;
    return refuse(attempt, sinceMs);
  };

  const failed = (error: unknown): void => {
    asFailure(error, log, 'login');
    parts.giveUp();
  };
  return {
    try: (attempt) => {
      decide(attempt).catch(failed);
    },
    ended: async () => {
      isOver = true;
      if (asked !== undefined && !isDone) await record(asked, false).catch(failed);
    },
  };
}

/** Waits until `leastMs`, or the next double of it, has gone by: what was done meanwhile does not show (OpenSSH does so). */
async function evenOut(elapsedMs: number, leastMs: number): Promise<void> {
  let total = leastMs;
  while (total < elapsedMs && total > 0) total *= 2;
  await sleep(total - elapsedMs);
}

type Found = Principal | Expired | undefined;

/** One password of a source at a time, and two of all together: a flood waits for itself. */
function inTurn<T>({ turns, source }: AuthParts, run: () => Promise<T>): Promise<T> {
  const lane = Buffer.from(source).reduce((sum, byte) => sum + byte, 0) % 2;
  return turns.hold(`source ${source}`, () => turns.hold(`lane ${lane}`, run));
}

/** `secret`: what stands for the password, where the attempt is by password. */
async function identify(
  parts: AuthParts,
  attempt: AuthContext,
  secret: string | undefined,
): Promise<Found | 'penalty'> {
  if (secret !== undefined) return checkPassword(parts, attempt.username, secret);
  return attempt.method === 'publickey' && isSigned(attempt) ? find(parts, attempt) : undefined;
}

/**
 * Wrong ones count before the next of this source is looked at: who sends many at once, each over its own connection, gets
 * no more of them checked than who sends one after the other.
 */
async function checkPassword(
  parts: AuthParts,
  name: string,
  secret: string,
): Promise<Found | 'penalty'> {
  const { accounts, address, penalties, source } = parts;
  const isUnder = (): boolean => penalties?.isUnder(source, name) === true;
  // What is refused anyway need not wait its turn.
  if (isUnder()) return 'penalty';
  return inTurn(parts, async () => {
    if (isUnder()) return 'penalty';
    const principal = await accounts.verifyPassword(name, secret, address);
    if (principal === undefined) penalties?.failed(source, name);
    return principal;
  });
}

const isByPassword = ({ method }: AuthContext): boolean =>
  method === 'password' || method === 'keyboard-interactive';

/** The client went on to another attempt instead of answering. */
const aborted = Symbol('aborted');

/** '' for what is none: it is never right, and costs the same. */
async function passwordOf(attempt: AuthContext): Promise<string | typeof aborted> {
  // A request to change the password arrives as an object.
  const given: unknown =
    attempt.method === 'keyboard-interactive'
      ? await askForPassword(attempt)
      : attempt.method === 'password'
        ? attempt.password
        : undefined;
  if (given === aborted) return aborted;
  return typeof given === 'string' && given.length <= maximumPasswordLength ? given : '';
}

function askForPassword(attempt: KeyboardAuthContext): Promise<unknown> {
  return new Promise((resolve) => {
    attempt.once('abort', () => resolve(aborted));
    // ssh2 gives an Error where the client went on, which its types do not tell.
    const answer = (responses: unknown): void => {
      if (responses instanceof Error) resolve(aborted);
      else resolve(Array.isArray(responses) && responses.length === 1 ? responses[0] : undefined);
    };
    attempt.prompt([{ prompt: 'Password: ', echo: false }], answer);
  });
}

const find = ({ accounts, address }: AuthParts, attempt: PublicKeyAuthContext): Promise<Found> =>
  accounts.findByKey(attempt.username, new Uint8Array(attempt.key.data), address);

/** The key is what the request says it is, of a kind that we take. */
function isUsableKey({ key, hashAlgo }: PublicKeyAuthContext): boolean {
  if (!keyKinds.includes(key.algo) || key.data.length > maximumKeyBytes) return false;
  if (key.algo === 'ssh-rsa' && hashAlgo !== 'sha256' && hashAlgo !== 'sha512') return false;
  if (key.data.length < 4 || key.data.readUInt32BE(0) !== key.algo.length) return false;
  return key.data.toString('latin1', 4, 4 + key.algo.length) === key.algo;
}

/** Did the holder of the private key sign this session's request? */
export function isSigned(attempt: PublicKeyAuthContext): boolean {
  const { key, blob, signature, hashAlgo } = attempt;
  if (!isUsableKey(attempt)) return false;
  if (blob === undefined || signature === undefined) return false;
  if (blob.length === 0 || signature.length === 0) return false;
  // ssh2 does not know these, and hands on what it was sent.
  const token = readSecurityKey(key.data);
  if (token !== undefined) {
    return token.kind === key.algo && isSignedByToken(token, blob, signature);
  }
  const parsed: ParsedKey | Error | (ParsedKey | Error)[] = ssh2.utils.parseKey(key.data);
  if (Array.isArray(parsed) || parsed instanceof Error) return false;
  if (parsed.type !== key.algo) return false;
  const verdict: unknown = parsed.verify(blob, signature, hashAlgo);
  return verdict === true;
}
