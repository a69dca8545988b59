// The markers, segments and boxes of compressed images by what they may hold: numbers, or a text that somebody wrote.

/** Does a transfer syntax have frames of JPEG, JPEG-LS, JPEG 2000 or JPEG XL? What begins otherwise is then no image. */
export const hasImageFrames = (transferSyntaxUID: string): boolean =>
  /^1\.2\.840\.10008\.1\.2\.4\.(?:[5-9]\d|11[0-2]|20[1-3])$/.test(transferSyntaxUID);

/** Start of image, start of code stream with its first segment, signature box. */
export const beginsFrame = (bytes: Uint8Array): boolean =>
  (u16(bytes, 0) === 0xffd8 && bytes[2] === 0xff) ||
  (u16(bytes, 0) === 0xff4f && u16(bytes, 2) === 0xff51) ||
  u32(bytes, 0) === 12;

/** JPG0 to JPG13 but for what JPEG-LS has there, DHP, EXP and the like: no image of ours needs them. */
export const isReserved = (marker: number): boolean =>
  marker === 0xffc8 ||
  (marker >= 0xfff0 && marker <= 0xfffd && marker !== 0xfff7 && marker !== 0xfff8);

/** Segments of numbers (ISO/IEC 15444-1 §A.2, 15444-2 §A.2, 15444-15). */
export const segments2000: ReadonlySet<number> = new Set(
  [
    ...[0x50, 0x51, 0x52, 0x53, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f, 0x60, 0x61, 0x63],
    ...[0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79],
  ].map((low) => 0xff00 + low),
); // prettier-ignore

/** Boxes that only hold others. */
export const superBoxes: ReadonlySet<string> = new Set(['jp2h', 'res ']);

/** Boxes of coded pixels, which may be long, and signatures, which may not (§I.5.1; ISO/IEC 18181-2 §9). */
export const isCodedBox = (type: string, length: number): boolean =>
  type === 'jxlc' || type === 'jxlp' || (length <= (shortBoxes[type] ?? -1) && length > 0);

const shortBoxes: Readonly<Record<string, number>> = {
  'jP  ': 12,
  'JXL ': 12,
  ftyp: 64,
  rreq: 128,
  jxll: 16,
  ihdr: 22,
  resc: 18,
  resd: 18,
  cdef: 64,
  cmap: 1032,
  bpcc: 264,
};

export const isPadding = (byte: number | undefined): boolean =>
  byte === 0 || byte === 0x20 || byte === 0xff;

/** All of it is padding; a last FF waits for what is behind it. */
export const paddingUsed = (view: Uint8Array): number | undefined =>
  view.at(-1) === 0xff ? undefined : view.length;

export const u16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
export const u32 = (bytes: Uint8Array, at: number): number =>
  u16(bytes, at) * 65_536 + u16(bytes, at + 2);
