// What each transfer syntax says about the bytes (PS3.5 annex A, PS3.6 table A-1). A closed list: how an unknown one
// is encoded would be a guess, so it stops the file.

import { AppError } from '../errors.ts';
import type { Encoding } from './dataset.ts';

export interface TransferSyntax {
  readonly uid: string;
  readonly encoding: Encoding;
  /** The dataset behind the file meta is one raw deflate stream (PS3.5 §A.5). */
  readonly deflated: boolean;
  /** 7FE0,0010 is a sequence of fragments (PS3.5 §A.4). */
  readonly encapsulated: boolean;
}

const root = '1.2.840.10008.1.2';
const explicitLittle: Encoding = { explicitVR: true, bigEndian: false };

const encapsulatedUids = [
  `${root}.1.98`, // Encapsulated Uncompressed
  `${root}.5`, // RLE
  `${root}.8.1`, // Deflated Image Frame Compression
  ...[50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66].map(
    (n) => `${root}.4.${n}`,
  ), // JPEG, also the retired processes
  ...[70, 80, 81, 90, 91, 92, 93].map((n) => `${root}.4.${n}`), // JPEG lossless, JPEG-LS, JPEG 2000
  ...[100, 101, 102, 103, 104, 105, 106, 107, 108].flatMap((n) =>
    n <= 106 ? [`${root}.4.${n}`, `${root}.4.${n}.1`] : [`${root}.4.${n}`],
  ), // MPEG-2, MPEG-4, HEVC, also their fragmentable forms
  ...[110, 111, 112].map((n) => `${root}.4.${n}`), // JPEG XL
  ...[201, 202, 203].map((n) => `${root}.4.${n}`), // HTJ2K
];

const table: readonly TransferSyntax[] = [
  { uid: root, encoding: { explicitVR: false, bigEndian: false } },
  { uid: `${root}.1`, encoding: explicitLittle },
  { uid: `${root}.2`, encoding: { explicitVR: true, bigEndian: true } },
  { uid: `${root}.1.99`, encoding: explicitLittle, deflated: true },
  // JPIP and SMPTE ST 2110: the pixels are elsewhere
  { uid: `${root}.4.94`, encoding: explicitLittle },
  { uid: `${root}.4.95`, encoding: explicitLittle, deflated: true },
  { uid: `${root}.4.204`, encoding: explicitLittle },
  { uid: `${root}.4.205`, encoding: explicitLittle, deflated: true },
  { uid: `${root}.7.1`, encoding: explicitLittle },
  { uid: `${root}.7.2`, encoding: explicitLittle },
  { uid: `${root}.7.3`, encoding: explicitLittle },
  ...encapsulatedUids.map((uid) => ({ uid, encoding: explicitLittle, encapsulated: true })),
].map((row) => Object.freeze({ deflated: false, encapsulated: false, ...row }));

const byUid = new Map(table.map((row) => [row.uid, row]));

export const implicitLittleEndianUID = root;
export const explicitLittleEndianUID = `${root}.1`;
export const explicitBigEndianUID = `${root}.2`;
export const transferSyntaxUIDs: readonly string[] = table.map((row) => row.uid);

/** MPEG-2, MPEG-4, HEVC: streams with places for texts of their own, in the pictures' data and in the containers around them. */
export const isVideo = (uid: string): boolean =>
  /^1\.2\.840\.10008\.1\.2\.4\.10[0-8](?:\.1)?$/.test(uid);

/** Throws DICOM_UNSUPPORTED for a UID that the standard does not have; the UID itself is not repeated. */
export function transferSyntax(uid: string): TransferSyntax {
  const row = byUid.get(uid);
  if (row === undefined) throw new AppError('DICOM_UNSUPPORTED', { tag: '(0002,0010)' });
  return row;
}
