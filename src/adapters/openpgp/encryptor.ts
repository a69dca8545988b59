// Seals a stream to OpenPGP recipients in the one form that GnuPG 2.2 and everything later reads (SPEC 8): a PKESK v3 for
// each recipient, SEIPDv1 with AES-256 (RFC 9580 §5.13.1), no compression, a literal packet with no name and no date.
// openpgp.js judges the keys and encrypts the session key to them; the bulk goes through node:crypto (encrypted-data.ts).
// The session key is given without an AEAD algorithm: openpgp.js would otherwise make a PKESK for SEIPDv2 for a key
// that advertises it, which GnuPG cannot read. Benchmark: npm run bench -- encrypt.

import { randomBytes } from 'node:crypto';
import { encryptSessionKey, readKey, type PublicKey } from 'openpgp';
import { asSealed, type Clean, type Sealed } from '../../core/bytes.ts';
import { AppError } from '../../core/errors.ts';
import type { Encryptor } from '../../flow/ports/processing.ts';
import { encryptedMessage } from './encrypted-data.ts';

export const encryptor: Encryptor = { seal };

async function seal(
  body: AsyncIterable<Clean>,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<{ message: AsyncIterable<Sealed>; fingerprints: readonly string[] }> {
  const { message, keys } = await sealTo(recipients, body, signal);
  return {
    message: asMessage(message),
    fingerprints: keys.map((key) => key.getFingerprint().toUpperCase()).sort(),
  };
}

/** Anything that is not a published file: backups. */
export const sealFor = async (
  recipients: readonly string[],
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> => (await sealTo(recipients, body, signal)).message;

async function sealTo(
  recipients: readonly string[],
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ readonly message: AsyncIterable<Uint8Array>; readonly keys: readonly PublicKey[] }> {
  const keys = await usableKeys(recipients, new Date());
  if (keys.length === 0) throw new AppError('NO_VALID_KEY');
  // Made for this message and forgotten with it.
  const sessionKey = randomBytes(32);
  const forRecipients = await encryptSessionKey({
    data: sessionKey,
    algorithm: 'aes256',
    encryptionKeys: keys,
    format: 'binary',
  }).catch((cause: unknown) => {
    throw new AppError('ENCRYPT_FAILED', { cause });
  });
  return { message: encryptedMessage(forRecipients, body, sessionKey, signal), keys };
}

async function* asMessage(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Sealed> {
  for await (const piece of pieces) yield asSealed(piece);
}

/** The keys that can be encrypted to at that time; one that is listed twice counts once. */
async function usableKeys(recipients: readonly string[], at: Date): Promise<PublicKey[]> {
  const usable = new Map<string, PublicKey>();
  for (const armored of recipients) {
    const key = await keyOf(armored);
    if (key === undefined || key.isPrivate()) continue;
    const target = await key.getEncryptionKey(undefined, at).catch(() => undefined);
    if (target !== undefined) usable.set(key.getFingerprint(), key);
  }
  return [...usable.values()];
}

/**
 * Keys that were read, by their armor. Reading one and verifying its own signatures costs more than encrypting a small
 * file; whether it can be used now is asked anew for each message.
 */
const known = new Map<string, PublicKey>();

async function keyOf(armoredKey: string): Promise<PublicKey | undefined> {
  const before = known.get(armoredKey);
  if (before !== undefined) return before;
  const key = await readKey({ armoredKey }).catch(() => undefined);
  if (key === undefined) return undefined;
  if (known.size >= 64) known.clear();
  known.set(armoredKey, key);
  return key;
}
