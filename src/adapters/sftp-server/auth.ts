// Who logs in: a password or a public key, nothing else. ssh2's verify() answers true, false or an Error object, so only
// `=== true` counts, and only when signature and signed bytes are both there and the key is of the declared kind (a real
// product was bypassed for want of that).

import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { AuthContext, ParsedKey, PublicKeyAuthContext } from 'ssh2';
import type { Locks } from '../../core/locks.ts';
import type { Accounts, Principal } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import type { Penalties } from './penalties.ts';
import { asFailure } from './status.ts';

const methods = ['publickey', 'password'] as const;
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
];

export interface AuthParts {
  readonly accounts: Accounts;
  readonly log: Log;
  /** The client's address, for the audit. */
  readonly source: string;
  readonly maximumAttempts: number;
  /** The least time that a refused password takes, whatever the reason. */
  readonly refusalMs: number;
  readonly penalties: Penalties;
  /** Shared by the whole server: a password's hash takes a core and 19 MB, and the uploads need the same threads. */
  readonly turns: Locks;
  /** Called once, before the client is told. False: no more connections of this user. */
  admit(principal: Principal): Promise<boolean>;
  /** The attempts are used up. */
  giveUp(): void;
}

/** The listener for one connection's 'authentication' events. */
export function createAuthenticator(parts: AuthParts): (attempt: AuthContext) => void {
  const { accounts, log, penalties, source } = parts;
  let failures = 0;
  let requests = 0;
  let isDone = false;

  const refuse = async (attempt: AuthContext, sinceMs: number): Promise<void> => {
    if (attempt.method !== 'none') failures += 1;
    const isLast = failures >= parts.maximumAttempts;
    if (attempt.method === 'password') await evenOut(performance.now() - sinceMs, parts.refusalMs);
    if (isLast) parts.giveUp();
    else attempt.reject([...methods]);
  };

  const record = async (attempt: AuthContext, accepted: boolean): Promise<void> => {
    if (!accepted && !penalties.mayRecord(source)) return;
    const { username: name } = attempt;
    const method = attempt.method === 'password' ? 'password' : 'publickey';
    await accounts.recordLogin({ name, source, method, accepted });
  };

  /** Who it is, and whether it counts as an attempt that goes into the books. */
  const judge = async (attempt: AuthContext, sinceMs: number): Promise<void> => {
    const { username: name, method } = attempt;
    if (method === 'password' && penalties.isUnder(source, name)) return refuse(attempt, sinceMs);
    const principal = await identify(parts, attempt);
    const isIn = principal !== undefined && (await parts.admit(principal));
    if (method === 'password' || method === 'publickey') await record(attempt, isIn);
    if (principal === undefined && method === 'password') penalties.failed(source, name);
    if (!isIn) return refuse(attempt, sinceMs);
    penalties.forgive(source, name);
    isDone = true;
    attempt.accept();
  };

  const decide = async (attempt: AuthContext): Promise<void> => {
    const sinceMs = performance.now();
    requests += 1;
    if (requests > maximumRequests) return parts.giveUp();
    if (isDone || attempt.username.length > maximumNameLength) return refuse(attempt, sinceMs);
    const isQuestion = attempt.method === 'publickey' && attempt.signature === undefined;
    if (!isQuestion) return judge(attempt, sinceMs);
    const principal = isUsableKey(attempt) ? await find(accounts, attempt) : undefined;
    if (principal === undefined) return refuse(attempt, sinceMs);
    attempt.accept();
  };

  return (attempt) => {
    decide(attempt).catch((error: unknown) => {
      asFailure(error, log, 'login');
      parts.giveUp();
    });
  };
}

/** Waits until `leastMs`, or the next double of it, has gone by: what was done meanwhile does not show (OpenSSH does so). */
async function evenOut(elapsedMs: number, leastMs: number): Promise<void> {
  let total = leastMs;
  while (total < elapsedMs && total > 0) total *= 2;
  await sleep(total - elapsedMs);
}

/** One password of a source at a time, and two of all together: a flood waits for itself. */
function inTurn<T>({ turns, source }: AuthParts, run: () => Promise<T>): Promise<T> {
  const lane = Buffer.from(source).reduce((sum, byte) => sum + byte, 0) % 2;
  return turns.hold(`source ${source}`, () => turns.hold(`lane ${lane}`, run));
}

async function identify(parts: AuthParts, attempt: AuthContext): Promise<Principal | undefined> {
  const { accounts } = parts;
  switch (attempt.method) {
    case 'password': {
      // A request to change the password arrives as an object.
      const password: unknown = attempt.password;
      const isText = typeof password === 'string' && password.length <= maximumPasswordLength;
      return inTurn(parts, () => accounts.verifyPassword(attempt.username, isText ? password : ''));
    }
    case 'publickey': {
      if (!isSigned(attempt)) return undefined;
      return find(accounts, attempt);
    }
    default:
      return undefined;
  }
}

const find = (accounts: Accounts, attempt: PublicKeyAuthContext): Promise<Principal | undefined> =>
  accounts.findByKey(attempt.username, new Uint8Array(attempt.key.data));

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
  const parsed: ParsedKey | Error | (ParsedKey | Error)[] = ssh2.utils.parseKey(key.data);
  if (Array.isArray(parsed) || parsed instanceof Error) return false;
  if (parsed.type !== key.algo) return false;
  const verdict: unknown = parsed.verify(blob, signature, hashAlgo);
  return verdict === true;
}
