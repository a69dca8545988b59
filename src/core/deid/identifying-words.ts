// The words by which one file names people and patients, so that cleaning (PS3.15 code C) masks them even where they
// happen to be words of the allow-list.

import type { DataSet } from '../dicom/dataset.ts';
import { decodeValues } from '../dicom/text.ts';
import { charsetsOf, effectiveVR } from './reading.ts';

const others: ReadonlySet<number> = new Set([0x00100020, 0x00101000, 0x00080050, 0x00200010]);

/** Lower case, NFKC; of all names of persons, patient IDs, accession and study numbers at the top level. */
export function identifyingWords(header: DataSet): ReadonlySet<string> {
  const charsets = charsetsOf(header);
  const words = new Set<string>();
  for (const element of header.elements) {
    if (element.kind !== 'value') continue;
    const vr = effectiveVR(element.tag, element.vr);
    if (vr !== 'PN' && !others.has(element.tag)) continue;
    for (const value of decodeValues(element.value, charsets, vr)) {
      for (const word of value
        .normalize('NFKC')
        .toLowerCase()
        .split(/[^\p{L}\p{N}]+/u)) {
        if (word.length > 1) words.add(word);
      }
    }
  }
  return words;
}
