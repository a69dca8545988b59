// Cleaning free text (PS3.15 code C, §E.3.5): words of the allow-list and small numbers with units stay, everything
// else is masked. A word that identifies somebody in this very file (a name that is also a body part) goes too.

import { clinicalTerms } from './clinical-terms.ts';
import { mask } from './identifying-words.ts';

/** `5`, `2.5`, `3D`, `120kV`, `b1000`, `T2*`: never long enough for a date, a phone number or an ID. */
const measure =
  /^(?:[bB]?\d{1,3}(?:[.]\d{1,3})?(?:d|D|T|mm|cm|m|s|ms|sec|min|kV|kv|mA|ml|cc|Hz|ch|%|st|nd|rd|th)?|[bB]\d{4}|[xX+]\d?|[tT][12]w?)$/;

/** Numbers joined to numbers are dates, times, phone and file numbers; but one decimal fraction is a measure. */
const joined = /(?<!\d)\d+(?:[-/:.年月日]+\d+)+/g;
const decimal = /^\d{1,3}[.]\d{1,3}$/;

/** ASCII words and numbers; runs of anything else between them are separators or foreign script. */
const token = /[A-Za-z0-9.%+]+|[^A-Za-z0-9.%+]+/g;

/**
 * The cleaned text, ASCII; undefined where no word is left. `identifying`: words of this file, lower case, that stand
 * for somebody (names, IDs).
 */
export function cleanText(text: string, identifying: ReadonlySet<string>): string | undefined {
  let kept = false;
  const parts: string[] = [];
  const safe = text.normalize('NFKC').replaceAll(joined, (run) => (decimal.test(run) ? run : mask));
  for (const part of safe.match(token) ?? []) {
    if (!/[A-Za-z0-9]/.test(part)) {
      parts.push(separator(part));
      continue;
    }
    const word = part.replaceAll(/^[.]+|(?<![.])[.]+$/g, '').toLowerCase();
    const allowed = !identifying.has(word) && (clinicalTerms.has(word) || measure.test(word));
    if (allowed && /[a-z]/.test(word)) kept = true;
    parts.push(allowed ? part : mask);
  }
  return kept
    ? parts
        .join('')
        .replaceAll(/XXX(?:[ _,;/-]*XXX)+/g, mask)
        .trim()
    : undefined;
}

/** ASCII punctuation stays; a letter of another script is a word that the list does not know. */
function separator(part: string): string {
  const ascii = part.replaceAll(/[^ -~]/g, '').replaceAll('\\', ' ');
  return /[^\x00-\x7f]/.test(part) ? `${ascii} ${mask} ` : ascii;
}
