// After de-identification: is anything of the person still there (SPEC 7)? It reads back the very bytes that were written
// with another reader, and searches them for what the original held. It must not cry wolf, so what is a number, a UID or a
// code by its form is not searched; what only claims to be one is.

import { gb18030BytesOf } from '../dicom/charset-bytes.ts';
import { latin1, stripPadding } from '../dicom/latin1.ts';
import { decodeText } from '../dicom/text.ts';
import { formatTag, isPrivate, type Tag } from '../dicom/dataset.ts';
import { knownValues, maxKnownLength, type KnownValues } from './leak-check-known.ts';
import { addNumbers, addShort } from './leak-check-numbers.ts';
import { readBack, type ReadValue } from './leak-check-reader.ts';
import { TextSearch, type FoundKind } from './leak-check-search.ts';
import type { LeakTerms, Term } from './leak-terms.ts';
import {
  blobReadings,
  fold,
  isPlain,
  printableRuns,
  readings,
  squeeze,
} from './leak-terms-text.ts';
import { ByteSearch } from './leak-needles.ts';
import { leastRun, NumberSearch } from './leak-number-arrays.ts';

export type LeakKind = FoundKind | 'unreadable';

export interface Leak {
  /** `(gggg,eeee)`; `name` for a file or entry name; `file` where it could not be read back. */
  readonly tag: string;
  readonly kind: LeakKind;
}

export interface Expected {
  /** What Clubhouse put in place of the patient: is not searched. */
  readonly subjectCodes: readonly string[];
  /** SpecificCharacterSet (0008,0005) of the file, for a part that does not hold it (the trailer). */
  readonly charset?: readonly string[];
}

/**
 * `part10`: the head (preamble, DICM, group 0002) with the written header behind it, or with the written trailer; not
 * deflated, without pixel data. Says where something was found and what kind of thing, never the value.
 */
export function findLeaks(
  part10: Uint8Array,
  terms: LeakTerms,
  expected: Expected,
): readonly Leak[] {
  let values: readonly ReadValue[];
  try {
    values = readBack(part10, expected.charset ?? []);
  } catch {
    // What dicom-parser throws may carry the dataset, so it goes no further.
    return [{ tag: 'file', kind: 'unreadable' }];
  }
  const used = withoutCodes(terms, expected.subjectCodes);
  const search = new TextSearch<Tag>(used);
  const known = knownValues(used, expected.subjectCodes);
  const asBytes = new ByteSearch(used);
  const inNumbers = new NumberSearch(used);
  const look: Look = { terms, search, asBytes, inNumbers, known, fresh: [], leaks: [] };
  for (const value of values) {
    if (value.value.length > 0 && !isOurs(value, expected)) addValue(look, value);
  }
  look.leaks.push(...search.results());
  if (look.leaks.length === 0) known.add(look.fresh);
  return distinct(look.leaks.map(({ place, kind }) => ({ tag: formatTag(place), kind })));
}

/**
 * The same for the name of a file or of an entry, with `/`. `madeBy: 'us'`: made of codes and numbers by core/names, so
 * that short numbers in it are series and instance numbers.
 */
export function findLeaksInName(
  name: string,
  terms: LeakTerms,
  how: { readonly subjectCodes: readonly string[]; readonly madeBy: 'us' | 'client' },
): readonly Leak[] {
  let rest = name;
  for (const code of how.subjectCodes) if (code !== '') rest = rest.replaceAll(code, '/');
  const used = withoutCodes(terms, how.subjectCodes);
  const search = new TextSearch<undefined>(how.madeBy === 'client' ? used : inOurNames(used));
  return findIn(rest, search, new ByteSearch(used));
}

/** `rest`: of a name, without our codes. For `findLeaksInName`, and for the names in a zip (leak-name-index). */
export function findIn(
  rest: string,
  search: TextSearch<undefined>,
  asBytes: { find(raw: string, where: 'text'): ReadonlySet<FoundKind> },
): readonly Leak[] {
  for (const part of rest.split('/')) {
    search.add(undefined, 'text', part.replace(/(?:\.(?:dcm|zip|gpg|pgp))+$/i, ''));
  }
  const kinds = new Set(search.results().map(({ kind }) => kind));
  for (const raw of bytesOfName(rest)) {
    for (const kind of asBytes.find(raw, 'text')) kinds.add(kind);
  }
  return [...kinds].map((kind) => ({ tag: 'name', kind }));
}

