// Makes subject codes (SPEC 7): never from the patient's data without a key. Whether a code is free decides the
// crosswalk, which asks again with the next attempt.

import { createHmac } from 'node:crypto';

/** Crockford's base 32: no I, L, O, U, so that a code can be read aloud and typed. */
const letters = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Five letters a code to begin with (33 million); one more after each four attempts, for large projects. */
const lengthFor = (attempt: number): number => 5 + Math.floor(attempt / 4);

const fromBytes = (bytes: Uint8Array, length: number): string =>
  Array.from({ length }, (_, i) => letters[(bytes[i] ?? 0) & 31]).join('');

/** `JI-7K3M9`. `random`: at least 16 random bytes. `attempt`: 0, then 1, … while the code is taken. */
export const randomCode = (prefix: string, random: Uint8Array, attempt: number): string =>
  `${prefix}${fromBytes(random, lengthFor(attempt))}`;

/** `JI-0001`; `number` counts from 1. */
export const sequentialCode = (prefix: string, number: number): string =>
  `${prefix}${String(number).padStart(4, '0')}`;

/** From the identity's own keyed hash (hex), so that it comes out again from the same key. */
export function hmacCode(
  prefix: string,
  identityKey: string,
  key: Uint8Array,
  attempt: number,
): string {
  const mac = createHmac('sha256', key).update(`code\0${attempt}\0${identityKey}`).digest();
  return `${prefix}${fromBytes(mac, lengthFor(attempt))}`;
}

/** May this be a subject code? It stands in PatientID (LO), PatientName (PN) and in names of files. */
export const isSubjectCode = (code: string): boolean =>
  /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(code);
