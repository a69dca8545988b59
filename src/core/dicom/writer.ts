// Writes a dataset down again (PS3.10 §7, PS3.5 §7). Values go out as the bytes they are; what is computed anew is only
// the structure around them: lengths of sequences and items, the file meta. Group lengths (retired) are not written.

import { AppError } from '../errors.ts';
import {
  formatTag,
  type BulkHeader,
  type DataSet,
  type Element,
  type Encoding,
  type FileHead,
  type Tag,
  type VR,
} from './dataset.ts';
import { isGroupLength } from './dictionary.ts';
import { isShortForm, itemTag, sequenceEndTag, undefinedLength } from './element-header.ts';
import { textElement, uiElement, ulElement } from './encode.ts';

/** Ours, made once from a random UUID (PS3.5 §B.2); it says nothing about the site. */
export const implementationClassUID = '2.25.115605285406365826553046183978132707677';
const implementationVersionName = 'CLUBHOUSE_1';

const explicitLittle: Encoding = { explicitVR: true, bigEndian: false };

/**
 * Preamble of zeros, DICM and the file meta, all of it made anew: nothing of the original's group 0002 goes through but
 * the transfer syntax. `sopClassUID` and `sopInstanceUID` are those of the new dataset (PS3.10 §7.1).
 */
export function writeHead(
  head: FileHead,
  ids: { readonly sopClassUID: string; readonly sopInstanceUID: string },
): Uint8Array {
  const elements: Element[] = [
    { kind: 'value', tag: 0x00020001, vr: 'OB', value: Uint8Array.of(0, 1), offset: -1 },
    uiElement(0x00020002, ids.sopClassUID),
    uiElement(0x00020003, ids.sopInstanceUID),
    uiElement(0x00020010, head.transferSyntaxUID),
    uiElement(0x00020012, implementationClassUID),
    textElement(0x00020013, 'SH', implementationVersionName),
  ];
  const length = dataSetLength({ elements }, explicitLittle);
  const groupLength = ulElement(0x00020000, [length], explicitLittle);
  const out = new Output(132 + 12 + length, explicitLittle);
  out.skip(128);
  out.bytes(Buffer.from('DICM', 'latin1'));
  // not through putDataSet, which leaves out group lengths
  out.header(groupLength.tag, groupLength.vr, 4);
  out.bytes(groupLength.value);
  putDataSet(out, { elements }, explicitLittle);
  return out.done();
}

/**
 * All elements, with sequences and items of defined length. Throws DICOM_MALFORMED where a sequence came as UN (little
 * endian inside) into a big endian file and holds numbers that would have to be turned round.
 */
export function writeDataSet(dataset: DataSet, encoding: Encoding): Uint8Array {
  const lengths: Lengths = new Map();
  const out = new Output(dataSetLength(dataset, encoding, lengths), encoding, lengths);
  putDataSet(out, dataset, encoding);
  return out.done();
}

/** Tag, VR and length of top-level pixel data; its bytes follow as they came. */
export function writeBulkHeader(bulk: BulkHeader, encoding: Encoding): Uint8Array {
  // encapsulated pixel data is OB (PS3.5 §A.4); as UN its fragments would be read as a sequence
  const vr = bulk.length === undefined ? 'OB' : bulk.vr;
  const out = new Output(headerSize(vr, bulk.length ?? undefinedLength, encoding), encoding);
  out.header(bulk.tag, vr, bulk.length ?? undefinedLength);
  return out.done();
}

// --- lengths -------------------------------------------------------------------------------------------------

/** The VR that stands in the file: a sequence is SQ, and what is too long for 16 bits is UN (PS3.5 §6.2.2 note 4). */
function writtenVR(element: Element, encoding: Encoding): VR {
  if (element.kind === 'sequence') return 'SQ';
  if (element.kind === 'fragments') return element.vr === 'UN' ? 'OB' : element.vr;
  const tooLong = encoding.explicitVR && isShortForm(element.vr) && element.value.length > 0xffff;
  return tooLong ? 'UN' : element.vr;
}

const headerSize = (vr: VR, length: number, encoding: Encoding): number =>
  encoding.explicitVR && (!isShortForm(vr) || length > 0xffff) ? 12 : 8;

/** Lengths of items, so that nested sequences are measured once and not once for each level above them. */
type Lengths = Map<DataSet, number>;