function inOurNames(terms: LeakTerms): LeakTerms {
  const counts = ({ text }: Term): boolean => !/^\d{1,7}$/.test(text);
  return {
    ...terms,
    terms: new Map([...terms.terms].filter(([, term]) => counts(term))),
    dates: new Set<string>(),
  };
}

/** A client's name in a charset that nobody declared was read as GB18030 or Latin-1 (adapters/zip/entry-name); so back again. */
function bytesOfName(name: string): readonly string[] {
  // each part by itself, for the others may be in another charset; then together, since each search has its price
  const parts = name.split('/').filter((part) => !isPlain(part));
  const asLatin1 = parts.filter((part) => !/[^\0-\xff]/.test(part));
  const chinese = parts.map(gb18030BytesOf).filter((part) => part !== undefined);
  return [asLatin1, chinese].filter(({ length }) => length > 0).map((some) => some.join('/'));
}

/** What a subject code happens to share with the original, e.g. a list of codes that are the old IDs, is no leak. */
function withoutCodes(terms: LeakTerms, codes: readonly string[]): LeakTerms {
  const same = codes.map(squeezedCode).filter((text) => terms.terms.has(text));
  if (same.length === 0) return terms;
  const rest = new Map(terms.terms);
  for (const text of same) rest.delete(text);
  return { ...terms, terms: rest };
}

/** As the text of a term. */
export const squeezedCode = (code: string): string => squeeze(fold(code)).text;

/** Written by Clubhouse itself: the subject code, and the marks of PS3.15 E.1.1 with their own words. */
function isOurs({ tag, value }: ReadValue, expected: Expected): boolean {
  const mayBeCode = expected.subjectCodes.some((code) => code.charCodeAt(0) === value[0]);
  if (!mayBeCode && tag !== 0x00120063) return false;
  const text = plain(value);
  if (text.length <= 64 && expected.subjectCodes.includes(text)) return true;
  return tag === 0x00120063 && ourMethod.test(text);
}

const ourMethod = /^Clubhouse; PS3[.]15 \d{4}[a-z] Basic Profile; profile [0-9a-f]{12}$/;

const plain = (bytes: Uint8Array): string => stripPadding(latin1(bytes));

/** The values of these VRs are no text while they look like what the VR says (PS3.5 §6.2). */
const forms: Readonly<Partial<Record<string, RegExp>>> = {
  UI: /^[0-9.\\\0 ]*$/,
  IS: /^[0-9+\-\\\0 ]*$/,
  DS: /^[0-9+\-.eE\\\0 ]*$/,
  DA: /^[0-9.\-\\\0 ]*$/,
  TM: /^[0-9.:\-\\\0 ]*$/,
  DT: /^[0-9.+\-\\\0 ]*$/,
  AS: /^[0-9DWMY\\\0 ]*$/,
};
const codeString = /^[A-Z0-9_ \\\0]*$/;
const binary: ReadonlySet<string> = new Set('AT FD FL SL SS UL US OD OF OL OV SV UV SQ'.split(' '));
const bytes: ReadonlySet<string> = new Set(['OB', 'OW', 'UN']);
const codeTags: ReadonlySet<Tag> = new Set([
  0x00080100, 0x00080102, 0x00080104, 0x00080119, 0x00080120,
]);

/** Known to hold numbers only: palettes, LUT data, overlays, waveforms, pixels of icons, vectors. */
function isNumeric(tag: Tag): boolean {
  if (isPrivate(tag)) return false;
  const group = tag >>> 16;
  const element = tag & 0xffff;
  if (group === 0x7fe0 || group === 0x0066) return true;
  if (group >= 0x6000 && group <= 0x60ff) return element === 0x3000;
  if (group === 0x0028) return (element >= 0x1201 && element <= 0x1224) || element === 0x3006;
  return tag === 0x54001010 || tag === 0x00020001;
}

