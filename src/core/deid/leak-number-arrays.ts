// Names and IDs in values that hold numbers only: palettes, waveforms, points of surfaces. Their bytes say anything by chance, so
// the more of them there are, the more letters it takes to be believed; but a name may stand beside anything.

import { latin1 } from '../dicom/latin1.ts';
import type { LeakTerms, Term, TermKind } from './leak-terms.ts';
import { isAscii, needlesOf, tooMuch, type Needle } from './leak-needles.ts';

const leastLetters = 6;
const maxWork = 4e9;

/** Up to here four bytes in a row are no chance. */
const smallBytes = 4096;

/** So many printable characters in a row are a text and no numbers. */
export const leastRun = (bytes: number): number =>
  bytes <= smallBytes ? 4 : bytes <= 2 ** 20 ? 8 : 12;

export class NumberSearch {
  readonly #terms: LeakTerms;
  #ascii: readonly Term[] | undefined;
  #work = 0;

  constructor(terms: LeakTerms) {
    this.#terms = terms;
  }

  /** The kinds of what stands in it, in letters of 8 or of 16 bits, in any charset. Throws DICOM_TOO_LARGE. */
  find(value: Uint8Array): ReadonlySet<TermKind> {
    if (value.length < 4) return new Set();
    const kinds = new Set(scanOf(this.#terms).find(value, value.length <= smallBytes ? 4 : 6));
    const ascii = (this.#ascii ??= [...this.#terms.terms.values()].filter(
      ({ text, isWeak }) => !isWeak && text.length >= leastLetters && isAscii(text),
    ));
    this.#work += ascii.length * value.length;
    if (this.#work > maxWork) throw tooMuch();
    const raw = latin1(value).toLowerCase();
    const narrow = raw.replaceAll('\0', '');
    for (const { text, kind } of ascii) {
      if (raw.includes(text) || narrow.includes(text)) kinds.add(kind);
    }
    return kinds;
  }
}

/** Names and IDs in a stream that is too long to be held, and holds texts among its numbers: video. */
export class StreamSearch {
  readonly #scan: ByteScan;
  #end: Uint8Array = new Uint8Array(0);

  constructor(terms: LeakTerms) {
    this.#scan = new ByteScan([...needlesOf(terms), ...asciiNeedles(terms)]);
  }

  /** The kinds of what stands in this piece, or across its border to the last one. */
  find(piece: Uint8Array): ReadonlySet<TermKind> {
    const kinds = this.#scan.find(piece, leastLetters);
    const border = Buffer.concat([this.#end, piece.subarray(0, longestNeedle)]);
    for (const kind of this.#scan.find(border, leastLetters)) kinds.add(kind);
    this.#end = border.length < longestNeedle ? border : lastOf(piece, this.#end);
    return kinds;
  }
}

const longestNeedle = 256;

/** Small pieces add up to one border. */
function lastOf(piece: Uint8Array, before: Uint8Array): Uint8Array {
  if (piece.length >= longestNeedle) return Uint8Array.from(piece.subarray(-longestNeedle));
  return Buffer.concat([before, piece]).subarray(-longestNeedle);
}

function asciiNeedles({ spellings }: LeakTerms): readonly Needle[] {
  return [...spellings].flatMap(([text, kind]) => {
    if (!isAscii(text) || text.length < leastLetters || text.length > longestNeedle) return [];
    const lower = text.toLowerCase();
    const title = lower.replaceAll(/(?<![a-z])[a-z]/g, (letter) => letter.toUpperCase());
    const forms = new Set([text, lower, text.toUpperCase(), title]);
    return [...forms].map((bytes) => ({ bytes, kind, isBound: false }));
  });
}

/** Many byte strings in one pass: by their first two bytes, of which hardly any begin one. */
class ByteScan {
  readonly #byStart = new Map<number, Needle[]>();
  readonly #isStart = new Uint8Array(0x10000);

  constructor(needles: readonly Needle[]) {
    for (const needle of needles) {
      const start = needle.bytes.charCodeAt(0) * 0x100 + needle.bytes.charCodeAt(1);
      const same = this.#byStart.get(start) ?? [];
      this.#byStart.set(start, [...same, needle]);
      this.#isStart[start] = 1;
    }
  }

  /** `least`: shorter ones do not count. */
  find(bytes: Uint8Array, least: number): Set<TermKind> {
    const kinds = new Set<TermKind>();
    let pair = bytes[0] ?? 0;
    for (let at = 1; at < bytes.length; at++) {
      pair = ((pair << 8) | bytes[at]!) & 0xffff;
      if (this.#isStart[pair] === 0) continue;
      for (const needle of this.#byStart.get(pair) ?? []) {
        if (needle.bytes.length >= least && isAt(bytes, at - 1, needle.bytes))
          kinds.add(needle.kind);
      }
    }
    return kinds;
  }
}

function isAt(bytes: Uint8Array, at: number, needle: string): boolean {
  for (let i = 2; i < needle.length; i++) {
    if (bytes[at + i] !== needle.charCodeAt(i)) return false;
  }
  return true;
}

/** Slices of one patient come one after another, and the needles of the same terms are the same array. */
let last: { readonly needles: readonly Needle[]; readonly scan: ByteScan } | undefined;

function scanOf(terms: LeakTerms): ByteScan {
  const needles = needlesOf(terms);
  if (last?.needles !== needles) last = { needles, scan: new ByteScan(needles) };
  return last.scan;
}
