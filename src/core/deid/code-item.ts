// Codes of the schemes that standards publish (PS3.16 §8): their meanings are a standard's words, not a person's.

import type { DataSet, Tag } from '../dicom/dataset.ts';
import { firstValue } from './reading.ts';

const schemes: ReadonlySet<string> = new Set(
  // prettier-ignore
  ['ACR', 'BARI', 'BI', 'CD8', 'DCM', 'DOCID', 'FMA', 'I10', 'I10P', 'I11', 'I9', 'I9C', 'ICDO3', 'IEEE11073', 'ISO3166_1',
   'ISO639_1', 'ISO639_2', 'LN', 'MDC', 'MSH', 'NCIt', 'NEU', 'PUBCHEM_CID', 'RADELEMENT', 'RADLEX', 'RFC5646', 'SCT', 'SNM3',
   'SRT', 'UCUM', 'UMLS', 'UNS'],
);

/** The texts of a code (PS3.3 §8.8). */
export const codeTags: ReadonlySet<Tag> = new Set([
  0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120,
]);

/** Is this item a code of a scheme that a standard publishes? */
export const standardCodeItem = (item: DataSet): boolean =>
  schemes.has(firstValue(item, 0x00080102, []));
