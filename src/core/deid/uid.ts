// New UIDs from old ones by a keyed hash (SPEC 7): the same input gives the same output in the whole project, so that
// references stay whole across files, zips and months, and nobody without the key can tell which UID it was.

import { createHmac } from 'node:crypto';
import { trimPadding } from './reading.ts';

/**
 * UIDs that the standard itself defines (SOP classes, transfer syntaxes, context groups) identify nobody. Theirs are short
 * numbers: some devices put dates and serial numbers of their own below the standard's root.
 */
const standardUID = /^1\.2\.840\.10008(?:\.\d{1,4}){1,9}$/;

/** 128 bits of HMAC-SHA-256 as a UUID-derived UID (PS3.5 §B.2), with the version and variant of a random UUID. */
export function hashUID(uid: string, key: Uint8Array): string {
  const mac = createHmac('sha256', key).update('uid:').update(uid, 'latin1').digest();
  mac.writeUInt8((mac.readUInt8(6) & 0x0f) | 0x40, 6);
  mac.writeUInt8((mac.readUInt8(8) & 0x3f) | 0x80, 8);
  return `2.25.${BigInt(`0x${mac.toString('hex', 0, 16)}`)}`;
}

/** A study has thousands of files and a handful of UIDs that stand in all of them. */
const caches = new WeakMap<Uint8Array, Map<string, string>>();

function cachedHash(uid: string, key: Uint8Array): string {
  let cache = caches.get(key);
  if (cache === undefined) caches.set(key, (cache = new Map<string, string>()));
  let hashed = cache.get(uid);
  if (hashed === undefined) {
    if (cache.size >= 4096) cache.clear();
    cache.set(uid, (hashed = hashUID(uid, key)));
  }
  return hashed;
}

/** A value of VR UI, one or several UIDs. Empty ones stay empty, the standard's own stay. */
export const hashUIDs = (text: string, key: Uint8Array): string =>
  text
    .split('\\')
    .map((part) => {
      const uid = trimPadding(part);
      return uid === '' || standardUID.test(uid) ? uid : cachedHash(uid, key);
    })
    .join('\\');
