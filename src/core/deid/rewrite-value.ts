// Carries out a decision on one element with a value. Split from the walk over the dataset (deidentify.ts) because
// this is where each action's fine print lives.

import type { Element, SequenceElement, Tag, ValueElement, VR } from '../dicom/dataset.ts';
import { keywordOf, lookup } from '../dicom/dictionary.ts';
import { latin1 } from '../dicom/latin1.ts';
import { encodeDeclared } from '../dicom/text-encode.ts';
import { decodeText, decodeValues, isKnownCharset } from '../dicom/text.ts';
import { unreachable } from '../errors.ts';
import { freeText, temporal, textRank } from './action.ts';
import { cleanText } from './clean-text.ts';
import { codeTags } from './code-item.ts';
import { commonWords } from './common-words.ts';
import { capAge, isZone, shiftTemporal } from './dates.ts';
import type { Level, Work } from './deid-work.ts';
import { dummyText, dummyValue, encodeText, padText } from './encode-value.ts';
import { mask, maskCode, maskIdentifying } from './identifying-words.ts';
import { codeItem } from './marks.ts';
import type { Decision } from './policy.ts';
import { isNumberText, keepCode, keepNumber } from './keep-strict.ts';
import { safePrivateVR } from './private-blocks.ts';
import { effectiveVR, hasValue, trimPadding } from './reading.ts';
import { actionOfRow, tableRow } from './table-action.ts';
import { hashUIDs } from './uid.ts';
import { mayStandFor } from './vr-fit.ts';

export function rewriteValue(
  element: ValueElement,
  decision: Decision,
  creator: string | undefined,
  level: Level,
  work: Work,
): Element | undefined {
  const { tag } = element;
  const { action } = decision;
  if (action.kind === 'keep') return keepValue(element, decision, creator, level, work);
  work.count(tag, action.kind);
  switch (action.kind) {
    case 'remove':
      return undefined;
    case 'hold':
      if (hasValue(element)) work.hold(tag);
      return undefined;
    case 'empty':
      return emptied(element);
    case 'dummy':
      return dummy(element, level);
    case 'replace':
      return withText(element, action.value, level) ?? emptied(element);
    case 'pseudonym':
      return withText(element, work.input.subject.code, level) ?? emptied(element);
    case 'hash-uid':
      return hashed(element, work);
    case 'shift-date':
      return shifted(element, work);
    case 'clean':
      return cleaned(element, decision, level, work);
    default:
      return unreachable(action);
  }
}

/** The VR to write: a value that came as UN and that we write anew is given its own (PS3.5 §6.2.2). */
const writtenVR = (element: ValueElement): VR => effectiveVR(element.tag, element.vr);

function emptied(element: ValueElement): Element {
  const vr = writtenVR(element);
  if (vr === 'SQ') return emptySequence(element);
  return { ...element, vr, value: new Uint8Array(0), offset: -1 };
}

/** A sequence that came as UN and could not be read: nothing of it stays. */
const emptySequence = (element: ValueElement): SequenceElement => ({
  kind: 'sequence',
  tag: element.tag,
  vr: 'SQ',
  items: [],
  encoding: { explicitVR: true, bigEndian: false },
  offset: -1,
});

function dummy(element: ValueElement, level: Level): Element {
  const vr = writtenVR(element);
  // what was empty was allowed to be empty; nothing is made up
  if (vr === 'SQ' || element.value.length === 0) return emptied(element);
  const text = dummyText(vr);
  const made = text === undefined ? undefined : withText(element, text, level);
  return made ?? { ...element, vr, value: dummyValue(vr), offset: -1 };
}

function withText(element: ValueElement, text: string, level: Level): Element | undefined {
  const vr = writtenVR(element);
  const value = encodeText(vr, text, level.encoding.bigEndian);
  return value === undefined ? undefined : { ...element, vr, value, offset: -1 };
}

