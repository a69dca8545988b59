// Makes elements, and reads short plain values. What we write is ASCII in every character set (PS3.5 §6.1.2.2 keeps ASCII
// in all of them), so no encoder of other sets is needed; anything else is refused rather than mangled.

import { AppError } from '../errors.ts';
import {
  formatTag,
  type DataSet,
  type Encoding,
  type SequenceElement,
  type Tag,
  type ValueElement,
  type VR,
} from './dataset.ts';

const made = (tag: Tag, vr: VR, value: Uint8Array): ValueElement => ({
  kind: 'value',
  tag,
  vr,
  value,
  offset: -1,
});

/** A text of printable ASCII (and line ends), padded to even length: UI with NUL, all others with a space (PS3.5 §6.2). */
export function textElement(tag: Tag, vr: VR, text: string): ValueElement {
  if (!/^[\x20-\x7e\r\n\t\f]*$/.test(text)) {
    throw new AppError('INTERNAL', { tag: formatTag(tag), detail: 'only ASCII can be written' });
  }
  const pad = text.length % 2 === 0 ? '' : vr === 'UI' ? '\0' : ' ';
  return made(tag, vr, Buffer.from(text + pad, 'latin1'));
}

export const uiElement = (tag: Tag, uid: string): ValueElement => textElement(tag, 'UI', uid);

/** An element with an empty value (type 2). */
export const emptyElement = (tag: Tag, vr: VR): ValueElement => made(tag, vr, new Uint8Array(0));

export function usElement(tag: Tag, values: readonly number[], encoding: Encoding): ValueElement {
  const view = new DataView(new ArrayBuffer(2 * values.length));
  values.forEach((value, i) => view.setUint16(2 * i, value, !encoding.bigEndian));
  return made(tag, 'US', new Uint8Array(view.buffer));
}

export function ulElement(tag: Tag, values: readonly number[], encoding: Encoding): ValueElement {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => view.setUint32(4 * i, value, !encoding.bigEndian));
  return made(tag, 'UL', new Uint8Array(view.buffer));
}

/** `encoding`: how the values inside are written, that is the dataset's own. */
export const sequenceElement = (
  tag: Tag,
  items: readonly DataSet[],
  encoding: Encoding,
): SequenceElement => ({ kind: 'sequence', tag, vr: 'SQ', items, encoding, offset: -1 });

/** Elements in any order into a dataset; the later one of the same tag counts. */
export function dataSetOf(elements: readonly DataSet['elements'][number][]): DataSet {
  const byTag = new Map(elements.map((element) => [element.tag, element]));
  return { elements: [...byTag.values()].sort((a, b) => a.tag - b.tag) };
}

/** A value as Latin-1 without padding, for UIDs, codes, dates and numbers. Texts for people: text.ts. */
export const valueText = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString('latin1')
    .replace(/(?<![ \0])[ \0]+$/, '')
    .trimStart();

/** The element of a tag at this level. */
export const find = (dataset: DataSet, tag: Tag): DataSet['elements'][number] | undefined =>
  dataset.elements.find((element) => element.tag === tag);
