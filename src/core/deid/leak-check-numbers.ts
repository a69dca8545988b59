// What the leak check looks for where numbers are: dates and long IDs that were written as one, a date in an attribute for something
// else, a short text that calls itself numbers.

import { isPrivate, type Tag, type VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { latin1, stripPadding } from '../dicom/latin1.ts';
import type { ReadValue } from './leak-check-reader.ts';
import type { TextSearch } from './leak-check-search.ts';
import { longNumbersIn, mayHoldNumber } from './written-numbers.ts';

/** Dates and long IDs where numbers are; a date under the VR of one in an attribute for something else is a text. */
export function addNumbers(search: TextSearch<Tag>, tag: Tag, vr: VR, raw: string): void {
  if (!mayHoldNumber(raw)) return;
  if (temporal.has(vr)) {
    const own = isPrivate(tag) ? undefined : lookup(tag)?.vrs;
    if (own !== undefined && !own.some((one) => temporal.has(one))) search.add(tag, 'text', raw);
    return;
  }
  for (const number of longNumbersIn(raw)) search.add(tag, 'number', number);
}

const temporal: ReadonlySet<VR> = new Set(['DA', 'DT', 'TM', 'AS']);

/** A short value of bytes may be nothing but a text, or a date as a number. */
export function addShort(search: TextSearch<Tag>, { tag, vr, value }: ReadValue): void {
  if (value.length < 4 || value.length > 64) return;
  const text = value[0]! < 0x20 ? '' : stripPadding(latin1(value));
  if (/^[ -~]{3,64}$/.test(text)) search.add(tag, 'text', text);
  if (value.length === 4 || value.length === 8) {
    for (const number of numbersOf(vr, value)) search.add(tag, 'number', number);
  }
}

/** One number of four or eight bytes, as either byte order reads it; of seven digits or more. */
function numbersOf(vr: VR, value: Uint8Array): readonly string[] {
  const read = readers[vr];
  if (read === undefined || (value.length === 8) !== isLong.has(vr)) return [];
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return [String(read(view, true)), String(read(view, false))].filter((one) =>
    /^\d{7,}$/.test(one),
  );
}

const isLong: ReadonlySet<VR> = new Set(['FD', 'SV', 'UV']);
const readers: Readonly<Partial<Record<VR, (view: DataView, little: boolean) => number | bigint>>> =
  {
    UL: (view, little) => view.getUint32(0, little),
    SL: (view, little) => view.getInt32(0, little),
    FD: (view, little) => view.getFloat64(0, little),
    UV: (view, little) => view.getBigUint64(0, little),
    SV: (view, little) => view.getBigInt64(0, little),
  };
