// Private attributes (PS3.5 §7.8.1): whose an element is says the creator of its block, not its number. Safe ones are
// listed in PS3.15 Table E.3.10-1.

import {
  elementOf,
  groupOf,
  isPrivate,
  type DataSet,
  type Tag,
  type VR,
} from '../dicom/dataset.ts';
import { isPrivateCreator } from '../dicom/dictionary.ts';
import { latin1 } from '../dicom/latin1.ts';
import { trimPadding } from './reading.ts';
import { safePrivateTable } from './safe-private-table.ts';

const safe = new Map<string, VR>();
const keyOf = (creator: string, group: number, element: number): string =>
  `${creator}\\${group}\\${element}`;
for (const [creator, group, element, vr] of safePrivateTable) {
  safe.set(keyOf(creator, group, element), vr.split('/')[0] as VR);
}

/** The VR that the standard's list gives for a safe private attribute. */
export const safePrivateVR = (creator: string, tag: Tag): VR | undefined =>
  safe.get(keyOf(creator, groupOf(tag), elementOf(tag) & 0xff));

/** The creators of one level of a dataset, by the tag of their creator element. */
export type Creators = ReadonlyMap<Tag, string>;

export function creatorsOf(dataset: DataSet): Creators {
  const creators = new Map<Tag, string>();
  for (const element of dataset.elements) {
    if (element.kind !== 'value' || !isPrivateCreator(element.tag)) continue;
    creators.set(element.tag, trimPadding(latin1(element.value)));
  }
  return creators;
}

/** The tag of the creator element that an element's block belongs to; undefined for a standard element. */
export function creatorTag(tag: Tag): Tag | undefined {
  if (!isPrivate(tag) || elementOf(tag) < 0x1000) return undefined;
  return ((groupOf(tag) << 16) | (elementOf(tag) >>> 8)) >>> 0;
}
