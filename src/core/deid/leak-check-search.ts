// Searches many small texts for many terms in one pass: the texts are squeezed into one string with a bar between them, each
// term is looked up in it, and only a hit is traced back to where it came from. Benchmark: npm run bench -- deid.

import { AppError } from '../errors.ts';
import { clinicalTerms } from './clinical-terms.ts';
import { isWordOfCode } from './identifying-words.ts';
import type { LeakTerms, Term, TermKind } from './leak-terms.ts';
import { datesIn } from './leak-dates.ts';
import { classAt, fold, squeeze, uidPattern } from './leak-terms-text.ts';

export type Part = 'text' | 'code' | 'coded' | 'number' | 'blob';

interface Segment<Place> {
  readonly place: Place;
  readonly part: Part;
  readonly start: number;
  readonly end: number;
}

export type FoundKind = TermKind | 'date' | 'uid';

/**
 * Every term is looked up in all of the text, so both have a limit: no image comes near it, and a file made to keep a worker
 * busy for hours does.
 */
const maxTerms = 20_000;
const maxTextLength = 8_000_000;
/** Terms times characters: a few seconds. */
const maxWork = 4e9;

export class TextSearch<Place> {
  readonly #terms: LeakTerms;
  readonly #lengths: readonly number[] | undefined;
  readonly #segments: Segment<Place>[] = [];
  readonly #pieces: string[] = [];
  readonly #edges = new Set<number>();
  readonly #found: { readonly place: Place; readonly kind: FoundKind }[] = [];
  #length = 0;

  /**
   * `lengths`: of all terms, ascending, where these are far more than the words of the text; then what stands in the text is
   * looked up among the terms, with the same result. Throws DICOM_TOO_LARGE where there is too much to look for; `add` where there is too
   * much to look through.
   */
  constructor(terms: LeakTerms, lengths?: readonly number[]) {
    if (lengths === undefined && terms.terms.size > maxTerms) {
      throw new AppError('DICOM_TOO_LARGE', { detail: 'too many names and numbers' });
    }
    this.#terms = terms;
    this.#lengths = lengths;
  }

  /**
   * `text`: one value. `code`: of a device or a scheme of somebody's own, in which whole words count that no code has. `coded`:
   * by a standard, only full names count. `number`: a long one, only dates and IDs. `blob`: whole values do not count.
   */
  add(place: Place, part: Part, text: string): void {
    if (this.#length + text.length > maxTextLength) {
      throw new AppError('DICOM_TOO_LARGE', { detail: 'too much text' });
    }
    const folded = this.#withoutUids(place, fold(text));
    const squeezed = squeeze(folded);
    if (squeezed.text === '') return;
    if (part === 'number') return this.#number(place, folded, squeezed.text);
    if (part === 'text') this.#whole(place, squeezed.text);
    if (part !== 'coded')
      this.#dates(place, part === 'code' ? folded.replaceAll('_', ' ') : folded);
    const start = this.#length;
    for (const edge of squeezed.edges) this.#edges.add(start + edge);
    this.#pieces.push(squeezed.text);
    this.#length += squeezed.text.length + 1;
    this.#segments.push({ place, part, start, end: start + squeezed.text.length });
  }

  /** Where something was found, and what kind of thing. */
  results(): readonly { readonly place: Place; readonly kind: FoundKind }[] {
    const text = this.#pieces.join('|');
    if (this.#lengths !== undefined) {
      this.#lookUp(text, this.#lengths);
      return this.#found;
    }
    if (text.length * this.#terms.terms.size > maxWork) {
      throw new AppError('DICOM_TOO_LARGE', { detail: 'too many names in too much text' });
    }
    for (const term of this.#terms.terms.values()) if (!term.isWeak) this.#search(text, term);
    return this.#found;
  }

  #withoutUids(place: Place, folded: string): string {
    if (!folded.includes('.')) return folded;
    return folded.replaceAll(uidPattern, (uid) => {
      if (this.#terms.uids.has(uid)) this.#found.push({ place, kind: 'uid' });
      return ' ';
    });
  }

  #number(place: Place, folded: string, squeezed: string): void {
    const term = this.#terms.terms.get(squeezed.length < 7 ? '' : squeezed);
    if (term !== undefined && term.kind !== 'name') this.#found.push({ place, kind: term.kind });
    if (squeezed.length === 8 || folded.length > squeezed.length) this.#dates(place, folded);
  }