/** Words of the allow-list, Chinese ones where the declared character set has them. */
function withWords(element: ValueElement, text: string, level: Level): Element | undefined {
  if (/^[ -~]*$/.test(text)) return withText(element, text, level);
  const vr = writtenVR(element);
  const value = encodeDeclared(text, level.charsets, vr);
  if (value !== undefined) return { ...element, vr, value, offset: -1 };
  return withText(element, text.replaceAll(/[^ -~]+/g, mask), level);
}

function hashed(element: ValueElement, work: Work): Element {
  const vr = writtenVR(element);
  const text = hashUIDs(latin1(element.value), work.input.uidKey);
  return { ...element, vr, value: padText(text, vr), offset: -1 };
}

/** TimezoneOffsetFromUTC: days are added, so the times of day and their zone stay. */
const timezone: Tag = 0x00080201;

function shifted(element: ValueElement, work: Work): Element | undefined {
  const vr = writtenVR(element);
  if (element.tag === timezone) {
    return isZone(trimPadding(latin1(element.value))) ? element : undefined;
  }
  const kind = temporal.has(vr) ? vr : lookup(element.tag)?.vrs[0];
  if (kind !== 'DA' && kind !== 'DT' && kind !== 'TM') return emptied(element);
  const text = shiftTemporal(latin1(element.value), kind, work.input.subject.dateOffsetDays);
  return { ...element, vr, value: padText(text, vr), offset: -1 };
}

const lengths: Partial<Record<VR, number>> = { SH: 16, CS: 16, LO: 64, PN: 64, ST: 1024 };

/** Where no word may stay, the Basic Profile decides. */
function cleaned(
  element: ValueElement,
  decision: Decision,
  level: Level,
  work: Work,
): Element | undefined {
  const vr = writtenVR(element);
  if (!hasValue(element)) return element; // what says nothing needs no cleaning
  const max = lengths[vr] ?? 10_240;
  const values =
    freeText.has(vr) || vr === 'CS' ? decodeValues(element.value, level.charsets, vr) : [];
  const texts = values.map((value) =>
    cleanText(value, work.identifying().words)?.slice(0, max).trim(),
  );
  if (texts.some((text) => text !== undefined)) {
    const made = withWords(element, texts.map((text) => text ?? '').join('\\'), level);
    if (made !== undefined) return made;
  }
  const row = decision.by === 'table' ? tableRow(element.tag) : undefined;
  if (row === undefined) return level.mode === 'stay' ? emptied(element) : dummy(element, level);
  const basic = actionOfRow(row, element.tag, vr, new Set());
  if (basic.kind === 'remove') return undefined;
  return basic.kind === 'dummy' ? dummy(element, level) : emptied(element);
}

/** A value that may stay, with the doubts that remain about it. */
function keepValue(
  element: ValueElement,
  decision: Decision,
  creator: string | undefined,
  level: Level,
  work: Work,
): Element | undefined {
  if (decision.takeAs !== undefined) {
    return keepStrayed(element, decision, decision.takeAs, creator, level, work);
  }
  const { tag } = element;
  const known = creator === undefined ? undefined : safePrivateVR(creator, tag);
  const vr = known ?? effectiveVR(tag, element.vr);
  // a sequence that nobody could open may hold anything
  if (vr === 'SQ') {
    work.count(tag, 'remove');
    return creator === undefined ? emptySequence(element) : undefined;
  }
  if (known !== undefined && element.vr === 'UN' && isTextForNumbers(vr, element.value)) {
    work.count(tag, 'remove');
    return undefined;
  }
  if (vr === 'AS') return keepAge(element, work);
  if (known === 'UI' || (creator !== undefined && vr === 'UI')) return hashPrivate(element, work);
  if (tag === 0x00080005) return keepCharset(element, work);
  if (decision.by === 'rule') return element;
  if (isNumberText(vr)) return keepNumber(element, vr, work);
  if (vr === 'CS') return keepCode(element, work);
  if (!freeText.has(vr)) return element;
  if (level.mode === 'stay') return keepText(element, vr, level, work);
  if (codeTags.has(tag) && level.isStandardCode()) return element;
  if (level.mode === 'clean') {
    work.count(tag, 'clean');
    return cleaned(element, decision, level, work);
  }
  work.count(tag, 'dummy');
  return dummy(element, level);
}

