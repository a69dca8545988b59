// The words by which one file names people and patients. Where free text stays, they are masked in it: descriptions repeat
// names, and scanners fill odd fields with the patient's ID.

import type { DataSet, Tag } from '../dicom/dataset.ts';
import { isPersonName } from '../dicom/dictionary.ts';
import { decodeValues } from '../dicom/text.ts';
import { clinicalTerms } from './clinical-terms.ts';
import { commonWords, isPlaceholder } from './common-words.ts';
import { charsetsOf } from './reading.ts';

export interface Identifying {
  /** Lower case, NFKC: the parts of names of persons and of IDs. */
  readonly words: ReadonlySet<string>;
  /** Whole names and IDs without anything between their letters and digits. */
  readonly wholes: ReadonlySet<string>;
}

/** IDs of the patient, of visits, orders and specimens. */
const ids: ReadonlySet<Tag> = new Set([
  0x00080050, 0x00100020, 0x00101000, 0x00101090, 0x00120040, 0x00200010, 0x00380010, 0x00380060,
  0x00400009, 0x00400253, 0x00401001, 0x00402006, 0x00402007, 0x00402016, 0x00402017,
]);

const word = /[\p{L}\p{N}]+/gu;
const asciiWord = /[A-Za-z0-9]+/g;
const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);
const wordsOf = (text: string): readonly string[] =>
  text.match(isAscii(text) ? asciiWord : word) ?? [];
const fold = (text: string): string =>
  (isAscii(text) ? text : text.normalize('NFKC')).toLowerCase();

/** From all depths. `isKept`: attributes that the profile keeps on purpose identify nobody by its own judgement. */
export function identifyingIn(header: DataSet, isKept: (tag: Tag) => boolean): Identifying {
  const values: string[] = [];
  collect(header, [], isKept, (value) => values.push(value));
  const key = values.join('\\');
  if (last?.key === key) return last.identifying;
  const words = new Set<string>();
  const wholes = new Set<string>();
  for (const value of values) {
    const parts = wordsOf(fold(value));
    if (parts.every(isPlaceholder)) continue;
    for (const part of parts) if (part.length > 1) words.add(part);
    if (parts.length === 0) continue;
    wholes.add(parts.join(''));
    wholes.add(parts.toReversed().join(''));
  }
  const identifying = { words, wholes };
  last = { key, identifying };
  return identifying;
}

/** The slices of a series name the same people, one after the other. */
let last: { readonly key: string; readonly identifying: Identifying } | undefined;

function collect(
  dataset: DataSet,
  inherited: readonly string[],
  isKept: (tag: Tag) => boolean,
  add: (value: string) => void,
): void {
  const own = charsetsOf(dataset);
  const charsets = own.length > 0 ? own : inherited;
  for (const element of dataset.elements) {
    if (element.kind === 'sequence') {
      for (const item of element.items) collect(item, charsets, isKept, add);
    } else if (element.kind === 'value') {
      // a name is one whatever the file calls its element
      const isName = element.vr === 'PN' || isPersonName(element.tag);
      if ((!isName && !ids.has(element.tag)) || isKept(element.tag)) continue;
      for (const value of decodeValues(element.value, charsets, isName ? 'PN' : 'LO')) {
        for (const group of isName ? value.split('=') : [value]) add(group);
      }
    }
  }
}

/** What stands in a text where a word was taken out. */
export const mask = 'XXX';

/**
 * The text with what identifies masked, ASCII then; undefined where nothing does. Words under four letters, or two of a
 * script without spaces, and common words count only as the whole text (SPEC 7).
 */
export function maskIdentifying(text: string, identifying: Identifying): string | undefined {
  let known = masked.get(identifying);
  if (known === undefined) masked.set(identifying, (known = new Map()));
  const before = known.get(text);
  if (before !== undefined || known.has(text)) return before;
  const result = maskAnew(text, identifying);
  if (known.size >= maxMasked) known.clear();
  if (text.length <= maxText) known.set(text, result);
  return result;
}

/** The texts of a series repeat, too. */
const masked = new WeakMap<Identifying, Map<string, string | undefined>>();
const maxMasked = 1000;
const maxText = 1024;

function maskAnew(text: string, identifying: Identifying): string | undefined {
  const folded = fold(text);
  const parts = wordsOf(folded);
  const whole = parts.join('');
  if (whole.length > 1 && (identifying.wholes.has(whole) || identifying.words.has(whole))) {
    return mask;
  }
  const counts = (part: string): boolean =>
    identifying.words.has(part) &&
    (part.length >= 4 || isIdeographic(part)) &&
    !commonWords.has(part);
  if (!parts.some(counts)) return undefined;
  return text
    .normalize('NFKC')
    .replaceAll(word, (part) => (counts(part.toLowerCase()) ? mask : part))
    .replaceAll(/[^ -~]+/g, mask);
}

/**
 * The same for a code (CS), undefined where nothing in it names somebody. Only whole words count, and none that clinical language
 * or a version number has: four letters, or an ID of six digits.
 */
export function maskCode(text: string, identifying: Identifying): string | undefined {
  let known = maskedCodes.get(identifying);
  if (known === undefined) maskedCodes.set(identifying, (known = new Map()));
  const before = known.get(text);
  if (before !== undefined || known.has(text)) return before;
  const counts = (part: string): boolean =>
    isWordOfCode(part) && identifying.words.has(part) && !clinicalTerms.has(part);
  const isNamed = wordsOf(fold(text)).some(counts);
  const result = isNamed
    ? text.replaceAll(asciiWord, (part) => (counts(part.toLowerCase()) ? mask : part))
    : undefined;
  if (known.size >= maxMasked) known.clear();
  if (text.length <= maxText) known.set(text, result);
  return result;
}

const maskedCodes = new WeakMap<Identifying, Map<string, string | undefined>>();

/** Can a word in a code be a name or an ID? Shared with the leak check, so that it does not hold what stayed here on purpose. */
export const isWordOfCode = (part: string): boolean =>
  part.length >= (/^\d+$/.test(part) ? 6 : 4) && !commonWords.has(part);

const isIdeographic = (part: string): boolean => part.length > 1 && /\p{Lo}/u.test(part);
