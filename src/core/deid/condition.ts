// The `when` of a profile's rule: a comparison with attributes of the file's top level, read before anything is
// changed. The language is small on purpose, so that an IRB can read it:
//   Modality = MR            any of the values is MR
//   Modality != US           none of the values is US (also where there is none)
//   SeriesDescription contains DOSE
//   PatientAge exists        PatientAge absent
// joined by `and`; a value with that word in it stands in quotes. Letters' case and outer blanks do not count.

import type { DataSet, Tag } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { charsetsOf, findElement, hasValue, valuesOf } from './reading.ts';
import { formatPattern, parseTagPattern } from './selector.ts';
import { freeText, strictText } from './action.ts';

export type Test =
  | { readonly tag: Tag; readonly is: '=' | '!=' | 'contains'; readonly value: string }
  | { readonly tag: Tag; readonly is: 'exists' | 'absent' };

/** All of them must hold. */
export type Condition = readonly Test[];

/** The condition, or what is wrong with it. */
export function parseCondition(text: string): Condition | string {
  const tests: Test[] = [];
  // a value in quotes may hold the word
  for (const part of text.match(/(?:"[^"]*"|'[^']*'|(?!\s+and\s)[^])+/gi) ?? ['']) {
    const test = parseTest(part.replace(/^\s*and\s+/i, '').trim());
    if (typeof test === 'string') return test;
    tests.push(test);
  }
  const clash = tests.find((one) => tests.some((other) => excludes(one, other)));
  if (clash === undefined) return tests;
  return `the condition can never hold: it asks two things of ${nameOf(clash.tag)} that exclude each other`;
}

/** Can no file meet both? */
function excludes(one: Test, other: Test): boolean {
  if (one.tag !== other.tag) return false;
  if (one.is === 'absent') return ['=', 'contains', 'exists'].includes(other.is);
  if (one.is !== '=' || !('value' in other)) return false;
  const isSingle = lookup(one.tag)?.vm === '1';
  if (other.is === '!=') return one.value === other.value;
  return isSingle && other.is === '=' && one.value !== other.value;
}

const nameOf = (tag: Tag): string =>
  lookup(tag)?.keyword ?? formatPattern({ tag, mask: 0xffffffff });

function parseTest(text: string): Test | string {
  const match =
    /^(\w+|\([\dA-Fa-f]{4},[\dA-Fa-f]{4}\))\s*(?:(=|!=|\bcontains\b)\s*(\S.*)|\b(exists|absent))$/i.exec(
      text,
    );
  if (match === null) {
    return `"${text}" is not a condition; write it like "Modality = MR", "SeriesDescription contains DOSE" or "PatientAge exists"`;
  }
  const [, name = '', operator = '', value = '', presence] = match;
  const pattern = parseTagPattern(name);
  if (pattern === undefined || pattern.mask !== 0xffffffff) {
    return `"${name}" is not a keyword or tag of the standard`;
  }
  if (presence !== undefined) {
    return { tag: pattern.tag, is: presence.toLowerCase() === 'exists' ? 'exists' : 'absent' };
  }
  const vr = lookup(pattern.tag)?.vrs[0] ?? 'UN';
  if (!freeText.has(vr) && !strictText.has(vr)) {
    return `${formatPattern(pattern)} has VR ${vr}; only texts can be compared`;
  }
  const is = operator.toLowerCase() as '=' | '!=' | 'contains';
  return { tag: pattern.tag, is, value: fold(value.replaceAll(/^(["'])(.*)\1$/g, '$2')) };
}

const fold = (text: string): string => text.normalize('NFKC').trim().toUpperCase();

export function holds(condition: Condition, header: DataSet): boolean {
  if (condition.length === 0) return true;
  const charsets = charsetsOf(header);
  return condition.every((test) => {
    if (!('value' in test)) {
      const element = findElement(header, test.tag);
      return (element !== undefined && hasValue(element)) === (test.is === 'exists');
    }
    const { is, value } = test;
    const values = valuesOf(header, test.tag, charsets).map(fold);
    if (is === 'contains') return values.some((one) => one.includes(value));
    return values.includes(value) === (is === '=');
  });
}

/** As it would be written. */
export const formatCondition = (condition: Condition): string =>
  condition
    .map((test) => {
      const name = nameOf(test.tag);
      if (!('value' in test)) return `${name} ${test.is}`;
      return `${name} ${test.is} ${/\band\b/i.test(test.value) ? `"${test.value}"` : test.value}`;
    })
    .join(' and ');
