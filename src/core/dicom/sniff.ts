// How to read a file without preamble and file meta (PS3.10 §7.1 demands them; old archives lack them). Guessing is only
// allowed where the first bytes leave no doubt: every header in sight must fit the dictionary.

import { AppError } from '../errors.ts';
import { ByteQueue } from './byte-queue.ts';
import { groupOf, type Encoding, type Tag } from './dataset.ts';
import { implicitVR, isForbiddenGroup, isGroupLength, lookup } from './dictionary.ts';
import { readElementHeader, readTag, undefinedLength } from './element-header.ts';

/** What the walker waits for before it decides: 128 bytes of preamble and DICM (PS3.10 §7.1). */
export const sniffBytes = 132;

export type Sniffed =
  | { readonly kind: 'part10' }
  /** Group 0002 without a preamble. */
  | { readonly kind: 'meta' }
  | { readonly kind: 'dataset'; readonly encoding: Encoding }
  | { readonly kind: 'other' };

const candidates: readonly Encoding[] = [
  { explicitVR: true, bigEndian: false },
  { explicitVR: true, bigEndian: true },
  { explicitVR: false, bigEndian: false },
];

/** `start`: the first 132 bytes, or the whole file where it is shorter. */
export function sniff(start: Uint8Array): Sniffed {
  if (start.length >= sniffBytes && String.fromCharCode(...start.subarray(128, 132)) === 'DICM') {
    return { kind: 'part10' };
  }
  const [explicitLittle] = candidates;
  if (explicitLittle !== undefined && fits(start, explicitLittle, 0x0002)) return { kind: 'meta' };
  const encoding = candidates.find((candidate) => fits(start, candidate, 0x0008));
  return encoding === undefined ? { kind: 'other' } : { kind: 'dataset', encoding };
}

/** Do all element headers in sight fit, from the first group on, in ascending order and with the dictionary's VRs? */
function fits(start: Uint8Array, encoding: Encoding, firstGroup: number): boolean {
  const input = new ByteQueue();
  input.push(start);
  let last: Tag = -1;
  while (input.available >= 8) {
    const tag = readTag(input, encoding.bigEndian);
    if (last === -1 && groupOf(tag) !== firstGroup) return false;
    // behind the file meta another encoding may begin
    if (firstGroup === 0x0002 && groupOf(tag) !== firstGroup) return true;
    if (tag <= last || (groupOf(tag) !== 0x0002 && isForbiddenGroup(tag))) return false;
    const header = headerOrNone(input, encoding);
    if (header === 'misfit') return false;
    if (header === 'short') break;
    if (!isGroupLength(tag) && lookup(tag) === undefined) return last !== -1;
    if (!vrFits(tag, header.vr)) return false;
    // a sequence or a long value: what was seen so far decides
    if (header.vr === 'SQ' || header.length === undefinedLength)
      return last !== -1 || isKnownStart(tag);
    if (header.length % 2 === 1 || (last === -1 && header.length > 1024)) return false;
    last = tag;
    if (header.size + header.length >= input.available) return true;
    input.skip(header.size + header.length);
  }
  return last !== -1;
}

function headerOrNone(
  input: ByteQueue,
  encoding: Encoding,
): Exclude<ReturnType<typeof readElementHeader>, undefined> | 'short' | 'misfit' {
  try {
    return readElementHeader(input, encoding) ?? 'short';
  } catch (error) {
    if (error instanceof AppError) return 'misfit';
    throw error;
  }
}

const isKnownStart = (tag: Tag): boolean => lookup(tag)?.vrs[0] === 'SQ';

function vrFits(tag: Tag, vr: string): boolean {
  const known = lookup(tag)?.vrs ?? [implicitVR(tag)];
  return vr === 'UN' || known.some((one) => one === vr);
}