interface Look {
  readonly terms: LeakTerms;
  readonly search: TextSearch<Tag>;
  readonly asBytes: ByteSearch;
  readonly inNumbers: NumberSearch;
  readonly known: KnownValues;
  /** Keys of values that are searched for the first time. */
  readonly fresh: string[];
  readonly leaks: { place: Tag; kind: FoundKind }[];
}

function addValue(look: Look, read: ReadValue): void {
  const { search, terms, leaks } = look;
  const { tag, vr, value, charset } = read;
  if (isNumeric(tag) && (binary.has(vr) || bytes.has(vr))) {
    addShort(search, read);
    addRuns(search, tag, value, leastRun(value.length));
    addFound(leaks, tag, look.inNumbers.find(value));
    return;
  }
  if (binary.has(vr) || bytes.has(vr)) {
    addShort(search, read);
    // numbers do not read as text, but a text may call itself numbers
    if (bytes.has(vr)) addBlob(look, read);
    else if (value.length >= 8) addRuns(search, tag, value);
    return;
  }
  const raw = plain(value);
  if (forms[vr]?.test(raw) === true) {
    if (vr !== 'UI' || !raw.includes('.')) return addNumbers(search, tag, vr, raw);
    const uids = raw.split('\\');
    if (uids.some((uid) => terms.uids.has(uid.trim()))) leaks.push({ place: tag, kind: 'uid' });
    return;
  }
  const part = partOf(read, raw);
  if (isKnown(look, raw, part === 'text' && longTexts.has(vr) ? 'long' : part)) return;
  if (!isPlain(raw) && part === 'text') addFound(leaks, tag, look.asBytes.find(raw, 'text'));
  for (const text of readings(value, () => decodeText(value, charset, vr))) {
    for (const one of longTexts.has(vr) ? [text] : text.split('\\')) search.add(tag, part, one);
  }
}

function partOf({ tag, vr, code }: ReadValue, raw: string): 'text' | 'coded' | 'code' {
  if (code !== 'none' && codeTags.has(tag)) return code === 'standard' ? 'coded' : 'code';
  return vr === 'CS' && codeString.test(raw) ? 'code' : 'text';
}

function addRuns(search: TextSearch<Tag>, tag: Tag, value: Uint8Array, least = 4): void {
  const text = printableRuns(value, least);
  if (text !== '') search.add(tag, 'blob', text);
}

/** Plain ASCII alone reads the same in every charset; what has dots may hold a UID, and these are new in each file. */
function isKnown(
  { known, fresh }: Look,
  raw: string,
  how: 'code' | 'coded' | 'long' | 'text',
): boolean {
  if (raw.length > maxKnownLength || raw.includes('.') || !isPlain(raw)) return false;
  const key = `${how} ${raw}`;
  if (known.has(key)) return true;
  fresh.push(key);
  return false;
}

function addFound(leaks: Look['leaks'], place: Tag, kinds: Iterable<FoundKind>): void {
  for (const kind of kinds) leaks.push({ place, kind });
}

const largeBlobBytes = 16 * 1024;

function addBlob({ search, asBytes, terms, leaks }: Look, { tag, value }: ReadValue): void {
  const isLarge = value.length > largeBlobBytes;
  const raw = latin1(value);
  if (!isPlain(raw)) {
    addFound(leaks, tag, asBytes.find(raw, isLarge ? 'large blob' : 'blob'));
  }
  if (!isLarge) {
    for (const text of blobReadings(value)) search.add(tag, 'blob', text);
  } else addRuns(search, tag, value);
  if (!isLarge) return;
  const foreign = [...terms.terms.values()].filter(
    ({ text, isWeak }) => !isWeak && /[^\0-\x7f]/.test(text),
  );
  if (foreign.length === 0) return;
  for (const text of blobReadings(value)) {
    const hit = foreign.find((term) => text.includes(term.text));
    if (hit !== undefined) leaks.push({ place: tag, kind: hit.kind });
  }
}

const longTexts: ReadonlySet<string> = new Set(['LT', 'ST', 'UT', 'UR']);

function distinct(leaks: readonly Leak[]): readonly Leak[] {
  const seen = new Map(leaks.map((leak) => [`${leak.tag} ${leak.kind}`, leak]));
  return [...seen.values()].slice(0, 20);
}
