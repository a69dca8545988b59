// The needles (leak-needles) of very many names, for texts that are short: what stands in a text is looked up among them, so that
// a search costs the same however many there are.

import { isWord, leastBytes, needlesFor, says, tooMuch, type Needle } from './leak-needles.ts';
import type { LeakTerms, TermKind } from './leak-terms.ts';
import { Lengths } from './lengths.ts';

interface Found {
  readonly kind: TermKind;
  readonly isBound: boolean;
}

/** Some hundred bytes of memory each; of thousands of patients. */
const maxNeedles = 1_000_000;

export class NeedleIndex {
  readonly #needles = new Map<string, Found>();
  readonly #lengths = new Lengths();
  /** The first four bytes of each. */
  readonly #heads = new Set<string>();
  /** Whose needles are not made yet: most zips have no name that is searched for them. */
  readonly #fresh = new Map<string, TermKind>();
  readonly #made = new Set<string>();
  #isFull = false;

  add({ spellings, asBytes }: Pick<LeakTerms, 'spellings' | 'asBytes'>): void {
    for (const [text, kind] of spellings) if (!this.#made.has(text)) this.#fresh.set(text, kind);
    for (const [bytes, kind] of asBytes) this.#put({ bytes, kind, isBound: true });
  }

  /**
   * The kinds of what stands in the bytes of a text, as by ByteSearch. Throws DICOM_TOO_LARGE, and goes on to: what was not taken
   * would not be found.
   */
  find(raw: string): ReadonlySet<TermKind> {
    for (const [text, kind] of this.#fresh) {
      if (says(text)) for (const needle of needlesFor(text, kind)) this.#put(needle);
      if (this.#isFull) throw tooMuch();
      this.#made.add(text);
    }
    this.#fresh.clear();
    if (this.#isFull) throw tooMuch();
    const kinds = new Set<TermKind>();
    for (let at = 0; at + leastBytes <= raw.length; at += 1) {
      if (!this.#heads.has(raw.slice(at, at + leastBytes))) continue;
      for (const length of this.#lengths.sorted) {
        if (at + length > raw.length) break;
        const found = this.#needles.get(raw.slice(at, at + length));
        if (found === undefined || (found.isBound && !isWord(raw, at, length))) continue;
        kinds.add(found.kind);
      }
    }
    return kinds;
  }

  /** Of two with the same bytes the one stays that finds more. */
  #put({ bytes, kind, isBound }: Needle): void {
    if (bytes.length < leastBytes) return;
    const before = this.#needles.get(bytes);
    if (before !== undefined && (isBound || !before.isBound)) return;
    this.#isFull ||= this.#needles.size >= maxNeedles;
    if (this.#isFull) return;
    this.#needles.set(bytes, shared(kind, isBound));
    this.#lengths.add(bytes.length);
    this.#heads.add(bytes.slice(0, leastBytes));
  }
}

/** One object for all needles that are alike. */
const known = new Map<string, Found>();
function shared(kind: TermKind, isBound: boolean): Found {
  const key = `${kind} ${isBound}`;
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = { kind, isBound }));
  return found;
}
