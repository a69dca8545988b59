// Reads the central directory strictly (APPNOTE 4.3.12) and holds it against every local header (4.3.7), so that each byte
// of the file belongs to one entry or record. What two programs could understand differently is refused, not guessed.

import { ZipRefusal } from '../../core/zip-refusal.ts';
import type { ZipMethod } from '../../flow/ports/zip.ts';
import type { ProcessLimits } from '../../flow/ports/processing.ts';
import type { EndRecord } from './end-record.ts';
import { entryName } from './entry-name.ts';
import { zip64Numbers } from './extra-fields.ts';
import type { FileWindow } from './window.ts';

export interface DirectoryRecord {
  readonly index: number;
  readonly name: string;
  readonly nameBytes: Buffer;
  readonly flags: number;
  readonly method: ZipMethod;
  readonly crc32: number;
  readonly compressedBytes: number;
  readonly sizeBytes: number;
  readonly localOffset: number;
  /** Where the record itself lies in the file. */
  readonly recordOffset: number;
  readonly recordBytes: number;
  readonly isFolder: boolean;
}

const fixedBytes = 46;
const localBytes = 30;
const hasDescriptor = 0x0008;

/** All records, in their order. Throws ZipRefusal. */
export async function readDirectory(
  file: FileWindow,
  end: EndRecord,
  limits: Pick<ProcessLimits, 'inflatedBytes'>,
): Promise<readonly DirectoryRecord[]> {
  const records: DirectoryRecord[] = [];
  const names = new Set<string>();
  let at = end.directoryOffset;
  let declared = 0;
  for (let index = 0; index < end.entries; index++) {
    const record = await readRecord(file, at, index, end);
    // A folder may be listed beside its files under the same name but for the slash; nothing else comes twice.
    if (names.has(record.name)) throw new ZipRefusal('zip-broken', `entry ${index} comes twice`);
    names.add(record.name);
    declared += record.sizeBytes;
    if (declared > limits.inflatedBytes) throw new ZipRefusal('zip-bomb', 'declared sizes');
    records.push(record);
    at += record.recordBytes;
  }
  if (at !== end.directoryOffset + end.directoryBytes) {
    throw new ZipRefusal('zip-broken', 'the directory holds more than its entries');
  }
  await checkLocalHeaders(file, records, end.directoryOffset);
  return records;
}

async function readRecord(
  file: FileWindow,
  at: number,
  index: number,
  end: EndRecord,
): Promise<DirectoryRecord> {
  const directoryEnd = end.directoryOffset + end.directoryBytes;
  const fixed = await file.at(at, Math.max(0, Math.min(fixedBytes, directoryEnd - at)));
  if (fixed.length < fixedBytes || fixed.readUInt32LE(0) !== 0x02014b50) {
    throw new ZipRefusal('zip-broken', `entry ${index} is missing from the directory`);
  }
  const nameLength = fixed.readUInt16LE(28);
  const extraLength = fixed.readUInt16LE(30);
  const recordBytes = fixedBytes + nameLength + extraLength + fixed.readUInt16LE(32);
  if (at + recordBytes > directoryEnd) {
    throw new ZipRefusal('zip-broken', `entry ${index} runs out of the directory`);
  }
  const whole = Buffer.from(await file.at(at, fixedBytes + nameLength + extraLength));
  const nameBytes = whole.subarray(fixedBytes, fixedBytes + nameLength);
  const extra = whole.subarray(fixedBytes + nameLength);
  const flags = whole.readUInt16LE(8);
  const name = entryName(nameBytes, flags, extra, index);
  const numbers = sizes(whole, extra, index);
  const record = {
    index,
    name,
    nameBytes,
    flags,
    method: methodOf(whole.readUInt16LE(10), flags, index),
    crc32: whole.readUInt32LE(16),
    ...numbers,
    recordOffset: at,
    recordBytes,
    isFolder: name.endsWith('/'),
  };
  checkKind(whole, record);
  return record;
}

function methodOf(method: number, flags: number, index: number): ZipMethod {
  // Bit 0: password; bit 6: strong encryption; bit 13: masked directory; method 99: WinZip AES.
  if ((flags & 0x2041) !== 0 || method === 99)
    throw new ZipRefusal('zip-encrypted', `entry ${index}`);
  if (method === 0) return 'stored';
  if (method === 8) return 'deflated';
  throw new ZipRefusal('zip-broken', `entry ${index} has compression method ${method}`);
}

/** Sizes and offset, from the zip64 field where the record's own fields are full (APPNOTE 4.5.3). */
function sizes(
  whole: Buffer,
  extra: Buffer,
  index: number,
): Pick<DirectoryRecord, 'sizeBytes' | 'compressedBytes' | 'localOffset'> {
  const small = [whole.readUInt32LE(24), whole.readUInt32LE(20), whole.readUInt32LE(42)];
  const full = small.filter((value) => value === 0xffffffff).length;
  const large = full === 0 ? [] : zip64Numbers(extra, full);
  if (large === undefined)
    throw new ZipRefusal('zip-broken', `entry ${index} lacks its zip64 sizes`);
  let next = 0;
  const [sizeBytes = 0, compressedBytes = 0, localOffset = 0] = small.map((value) =>
    value === 0xffffffff ? (large[next++] ?? 0) : value,
  );
  if (whole.readUInt16LE(34) !== 0) throw new ZipRefusal('zip-broken', 'in several parts');
  return { sizeBytes, compressedBytes, localOffset };
}