  /** What counts for a value as a whole only: short and common terms. */
  #whole(place: Place, squeezed: string): void {
    const term = this.#terms.terms.get(squeezed);
    // A single letter or digit identifies nobody.
    const counts = squeezed.length > 1 || classAt(squeezed, 0) === 'cjk';
    if (term?.isWeak === true && counts) this.#found.push({ place, kind: term.kind });
  }

  #dates(place: Place, folded: string): void {
    if (this.#terms.dates.size === 0) return;
    for (const day of datesIn(folded)) {
      if (this.#terms.dates.has(day)) {
        this.#found.push({ place, kind: 'date' });
        return;
      }
    }
  }

  #search(text: string, term: Term): void {
    for (let at = text.indexOf(term.text); at >= 0; at = text.indexOf(term.text, at + 1)) {
      this.#judge(text, at, term);
    }
  }

  /** Everything that `#fits` could let pass: from where it may begin to where it must end. */
  #lookUp(text: string, lengths: readonly number[]): void {
    const isEnd = Uint8Array.from({ length: text.length + 1 }, (_, at) =>
      this.#isBound(text, at) ? 1 : 0,
    );
    for (const { start, end } of this.#segments) {
      for (let at = start; at < end; at += 1) {
        // behind zeros a long number may begin
        if (isEnd[at] === 0 && text.charCodeAt(at - 1) !== 0x30) continue;
        for (const length of lengths) {
          if (at + length > end) break;
          if (isEnd[at + length] === 0) continue;
          const term = this.#terms.terms.get(text.slice(at, at + length));
          if (term !== undefined && !term.isWeak) this.#judge(text, at, term);
        }
      }
    }
  }

  #judge(text: string, at: number, term: Term): void {
    if (!this.#fits(text, at, term)) return;
    const segment = this.#segmentAt(at);
    if (!countsIn(segment.part, term) && !term.isFullName) return;
    if (segment.part === 'code' && !term.isFullName && !this.#isWord(at, term)) return;
    this.#found.push({ place: segment.place, kind: term.kind });
  }

  #fits(text: string, at: number, term: Term): boolean {
    if (!this.#isBound(text, at + term.text.length) || !this.#begins(text, at, term.text)) {
      return false;
    }
    if (term.inside === 'anywhere') return true;
    for (let i = 1; i < term.text.length; i++) {
      if (this.#edges.has(at + i) && !term.inside.has(i)) return false;
    }
    return true;
  }

  #isWord(at: number, { text }: Term): boolean {
    return this.#edges.has(at) && this.#edges.has(at + text.length);
  }

  /** A long number is the same number with zeros in front. Looked at once a word, so that long runs of zeros cost nothing. */
  #begins(text: string, at: number, term: string): boolean {
    if (this.#isBound(text, at)) return true;
    if (term.length < 6 || classAt(term, 0) !== 'digit') return false;
    for (let start = at; text.charCodeAt(start - 1) === 0x30;) {
      start -= 1;
      if (this.#isBound(text, start)) return true;
    }
    return false;
  }

  /** Does a word, or a run of digits or of another script, begin or end here? */
  #isBound(text: string, at: number): boolean {
    if (this.#edges.has(at)) return true;
    const left = classAt(text, at - 1);
    const right = classAt(text, at);
    return left !== right || left === 'cjk';
  }

  #segmentAt(at: number): Segment<Place> {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#segments[middle]?.start ?? 0) <= at) low = middle;
      else high = middle - 1;
    }
    const segment = this.#segments[low];
    if (segment === undefined) throw new RangeError('no text was added');
    return segment;
  }
}

/** A code of a standard may be anybody's name (Wilson's disease); one of a device may be a word of its trade. */
const countsIn = (part: Part, { text }: Term): boolean =>
  part === 'code' ? isWordOfCode(text) && !clinicalTerms.has(text) : part !== 'coded';
