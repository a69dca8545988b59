// Values of VRs with a narrow repertoire that stay: codes, numbers, UIDs. What only looks like one goes, and so does what is a
// date or an ID of this very file or, in a code, a name. Dates are read only where a value has the digits of one.

import type { DataSet, Element, Tag, ValueElement, VR } from '../dicom/dataset.ts';
import { latin1 } from '../dicom/latin1.ts';
import type { Work } from './deid-work.ts';
import { padText } from './encode-value.ts';
import { maskCode } from './identifying-words.ts';
import { datesIn } from './leak-dates.ts';
import { effectiveVR, trimPadding } from './reading.ts';
import { hashUIDs } from './uid.ts';
import { longNumbersIn, mayHoldNumber } from './written-numbers.ts';

export const isNumberText = (vr: VR): vr is 'DS' | 'IS' | 'UI' =>
  vr === 'DS' || vr === 'IS' || vr === 'UI';

/** Letters where only a number can be are not a number; nor is what the file calls a date or an ID elsewhere. */
export function keepNumber(element: ValueElement, vr: 'DS' | 'IS' | 'UI', work: Work): Element {
  const text = latin1(element.value);
  if (vr === 'UI') return keepUID(element, text, work);
  if (/^[\d.+\-eE\\ \0]*$/.test(text) && !isOfFile(text, work)) return element;
  return emptied(element, work);
}

/** UIDs of kinds of things stay; a part of one may be a date or an ID. */
function keepUID(element: ValueElement, text: string, work: Work): Element {
  if (standardUID.test(text)) return element;
  if (!/^[\d.\\ \0]*$/.test(text) || /(?<![.\d])\d{3,}(?![.\d])/.test(text)) {
    return emptied(element, work);
  }
  if (work.input.policy.options.has('retain-uids')) return element;
  const parts = text.split(/[.\\ \0]/).filter((part) => part.length > 6);
  if (!parts.some((part) => isOfFile(part, work))) return element;
  work.count(element.tag, 'hash-uid');
  const value = padText(hashUIDs(trimPadding(text), work.input.uidKey), 'UI');
  return { ...element, value, offset: -1 };
}

const standardUID = /^1\.2\.840\.10008(?:\.\d{1,4})+\0?$/;

/** Does a text of digits say a date of the file, or one of its long IDs? */
function isOfFile(text: string, work: Work): boolean {
  if (!mayHoldNumber(text)) return false;
  const numbers = longNumbersIn(text);
  if (numbers.length === 0) return false;
  const { words } = work.identifying();
  if (numbers.some((one) => words.has(one.replace(/[.]0*$/, '')))) return true;
  return isDateOf(numbers.join('\n'), work);
}

function isDateOf(text: string, work: Work): boolean {
  const found = datesIn(text);
  if (found.size === 0) return false;
  const dates = work.dates();
  return [...found].some((day) => dates.has(day));
}

/** A code (CS): words that name somebody of this file, its IDs and its dates are none. */
export function keepCode(element: ValueElement, work: Work): Element {
  const text = trimPadding(latin1(element.value));
  const isDate = /\d{4}/.test(text) && isDateOf(text.replaceAll('_', ' '), work);
  if (isDate) return emptied(element, work);
  const clean = maskCode(text, work.identifying());
  if (clean === undefined) return element;
  work.count(element.tag, 'clean');
  return { ...element, value: padText(clean, 'CS'), offset: -1 };
}

function emptied(element: ValueElement, work: Work): Element {
  work.count(element.tag, 'empty');
  return { ...element, value: new Uint8Array(0), offset: -1 };
}

/** The days that a file names in its attributes for dates, YYYYMMDD; at all depths. `isKept`: those that stay on purpose do not count. */
export function datesOf(
  dataset: DataSet,
  isKept: (tag: Tag) => boolean,
  into = new Set<string>(),
): ReadonlySet<string> {
  for (const element of dataset.elements) {
    if (element.kind === 'sequence') {
      for (const item of element.items) datesOf(item, isKept, into);
    } else if (element.kind === 'value' && isDated(element) && !isKept(element.tag)) {
      for (const part of latin1(element.value).split('\\')) {
        const day = trimPadding(part).replaceAll('.', '').slice(0, 8);
        if (/^(?:1[89]|2[01])\d{6}$/.test(day)) into.add(day);
      }
    }
  }
  return into;
}

const isDated = ({ tag, vr }: ValueElement): boolean =>
  vr === 'DA' || vr === 'DT' || ['DA', 'DT'].includes(effectiveVR(tag, 'UN'));