function checkKind(
  whole: Buffer,
  record: Pick<DirectoryRecord, 'index' | 'isFolder' | 'sizeBytes' | 'compressedBytes' | 'method'>,
): void {
  const { index, isFolder } = record;
  const attributes = whole.readUInt32LE(38);
  // The upper half is the Unix mode wherever it is set, whatever the record says about its maker's system.
  const kind = (attributes >>> 16) & 0o170000;
  const fits = kind === 0 || kind === 0o100000 || (kind === 0o040000 && isFolder);
  if (!fits) throw new ZipRefusal('zip-link', `entry ${index}`);
  if (isFolder && record.sizeBytes !== 0) {
    throw new ZipRefusal('zip-broken', `entry ${index} is a folder with bytes`);
  }
  if (record.method === 'stored' && record.sizeBytes !== record.compressedBytes) {
    throw new ZipRefusal('zip-broken', `entry ${index} is stored with two sizes`);
  }
}

/** Every byte in front of the directory belongs to exactly one entry, and local headers say what the directory says. */
async function checkLocalHeaders(
  file: FileWindow,
  records: readonly DirectoryRecord[],
  directoryOffset: number,
): Promise<void> {
  const sorted = records.toSorted((a, b) => a.localOffset - b.localOffset);
  if ((sorted[0]?.localOffset ?? directoryOffset) !== 0) {
    throw new ZipRefusal('zip-broken', 'bytes in front of the first entry');
  }
  for (const [i, record] of sorted.entries()) {
    const next = sorted[i + 1]?.localOffset ?? directoryOffset;
    const dataEnd = await checkLocalHeader(file, record, directoryOffset);
    if (dataEnd > next) throw new ZipRefusal('zip-overlap', `entry ${record.index}`);
    await checkGap(file, record, dataEnd, next - dataEnd);
  }
}

/** Where the entry's data end. */
async function checkLocalHeader(
  file: FileWindow,
  record: DirectoryRecord,
  directoryOffset: number,
): Promise<number> {
  const broken = (what: string): never => {
    throw new ZipRefusal('zip-broken', `entry ${record.index}: ${what}`);
  };
  const nameLength = record.nameBytes.length;
  if (record.localOffset + localBytes + nameLength > directoryOffset) {
    broken('its offset is not in the file');
  }
  const header = await file.at(record.localOffset, localBytes + nameLength);
  if (header.readUInt32LE(0) !== 0x04034b50) broken('no local header at its offset');
  if (
    header.readUInt16LE(26) !== nameLength ||
    !header.subarray(localBytes).equals(record.nameBytes)
  ) {
    broken('two names');
  }
  const method = record.method === 'stored' ? 0 : 8;
  const mask = 0x2049;
  if (header.readUInt16LE(8) !== method || ((header.readUInt16LE(6) ^ record.flags) & mask) !== 0) {
    broken('two methods');
  }
  const extraLength = header.readUInt16LE(28);
  const numbers = [header.readUInt32LE(14), header.readUInt32LE(18), header.readUInt32LE(22)];
  const said = [record.crc32, record.compressedBytes, record.sizeBytes];
  const later = (record.flags & hasDescriptor) !== 0;
  const same = numbers.every(
    (value, i) => value === said[i] || (later && value === 0) || (i > 0 && value === 0xffffffff),
  );
  if (!same) broken('two sizes or checksums');
  return record.localOffset + localBytes + nameLength + extraLength + record.compressedBytes;
}

/** Between an entry's data and the next header there is nothing, or the entry's data descriptor (APPNOTE 4.3.9). */
async function checkGap(
  file: FileWindow,
  record: DirectoryRecord,
  at: number,
  length: number,
): Promise<void> {
  if (length === 0) return;
  if ((record.flags & hasDescriptor) !== 0 && [12, 16, 20, 24].includes(length)) {
    const descriptor = await file.at(at, length);
    const isSigned = length === 16 || length === 24;
    const signatureFits = !isSigned || descriptor.readUInt32LE(0) === 0x08074b50;
    if (signatureFits && fitsDescriptor(descriptor.subarray(isSigned ? 4 : 0), record)) return;
  }
  throw new ZipRefusal('zip-broken', `entry ${record.index}: bytes that belong to nothing`);
}

function fitsDescriptor(descriptor: Buffer, record: DirectoryRecord): boolean {
  if (descriptor.readUInt32LE(0) !== record.crc32) return false;
  if (descriptor.length === 12) {
    return (
      descriptor.readUInt32LE(4) === record.compressedBytes &&
      descriptor.readUInt32LE(8) === record.sizeBytes
    );
  }
  return (
    descriptor.length === 20 &&
    descriptor.readBigUInt64LE(4) === BigInt(record.compressedBytes) &&
    descriptor.readBigUInt64LE(12) === BigInt(record.sizeBytes)
  );
}
