// What a de-identification did right and wrong, counted as the MIDI-B challenge counts it (arXiv 2507.23608), so that taking
// out too much shows as well as leaving in too much. The answers come from Table E.1-1 as data by a reading of its own,
// not from the policy under test.

import { confidentialityTable } from '../../src/core/deid/confidentiality-table.ts';
import type { Option } from '../../src/core/deid/options.ts';
import { creatorsOf, creatorTag, safePrivateVR } from '../../src/core/deid/private-blocks.ts';
import { formatTag, type DataSet, type Element, type Tag } from '../../src/core/dicom/dataset.ts';
import { isGroupLength, isPrivateCreator, lookup } from '../../src/core/dicom/dictionary.ts';
import { decodeText } from '../../src/core/dicom/text.ts';
import type { Walked } from './walk.ts';

export const categories = [
  'tag_retained',
  'text_notnull',
  'text_retained',
  'text_removed',
  'date_shifted',
  'uid_changed',
  'uid_consistent',
  'patid_consistent',
  'pixels_retained',
] as const;
export type Category = (typeof categories)[number];

export interface Tally {
  readonly right: number;
  readonly total: number;
  /** What went wrong, as `file (gggg,eeee)`: no values. */
  readonly wrong: readonly string[];
}

export interface Scored {
  readonly name: string;
  readonly original: Walked;
  readonly clean: Walked;
  /** Days by which this patient's dates were to move. */
  readonly dateOffsetDays: number;
  readonly subjectCode: string;
}

/** What the standard wants of one attribute under a profile's options. */
type Answer =
  | 'retain'
  | 'remove'
  | 'dummy'
  | 'date'
  | 'uid'
  | 'words'
  | 'subject'
  /** A sequence that stays; of one that becomes a dummy only the shape does, and what is a code. */
  | 'below'
  | 'below-dummy';

/** Where in the nesting, and of whom. */
interface Level {
  readonly charset: readonly string[];
  readonly isDummy: boolean;
  readonly file: Scored;
}

const rows = new Map(confidentialityTable.map((row) => [row[0], row]));
const shapes = [...rows.values()].filter(([tag]) => tag.includes('x'));

function rowOf(tag: Tag): (typeof confidentialityTable)[number] | undefined {
  const digits = tag.toString(16).padStart(8, '0');
  const exact = rows.get(digits) ?? rows.get(digits.toUpperCase());
  if (exact !== undefined || (tag >>> 16) & 1) return exact;
  return shapes.find(([shape]) =>
    Array.from(shape.toLowerCase()).every((digit, i) => digit === 'x' || digit === digits[i]),
  );
}

const isTemporal = (vr: string): boolean => ['DA', 'DT', 'TM'].includes(vr);
const subjectTags: ReadonlySet<Tag> = new Set([0x00100010, 0x00100020, 0x00120040]);

function answerFor(
  tag: Tag,
  creator: string | undefined,
  options: ReadonlySet<Option>,
): Answer | undefined {
  if ((tag >>> 16) & 1) {
    if (creator === undefined || !options.has('retain-safe-private')) return 'remove';
    const vr = safePrivateVR(creator, tag);
    if (vr === 'UI') return options.has('retain-uids') ? 'retain' : 'uid';
    return vr === undefined ? 'remove' : vr === 'SQ' ? 'below' : 'retain';
  }
  const vr = lookup(tag)?.vrs[0];
  if (vr === undefined) return 'remove';
  if (subjectTags.has(tag)) return 'subject';
  const row = rowOf(tag);
  return row === undefined ? unlisted(tag, vr) : listed(row, vr, options);
}

function listed(
  row: (typeof confidentialityTable)[number],
  vr: string,
  options: ReadonlySet<Option>,
): Answer {
  const codes = row[3].split(' ').flatMap((entry) => {
    const [option, code] = entry.split('=');
    return options.has(option as Option) ? [{ option, code }] : [];
  });
  const moves = codes.some(({ option }) => option === 'retain-longitudinal-modified-dates');
  if (moves) return isTemporal(vr) ? 'date' : 'retain';
  if (codes.some(({ code }) => code === 'K')) return vr === 'SQ' ? 'below' : 'retain';
  if (codes.some(({ code }) => code === 'C')) return vr === 'SQ' ? 'below' : 'words';
  const basic = row[2].split('/');
  if (basic.some((code) => code.startsWith('U'))) return vr === 'SQ' ? 'below' : 'uid';
  if (basic.includes('D')) return vr === 'SQ' ? 'below-dummy' : vr === 'UI' ? 'uid' : 'dummy';
  return 'remove';
}

