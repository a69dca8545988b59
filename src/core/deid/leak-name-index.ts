// Whom all entries of a zip are about, for the search of their names. A zip may hold thousands of patients, and each of its
// names is searched for each of them: so a name's own words are looked up here, and not every term in every name.

import { AppError } from '../errors.ts';
import { findIn, squeezedCode, type Leak } from './leak-check.ts';
import { TextSearch } from './leak-check-search.ts';
import { NeedleIndex } from './leak-needle-index.ts';
import { noTerms, putTerm, type LeakTerms, type Term } from './leak-terms.ts';
import { Lengths } from './lengths.ts';

/** Of some thirty thousand patients: what is kept of a zip has a limit, like the zip's entries. */
const maxTerms = 200_000;

export class NameIndex {
  readonly #terms = new Map<string, Term>();
  readonly #dates = new Set<string>();
  readonly #lengths = new Lengths();
  readonly #needles = new NeedleIndex();
  /** With their place in the order in which they came. */
  readonly #codes = new Map<string, number>();
  readonly #codeLengths = new Lengths();
  /** As the texts of terms. */
  readonly #codeTexts = new Set<string>();
  #isFull = false;

  /** One more file of the zip. Its UIDs are left out: each slice has its own, so that they are looked for in its own name alone. */
  add(terms: LeakTerms, subjectCode: string): void {
    this.#isFull ||= this.#terms.size + terms.terms.size > maxTerms;
    if (this.#isFull) return;
    if (subjectCode !== '') this.#addCode(subjectCode);
    for (const [text, term] of terms.terms) {
      // what a subject code happens to share with an original is no leak
      if (this.#codeTexts.has(text)) continue;
      putTerm(this.#terms, term);
      this.#lengths.add(text.length);
    }
    for (const date of terms.dates) this.#dates.add(date);
    this.#needles.add(terms);
  }

  /**
   * What `findLeaksInName` finds with the terms and codes of all files, for names that the client made. Throws DICOM_TOO_LARGE, and
   * goes on to where `add` had too much to take: not all would be found.
   */
  find(name: string): readonly Leak[] {
    if (this.#isFull) {
      throw new AppError('DICOM_TOO_LARGE', { detail: 'too many names and numbers' });
    }
    const terms = { ...noTerms, terms: this.#terms, dates: this.#dates };
    const search = new TextSearch<undefined>(terms, this.#lengths.sorted);
    return findIn(this.#withoutCodes(name), search, this.#needles);
  }

  #addCode(code: string): void {
    if (this.#codes.has(code)) return;
    this.#codes.set(code, this.#codes.size);
    this.#codeLengths.add(code.length);
    const text = squeezedCode(code);
    this.#codeTexts.add(text);
    this.#terms.delete(text);
  }

  /** The codes that stand in the name give way in the order in which they came, since one may begin like another. */
  #withoutCodes(name: string): string {
    const standing = new Map<string, number>();
    for (const length of this.#codeLengths.sorted) {
      for (let at = 0; at + length <= name.length; at += 1) {
        const text = name.slice(at, at + length);
        const order = this.#codes.get(text);
        if (order !== undefined) standing.set(text, order);
      }
    }
    const codes = [...standing].sort(([, a], [, b]) => a - b);
    return codes.reduce((rest, [code]) => rest.replaceAll(code, '/'), name);
  }
}
