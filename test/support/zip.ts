// Zips by hand, right ones and wrong ones, independent of the libraries that the product uses.

import { crc32, deflateRawSync } from 'node:zlib';

export interface MadeEntry {
  readonly name: string | Uint8Array;
  readonly content: string | Uint8Array;
  /** 0 stored, 8 deflated (the default). */
  readonly method?: 0 | 8;
  /** What the headers say instead. */
  readonly methodCode?: number;
  readonly flags?: number;
  readonly crc?: number;
  readonly declaredSize?: number;
  /** Length of the data descriptor: 12 and 20 without, 16 and 24 with signature. */
  readonly descriptor?: 12 | 16 | 20 | 24;
  readonly mode?: number;
  readonly comment?: string;
  readonly localName?: string;
  readonly unicodePath?: string;
  /** Instead of the compressed content. */
  readonly raw?: Uint8Array;
  readonly gapBefore?: Uint8Array;
  /** Its directory record points to the previous entry's local header. */
  readonly sharesPrevious?: boolean;
}

interface Laid {
  readonly entry: MadeEntry;
  readonly offset: number;
}

const bytesOf = (value: string | Uint8Array): Buffer =>
  typeof value === 'string' ? Buffer.from(value, 'latin1') : Buffer.from(value);

const facts = (entry: MadeEntry) => {
  const content = bytesOf(entry.content);
  const stored = entry.method === 0;
  const data = Buffer.from(entry.raw ?? (stored ? content : deflateRawSync(content)));
  return {
    data,
    crc: entry.crc ?? crc32(content),
    size: entry.declaredSize ?? content.length,
    method: entry.methodCode ?? entry.method ?? 8,
    flags: (entry.flags ?? 0) | (entry.descriptor === undefined ? 0 : 8),
  };
};

/** A local header with its data and descriptor. */
export function localHeader(entry: MadeEntry): Buffer {
  const { data, crc, size, method, flags } = facts(entry);
  const later = entry.descriptor !== undefined;
  const name = bytesOf(entry.localName ?? entry.name);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt16LE(method, 8);
  header.writeUInt32LE(later ? 0 : crc, 14);
  header.writeUInt32LE(later ? 0 : data.length, 18);
  header.writeUInt32LE(later ? 0 : size, 22);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name, data, descriptorOf(entry)]);
}

function descriptorOf(entry: MadeEntry): Buffer {
  const { data, crc, size } = facts(entry);
  const length = entry.descriptor;
  if (length === undefined) return Buffer.alloc(0);
  const signed = length === 16 || length === 24;
  const body = Buffer.alloc(length - (signed ? 4 : 0));
  body.writeUInt32LE(crc, 0);
  if (body.length === 12) {
    body.writeUInt32LE(data.length, 4);
    body.writeUInt32LE(size, 8);
  } else {
    body.writeBigUInt64LE(BigInt(data.length), 4);
    body.writeBigUInt64LE(BigInt(size), 12);
  }
  return signed ? Buffer.concat([Buffer.from('PK\x07\x08', 'latin1'), body]) : body;
}

function directoryRecord({ entry, offset }: Laid, zip64: boolean): Buffer {
  const { data, crc, size, method, flags } = facts(entry);
  const name = bytesOf(entry.name);
  const comment = bytesOf(entry.comment ?? '');
  const extra = Buffer.concat([
    zip64 ? zip64Field([size, data.length, offset]) : Buffer.alloc(0),
    entry.unicodePath === undefined ? Buffer.alloc(0) : unicodeField(name, entry.unicodePath),
  ]);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(entry.mode === undefined ? 20 : (3 << 8) | 20, 4);
  record.writeUInt16LE(zip64 ? 45 : 20, 6);
  record.writeUInt16LE(flags, 8);
  record.writeUInt16LE(method, 10);
  record.writeUInt32LE(crc, 16);
  record.writeUInt32LE(zip64 ? 0xffffffff : data.length, 20);
  record.writeUInt32LE(zip64 ? 0xffffffff : size, 24);
  record.writeUInt16LE(name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt16LE(comment.length, 32);
  record.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 38);
  record.writeUInt32LE(zip64 ? 0xffffffff : offset, 42);
  return Buffer.concat([record, name, extra, comment]);
}

function zip64Field(numbers: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + numbers.length * 8);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(numbers.length * 8, 2);
  numbers.forEach((value, i) => field.writeBigUInt64LE(BigInt(value), 4 + i * 8));
  return field;
}

function unicodeField(name: Buffer, path: string): Buffer {
  const text = Buffer.from(path);
  const field = Buffer.alloc(9);
  field.writeUInt16LE(0x7075, 0);
  field.writeUInt16LE(5 + text.length, 2);
  field.writeUInt8(1, 4);
  field.writeUInt32LE(crc32(name), 5);
  return Buffer.concat([field, text]);
}

export function endRecord(entries: number, bytes: number, offset: number, comment: string): Buffer {
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries, 8);
  end.writeUInt16LE(entries, 10);
  end.writeUInt32LE(bytes, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(comment.length, 20);
  return Buffer.concat([end, Buffer.from(comment, 'latin1')]);
}

function end64(entries: number, bytes: number, offset: number): Buffer {
  const end = Buffer.alloc(56 + 20);
  end.writeUInt32LE(0x06064b50, 0);
  end.writeBigUInt64LE(44n, 4);
  end.writeUInt16LE(45, 12);
  end.writeUInt16LE(45, 14);
  end.writeBigUInt64LE(BigInt(entries), 24);
  end.writeBigUInt64LE(BigInt(entries), 32);
  end.writeBigUInt64LE(BigInt(bytes), 40);
  end.writeBigUInt64LE(BigInt(offset), 48);
  end.writeUInt32LE(0x07064b50, 56);
  end.writeBigUInt64LE(BigInt(offset + bytes), 64);
  end.writeUInt32LE(1, 72);
  return end;
}

export function zipBytes(
  entries: readonly MadeEntry[],
  how: { readonly comment?: string; readonly zip64?: boolean; readonly prefix?: Uint8Array } = {},
): Buffer {
  const parts: Uint8Array[] = [how.prefix ?? Buffer.alloc(0)];
  let at = parts[0]?.length ?? 0;
  const laid: Laid[] = [];
  let previous = 0;
  for (const entry of entries) {
    if (entry.sharesPrevious === true) {
      laid.push({ entry, offset: previous });
      continue;
    }
    const gap = entry.gapBefore ?? Buffer.alloc(0);
    const local = localHeader(entry);
    previous = at + gap.length;
    laid.push({ entry, offset: previous });
    parts.push(gap, local);
    at += gap.length + local.length;
  }
  const directory = Buffer.concat(laid.map((item) => directoryRecord(item, how.zip64 === true)));
  parts.push(directory);
  if (how.zip64 === true) parts.push(end64(entries.length, directory.length, at));
  const full = how.zip64 === true;
  parts.push(
    endRecord(
      full ? 0xffff : entries.length,
      full ? 0xffffffff : directory.length,
      full ? 0xffffffff : at,
      how.comment ?? '',
    ),
  );
  return Buffer.concat(parts);
}