/** What the table does not list stays, but for names, dates and UIDs, of which it says nothing here. */
function unlisted(tag: Tag, vr: string): Answer | undefined {
  const group = tag >>> 16;
  if (vr === 'SQ') return 'below';
  if (group < 8 || group >>> 8 === 0x60 || group === 0x7fe0) return undefined;
  return vr === 'PN' || vr === 'UR' || vr === 'UI' || isTemporal(vr) ? undefined : 'retain';
}

export class Score {
  readonly #options: ReadonlySet<Option>;
  readonly #tallies = new Map<Category, { right: number; total: number; wrong: string[] }>();
  readonly #uids = new Map<string, string>();
  readonly #codes = new Map<string, string>();

  constructor(options: Iterable<Option>) {
    this.#options = new Set(options);
  }

  /** One answer; what is planted is counted by whoever planted it. */
  count(category: Category, isRight: boolean, where: string): void {
    const tally = this.#tallies.get(category) ?? { right: 0, total: 0, wrong: [] };
    this.#tallies.set(category, tally);
    tally.total += 1;
    if (isRight) tally.right += 1;
    else tally.wrong.push(where);
  }

  add(file: Scored): void {
    const { original, clean, name } = file;
    const level: Level = { charset: [], isDummy: false, file };
    this.#dataSet(original.header, clean.header, level, name);
    this.#dataSet(original.trailer, clean.trailer, level, name);
    const pixels = (one: Walked): Buffer => Buffer.concat(one.bulks.map(({ bytes }) => bytes));
    if (original.bulks.length > 0) {
      this.count('pixels_retained', pixels(original).equals(pixels(clean)), name);
    }
    this.#patient(file);
  }

  /** In the order of `categories`, and one for all together. */
  results(): readonly (Tally & { readonly category: Category | 'all' })[] {
    const one = categories.map((category) => {
      const { right, total, wrong } = this.#tallies.get(category) ?? none;
      return { category, right, total, wrong };
    });
    const sum = (pick: (tally: Tally) => number): number =>
      one.reduce((all, tally) => all + pick(tally), 0);
    const [right, total] = [sum((tally) => tally.right), sum((tally) => tally.total)];
    return [...one, { category: 'all', right, total, wrong: [] }];
  }

  #patient({ original, clean, name, subjectCode }: Scored): void {
    const id = textOf(find(original.header, 0x00100020), []).trim();
    const now = textOf(find(clean.header, 0x00100020), []).trim();
    if (id === '') return;
    const before = this.#codes.get(id) ?? now;
    this.#codes.set(id, before);
    this.count('patid_consistent', now === subjectCode && now === before && now !== id, name);
  }

  #dataSet(original: DataSet, clean: DataSet | undefined, above: Level, where: string): void {
    const own = textOf(find(original, 0x00080005), []).split('\\');
    const level = own.join('') === '' ? above : { ...above, charset: own };
    const creators = creatorsOf(original);
    for (const element of original.elements) {
      const { tag } = element;
      if (isGroupLength(tag) || isPrivateCreator(tag) || ours.has(tag)) continue;
      const creator = creators.get(creatorTag(tag) ?? 0);
      const answer = answerFor(tag, creator, this.#options);
      const place = `${where} ${formatTag(tag)}`;
      const after = clean === undefined ? undefined : find(clean, tag);
      if (answer !== undefined) this.#element(element, after, answer, level, place);
    }
  }

  #element(
    before: Element,
    after: Element | undefined,
    answer: Answer,
    level: Level,
    place: string,
  ): void {
    const { charset, file } = level;
    const [old, now] = [textOf(before, charset), textOf(after, charset)];
    const isEmpty = (text: string): boolean => text === '';
    if (answer === 'below' || answer === 'below-dummy') {
      const isDummy = level.isDummy || answer === 'below-dummy';
      return this.#below(before, after, { ...level, isDummy }, place);
    }
    if (answer === 'remove') {
      if (!isEmpty(old)) this.count('text_removed', isEmpty(now), place);
      return;
    }
    if (answer !== 'subject') this.count('tag_retained', after !== undefined, place);
    if (after === undefined || isEmpty(old)) return;
    switch (answer) {
      case 'retain':
        if (level.isDummy && !isCode(before))
          return this.count('text_notnull', !isEmpty(now), place);
        return this.count('text_retained', isSame(old, now, before), place);
      case 'dummy':
        this.count('text_notnull', !isEmpty(now), place);
        return this.count('text_removed', now !== old || old === 'ANONYMIZED', place);
      case 'subject':
        this.count('text_notnull', !isEmpty(now), place);
        return this.count('text_removed', now === file.subjectCode && now !== old, place);
      case 'words':
        return this.count('text_notnull', !isEmpty(now), place);
      case 'date':
        return this.count('date_shifted', isMoved(old, now, before, file.dateOffsetDays), place);
      case 'uid':
        return this.#uid(old, now, place);
    }
  }

  #below(before: Element, after: Element | undefined, level: Level, place: string): void {
    this.count('tag_retained', after !== undefined, place);
    if (before.kind !== 'sequence' || after?.kind !== 'sequence') return;
    for (const [i, item] of before.items.entries()) {
      this.#dataSet(item, after.items[i], level, `${place}[${i + 1}]`);
    }
  }

  #uid(old: string, now: string, place: string): void {
    for (const [i, uid] of old.split('\\').entries()) {
      const made = now.split('\\')[i] ?? '';
      if (uid === '' || uid.startsWith('1.2.840.10008.')) continue;
      this.count('uid_changed', made !== '' && made !== uid, place);
      const before = this.#uids.get(uid) ?? made;
      this.#uids.set(uid, before);
      this.count('uid_consistent', made === before, place);
    }
  }
}

