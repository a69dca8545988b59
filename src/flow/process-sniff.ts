// What a file is, by its bytes: an extension is a claim of the client and decides nothing (SPEC 10).

import { open } from 'node:fs/promises';
import { sniff, sniffBytes } from '../core/dicom/sniff.ts';

export { sniffBytes };

export type Looks = 'dicom' | 'zip' | 'unknown';

/**
 * `start`: the first `sniffBytes` bytes. DICOM comes first: behind a preamble that looks like a zip (PS3.10 §7.1 allows
 * anything there) it is DICOM still.
 */
export function looksLike(start: Uint8Array): Looks {
  if (sniff(start).kind !== 'other') return 'dicom';
  const mark = Buffer.from(start.subarray(0, 4)).toString('latin1');
  return zipMarks.includes(mark) ? 'zip' : 'unknown';
}

/** APPNOTE 4.3: a first entry, an empty zip, a first part of several. */
const zipMarks: readonly string[] = ['PK\x03\x04', 'PK\x05\x06', 'PK\x07\x08'];

/** A preamble of zeros that ends before DICM: nobody can tell yet what it will be. */
export const isCutPreamble = (start: Uint8Array): boolean =>
  start.length < sniffBytes && start.every((byte) => byte === 0);

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
