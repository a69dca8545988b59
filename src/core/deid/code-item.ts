// Codes of the schemes that standards publish (PS3.16 §8): their meanings are a standard's words, not a person's.

import type { DataSet, Tag } from '../dicom/dataset.ts';
import { firstValue } from './reading.ts';

const schemes: ReadonlySet<string> = new Set(
  // prettier-ignore
  ['ACR', 'ASTM-sigpurpose', 'BARI', 'BI', 'C4', 'C5', 'CD2', 'CD8', 'CVX', 'DCM', 'DOCID', 'FMA', 'HCPCS',
   'HPC', 'I10', 'I10P', 'I11', 'I9', 'I9C', 'IBSI', 'ICDO', 'ICDO3', 'IEEE11073', 'ISO3166_1', 'ISO639_1',
   'ISO639_2', 'ITIS_TSN', 'LN', 'MA', 'MDC', 'MGI', 'MSH', 'NCDR', 'NCIt', 'NDC', 'NEU', 'NICIP', 'PATHLEX',
   'POS', 'PUBCHEM_CID', 'RADELEMENT', 'RADLEX', 'RFC3066', 'RFC3881', 'RFC5646', 'SCPECG', 'SCT', 'SDM',
   'SNM3', 'SRT', 'UBERON', 'UCUM', 'UMLS', 'UNS'],
);

/** The texts of a code (PS3.3 §8.8). */
export const codeTags: ReadonlySet<Tag> = new Set([
  0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120,
]);

export const isStandardScheme = (name: string): boolean => schemes.has(name);

/** Is this item a code of a scheme that a standard publishes? */
export const standardCodeItem = (item: DataSet): boolean =>
  schemes.has(firstValue(item, 0x00080102, []));
