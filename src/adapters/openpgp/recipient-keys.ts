// Judges a receiver's public key before anything is ever sealed to it: openpgp.js would take a private key as a recipient
// and would read only the first of two concatenated armor blocks, in silence.

import { config, readKeys, type Config, type PublicKey, type Subkey } from 'openpgp';
import { AppError } from '../../core/errors.ts';
import type { RecipientKey, RecipientKeys } from '../../flow/ports/recipient-keys.ts';

export const recipientKeys: RecipientKeys = { inspect: inspectRecipientKey, isUsable };

/**
 * Reads a file with one public key, armored or binary. Throws RECIPIENT_KEY with what is wrong in its detail.
 */
export async function inspectRecipientKey(
  file: Uint8Array | string,
  at: Date = new Date(),
): Promise<RecipientKey> {
  const key = await onlyKey(file);
  await refuseUnusable(key, at);
  const target = await key.getEncryptionKey(undefined, at);
  return {
    fingerprint: key.getFingerprint().toUpperCase(),
    userId: firstUserId(key),
    algorithm: algorithmsOf(key, target),
    createdAt: key.getCreationTime(),
    expiresAt: await lastMoment(key, at),
    armored: key.armor(),
  };
}

async function isUsable(armored: string, at: Date): Promise<boolean> {
  try {
    await refuseUnusable(await onlyKey(armored), at);
    return true;
  } catch {
    return false;
  }
}

const refuse = (detail: string, cause?: unknown): AppError =>
  new AppError('RECIPIENT_KEY', { detail, cause });

async function onlyKey(file: Uint8Array | string): Promise<PublicKey> {
  const keys = await read(file);
  const [key, ...others] = keys;
  if (key === undefined) throw refuse('there is no public key in the file');
  if (keys.some((one) => one.isPrivate())) throw refuse(privateKeyText);
  if (others.length > 0) {
    throw refuse(`the file holds ${keys.length} keys; export exactly one to its own file`);
  }
  return key;
}

const privateKeyText =
  'this is a private key, which must never leave its owner; export the public key instead';

async function read(file: Uint8Array | string): Promise<PublicKey[]> {
  try {
    if (typeof file !== 'string' && isBinary(file)) return await readKeys({ binaryKeys: file });
    const text = typeof file === 'string' ? file : textOf(file);
    const blocks = text.match(/-----BEGIN PGP [A-Z ]+-----[^]*?-----END PGP [A-Z ]+-----/g) ?? [];
    const keys: PublicKey[] = [];
    for (const block of blocks) keys.push(...(await readKeys({ armoredKeys: `${block}\n` })));
    return keys;
  } catch (cause) {
    throw refuse('the file cannot be read as an OpenPGP key; export it again', cause);
  }
}

/** Every OpenPGP packet starts with bit 7 set (RFC 9580 §4.2); a byte order mark does too, but is text. */
const isBinary = (file: Uint8Array): boolean =>
  ((file[0] ?? 0) & 0x80) !== 0 && !isMark(file, [0xef, 0xbb, 0xbf]) && !isUtf16(file);

/** PowerShell's `>` writes UTF-16 with a byte order mark. */
const isUtf16 = (file: Uint8Array): boolean => isMark(file, [0xff, 0xfe]);
const isMark = (file: Uint8Array, mark: readonly number[]): boolean =>
  mark.every((byte, index) => file[index] === byte);
const textOf = (file: Uint8Array): string =>
  new TextDecoder(isUtf16(file) ? 'utf-16le' : 'utf-8').decode(file);

async function refuseUnusable(key: PublicKey, at: Date): Promise<void> {
  if (key.getUserIDs().length === 0) throw refuse('the key has no user ID');
  if (await key.isRevoked(undefined, undefined, at)) throw refuse('the key is revoked');
  if (key.getCreationTime() > at) {
    throw refuse('the key was made in the future; check the clocks of both machines');
  }
  const expires = await key.getExpirationTime();
  if (expires instanceof Date && expires <= at) throw refuse(`the key expired on ${day(expires)}`);
  try {
    await key.getEncryptionKey(undefined, at);
  } catch (cause) {
    throw refuse(await whyNoEncryption(key), cause);
  }
}

/** The key itself is fine, but nothing in it can be encrypted to: says why by asking again with one rule less. */
async function whyNoEncryption(key: PublicKey): Promise<string> {
  const works = async (one: Config): Promise<boolean> =>
    key.getEncryptionKey(undefined, null, undefined, one).then(
      () => true,
      () => false,
    );
  if (await works(config)) {
    return 'its part for encryption has expired; ask for the key again after it was renewed';
  }
  const anyStrength: Config = {
    ...config,
    minRSABits: 0,
    rejectPublicKeyAlgorithms: new Set(),
    rejectCurves: new Set(),
  };
  if (await works(anyStrength)) {
    return `${algorithmsOf(key, undefined)} is too weak; RSA needs 2048 bits, and DSA or ElGamal are not taken`;
  }
  if (key.subkeys.some((subkey) => subkey.revocationSignatures.length > 0))
    return 'its part for encryption is revoked';
  return 'the key cannot encrypt (it is for signing alone)';
}

/** When the last part that can be encrypted to expires, but not after the key itself. */
async function lastMoment(key: PublicKey, at: Date): Promise<Date | undefined> {
  const ends: number[] = [];
  for (const part of [...key.subkeys.map((subkey) => subkey.getKeyID()), key.getKeyID()]) {
    const target = await key.getEncryptionKey(part, at).catch(() => undefined);
    if (target === undefined) continue;
    ends.push(time(await (target as Subkey).getExpirationTime()));
  }
  const end = Math.min(Math.max(...ends), time(await key.getExpirationTime()));
  return Number.isFinite(end) ? new Date(end) : undefined;
}

const time = (moment: Date | number | null): number =>
  moment instanceof Date ? moment.getTime() : Infinity;
const day = (moment: Date): string => moment.toISOString().slice(0, 10);
const firstUserId = (key: PublicKey): string => key.getUserIDs()[0] ?? '';

function algorithmsOf(key: PublicKey, target: PublicKey | Subkey | undefined): string {
  const parts = [key, ...(target === undefined ? key.subkeys : [target])].map((part) =>
    nameOf(part.getAlgorithmInfo()),
  );
  return [...new Set(parts)].join('/');
}

const algorithmNames: Readonly<Record<string, string>> = {
  rsaEncryptSign: 'rsa',
  rsaEncrypt: 'rsa',
  rsaSign: 'rsa',
  elgamal: 'elgamal',
  dsa: 'dsa',
};

function nameOf(info: { algorithm: string; bits?: number; curve?: string }): string {
  const name = algorithmNames[info.algorithm];
  if (name !== undefined) return `${name}${info.bits ?? ''}`;
  const curve = info.curve?.replace(/Legacy$/, '');
  return curve === 'curve25519' ? 'cv25519' : (curve ?? info.algorithm);
}