const none = { right: 0, total: 0, wrong: [] };
/** What Clubhouse writes itself, and the character set that it has to keep. */
const ours: ReadonlySet<Tag> = new Set([
  0x00120062, 0x00120063, 0x00120064, 0x00280303, 0x00080005,
]);

/** Value, scheme and meaning of a code, and what is no text. */
const isCode = ({ tag, vr }: Element): boolean =>
  (tag >>> 0 >= 0x00080100 && tag <= 0x00080104) || !/^(LO|LT|SH|ST|UC|UT)$/.test(vr);

const find = (dataset: DataSet, tag: Tag): Element | undefined =>
  dataset.elements.find((element) => element.tag === tag);

/** Numbers and bytes as hexadecimal digits; a sequence as its number of items. */
function textOf(element: Element | undefined, charset: readonly string[]): string {
  if (element === undefined) return '';
  if (element.kind === 'sequence') return element.items.length === 0 ? '' : 'items';
  if (element.kind === 'fragments') return 'fragments';
  const vr = element.vr === 'UN' ? (lookup(element.tag)?.vrs[0] ?? 'UN') : element.vr;
  const isText = /^(AE|AS|CS|D[AST]|IS|L[OT]|PN|S[HT]|TM|U[CIRT])$/.test(vr);
  if (!isText) return Buffer.from(element.value).toString('hex');
  const text = decodeText(element.value, charset, vr);
  return text
    .split('\\')
    .map((part) => part.trim())
    .join('\\')
    .replace(/^\\+$/, '');
}

/** Ages over 89 are one class. */
function isSame(old: string, now: string, { vr }: Element): boolean {
  if (vr === 'AS' && Number.parseInt(old, 10) > 89) return now === '090Y';
  return now === old;
}

function isMoved(old: string, now: string, { tag, vr }: Element, days: number): boolean {
  const kind = vr === 'UN' ? lookup(tag)?.vrs[0] : vr;
  if (kind === 'TM') return now === old;
  const [from, to] = [dayOf(old), dayOf(now)];
  if (from === undefined) return now === '';
  return (
    to !== undefined &&
    to - from === days &&
    now.slice(8) === old.replaceAll('.', kind === 'DA' ? '' : '.').slice(8)
  );
}

function dayOf(text: string): number | undefined {
  const [, year, month, day] = /^(\d{4})[.]?(\d\d)[.]?(\d\d)/.exec(text) ?? [];
  if (year === undefined) return undefined;
  return Date.UTC(Number(year), Number(month) - 1, Number(day)) / 86_400_000;
}
