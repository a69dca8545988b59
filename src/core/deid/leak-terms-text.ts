// Text made comparable for the leak check: one spelling for upper and lower case, full-width letters and accents; letters and
// digits only, with a note where something else stood between them. So `DOE^JANE`, `Doe, Jane` and `doe-jane` are one
// text, and a search still knows where words begin and end.

import { AppError } from '../errors.ts';
import { latin1 } from '../dicom/latin1.ts';
import { decodeText } from '../dicom/text.ts';

/** Folded letters and digits without what stands between them. */
export interface Squeezed {
  readonly text: string;
  /** Offsets in `text` in front of which something else stood; 0 and the length are among them. */
  readonly edges: ReadonlySet<number>;
}

const notAscii = /[^\0-\x7f]/;

/** NFKD without marks, lower case: full-width and accented letters become plain ones. */
export const fold = (text: string): string =>
  notAscii.test(text)
    ? text.normalize('NFKD').replaceAll(/\p{M}/gu, '').normalize('NFC').toLowerCase()
    : text.toLowerCase();

/** Words of a folded text: runs of letters and digits. */
export const wordsOf = (folded: string): readonly string[] =>
  folded.match(notAscii.test(folded) ? /[\p{L}\p{N}]+/gu : /[a-z0-9]+/g) ?? [];

/** No name, number or description comes near it; a text made to be in the way does. */
const maxSqueezed = 8_000_000;

/** Throws DICOM_TOO_LARGE for a text of more than eight million characters. */
export function squeeze(folded: string): Squeezed {
  if (folded.length > maxSqueezed) {
    throw new AppError('DICOM_TOO_LARGE', { detail: 'too much text' });
  }
  const words = wordsOf(folded);
  const edges = new Set<number>([0]);
  let at = 0;
  for (const word of words) {
    edges.add(at);
    at += word.length;
  }
  edges.add(at);
  return { text: words.join(''), edges };
}

export type CharClass = 'digit' | 'cjk' | 'letter' | 'none';

/** Scripts that are written without spaces count as `cjk`. */
export function classAt(text: string, at: number): CharClass {
  const code = text.charCodeAt(at);
  if (Number.isNaN(code)) return 'none';
  if (code < 0x80) {
    if (code >= 0x30 && code <= 0x39) return 'digit';
    return code >= 0x61 && code <= 0x7a ? 'letter' : 'none';
  }
  if (code >= 0x2e80 && code <= 0xdfff) return 'cjk';
  return /[\p{N}]/u.test(text.charAt(at)) ? 'digit' : 'letter';
}

/** ASCII without escape sequences: in every charset of the standard the same text. */
export const isPlain = (text: string): boolean => /^[\0-\x1a\x1c-\x7f]*$/.test(text);

type Decoder = InstanceType<typeof TextDecoder>;
const strictly = (label: string): Decoder =>
  new TextDecoder(label, { fatal: true, ignoreBOM: true });
const strict = ['utf-8', 'gb18030', 'big5'].map(strictly);
const strictEast = ['shift_jis', 'euc-jp', 'euc-kr'].map(strictly);

function addTexts(texts: Set<string>, bytes: Uint8Array, decoders: readonly Decoder[]): void {
  for (const decoder of decoders) {
    try {
      texts.add(decoder.decode(bytes));
    } catch {
      // Not text of this charset.
    }
  }
}

/** Escape sequences are obeyed by the charsets of ISO 2022 alone, so a declaration of another one hides them. */
const escaped = (bytes: Uint8Array): string => decodeText(bytes, [], 'LO');

/**
 * The texts that bytes may stand for: as declared (`decode`), and as UTF-8, GB18030, Big5, Latin-1 and with escape sequences,
 * since declarations lie. One reading where the bytes are plain ASCII without escapes.
 */
export function readings(bytes: Uint8Array, decode: () => string): readonly string[] {
  const raw = latin1(bytes);
  if (isPlain(raw)) return [raw];
  const texts = new Set<string>([decode(), raw]);
  addTexts(texts, bytes, strict);
  if (bytes.includes(0x1b)) texts.add(escaped(bytes));
  return [...texts];
}

/**
 * The same for an original, and the other charsets of East Asia: what it is called in Unicode has to be known, for it may
 * stand elsewhere in another charset. Bytes that are UTF-8, and say so, are nothing else.
 */
export function originalReadings(bytes: Uint8Array, decode: () => string): readonly string[] {
  const texts = new Set(readings(bytes, decode));
  const [declared = ''] = texts;
  if (texts.size === 1 || isUtf8(bytes, declared)) return [declared];
  addTexts(texts, bytes, strictEast);
  return [...texts];
}

function isUtf8(bytes: Uint8Array, text: string): boolean {
  const same = Buffer.from(text);
  return bytes.length - same.length < 2 && same.equals(bytes.subarray(0, same.length));
}

const lenient = ['utf-8', 'gb18030', 'big5'].map((label) => new TextDecoder(label));
const wide = ['utf-16le', 'utf-16be'].map((label) => new TextDecoder(label));

/** Readings of bytes of unknown meaning: text may stand anywhere between other things, in 8 or in 16 bits. */
export function blobReadings(bytes: Uint8Array): readonly string[] {
  const texts = [latin1(bytes)];
  if (bytes.includes(0x1b)) texts.push(escaped(bytes));
  for (const decoder of lenient) texts.push(decoder.decode(bytes));
  for (const from of [0, 1]) {
    for (const decoder of wide) texts.push(decoder.decode(bytes.subarray(from)));
  }
  return texts;
}

/**
 * Large bytes of unknown meaning, e.g. colour profiles: runs of at least so many printable ASCII characters, also of 16-bit text
 * (without its zeros, in either byte order), as one text. Names in other scripts are searched in the plain readings, see leak-check.
 */
export function printableRuns(bytes: Uint8Array, least = 4): string {
  const raw = latin1(bytes);
  const { narrow, little, big } = (runs[least] ??= patternsOf(least));
  const texts: string[] = raw.match(narrow) ?? [];
  if (!raw.includes('\0')) return texts.join('\n');
  const wideTexts = [...(raw.match(little) ?? []), ...(raw.match(big) ?? [])];
  return [...texts, ...wideTexts.map((run) => run.replaceAll('\0', ''))].join('\n');
}

const runs: Record<number, ReturnType<typeof patternsOf>> = {};
const patternsOf = (least: number) => ({
  narrow: new RegExp(`[ -~]{${least},}`, 'g'),
  little: new RegExp(`(?:[ -~]\\0){${least},}`, 'g'),
  big: new RegExp(`(?:\\0[ -~]){${least},}`, 'g'),
});

/** UIDs in a text: they are checked as the transformation that they went through, not searched. */
export const uidPattern = /(?<![\d.])[0-2](?:\.\d+){5,}(?!\d)/g;
