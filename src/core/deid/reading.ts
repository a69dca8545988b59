// Reads single attributes of a dataset for decisions: who it is about, what kind of image, does a condition hold.

import type { DataSet, Element, Tag, VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { decodeValues } from '../dicom/text.ts';

/** Without the blanks and NULs around it. A loop, because a regular expression takes quadratic time over long blanks. */
export function trimPadding(text: string): string {
  const isPadding = (at: number): boolean => {
    const code = text.charCodeAt(at);
    return code === 0x20 || code === 0;
  };
  let [start, end] = [0, text.length];
  while (start < end && isPadding(start)) start++;
  while (end > start && isPadding(end - 1)) end--;
  return text.slice(start, end);
}

/** The element, by binary search: elements are in ascending order. */
export function findElement(dataset: DataSet, tag: Tag): Element | undefined {
  let low = 0;
  let high = dataset.elements.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const element = dataset.elements[middle];
    if (element === undefined || element.tag === tag) return element;
    if (element.tag < tag) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}

/** The VR to go by: UN is what the dictionary says it is (PS3.5 §6.2.2). */
export const effectiveVR = (tag: Tag, vr: VR): VR =>
  vr === 'UN' ? (lookup(tag)?.vrs[0] ?? 'UN') : vr;

/** Values of Specific Character Set (0008,0005) of this dataset; none where it has none. */
export function charsetsOf(dataset: DataSet): readonly string[] {
  const element = findElement(dataset, 0x00080005);
  return element?.kind === 'value' ? decodeValues(element.value, [], 'CS') : [];
}

/** The values of an attribute as text; empty where it is absent, empty or not a text. */
export function valuesOf(
  dataset: DataSet,
  tag: Tag,
  charsets: readonly string[] = charsetsOf(dataset),
): readonly string[] {
  const element = findElement(dataset, tag);
  if (element?.kind !== 'value') return [];
  return decodeValues(element.value, charsets, effectiveVR(tag, element.vr));
}

/** The first value, `''` where there is none. */
export const firstValue = (dataset: DataSet, tag: Tag, charsets?: readonly string[]): string =>
  valuesOf(dataset, tag, charsets)[0] ?? '';

/** Does the element have anything in it? */
export function hasValue(element: Element): boolean {
  switch (element.kind) {
    case 'value':
      return element.value.some((byte) => byte !== 0x20 && byte !== 0);
    case 'sequence':
      return element.items.length > 0;
    case 'fragments':
      return true;
  }
}
