// Sealing of what the database must not show: AES-256-GCM (NIST SP 800-38D), bound to its row so that nobody can swap two.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { AppError } from '../../core/errors.ts';

const nonceBytes = 12;
const tagBytes = 16;

/** Base64 of nonce, ciphertext, tag. `place` names the row; it must be the same to unseal. */
export function seal(key: Uint8Array, text: string, place: string): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(place));
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64');
}

/** Throws INTERNAL when it was not sealed with this key for this place. */
export function unseal(key: Uint8Array, sealed: string, place: string): string {
  const bytes = Buffer.from(sealed, 'base64');
  const nonce = bytes.subarray(0, nonceBytes);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(place));
  try {
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    const body = bytes.subarray(nonceBytes, -tagBytes);
    return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
  } catch (cause) {
    throw new AppError('INTERNAL', {
      cause,
      detail: 'a row of the crosswalk does not open with this master key',
    });
  }
}
