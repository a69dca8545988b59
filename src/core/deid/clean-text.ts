// Cleaning free text (PS3.15 code C, §E.3.5): words of the allow-list and small numbers with units stay, everything
// else is masked. A word that identifies somebody in this very file (a name that is also a body part) goes too.

import { chineseParticles, chineseTerms, longestChineseTerm } from './clinical-terms-chinese.ts';
import { clinicalTerms } from './clinical-terms.ts';
import { mask } from './identifying-words.ts';

/** Several masks in a row say no more than one. */
const maskRun = new RegExp(`${mask}(?:[ _,;/-]*${mask})+`, 'g');

/** `5`, `2.5`, `3D`, `120kV`, `b1000`, `T2*`: never long enough for a date, a phone number or an ID. */
const measure =
  /^(?:[bB]?\d{1,3}(?:[.]\d{1,3})?(?:d|D|T|mm|cm|m|s|ms|sec|min|kV|kv|mA|ml|cc|Hz|ch|%|st|nd|rd|th)?|[bB]\d{4}|[xX+]\d?|[tT][12]w?)$/;

/** Numbers joined to numbers are dates, times, phone and file numbers; but one decimal fraction is a measure. */
const joined = /(?<!\d)\d+(?:[-/:.年月日]+\d+)+/g;
const decimal = /^\d{1,3}[.]\d{1,3}$/;

/** A format whose name has a number; words and numbers; Chinese without spaces; separators and other scripts. */
const token = /jpeg[ -]?2000|[a-z0-9.%+]+|\p{Script=Han}+|[^a-z0-9.%+\p{Script=Han}]+/giu;
const isHan = /^\p{Script=Han}/u;

/**
 * The cleaned text, of ASCII and Chinese; undefined where no word is left. `identifying`: words of this file, lower case,
 * that stand for somebody (names, IDs).
 */
export function cleanText(text: string, identifying: ReadonlySet<string>): string | undefined {
  let kept = false;
  const parts: string[] = [];
  const safe = text.normalize('NFKC').replaceAll(joined, (run) => (decimal.test(run) ? run : mask));
  for (const part of safe.match(token) ?? []) {
    if (isHan.test(part)) {
      const clean = cleanChinese(part, identifying);
      if (isHan.test(clean.replaceAll(mask, ''))) kept = true;
      parts.push(clean);
      continue;
    }
    if (!/[A-Za-z0-9]/.test(part)) {
      parts.push(separator(part));
      continue;
    }
    const word = part.replaceAll(/^[.]+|(?<![.])[.]+$/g, '').toLowerCase();
    const isKnown = clinicalTerms.has(word) || measure.test(word) || /^jpeg[ -]?2000$/.test(word);
    const allowed = !identifying.has(word) && isKnown;
    if (allowed && /[a-z]/.test(word)) kept = true;
    parts.push(allowed ? part : mask);
  }
  return kept ? parts.join('').replaceAll(maskRun, mask).trim() : undefined;
}

/** ASCII punctuation stays; a letter of another script is a word that the list does not know. */
function separator(part: string): string {
  const ascii = part.replaceAll(/[^ -~]/g, '').replaceAll('\\', ' ');
  return /[^\x00-\x7f]/.test(part) ? `${ascii} ${mask} ` : ascii;
}

/** A run of Chinese characters: whole where all of it is known words, else the words that are long enough to be sure of. */
function cleanChinese(run: string, identifying: ReadonlySet<string>): string {
  const names = [...identifying].filter((word) => isHan.test(word) && run.includes(word));
  if (names.length > 0) {
    const cut = names.reduce((rest, name) => rest.replaceAll(name, mask), run);
    return cut.split(mask).map(wordsOfRun).join(mask);
  }
  return wordsOfRun(run);
}

function wordsOfRun(run: string): string {
  if (isAllKnown(run)) return run;
  let clean = '';
  for (let at = 0; at < run.length;) {
    const word = longestTerm(run, at);
    clean += word ?? mask;
    at += word?.length ?? 1;
  }
  return clean;
}

/** The longest word of the list that begins here. */
function longestTerm(run: string, at: number): string | undefined {
  for (let length = Math.min(longestChineseTerm, run.length - at); length > 1; length--) {
    const word = run.slice(at, at + length);
    if (chineseTerms.has(word)) return word;
  }
  return undefined;
}

/** Can the run be cut into known words, one of them at least a word by itself? By the ends that can be reached. */
function isAllKnown(run: string): boolean {
  const reached = new Map<number, boolean>([[0, false]]); // end → is there a word of the list on the way
  for (let at = 0; at < run.length; at++) {
    const hasTerm = reached.get(at);
    if (hasTerm === undefined) continue;
    if (chineseParticles.has(run.charAt(at))) {
      reached.set(at + 1, hasTerm || (reached.get(at + 1) ?? false));
    }
    for (let length = 2; length <= longestChineseTerm; length++) {
      if (chineseTerms.has(run.slice(at, at + length))) reached.set(at + length, true);
    }
  }
  return reached.get(run.length) === true;
}
