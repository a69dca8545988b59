// One element's tag, VR and length as they stand in the bytes (PS3.5 §7.1.2, §7.1.3), and what no element may be.

import { AppError } from '../errors.ts';
import type { ByteQueue } from './byte-queue.ts';
import { formatTag, tagOf, type Encoding, type Tag, type VR } from './dataset.ts';
import { implicitVR } from './dictionary.ts';

export const undefinedLength = 0xffffffff;

export const itemTag: Tag = 0xfffee000;
export const itemEndTag: Tag = 0xfffee00d;
export const sequenceEndTag: Tag = 0xfffee0dd;

/** VRs with a length of 16 bits (PS3.5 table 7.1-2); all others have two reserved bytes and 32 bits. */
const shortForm = 'AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US'.split(
  ' ',
) as VR[];
const longForm = 'OB OD OF OL OV OW SQ SV UC UN UR UT UV'.split(' ') as VR[];

interface Form {
  readonly vr: VR;
  readonly isShort: boolean;
}

/** By the two letters as one number: this is looked up for every element of every file. */
const forms = new Map<number, Form>();
const code = (first: number, second: number): number => first * 0x100 + second;
for (const vr of [...shortForm, ...longForm]) {
  forms.set(code(vr.charCodeAt(0), vr.charCodeAt(1)), { vr, isShort: shortForm.includes(vr) });
}

const shorts: ReadonlySet<VR> = new Set(shortForm);
const all: ReadonlySet<string> = new Set([...shortForm, ...longForm]);
export const isVR = (text: string): text is VR => all.has(text);
export const isShortForm = (vr: VR): boolean => shorts.has(vr);

export interface ElementHeader {
  readonly tag: Tag;
  readonly vr: VR;
  /** Or `undefinedLength`. */
  readonly length: number;
  /** Bytes of the header itself: 8 or 12. */
  readonly size: 8 | 12;
}

export const malformed = (at: number, tag: Tag | undefined, detail: string): AppError =>
  new AppError('DICOM_MALFORMED', {
    at,
    detail,
    ...(tag === undefined ? {} : { tag: formatTag(tag) }),
  });

/** The tag that stands `ahead` bytes from here. */
export const readTag = (input: ByteQueue, bigEndian: boolean, ahead = 0): Tag =>
  tagOf(input.uint16(ahead, bigEndian), input.uint16(ahead + 2, bigEndian));

/** The next element's header, or undefined while there are too few bytes. Takes nothing from the queue. */
export function readElementHeader(input: ByteQueue, encoding: Encoding): ElementHeader | undefined {
  if (input.available < 8) return undefined;
  const tag = readTag(input, encoding.bigEndian);
  const big = encoding.bigEndian;
  if (!encoding.explicitVR) {
    return { tag, vr: implicitVR(tag), length: input.uint32(4, big), size: 8 };
  }
  const form = forms.get(code(input.at(4), input.at(5)));
  if (form === undefined) throw malformed(input.position, tag, 'unknown VR');
  const { vr } = form;
  if (form.isShort) return { tag, vr, length: input.uint16(6, big), size: 8 };
  if (input.available < 12) return undefined;
  // the two reserved bytes are not looked at: real files leave rubbish in them, and they are never written again
  return { tag, vr, length: input.uint32(8, big), size: 12 };
}
