// Who logs in: a password or a public key, nothing else. ssh2's verify() answers true, false or an Error object, so only
// `=== true` counts, and only when signature and signed bytes are both there and the key is of the declared kind (a real
// product was bypassed for want of that).

import ssh2 from 'ssh2';
import type { AuthContext, ParsedKey, PublicKeyAuthContext } from 'ssh2';
import type { Accounts, Principal } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import { asFailure } from './status.ts';

const methods = ['publickey', 'password'] as const;
const maximumNameLength = 64;
const maximumPasswordLength = 1024;
const maximumKeyBytes = 16 * 1024;

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
  /** Called once, before the client is told. False: no more connections of this user. */
  admit(principal: Principal): Promise<boolean>;
  /** The attempts are used up. */
  giveUp(): void;
}

/** The listener for one connection's 'authentication' events. */
export function createAuthenticator(parts: AuthParts): (attempt: AuthContext) => void {
  const { accounts, log } = parts;
  let failures = 0;
  let isDone = false;

  const refuse = (attempt: AuthContext): void => {
    if (attempt.method !== 'none') failures += 1;
    if (failures >= parts.maximumAttempts) parts.giveUp();
    else attempt.reject([...methods]);
  };

  const record = async (attempt: AuthContext, accepted: boolean): Promise<void> => {
    const method = attempt.method === 'password' ? 'password' : 'publickey';
    await accounts.recordLogin({
      name: attempt.username,
      source: parts.source,
      method,
      accepted,
    });
  };

  const decide = async (attempt: AuthContext): Promise<void> => {
    if (isDone || attempt.username.length > maximumNameLength) return refuse(attempt);
    if (attempt.method === 'publickey' && attempt.signature === undefined) {
      const principal = isUsableKey(attempt) ? await find(accounts, attempt) : undefined;
      if (principal === undefined) refuse(attempt);
      else attempt.accept();
      return;
    }
    const principal = await identify(accounts, attempt);
    const isIn = principal !== undefined && (await parts.admit(principal));
    if (attempt.method === 'password' || attempt.method === 'publickey') {
      await record(attempt, isIn);
    }
    if (!isIn) return refuse(attempt);
    isDone = true;
    attempt.accept();
  };

  return (attempt) => {
    decide(attempt).catch((error: unknown) => {
      asFailure(error, log, 'login');
      refuse(attempt);
    });
  };
}

async function identify(accounts: Accounts, attempt: AuthContext): Promise<Principal | undefined> {
  switch (attempt.method) {
    case 'password': {
      // A request to change the password arrives as an object.
      const password: unknown = attempt.password;
      const isText = typeof password === 'string' && password.length <= maximumPasswordLength;
      return accounts.verifyPassword(attempt.username, isText ? password : '');
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
