// Finds where a zip says that it ends (APPNOTE 4.3.14 to 4.3.16), and tells a short upload from a damaged file: the first
// goes on when the client resumes, the second never will.

import { AppError } from '../../core/errors.ts';
import { ZipRefusal } from '../../core/zip-refusal.ts';
import type { FileWindow } from './window.ts';

export interface EndRecord {
  readonly entries: number;
  readonly directoryOffset: number;
  readonly directoryBytes: number;
}

const endBytes = 22;
const locatorBytes = 20;
const end64Bytes = 56;

/** Throws ZIP_TRUNCATED, or ZipRefusal `zip-broken`. */
export async function readEndRecord(file: FileWindow): Promise<EndRecord> {
  const at = await findEnd(file);
  const end = Buffer.from(await file.at(at, endBytes));
  const small = {
    disk: end.readUInt16LE(4),
    directoryDisk: end.readUInt16LE(6),
    entriesHere: end.readUInt16LE(8),
    entries: end.readUInt16LE(10),
    directoryBytes: end.readUInt32LE(12),
    directoryOffset: end.readUInt32LE(16),
  };
  const locator = at >= locatorBytes ? await file.at(at - locatorBytes, locatorBytes) : undefined;
  const is64 = locator !== undefined && locator.readUInt32LE(0) === 0x07064b50;
  const found = is64 ? await readEnd64(file, at, Buffer.from(locator)) : { ...small, start: at };
  if (is64) mustAgree(small, found);
  if (found.disk !== 0 || found.directoryDisk !== 0 || found.entriesHere !== found.entries) {
    throw new ZipRefusal('zip-broken', 'in several parts');
  }
  if (found.directoryOffset + found.directoryBytes !== found.start) {
    throw new ZipRefusal('zip-broken', 'the directory does not end where the end record begins');
  }
  return found;
}

type Numbers = Record<
  'disk' | 'directoryDisk' | 'entriesHere' | 'entries' | 'directoryBytes' | 'directoryOffset',
  number
>;

async function readEnd64(
  file: FileWindow,
  at: number,
  locator: Buffer,
): Promise<Numbers & { readonly start: number }> {
  const start = at - locatorBytes - end64Bytes;
  if (start < 0 || Number(locator.readBigUInt64LE(8)) !== start) {
    throw new ZipRefusal('zip-broken', 'the zip64 end record is not where it is said to be');
  }
  const end = await file.at(start, end64Bytes);
  if (end.readUInt32LE(0) !== 0x06064b50 || end.readBigUInt64LE(4) !== 44n) {
    throw new ZipRefusal('zip-broken', 'the zip64 end record is not one');
  }
  const large = (offset: number): number => {
    const value = Number(end.readBigUInt64LE(offset));
    if (!Number.isSafeInteger(value)) throw new ZipRefusal('zip-broken', 'a number is too large');
    return value;
  };
  return {
    start,
    disk: end.readUInt32LE(16),
    directoryDisk: end.readUInt32LE(20),
    entriesHere: large(24),
    entries: large(32),
    directoryBytes: large(40),
    directoryOffset: large(48),
  };
}

/** Two readers must not see two different archives: what the small record says at all must be what the large one says. */
function mustAgree(small: Numbers, large: Numbers): void {
  const limits: Numbers = {
    disk: 0xffff,
    directoryDisk: 0xffff,
    entriesHere: 0xffff,
    entries: 0xffff,
    directoryBytes: 0xffffffff,
    directoryOffset: 0xffffffff,
  };
  for (const key of Object.keys(limits) as (keyof Numbers)[]) {
    if (small[key] !== limits[key] && small[key] !== large[key]) {
      throw new ZipRefusal('zip-broken', 'the two end records differ');
    }
  }
}

async function findEnd(file: FileWindow): Promise<number> {
  const from = Math.max(0, file.sizeBytes - endBytes - 0xffff);
  const tail = Buffer.from(await file.at(from, file.sizeBytes - from));
  const candidates: number[] = [];
  let behind = false;
  for (let at = tail.lastIndexOf('PK\x05\x06'); at >= 0; at = before(tail, at)) {
    if (at + endBytes > tail.length) continue;
    const rest = tail.length - at - endBytes - tail.readUInt16LE(at + 20);
    if (rest === 0) candidates.push(from + at);
    if (rest > 0) behind = true;
  }
  if (candidates.length > 1) throw new ZipRefusal('zip-broken', 'more than one end record fits');
  if (candidates[0] !== undefined) return candidates[0];
  if (behind) throw new ZipRefusal('zip-broken', 'bytes behind the end record');
  return tellShortFromDamaged(file);
}

const before = (tail: Buffer, at: number): number =>
  at === 0 ? -1 : tail.lastIndexOf('PK\x05\x06', at - 1);

/** Without an end record: a file that is right as far as it goes was cut; one with something else in between is damaged. */
async function tellShortFromDamaged(file: FileWindow): Promise<never> {
  let at = 0;
  for (;;) {
    const header = await file.at(at, 46);
    const length = header.length >= 4 ? recordBytes(header) : 'unknown';
    if (length === 'damaged') {
      throw new ZipRefusal('zip-broken', 'no end record, and something else among the entries');
    }
    if (length === 'unknown' || at + length >= file.sizeBytes) {
      throw new AppError('ZIP_TRUNCATED', { at: file.sizeBytes });
    }
    at += length;
  }
}

/** How long the record is that begins here; `unknown` where only its end would tell (data descriptors, zip64). */
function recordBytes(header: Buffer): number | 'unknown' | 'damaged' {
  const signature = header.readUInt32LE(0);
  if (signature === 0x04034b50) {
    if (header.length < 30) return 'unknown';
    const compressed = header.readUInt32LE(18);
    if ((header.readUInt16LE(6) & 8) !== 0 || compressed === 0xffffffff) return 'unknown';
    return 30 + header.readUInt16LE(26) + header.readUInt16LE(28) + compressed;
  }
  if (signature === 0x02014b50) {
    if (header.length < 46) return 'unknown';
    return 46 + header.readUInt16LE(28) + header.readUInt16LE(30) + header.readUInt16LE(32);
  }
  // The end records themselves: the file stops inside them.
  return [0x06054b50, 0x06064b50, 0x07064b50].includes(signature) ? 'unknown' : 'damaged';
}
