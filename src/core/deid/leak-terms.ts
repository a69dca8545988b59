// What an original file says about a person, as search terms for the leak check. It lists what it looks for by itself, not from
// the table, and goes by none of the de-identification's rules: a mistake there must not hide itself here. Both use the
// dictionary, the decoding of text and the lists of common words (common-words.ts).

import type { DataSet, Element, Tag, ValueElement, VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { latin1 } from '../dicom/latin1.ts';
import { decodeText, splitPersonName } from '../dicom/text.ts';
import { commonWords, namesNobody } from './common-words.ts';
import { mobilesIn, nationalIdsIn } from './leak-numbers.ts';
import { bytesOfValue, spellingsOf } from './leak-spellings.ts';
import {
  classAt,
  fold,
  originalReadings,
  squeeze,
  wordsOf,
  type Squeezed,
} from './leak-terms-text.ts';

export type TermKind = 'name' | 'id' | 'national-id' | 'phone' | 'address';

export interface Term {
  readonly kind: TermKind;
  readonly text: string;
  /** Where delimiters may stand inside of it: anywhere, or where the original had them. */
  readonly inside: 'anywhere' | ReadonlySet<number>;
  /** The name of a person with family and given name: counts in coded values too. */
  readonly isFullName: boolean;
  /** Too short or too common: counts only where it is the whole value. */
  readonly isWeak: boolean;
}

/** Opaque to callers. Never log it: it holds what must not be seen. */
export interface LeakTerms {
  /** By text; of two terms with one text the one that finds more. */
  readonly terms: ReadonlyMap<string, Term>;
  /** YYYYMMDD. */
  readonly dates: ReadonlySet<string>;
  readonly uids: ReadonlySet<string>;
  /** Names and IDs as they were read, to be written down in other charsets. */
  readonly spellings: ReadonlyMap<string, TermKind>;
  /** The same as the bytes that they were, one character a byte, where these are not plain ASCII. */
  readonly asBytes: ReadonlyMap<string, TermKind>;
}

export interface TermOptions {
  /** Does the profile keep this attribute as it is, in these sequences? What it keeps on purpose is no leak. */
  readonly isKept?: (tag: Tag, path: readonly Tag[]) => boolean;
  /** SpecificCharacterSet (0008,0005) that holds where the dataset does not say, e.g. of the header for a trailer. */
  readonly charset?: readonly string[];
}

export const noTerms: LeakTerms = {
  terms: new Map(),
  dates: new Set(),
  uids: new Set(),
  spellings: new Map(),
  asBytes: new Map(),
};

// prettier-ignore
const nameTags: ReadonlySet<Tag> = new Set([
  0x00080090, 0x0008009c, 0x00081048, 0x00081050, 0x00081060, 0x00081070, 0x00100010, 0x00101001, 0x00101005,
  0x00101060, 0x00102297, 0x00321032, 0x00400006, 0x00401010, 0x00402008, 0x0040a123, 0x00700084,
]);
// PatientID, other IDs, accession, study ID, admission, episode, order, procedure and specimen numbers.
// prettier-ignore
const idTags: ReadonlySet<Tag> = new Set([
  0x00080050, 0x00100020, 0x00101000, 0x00101090, 0x00200010, 0x00380010, 0x00380060, 0x00400009, 0x00400253,
  0x00401001, 0x00402006, 0x00402007, 0x00402016, 0x00402017,
]);
const phoneTags: ReadonlySet<Tag> = new Set([
  0x00080094, 0x00102154, 0x00102155, 0x00401103, 0x00401104,
]);
const addressTags: ReadonlySet<Tag> = new Set([0x00101040, 0x00080092, 0x00401102]);
// prettier-ignore
const uidTags: ReadonlySet<Tag> = new Set([
  0x00080018, 0x00081155, 0x0020000d, 0x0020000e, 0x00200052, 0x00200200, 0x00209164, 0x00880140, 0x00080014,
  0x00081195, 0x0040a124, 0x30060024, 0x300600c2,
]);

// Of birth, study, series, acquisition, content and instance: dates also where the file gives them another VR.
// prettier-ignore
const dateTags: ReadonlySet<Tag> = new Set([
  0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002a, 0x00100030, 0x00380020, 0x00400002, 0x00400244,
]);

/** All of them, so that each element of a file is looked up once. */
const kindOf = new Map<Tag, TermKind | 'date' | 'uid'>();
for (const [kind, tags] of [
  ['name', nameTags],
  ['id', idTags],
  ['phone', phoneTags],
  ['address', addressTags],
  ['date', dateTags],
  ['uid', uidTags],
] as const) {
  for (const tag of tags) kindOf.set(tag, kind);
}

interface Reader {
  readonly kind: TermKind;
  readonly read: (value: string) => void;
}

class Collector {
  readonly terms = new Map<string, Term>();
  readonly dates = new Set<string>();
  readonly uids = new Set<string>();
  readonly spellings = new Map<string, TermKind>();
  readonly asBytes = new Map<string, TermKind>();
  /** The same for what the profile keeps. */
  readonly #kept: Collector | undefined;
  readonly #isKept: (tag: Tag, path: readonly Tag[]) => boolean;

  constructor(isKept: (tag: Tag, path: readonly Tag[]) => boolean, kept?: Collector) {
    this.#isKept = isKept;
    this.#kept = kept;
  }

  dataSet(dataset: DataSet, inherited: readonly string[], path: readonly Tag[] = []): void {
    const own = dataset.elements.find((element) => element.tag === 0x00080005);
    const charset = own?.kind === 'value' ? decodeText(own.value, [], 'CS').split('\\') : inherited;
    for (const element of dataset.elements) this.#element(element, charset, path);
  }

  result(): LeakTerms {
    for (const text of this.#kept?.terms.keys() ?? []) this.terms.delete(text);
    for (const day of this.#kept?.dates ?? []) this.dates.delete(day);
    for (const uid of this.#kept?.uids ?? []) this.uids.delete(uid);
    for (const text of this.#kept?.spellings.keys() ?? []) this.spellings.delete(text);
    for (const bytes of this.#kept?.asBytes.keys() ?? []) this.asBytes.delete(bytes);
    const { terms, dates, uids, spellings, asBytes } = this;
    return { terms, dates, uids, spellings, asBytes };
  }

  #element(element: Element, charset: readonly string[], path: readonly Tag[]): void {
    if (element.kind === 'sequence') {
      const below = [...path, element.tag];
      for (const item of element.items) this.dataSet(item, charset, below);
    } else if (element.kind === 'value' && element.value.length > 0) {
      const isKept = this.#kept !== undefined && this.#isKept(element.tag, path);
      const target = (isKept ? this.#kept : undefined) ?? this;
      target.#value(element, charset);
      // kept on purpose is the number of an attribute for numbers, not one that somebody typed into a text
      if (target === this || !idTags.has(element.tag)) this.#numbersByForm(element);
      else target.#numbersByForm(element);
    }
  }

  #value(element: ValueElement, charset: readonly string[]): void {
    const { tag, value } = element;
    const vr = element.vr === 'UN' ? (lookup(tag)?.vrs[0] ?? 'LO') : element.vr;
    // a name is one whatever the file calls its element, and so is a date
    const kind = vr === 'PN' ? 'name' : kindOf.get(tag);
    if (kind === 'uid') return this.#uids(value);
    if (vr === 'DA' || vr === 'DT' || kind === 'date') this.#date(value);
    if (kind === undefined || kind === 'date') return;
    const reader = this.#reader(kind);
    const decodeAs = textVRs.has(vr) ? vr : 'LO';
    for (const text of originalReadings(value, () => decodeText(value, charset, decodeAs))) {
      for (const one of text.split('\\')) reader.read(one);
    }
    for (const bytes of bytesOfValue(value)) this.asBytes.set(bytes, reader.kind);
  }

  /** Digits are digits in every charset, so that this costs no decoding of the many values that are nothing else. */
  #numbersByForm({ vr, value }: ValueElement): void {
    if (value.length < 11 || !(vr === 'UN' || textVRs.has(vr))) return;
    const raw = latin1(value);
    for (const number of nationalIdsIn(raw.toLowerCase()))
      this.#add('national-id', squeeze(number));
    // in short fields such a number may be one of a device
    if (vr === 'LT' || vr === 'ST' || vr === 'UT')
      mobilesIn(raw).forEach((one) => this.#phone(one));
  }

  #reader(kind: TermKind): Reader {
    if (kind === 'name') return { kind, read: (one) => this.#name(one) };
    if (kind === 'id') return { kind, read: (one) => this.#id(one) };
    if (kind === 'phone') return { kind, read: (one) => this.#phone(one) };
    return { kind, read: (one) => this.#address(one) };
  }

  #name(value: string): void {
    for (const group of splitPersonName(value)) {
      for (const spelling of spellingsOf(group)) this.spellings.set(spelling, 'name');
      const family = squeeze(fold(group.family));
      const given = squeeze(fold(group.given));
      const middle = squeeze(fold(group.middle));
      const parts = [family, given, middle].filter((part) => part.text !== '');
      const isWhole = parts.length === 1 && parts[0]?.edges.size === 2;
      for (const part of parts) this.#namePart(part, isWhole);
      const [f, g, m] = [family.text, given.text, middle.text];
      if (f !== '' && g !== '') for (const text of [f + g, g + f]) this.#fullName(text);
      if (f !== '' && g !== '' && m !== '') {
        for (const text of [f + g + m, f + m + g, g + m + f]) this.#fullName(text);
      }
      const words = wordsOf(fold(group.family));
      // A name that was typed into one component: `WANG XIAODONG`.
      if (g === '' && words.length === 2) this.#fullName(`${words[1] ?? ''}${words[0] ?? ''}`);
    }
  }

  /** A common word that is but a part of the name says something with the rest of the name only. */
  #namePart(part: Squeezed, isWhole: boolean): void {
    let from = 0;
    for (const edge of [...part.edges].slice(1)) {
      const word = part.text.slice(from, edge);
      if (isWhole || !commonWords.has(word)) this.#add('name', squeeze(word));
      from = edge;
    }
    if (part.edges.size > 2) this.#add('name', part);
  }

  #fullName(text: string): void {
    const isWeak = isShort(text, 4);
    this.#put({ kind: 'name', text, inside: 'anywhere', isFullName: true, isWeak });
  }

  #id(value: string): void {
    const id = squeeze(fold(value));
    this.#add('id', id);
    this.spellings.set(value.trim(), 'id');
    const digits = id.text.replace(/^\D+/, '');
    if (digits !== id.text && /^\d{6,}$/.test(digits)) this.#add('id', squeeze(digits));
    const plain = id.text.replace(/^0+/, '');
    if (plain !== id.text && /^\d{5,}$/.test(plain)) this.#add('id', squeeze(plain));
  }

  #phone(value: string): void {
    if (value.includes('@')) this.#address(value.replace(/^[a-z]+:/i, ''));
    const digits = value.normalize('NFKC').replaceAll(/\D/g, '').replace(/^00/, '');
    if (digits.length < 7) return;
    const local = digits.replace(/^(?:86|1|0)/, '');
    for (const text of new Set([digits, local])) {
      if (text.length < 7) continue;
      this.#put({ kind: 'phone', text, inside: 'anywhere', isFullName: false, isWeak: false });
    }
  }

  #address(value: string): void {
    const { text } = squeeze(fold(value));
    if (isShort(text, 8)) return;
    this.spellings.set(value.trim(), 'address');
    this.#put({ kind: 'address', text, inside: 'anywhere', isFullName: false, isWeak: false });
  }

  #add(kind: TermKind, part: Squeezed): void {
    const { text } = part;
    if (text === '' || namesNobody.has(text)) return;
    const least = kind === 'name' && /^\d+$/.test(text) ? 6 : 4;
    const isWeak = isShort(text, least) || commonWords.has(text);
    const isLong = text.length >= (/^\d+$/.test(text) ? 8 : 6);
    const inside = kind !== 'name' && isLong ? 'anywhere' : part.edges;
    this.#put({ kind, text, inside, isFullName: false, isWeak });
  }

  #put(term: Term): void {
    putTerm(this.terms, term);
  }

  #date(value: Uint8Array): void {
    for (const text of latin1(value).split('\\')) {
      const day = text.trim().replaceAll('.', '').slice(0, 8);
      if (/^(?:1[89]|2[01])\d{6}$/.test(day) && day !== '19000101') this.dates.add(day);
    }
  }

  #uids(value: Uint8Array): void {
    for (const text of latin1(value).split('\\')) {
      const uid = text.replaceAll(/[\0 ]/g, '');
      if (uid.length >= 8 && !uid.startsWith('1.2.840.10008.')) this.uids.add(uid);
    }
  }
}

