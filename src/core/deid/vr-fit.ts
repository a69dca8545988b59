// Can the VR that a file gives be believed? One that PS3.6 does not know for the attribute is either a drift that programs are
// known for (a longer text for a shorter one, IS for DS, US for SS), or something else stands there than the name
// says. A drifted value is taken for what the attribute is, by the stricter reading, and written so; anything else does not stay.

import type { VR } from '../dicom/dataset.ts';
import { freeText, strictText, temporal } from './action.ts';
import { isValidText } from './encode-value.ts';

const numbers: ReadonlySet<VR> = new Set(['FD', 'FL', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
const isText = (vr: VR): boolean => freeText.has(vr) || strictText.has(vr);
const isBulk = (vr: VR): boolean => vr.startsWith('O');

/**
 * The VR to take a value for that comes as `vr` where one of `expected` belongs; undefined where it cannot be believed. What
 * comes as UN says nothing by itself and is judged by the dictionary elsewhere (reading.ts).
 */
export function takenFor(vr: VR, expected: readonly VR[]): VR | undefined {
  const [first] = expected;
  if (first === undefined || vr === 'UN' || expected.includes(vr)) return first && vr;
  if (isText(first)) {
    // a date in place of a word or a number is a date
    if (!isText(vr) || (temporal.has(vr) && !temporal.has(first))) return undefined;
    return first;
  }
  // numbers of another width are the numbers that they are; a text is none, and no sequence is a value
  if (numbers.has(vr)) return numbers.has(first) || isBulk(first) ? vr : undefined;
  return isBulk(vr) && isBulk(first) ? vr : undefined;
}

/** Is a value, one character a byte, possible for the VR that it is taken for? Free text is judged by its words. */
export const mayStandFor = (text: string, vr: VR): boolean =>
  freeText.has(vr) ||
  isValidText(
    vr,
    text
      .split('\\')
      .map((part) => part.replaceAll(/^[ \0]+|[ \0]+$/g, ''))
      .join('\\'),
  );
