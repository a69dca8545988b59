// Group 0002 (PS3.10 §7.1): always explicit little endian, and short. Read in one go, once all of it is there.

import { AppError } from '../errors.ts';
import type { ByteQueue } from './byte-queue.ts';
import type { Tag, ValueElement } from './dataset.ts';
import { malformed, readElementHeader, undefinedLength } from './element-header.ts';
import { valueText } from './encode.ts';
import { transferSyntax } from './transfer-syntax.ts';

const explicitLittle = { explicitVR: true, bigEndian: false };
const groupLength: Tag = 0x00020000;
const syntaxTag: Tag = 0x00020010;

/** Real ones have a few hundred bytes; private information may make them longer. */
const metaBytes = 1 << 20;

export interface FileMeta {
  readonly elements: readonly ValueElement[];
  readonly transferSyntaxUID: string;
}

/**
 * Undefined while bytes are missing; takes nothing from the queue until it knows all. The group ends where another
 * group begins; its length (0002,0000) is wrong in many real files, so it only decides in front of a deflated stream,
 * whose first bytes could look like group 0002.
 */
export function readFileMeta(
  input: ByteQueue,
  offset: number,
  headerBytes: number,
  atEnd: boolean,
): FileMeta | undefined {
  const cursor = input.lookAhead();
  const elements: ValueElement[] = [];
  let last: Tag = -1;
  let declaredEnd: number | undefined;
  let syntax: string | undefined;
  for (;;) {
    const at = cursor.position;
    if (at - offset > Math.min(metaBytes, headerBytes))
      throw new AppError('DICOM_TOO_LARGE', { at });
    const endsHere =
      at === declaredEnd &&
      syntax !== undefined &&
      syntax !== '' &&
      transferSyntax(syntax).deflated;
    if (!endsHere && cursor.available < 2 && !atEnd) return undefined;
    if (endsHere || cursor.available < 2 || cursor.uint16(0, false) !== 2) break;
    const header = readElementHeader(cursor, explicitLittle);
    if (header === undefined) return undefined;
    const { tag, vr, length, size } = header;
    if (tag <= last) throw malformed(at, tag, 'tags are not in ascending order');
    if (length === undefinedLength || vr === 'SQ') throw malformed(at, tag, 'undefined length');
    if (length % 2 === 1) throw malformed(at, tag, 'odd length');
    if (size + length > metaBytes) throw new AppError('DICOM_TOO_LARGE', { at });
    if (cursor.available < size + length) return undefined;
    cursor.skip(size);
    const value = cursor.take(length);
    elements.push({ kind: 'value', tag, vr, value, offset: at });
    if (tag === groupLength && length === 4) {
      const view = new DataView(value.buffer, value.byteOffset, 4);
      declaredEnd = cursor.position + view.getUint32(0, true);
    }
    if (tag === syntaxTag) syntax = valueText(value);
    last = tag;
  }
  const mayGoOn = cursor.available < 2;
  if (mayGoOn && (elements.length === 0 || syntax === undefined)) return undefined;
  if (elements.length === 0) throw malformed(input.position, undefined, 'no file meta behind DICM');
  if (syntax === undefined || syntax === '') {
    throw malformed(input.position, syntaxTag, 'no transfer syntax in the file meta');
  }
  input.skip(cursor.position - input.position);
  return { elements, transferSyntaxUID: syntax };
}