const textVRs: ReadonlySet<VR> = new Set<VR>([
  'AE',
  'CS',
  'LO',
  'LT',
  'PN',
  'SH',
  'ST',
  'UC',
  'UR',
  'UT',
  'IS',
  'DS',
]);

/** Under `least` letters or digits, or under two characters of a script without spaces. */
function isShort(text: string, least: number): boolean {
  if (text.length >= least) return false;
  for (let i = 0; i < text.length; i++) if (classAt(text, i) === 'cjk') return text.length < 2;
  return true;
}

/**
 * What to search for, from an original dataset (a header or a trailer) with all that is nested in it: names with each part and
 * both orders, IDs, accession and order numbers, phone numbers, addresses, Chinese identity numbers in any text, dates, UIDs.
 */
export function collectTerms(dataset: DataSet, how: TermOptions = {}): LeakTerms {
  const never = (): boolean => false;
  const collector = new Collector(how.isKept ?? never, new Collector(never));
  collector.dataSet(dataset, how.charset ?? []);
  return collector.result();
}

/** Of two terms with one text the one stays that finds more. */
export function putTerm(terms: Map<string, Term>, term: Term): void {
  const before = terms.get(term.text);
  const finds = (one: Term): number =>
    (one.isWeak ? 0 : 4) + (one.inside === 'anywhere' ? 2 : 0) + (one.isFullName ? 1 : 0);
  if (before === undefined || finds(term) > finds(before)) terms.set(term.text, term);
}

/** Both together: header and trailer of a file. */
export function mergeTerms(a: LeakTerms, b: LeakTerms): LeakTerms {
  const terms = new Map(a.terms);
  for (const term of b.terms.values()) putTerm(terms, term);
  return {
    terms,
    dates: new Set([...a.dates, ...b.dates]),
    uids: new Set([...a.uids, ...b.uids]),
    spellings: new Map([...a.spellings, ...b.spellings]),
    asBytes: new Map([...a.asBytes, ...b.asBytes]),
  };
}