/** A value under a VR that is not its attribute's own: judged by that, and written under it. */
function keepStrayed(
  element: ValueElement,
  { takeAs: _, ...decision }: Decision,
  vr: VR,
  creator: string | undefined,
  level: Level,
  work: Work,
): Element | undefined {
  if (mayStandFor(latin1(element.value), vr)) {
    return keepValue({ ...element, vr }, decision, creator, level, work);
  }
  work.count(element.tag, 'remove');
  return undefined;
}

/** Words where the list of safe private attributes says numbers, in a file that does not give the VR. */
const isTextForNumbers = (vr: VR, value: Uint8Array): boolean =>
  textRank(vr) === 0 && /^[ -~]*[A-Za-z]{3}[ -~]*\0?$/.test(latin1(value));

/** Free text that stays, but for what in it names somebody of this file. */
function keepText(element: ValueElement, vr: VR, level: Level, work: Work): Element {
  if (element.value.length === 0) return element;
  let isMasked = false;
  const texts = decodeValues(element.value, level.charsets, vr).map((text) => {
    const masked = maskIdentifying(text, work.identifying());
    if (masked !== undefined) isMasked = true;
    return masked ?? text.replaceAll(/[^ -~]+/g, mask);
  });
  if (!isMasked || isOfCode(element, level, work)) return element;
  work.count(element.tag, 'clean');
  return withText(element, texts.join('\\'), level) ?? dummy(element, level);
}

/** A code of a published scheme is a standard's word; in a scheme of somebody's own are the words of that somebody. */
function isOfCode({ tag, value }: ValueElement, level: Level, work: Work): boolean {
  if (!codeTags.has(tag)) return false;
  if (level.isStandardCode()) return true;
  const text = trimPadding(latin1(value));
  const isWord = text.length !== 3 || commonWords.has(text.toLowerCase());
  return isWord && maskCode(text, work.identifying()) === undefined;
}

/** The name of a character set that nobody knows says nothing, and may say something else. */
function keepCharset(element: ValueElement, work: Work): Element {
  if (isKnownCharset(decodeValues(element.value, [], 'CS'))) return element;
  work.count(element.tag, 'empty');
  return emptied(element);
}

function keepAge(element: ValueElement, work: Work): Element {
  const text = decodeText(element.value, [], 'AS').trim();
  const age = text === '' ? '' : capAge(text);
  if (age === text) return element;
  work.count(element.tag, age === undefined ? 'empty' : 'replace');
  return { ...element, vr: 'AS', value: padText(age ?? '', 'AS'), offset: -1 };
}

/** UIDs among the private attributes that stay are instances' as well. */
function hashPrivate(element: ValueElement, work: Work): Element {
  if (work.input.policy.options.has('retain-uids')) return element;
  if (!/^[\d.\\]*$/.test(trimPadding(latin1(element.value)))) return emptiedPrivate(element);
  work.count(element.tag, 'hash-uid');
  const text = hashUIDs(latin1(element.value), work.input.uidKey);
  return { ...element, value: padText(text, 'UI'), offset: -1 };
}

const emptiedPrivate = (element: ValueElement): Element => ({
  ...element,
  value: new Uint8Array(0),
  offset: -1,
});

/** A code sequence that is to be a dummy: one code that says nothing. Undefined for other sequences. */
export function dummySequence(element: SequenceElement): SequenceElement | undefined {
  if (!keywordOf(element.tag).endsWith('CodeSequence') || element.items.length === 0) {
    return undefined;
  }
  const code = codeItem({ value: 'ANONYMIZED', meaning: 'Anonymized' }, '99CLUBHOUSE');
  return { ...element, items: [code] };
}
