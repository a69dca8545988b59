// A name or an ID as it was read and as the bytes that it was, for the search in other charsets (leak-needles). Folding loses
// what another charset needs, such as accents, so these are kept beside the folded terms.

import { latin1 } from '../dicom/latin1.ts';
import type { PersonNameGroup } from '../dicom/text.ts';
import { isPlain } from './leak-terms-text.ts';

/** The parts of a name, and family and given name together as programs write them. */
export function spellingsOf({ family, given, middle }: PersonNameGroup): readonly string[] {
  const parts = [family, given, middle].filter((part) => part !== '');
  if (family === '' || given === '') return parts;
  const both = ['', ' ', '^'].flatMap((gap) => [
    `${family}${gap}${given}`,
    `${given}${gap}${family}`,
  ]);
  return [...parts, ...both];
}

/** What lies between delimiters and escape sequences, where it is not plain ASCII. Fewer than four bytes say nothing. */
export function bytesOfValue(value: Uint8Array): readonly string[] {
  const raw = latin1(value);
  if (isPlain(raw)) return [];
  const words = raw.split(/\x1b[-$()][()]?[@-~]|[\0-\x20^=\\]+/);
  return words.filter((word) => word.length >= 4 && /[\x80-\xff].*[\x80-\xff]/.test(word));
}
