// The names and IDs of a file as bytes in every charset that they can be written in. Declarations of charsets lie, so a text that
// is not plain ASCII is searched for these too, wherever in a character it begins; ASCII needs none of it and pays nothing.

import { AppError } from '../errors.ts';
import { bytesOfText } from '../dicom/charset-bytes.ts';
import { commonWords } from './common-words.ts';
import type { LeakTerms, TermKind } from './leak-terms.ts';
import { classAt, fold, squeeze } from './leak-terms-text.ts';

export interface Needle {
  /** One character a byte. */
  readonly bytes: string;
  readonly kind: TermKind;
  /** Must no letter or digit stand beside it in a text? Scripts without spaces have no such ends. */
  readonly isBound: boolean;
}

/** Fewer would come up in bytes by chance. */
export const leastBytes = 4;

/** In large bytes of unknown meaning, where four bytes come up by chance too. */
const leastBytesInLarge = 6;

/** A file made to keep a worker busy has thousands of names; any real one has a few dozen, with some thirty forms each. */
const maxNeedles = 100_000;
const maxWork = 4e9;

export const tooMuch = (): AppError =>
  new AppError('DICOM_TOO_LARGE', { detail: 'too many names in too much text' });

/** The needles of the last terms: slices of one patient come one after another. */
let last: { readonly key: string; readonly needles: readonly Needle[] } | undefined;

export function needlesOf({ spellings, asBytes }: LeakTerms): readonly Needle[] {
  const key = JSON.stringify([[...spellings], [...asBytes]]);
  if (last?.key === key) return last.needles;
  const needles = new Map<string, Needle>();
  for (const [text, kind] of spellings) {
    for (const needle of says(text) ? needlesFor(text, kind) : [])
      needles.set(needle.bytes, needle);
    if (needles.size > maxNeedles) throw tooMuch();
  }
  for (const [bytes, kind] of asBytes) {
    if (!needles.has(bytes)) needles.set(bytes, { bytes, kind, isBound: true });
  }
  last = { key, needles: [...needles.values()] };
  return last.needles;
}

/** Of one spelling that `says` something. */
export function* needlesFor(text: string, kind: TermKind): Generator<Needle> {
  const isCjk = classAt(fold(text), 0) === 'cjk';
  const isBound = !isCjk && !isAscii(text);
  for (const one of variants(text)) {
    for (const bytes of bytesOfText(one, isCjk)) {
      if (bytes.length >= leastBytes) yield { bytes, kind, isBound };
    }
  }
}

/** Is it enough to be looked for? Four letters or two characters of a script without spaces, and no common word (SPEC 7). */
export function says(text: string): boolean {
  const folded = squeeze(fold(text)).text;
  if (commonWords.has(folded)) return false;
  return folded.length >= 4 || (folded.length >= 2 && classAt(folded, 0) === 'cjk');
}

export const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

/** In capitals and not; and ASCII in the full-width letters of East Asian sets. */
function variants(text: string): ReadonlySet<string> {
  const lower = text.toLowerCase();
  const title = lower.replaceAll(/(?<!\p{L})\p{L}/gu, (letter) => letter.toUpperCase());
  const all = [text, lower, text.toUpperCase(), title];
  return new Set(isAscii(text) ? all.map(fullWidth) : all);
}

const fullWidth = (text: string): string =>
  text.replaceAll(/[!-~]/g, (char) => String.fromCharCode(char.charCodeAt(0) + 0xfee0));

export class ByteSearch {
  readonly #terms: LeakTerms;
  #needles: readonly Needle[] | undefined;
  #work = 0;

  constructor(terms: LeakTerms) {
    this.#terms = terms;
  }

  /**
   * The kinds of what stands in the bytes (`raw`: one character a byte). `where`: a `text`, in which words have ends, or a
   * `blob`, in which anything may stand beside a word. Throws DICOM_TOO_LARGE.
   */
  find(raw: string, where: 'text' | 'blob' | 'large blob'): ReadonlySet<TermKind> {
    const needles = (this.#needles ??= needlesOf(this.#terms));
    this.#work += needles.length * (raw.length + 64);
    if (this.#work > maxWork) throw tooMuch();
    const kinds = new Set<TermKind>();
    const least = where === 'large blob' ? leastBytesInLarge : leastBytes;
    for (const { bytes, kind, isBound } of needles) {
      if (bytes.length < least || kinds.has(kind)) continue;
      if (stands(raw, bytes, isBound && where === 'text')) kinds.add(kind);
    }
    return kinds;
  }
}

function stands(raw: string, bytes: string, isBound: boolean): boolean {
  for (let at = raw.indexOf(bytes); at >= 0; at = raw.indexOf(bytes, at + 1)) {
    if (!isBound || isWord(raw, at, bytes.length)) return true;
  }
  return false;
}

export const isWord = (raw: string, at: number, length: number): boolean =>
  !isWordByte(raw, at - 1) && !isWordByte(raw, at + length);

const isWordByte = (raw: string, at: number): boolean =>
  /[A-Za-z0-9\x80-\xff]/.test(raw.charAt(at));
