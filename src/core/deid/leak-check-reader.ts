// The second reader of what was written: dicom-parser, which shares no code with our walker and writer. It must find
// elements that lie without a gap from the first byte to the last; if not, either it or our writer is wrong, and the
// file is held.

import dicomParser, { type DataSet, type Element } from 'dicom-parser';
import type { Tag, VR } from '../dicom/dataset.ts';
import { isPrivate } from '../dicom/dataset.ts';
import { latin1, stripPadding } from '../dicom/latin1.ts';
import { lookup } from '../dicom/dictionary.ts';
import { isStandardScheme } from './code-item.ts';

export interface ReadValue {
  readonly tag: Tag;
  /** UN where only the file could have told and does not (private elements in implicit VR). */
  readonly vr: VR;
  readonly value: Uint8Array;
  /** SpecificCharacterSet that holds here. */
  readonly charset: readonly string[];
  /** Stands in an item that names its coding scheme (PS3.3 §8): one that a standard publishes, or somebody's own. */
  readonly code: 'none' | 'standard' | 'own';
}

const implicitUID = '1.2.840.10008.1.2';
const bigEndianUID = '1.2.840.10008.1.2.2';

interface Reading {
  readonly bytes: Uint8Array;
  readonly isExplicit: boolean;
  readonly into: ReadValue[];
}

/** All values at every level. Throws something, not always an Error, when the bytes do not add up. */
export function readBack(part10: Uint8Array, charset: readonly string[]): readonly ReadValue[] {
  const patched = withKnownVRs(part10);
  const meta = dicomParser.readPart10Header(patched);
  const syntaxElement = meta.elements['x00020010'];
  if (syntaxElement === undefined) throw new TypeError('no transfer syntax');
  const syntax = ascii(valueOf(part10, syntaxElement));
  const isExplicit = syntax !== implicitUID;
  const start = (meta as DataSet & { position: number }).position;
  const parser =
    syntax === bigEndianUID
      ? dicomParser.bigEndianByteArrayParser
      : dicomParser.littleEndianByteArrayParser;
  const stream = new dicomParser.ByteStream(parser, patched, start);
  const body = { elements: {}, warnings: [], byteArray: patched } as unknown as DataSet;
  if (isExplicit) dicomParser.parseDicomDataSetExplicit(body, stream);
  else dicomParser.parseDicomDataSetImplicit(body, stream, undefined, implicitOptions);
  if (body.warnings.length > 0) throw new TypeError('warnings');
  mustBeWhole(body, start, part10.length, isExplicit);
  const into: ReadValue[] = [];
  walk(meta, charset, { bytes: part10, isExplicit: true, into });
  walk(body, charset, { bytes: part10, isExplicit, into });
  return into;
}

/** The same few thousand tags in every file; a hostile one may bring any. */
const tags = new Map<string, Tag>();

function tagOfName(name: string): Tag {
  let tag = tags.get(name);
  if (tag === undefined) {
    if (tags.size >= 20_000) tags.clear();
    tags.set(name, (tag = Number.parseInt(name.slice(1), 16)));
  }
  return tag;
}

const vrFromDictionary = (name: string): string | undefined => lookup(tagOfName(name))?.vrs[0];

// The typing of dicom-parser wants an untilTag although none is needed.
const implicitOptions = { vrCallback: vrFromDictionary } as unknown as {
  untilTag: string;
  vrCallback: (tag: string) => string;
};

/**
 * dicom-parser reads OV, SV and UV with a short length field and loses what follows. In a copy for its eyes they become OB,
 * which has the same form; values are always taken from the real bytes.
 */
function withKnownVRs(part10: Uint8Array): Uint8Array {
  const bytes = Buffer.from(part10.buffer, part10.byteOffset, part10.length);
  let copy: Buffer | undefined;
  for (const vr of ['OV\0\0', 'SV\0\0', 'UV\0\0']) {
    for (
      let at = bytes.indexOf(vr, 132, 'latin1');
      at >= 0;
      at = bytes.indexOf(vr, at + 4, 'latin1')
    ) {
      copy ??= Buffer.from(bytes);
      copy.write('OB', at, 'latin1');
    }
  }
  return copy ?? bytes;
}

const longForm: ReadonlySet<string> = new Set('OB OD OF OL OV OW SQ SV UC UN UR UT UV'.split(' '));

/** Every element begins where the one before it ends: nothing was skipped, and no tag came twice. */
function mustBeWhole(body: DataSet, start: number, end: number, isExplicit: boolean): void {
  // in the order of reading, which is that of the file
  let at = start;
  for (const name in body.elements) {
    const element = body.elements[name]!;
    const header = isExplicit && longForm.has(element.vr ?? '') ? 12 : 8;
    if (element.dataOffset - header !== at) throw new TypeError('a gap');
    const delimiter = element.hadUndefinedLength === true ? 8 : 0;
    at = element.dataOffset + element.length + delimiter;
  }
  if (at !== end) throw new TypeError('an end elsewhere');
}

function walk(dataset: DataSet, inherited: readonly string[], reading: Reading): void {
  const own = dataset.elements['x00080005'];
  const charset = own === undefined ? inherited : ascii(valueOf(reading.bytes, own)).split('\\');
  const scheme = dataset.elements['x00080102'] ?? dataset.elements['x0008010c'];
  const code =
    scheme === undefined || scheme.length === 0
      ? 'none'
      : isStandardScheme(ascii(valueOf(reading.bytes, scheme)).trim())
        ? 'standard'
        : 'own';
  for (const name in dataset.elements) {
    const element = dataset.elements[name]!;
    if (name.startsWith('xfffe')) continue;
    if (element.items !== undefined) {
      for (const item of element.items) {
        if (item.dataSet !== undefined) walk(item.dataSet, charset, reading);
      }
      continue;
    }
    const tag = tagOfName(name);
    const value = valueOf(reading.bytes, element);
    reading.into.push({ tag, vr: vrOf(tag, element, reading), value, charset, code });
  }
}

function vrOf(tag: Tag, element: Element, reading: Reading): VR {
  if (element.vr !== undefined && reading.isExplicit && element.vr !== 'UN') {
    return element.vr as VR;
  }
  if (isPrivate(tag) && (tag & 0xff00) === 0) return 'LO';
  const known = lookup(tag)?.vrs[0] ?? 'UN';
  // Opaque bytes are not taken for numbers, or for a sequence that was not read, on the word of the dictionary.
  return known === 'SQ' || (element.vr === 'UN' && numeric.has(known)) ? 'UN' : known;
}

const numeric: ReadonlySet<VR> = new Set(
  'AT FD FL SL SS UL US OD OF OL OV SV UV'.split(' ') as VR[],
);

const valueOf = (bytes: Uint8Array, element: Element): Uint8Array => {
  const end = element.dataOffset + element.length;
  if (end > bytes.length) throw new TypeError('a value runs out of the file');
  return bytes.subarray(element.dataOffset, end);
};

const ascii = (bytes: Uint8Array): string => stripPadding(latin1(bytes));
