// Attributes that Table E.1-1 does not list although their text names a person, an order or a visit, or is a remark that somebody
// typed: most are retired ones, or of objects that are no images. The standard's own rows for their like say X.

import type { Tag } from '../dicom/dataset.ts';
import type { Action } from './action.ts';
import type { Option } from './options.ts';

const tags: ReadonlySet<Tag> = new Set([
  0x00100033, 0x00100034, // dates of birth and death in an alternative calendar
  0x00140100, // component welder IDs
  0x00181803, // NTP source address
  0x00401006, 0x00401007, 0x00402006, 0x00402007, // placer and filler order numbers, retired
  0x0040a224, // identification description, trial
  0x0040e001, // HL7 instance identifier
  0x00440011, // substance administration notes
  0x00720008, 0x00720010, // who made a hanging protocol, and for whom
  0x0074100c, 0x00741238, // contact display name, reason for cancellation
  0x20000050, 0x21000010, 0x21000160, 0x21100030, 0x21100099, // whose film or print job, on what printer
  0x30080066, // override reason
]); // prettier-ignore

/** What becomes of one of these; undefined for all others. Their words are cleaned where descriptors are. */
export function remarkAction(
  tag: Tag,
  keyword: string,
  options: ReadonlySet<Option>,
): Action | undefined {
  // DICOS: luggage, boarding passes and itineraries
  const isRemark = tags.has(tag) || tag >>> 16 === 0x4010 || /Comments?(?:$|On)/.test(keyword);
  if (!isRemark) return undefined;
  return { kind: options.has('clean-descriptors') && !tags.has(tag) ? 'clean' : 'remove' };
}