function dataSetLength(dataset: DataSet, encoding: Encoding, known: Lengths = new Map()): number {
  const measured = known.get(dataset);
  if (measured !== undefined) return measured;
  let length = 0;
  for (const element of dataset.elements) {
    if (isGroupLength(element.tag)) continue;
    const value = valueLength(element, encoding, known);
    length += headerSize(writtenVR(element, encoding), value, encoding) + value;
  }
  known.set(dataset, length);
  return length;
}

function valueLength(element: Element, encoding: Encoding, known: Lengths): number {
  switch (element.kind) {
    case 'value':
      return element.value.length;
    case 'sequence':
      return element.items.reduce((sum, item) => sum + 8 + dataSetLength(item, encoding, known), 0);
    case 'fragments':
      return element.fragments.reduce((sum, fragment) => sum + 8 + fragment.length, 8);
    default:
      return element satisfies never;
  }
}

// --- bytes ---------------------------------------------------------------------------------------------------

class Output {
  readonly encoding: Encoding;
  readonly lengths: Lengths;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number, encoding: Encoding, lengths: Lengths = new Map()) {
    this.lengths = lengths;
    this.encoding = encoding;
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
  }

  header(tag: Tag, vr: VR, length: number): void {
    this.#tag(tag);
    if (!this.encoding.explicitVR) return this.#uint32(length);
    this.#bytes[this.#at] = vr.charCodeAt(0);
    this.#bytes[this.#at + 1] = vr.charCodeAt(1);
    if (headerSize(vr, length, this.encoding) === 12) {
      this.#at += 4;
      return this.#uint32(length);
    }
    this.#view.setUint16(this.#at + 2, length, !this.encoding.bigEndian);
    this.#at += 4;
  }

  item(tag: Tag, length: number): void {
    this.#tag(tag);
    this.#uint32(length);
  }

  bytes(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  skip(length: number): void {
    this.#at += length;
  }

  done(): Uint8Array {
    if (this.#at !== this.#bytes.length) {
      throw new AppError('INTERNAL', { detail: 'the writer measured wrongly' });
    }
    return this.#bytes;
  }

  #tag(tag: Tag): void {
    this.#view.setUint16(this.#at, tag >>> 16, !this.encoding.bigEndian);
    this.#view.setUint16(this.#at + 2, tag & 0xffff, !this.encoding.bigEndian);
    this.#at += 4;
  }

  #uint32(value: number): void {
    this.#view.setUint32(this.#at, value, !this.encoding.bigEndian);
    this.#at += 4;
  }
}

/** `source`: how the values in the dataset are encoded. */
function putDataSet(out: Output, dataset: DataSet, source: Encoding): void {
  let last: Tag = -1;
  for (const element of dataset.elements) {
    if (element.tag <= last) {
      throw new AppError('INTERNAL', { tag: formatTag(element.tag), detail: 'tags out of order' });
    }
    last = element.tag;
    if (!isGroupLength(element.tag)) putElement(out, element, source);
  }
}

function putElement(out: Output, element: Element, source: Encoding): void {
  const { tag } = element;
  const vr = writtenVR(element, out.encoding);
  switch (element.kind) {
    case 'value':
      checkValue(element.value, tag, element.vr, out.encoding, source);
      out.header(tag, vr, element.value.length);
      out.bytes(element.value);
      return;
    case 'sequence':
      out.header(tag, vr, valueLength(element, out.encoding, out.lengths));
      for (const item of element.items) {
        out.item(itemTag, dataSetLength(item, out.encoding, out.lengths));
        putDataSet(out, item, element.encoding);
      }
      return;
    case 'fragments':
      out.header(tag, vr, undefinedLength);
      for (const fragment of element.fragments) {
        out.item(itemTag, fragment.length);
        out.bytes(fragment);
      }
      out.item(sequenceEndTag, 0);
      return;
    default:
      element satisfies never;
  }
}

/** VRs of bytes and characters: the same in both byte orders (PS3.5 §7.3). */
const withoutByteOrder: ReadonlySet<VR> = new Set(
  'AE AS CS DA DS DT IS LO LT OB PN SH ST TM UC UI UN UR UT'.split(' ') as VR[],
);

function checkValue(value: Uint8Array, tag: Tag, vr: VR, target: Encoding, source: Encoding): void {
  if (value.length % 2 === 1) {
    throw new AppError('INTERNAL', { tag: formatTag(tag), detail: 'a value of odd length' });
  }
  if (target.bigEndian !== source.bigEndian && value.length > 0 && !withoutByteOrder.has(vr)) {
    throw new AppError('DICOM_MALFORMED', {
      tag: formatTag(tag),
      detail: 'little endian numbers in a big endian file',
    });
  }
}
