// Makes files beyond 4 GiB in seconds: the same compressed piece again and again, and holes where zeros stand. What they hold
// is told without reading them, so that what comes out can be compared.

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { crc32, deflateRawSync, constants } from 'node:zlib';
import {
  ctElements,
  ctSlice,
  dataSetBytes,
  dicomFile,
  el,
  syntaxes,
} from '../../test/support/dicom.ts';

/** Writes in the order of the file, with holes. */
class Layout {
  at = 0;
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
  }

  put(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, this.at + done);
    }
    this.at += bytes.length;
  }

  hole(bytes: number): void {
    this.at += bytes;
  }

  end(): void {
    ftruncateSync(this.#file, this.at);
    closeSync(this.#file);
  }
}

/** CRC-32 of `count` times the same piece. */
function crcOf(piece: Uint8Array, count: number): number {
  let crc = 0;
  for (let i = 0; i < count; i++) crc = crc32(piece, crc);
  return crc;
}

interface Packed {
  readonly name: string;
  readonly method: 0 | 8;
  readonly crc: number;
  readonly sizeBytes: number;
  readonly packedBytes: number;
  readonly body: (layout: Layout) => void;
}

/** An entry of `count` times the same bytes, deflated, each piece ending at a byte. */
export function repeated(name: string, piece: Uint8Array, count: number): Packed {
  const options = { finishFlush: constants.Z_FULL_FLUSH };
  const packed = deflateRawSync(piece, options);
  const end = deflateRawSync(new Uint8Array(0));
  return {
    name,
    method: 8,
    crc: crcOf(piece, count),
    sizeBytes: piece.length * count,
    packedBytes: packed.length * count + end.length,
    body: (layout) => {
      for (let i = 0; i < count; i++) layout.put(packed);
      layout.put(end);
    },
  };
}

/** A stored entry of zeros, which takes no place on the disk. */
export function zeros(name: string, megabytes: number): Packed {
  const bytes = megabytes * 2 ** 20;
  const crc = crcOf(new Uint8Array(2 ** 20), megabytes);
  const sizes = { sizeBytes: bytes, packedBytes: bytes };
  return { name, method: 0, crc, ...sizes, body: (layout) => layout.hole(bytes) };
}

/** A stored entry as it is. */
export const stored = (name: string, bytes: Uint8Array): Packed => ({
  ...{ name, method: 0, crc: crc32(bytes), sizeBytes: bytes.length, packedBytes: bytes.length },
  body: (layout) => layout.put(bytes),
});

/** A zip64 throughout: fields of 64 bits for each entry and for the directory (APPNOTE 4.3.14, 4.5.3). */
export function writeLargeZip(path: string, entries: Iterable<Packed>): number {
  const layout = new Layout(path);
  const records: Buffer[] = [];
  for (const entry of entries) {
    records.push(header(entry, layout.at));
    layout.put(header(entry, undefined));
    entry.body(layout);
  }
  const start = layout.at;
  for (const record of records) layout.put(record);
  layout.put(ends(records.length, start, layout.at));
  layout.end();
  return layout.at;
}

/** The local header, or the directory's record where the place of that is known. */
function header(entry: Packed, place: number | undefined): Buffer {
  const name = Buffer.from(entry.name);
  const isRecord = place !== undefined;
  const extra = Buffer.alloc(4 + (isRecord ? 24 : 16));
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(extra.length - 4, 2);
  extra.writeBigUInt64LE(BigInt(entry.sizeBytes), 4);
  extra.writeBigUInt64LE(BigInt(entry.packedBytes), 12);
  if (isRecord) extra.writeBigUInt64LE(BigInt(place), 20);
  const shift = isRecord ? 2 : 0;
  const fixed = Buffer.alloc(isRecord ? 46 : 30);
  fixed.writeUInt32LE(isRecord ? 0x02014b50 : 0x04034b50, 0);
  if (isRecord) fixed.writeUInt16LE(45, 4);
  fixed.writeUInt16LE(45, 4 + shift);
  fixed.writeUInt16LE(entry.method, 8 + shift);
  fixed.writeUInt32LE(entry.crc, 14 + shift);
  fixed.writeUInt32LE(0xffffffff, 18 + shift);
  fixed.writeUInt32LE(0xffffffff, 22 + shift);
  fixed.writeUInt16LE(name.length, 26 + shift);
  fixed.writeUInt16LE(extra.length, 28 + shift);
  if (isRecord) fixed.writeUInt32LE(0xffffffff, 42);
  return Buffer.concat([fixed, name, extra]);
}

function ends(count: number, start: number, end: number): Buffer {
  const all = Buffer.alloc(56 + 20 + 22);
  all.writeUInt32LE(0x06064b50, 0);
  all.writeBigUInt64LE(44n, 4);
  all.writeUInt16LE(45, 12);
  all.writeUInt16LE(45, 14);
  all.writeBigUInt64LE(BigInt(count), 24);
  all.writeBigUInt64LE(BigInt(count), 32);
  all.writeBigUInt64LE(BigInt(end - start), 40);
  all.writeBigUInt64LE(BigInt(start), 48);
  all.writeUInt32LE(0x07064b50, 56);
  all.writeBigUInt64LE(BigInt(end), 64);
  all.writeUInt32LE(1, 72);
  all.writeUInt32LE(0x06054b50, 76);
  all.fill(0xff, 84, 96);
  return all;
}

/** `count` slices of made-up patients, each a file of its own. */
export function* slices(count: number): Generator<Packed> {
  for (let i = 0; i < count; i++) {
    const options = { instanceNumber: i % 500, seriesNumber: Math.floor(i / 500), size: 4 };
    yield stored(`${i}.dcm`, ctSlice(options));
  }
}

/**
 * A multi-frame file of `frames` fragments of zeros and `frameBytes` each, with the basic table of their places (32 bits, so
 * it runs over) and an element behind the pixels. Gives the bytes of the pixel data's value.
 */
export function writeLargeDicom(path: string, frames: number, frameBytes: number): number {
  const layout = new Layout(path);
  const elements = [...ctElements(), el(0x00280008, 'IS', String(frames))];
  const sorted = elements.toSorted((a, b) => a.tag - b.tag);
  layout.put(dicomFile({ transferSyntax: syntaxes.rle, elements: sorted }));
  const head = Buffer.from('e07f10004f420000ffffffff', 'hex');
  const item = (length: number): Buffer => {
    const bytes = Buffer.from('feff00e000000000', 'hex');
    bytes.writeUInt32LE(length, 4);
    return bytes;
  };
  layout.put(head);
  const start = layout.at;
  const table = Buffer.alloc(4 * frames);
  for (let i = 0; i < frames; i++) table.writeUInt32LE((i * (frameBytes + 8)) >>> 0, 4 * i);
  layout.put(item(table.length));
  layout.put(table);
  for (let i = 0; i < frames; i++) {
    layout.put(item(frameBytes));
    layout.hole(frameBytes);
  }
  layout.put(Buffer.from('feffdde000000000', 'hex'));
  const length = layout.at - start;
  const trailing = [el(0xfffcfffc, 'OB', Buffer.alloc(64))];
  layout.put(dataSetBytes(trailing, { explicit: true, big: false }));
  layout.end();
  return length;
}
