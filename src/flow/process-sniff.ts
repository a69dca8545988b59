// What a file is, by its bytes: an extension is a claim of the client and decides nothing (SPEC 10).

import { open } from 'node:fs/promises';
import { sniff, sniffBytes } from '../core/dicom/sniff.ts';

/** How much of a file is looked at. */
export const peekBytes = 4096;

/** `damaged`: neither, but the beginning of a DICOM file stands in it where it must not. */
export type Looks = 'dicom' | 'zip' | 'damaged' | 'unknown';

/**
 * `start`: the first `peekBytes` bytes. DICOM comes first: behind a preamble that looks like a zip (PS3.10 §7.1 allows
 * anything there) it is DICOM still.
 */
export function looksLike(start: Uint8Array): Looks {
  if (sniff(start.subarray(0, sniffBytes)).kind !== 'other') return 'dicom';
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.length);
  if (zipMarks.includes(bytes.toString('latin1', 0, 4))) return 'zip';
  return fileMetaMarks.some((mark) => bytes.includes(mark, 0, 'latin1')) ? 'damaged' : 'unknown';
}

/**
 * How file meta information begins (PS3.10 §7.1): behind a foreign header (MacBinary, a mail's) or a damaged preamble it
 * is a patient's file still, and must not pass as some other file. No text holds these bytes.
 */
const fileMetaMarks: readonly string[] = [
  'DICM\x02\0',
  '\x02\0\0\0UL\x04\0',
  '\x02\0\x10\0UI',
  '\x02\0\x02\0UI',
];

/** What is said of `damaged` ones. */
export const damagedText = 'DICOM that does not begin where it must';

/** APPNOTE 4.3: a first entry, an empty zip, a first part of several. */
const zipMarks: readonly string[] = ['PK\x03\x04', 'PK\x05\x06', 'PK\x07\x08'];

/** Ends within its preamble of zeros, within DICM or within the first mark of a zip: nobody can tell yet what it will be. */
export function isCutStart(start: Uint8Array): boolean {
  if (start.length >= sniffBytes) return false;
  const text = Buffer.from(start.buffer, start.byteOffset, start.length).toString('latin1');
  const isCutPreamble = 'DICM'.startsWith(text.slice(128)) && /^\0*$/.test(text.slice(0, 128));
  return isCutPreamble || zipMarks.some((mark) => text.length < 4 && mark.startsWith(text));
}

const endRecordBytes = 22;
const longestComment = 0xffff;

/**
 * Does the file end as a zip does, whatever it starts with? Self-extracting archives and files with a zip behind them
 * open in every zip program, so what is inside them would be passed on unseen.
 */
export async function endsAsZip(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.min(size, endRecordBytes + longestComment);
    const tail = Buffer.alloc(length);
    await file.read(tail, 0, length, size - length);
    return hasEndRecord(tail);
  } finally {
    await file.close();
  }
}

/** APPNOTE 4.3.16: the signature, and a comment that ends where the file ends. */
function hasEndRecord(tail: Buffer): boolean {
  const mark = Buffer.from('PK\x05\x06', 'latin1');
  for (let at = tail.indexOf(mark); at >= 0; at = tail.indexOf(mark, at + 1)) {
    if (at + endRecordBytes > tail.length) return false;
    if (at + endRecordBytes + tail.readUInt16LE(at + 20) === tail.length) return true;
  }
  return false;
}
