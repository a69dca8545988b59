// The grammar of a dataset as a machine with an explicit stack (PS3.5 §7.1, §7.5): it can stop at any byte and go on, and
// hostile nesting cannot exhaust the call stack. Strict: whatever it accepts, it has accounted for every byte.

import { AppError } from '../errors.ts';
import { ByteQueue } from './byte-queue.ts';
import type { DataSet, Element, Encoding, SequenceElement, Tag, ValueElement } from './dataset.ts';
import { isForbiddenGroup, lookup } from './dictionary.ts';
import {
  itemEndTag,
  itemTag,
  malformed,
  readElementHeader,
  readTag,
  sequenceEndTag,
  undefinedLength,
  type ElementHeader,
} from './element-header.ts';
import { checkTable } from './offset-tables.ts';

/** Sequences within sequences. Structured reports reach a dozen. */
const maxDepth = 64;
/** Elements and items held in memory at once: a million tiny ones are an attack on it, not an image. */
const maxNodes = 1_000_000;
/** Elements of one level: the standard has some five thousand tags, and private ones do not come in such crowds. */
const maxElements = 20_000;

const implicitLittle: Encoding = { explicitVR: false, bigEndian: false };

/** `end`: the offset behind it, or Infinity where a delimiter ends it. `limit`: where the nearest defined end is. */
interface Extent {
  readonly end: number;
  readonly limit: number;
  readonly encoding: Encoding;
}
interface DataSetFrame extends Extent {
  readonly kind: 'dataset';
  elements: Element[];
  last: Tag;
}
interface SequenceFrame extends Extent {
  readonly kind: 'sequence';
  readonly header: ElementHeader;
  readonly offset: number;
  readonly items: DataSet[];
}
interface FragmentsFrame extends Extent {
  readonly kind: 'fragments';
  readonly header: ElementHeader;
  readonly offset: number;
  readonly fragments: Uint8Array[];
}
type Frame = DataSetFrame | SequenceFrame | FragmentsFrame;

export interface ReaderOptions {
  readonly encoding: Encoding;
  readonly encapsulated: boolean;
  /** How many bytes all headers and values may have together; more is DICOM_TOO_LARGE. */
  readonly headerBytes: number;
  /** Top-level tags whose values are not read here: `read` stops at them. */
  readonly bulkTags: ReadonlySet<Tag>;
}

export class DataSetReader {
  readonly #input: ByteQueue;
  readonly #options: ReaderOptions;
  readonly #root: DataSetFrame;
  readonly #stack: Frame[];
  /** Bytes up to here count against the limit, moved on behind each bulk element. */
  #budgetEnd: number;
  #nodes = 0;

  constructor(input: ByteQueue, options: ReaderOptions) {
    this.#input = input;
    this.#options = options;
    this.#root = {
      kind: 'dataset',
      elements: [],
      last: -1,
      end: Infinity,
      limit: Infinity,
      encoding: options.encoding,
    };
    this.#stack = [this.#root];
    this.#budgetEnd = input.position + options.headerBytes;
  }

  /** Reads on until bytes are missing (undefined) or a top-level bulk element is next: its header, still in the queue. */
  read(): ElementHeader | undefined {
    for (;;) {
      const frame = this.#stack.at(-1) ?? this.#root;
      if (this.#input.position === frame.end) {
        this.#close(frame);
        continue;
      }
      const step =
        frame.kind === 'dataset'
          ? this.#inDataSet(frame)
          : frame.kind === 'sequence'
            ? this.#inSequence(frame)
            : this.#inFragments(frame);
      if (step === 'more') return undefined;
      if (step !== 'on') return step;
    }
  }

  /** Is the input at a place where a dataset may end? */
  get isWhole(): boolean {
    return this.#stack.length === 1 && this.#input.available === 0;
  }

  /** What was read at the top level since the last call. */
  takeDataSet(): DataSet {
    const elements = this.#root.elements;
    this.#root.elements = [];
    return { elements };
  }

  /** So many bytes went past the reader. */
  passed(bytes: number): void {
    this.#budgetEnd += bytes;
  }

  /** The value of a sequence comes next, up to `end`. */
  openSequence(header: ElementHeader, offset: number, end: number, encoding: Encoding): void {
    const parent = this.#stack.at(-1) ?? this.#root;
    if (this.#stack.length > 2 * maxDepth) throw malformed(offset, header.tag, 'nested too deeply');
    const limit = Math.min(end, parent.limit);
    this.#stack.push({ kind: 'sequence', header, offset, items: [], end, limit, encoding });
  }

  #inDataSet(frame: DataSetFrame): 'more' | 'on' | ElementHeader {
    const input = this.#input;
    const at = input.position;
    this.#room(frame, 8, undefined);
    if (input.available < 8) return 'more';
    const tag = readTag(input, frame.encoding.bigEndian);
    if (tag === itemEndTag && frame !== this.#root && frame.end === Infinity) {
      this.#delimiter(frame, tag);
      return 'on';
    }
    if (isForbiddenGroup(tag)) throw malformed(at, tag, 'this group cannot be here');
    const header = readElementHeader(input, frame.encoding);
    if (header === undefined) {
      this.#room(frame, 12, tag);
      return 'more';
    }
    this.#room(frame, header.size, tag);
    if (tag <= frame.last) throw malformed(at, tag, 'tags are not in ascending order');
    if (frame.elements.length >= maxElements) {
      throw new AppError('DICOM_TOO_LARGE', { at, detail: 'too many elements' });
    }
    if (frame === this.#root && this.#options.bulkTags.has(tag)) {
      frame.last = tag;
      return header;
    }
    return header.length === undefinedLength
      ? this.#openUndefined(frame, header)
      : this.#readDefined(frame, header);
  }

  #openUndefined(frame: DataSetFrame, header: ElementHeader): 'on' {
    const { tag, vr, size } = header;
    const offset = this.#input.position;
    const isPixelData = tag === 0x7fe00010;
    const isFragments = vr === 'OB' || vr === 'OW' || (vr === 'UN' && isPixelData);
    const isSequence = vr === 'SQ' || (vr === 'UN' && !isFragments);
    if (!isSequence && !(isFragments && this.#options.encapsulated)) {
      throw malformed(offset, tag, 'undefined length');
    }
    this.#input.skip(size);
    frame.last = tag;
    // PS3.5 §6.2.2 note 2: UN of undefined length holds implicit little endian, whatever the file is
    const encoding = vr === 'UN' ? implicitLittle : frame.encoding;
    if (isSequence) this.openSequence(header, offset, Infinity, encoding);
    else {
      const { limit, encoding } = frame;
      this.#stack.push({
        kind: 'fragments',
        header,
        offset,
        fragments: [],
        end: Infinity,
        limit,
        encoding,
      });
    }
    return 'on';
  }

  #readDefined(frame: DataSetFrame, header: ElementHeader): 'more' | 'on' {
    const { tag, vr, length, size } = header;
    const offset = this.#input.position;
    if (length % 2 === 1) throw malformed(offset, tag, 'odd length');
    if (offset + size + length > frame.limit) {
      throw malformed(offset, tag, 'longer than what it is in');
    }
    if (vr === 'SQ') {
      this.#input.skip(size);
      frame.last = tag;
      this.openSequence(header, offset, offset + size + length, frame.encoding);
      return 'on';
    }
    this.#room(frame, size + length, tag);
    if (this.#input.available < size + length) return 'more';
    this.#input.skip(size);
    this.#node(offset);
    const value = this.#input.take(length);
    frame.last = tag;
    const element: ValueElement = { kind: 'value', tag, vr, value, offset };
    const isHidden = vr === 'UN' && lookup(tag)?.vrs[0] === 'SQ';
    frame.elements.push((isHidden ? openHiddenSequence(element) : undefined) ?? element);
    return 'on';
  }

  #inSequence(frame: SequenceFrame): 'more' | 'on' {
    const input = this.#input;
    this.#room(frame, 8, frame.header.tag);
    if (input.available < 8) return 'more';
    const at = input.position;
    const { bigEndian } = frame.encoding;
    const tag = readTag(input, bigEndian);
    if (tag === sequenceEndTag && frame.end === Infinity) {
      this.#delimiter(frame, tag);
      return 'on';
    }
    if (tag !== itemTag) throw malformed(at, frame.header.tag, 'no item where one must be');
    const length = input.uint32(4, bigEndian);
    const end = length === undefinedLength ? Infinity : at + 8 + length;
    if (end !== Infinity && end > frame.limit) {
      throw malformed(at, frame.header.tag, 'an item is longer than what it is in');
    }
    input.skip(8);
    this.#node(at);
    const limit = Math.min(end, frame.limit);
    const { encoding } = frame;
    this.#stack.push({ kind: 'dataset', elements: [], last: -1, end, limit, encoding });
    return 'on';
  }

  #inFragments(frame: FragmentsFrame): 'more' | 'on' {
    const input = this.#input;
    this.#room(frame, 8, frame.header.tag);
    if (input.available < 8) return 'more';
    const at = input.position;
    const tag = readTag(input, frame.encoding.bigEndian);
    if (tag === sequenceEndTag) {
      this.#delimiter(frame, tag);
      return 'on';
    }
    if (tag !== itemTag) throw malformed(at, frame.header.tag, 'no fragment where one must be');
    const length = input.uint32(4, frame.encoding.bigEndian);
    if (length === undefinedLength || length % 2 === 1) {
      throw malformed(at, frame.header.tag, 'length of a fragment');
    }
    this.#room(frame, 8 + length, frame.header.tag);
    if (input.available < 8 + length) return 'more';
    input.skip(8);
    this.#node(at);
    frame.fragments.push(input.take(length));
    return 'on';
  }

  #delimiter(frame: Frame, tag: Tag): void {
    if (this.#input.uint32(4, frame.encoding.bigEndian) !== 0) {
      throw malformed(this.#input.position, tag, 'a delimiter with a length');
    }
    this.#input.skip(8);
    this.#close(frame);
  }

  /** Hands what the frame holds to the frame below it. */
  #close(frame: Frame): void {
    this.#stack.pop();
    const below = this.#stack.at(-1) ?? this.#root;
    this.#node(this.#input.position);
    if (frame.kind === 'dataset') {
      if (below.kind === 'sequence') below.items.push({ elements: frame.elements });
      return;
    }
    if (below.kind !== 'dataset') return;
    const { tag, vr } = frame.header;
    const { offset } = frame;
    if (frame.kind === 'sequence') {
      const { items, encoding } = frame;
      below.elements.push({
        kind: 'sequence',
        tag,
        vr: vr === 'UN' ? 'UN' : 'SQ',
        items,
        encoding,
        offset,
      });
    } else {
      const { fragments } = frame;
      checkTable(fragments, offset);
      below.elements.push({
        kind: 'fragments',
        tag,
        vr: vr === 'OB' || vr === 'OW' ? vr : 'UN',
        fragments,
        offset,
      });
    }
  }

  /** May so many bytes more belong to the frame, and to all headers together? */
  #room(frame: Frame, bytes: number, tag: Tag | undefined): void {
    const end = this.#input.position + bytes;
    if (end > frame.limit) throw malformed(this.#input.position, tag, 'ends in the middle');
    // the end of the file is not known: fewer than 8 bytes over the limit is no reason to refuse
    if (end > this.#budgetEnd + 8) {
      throw new AppError('DICOM_TOO_LARGE', { at: this.#input.position });
    }
  }

  #node(at: number): void {
    this.#nodes += 1;
    if (this.#nodes > maxNodes) {
      throw new AppError('DICOM_TOO_LARGE', { at, detail: 'too many elements' });
    }
  }
}

/**
 * The sequence that a value of VR UN holds (PS3.5 §6.2.2 note 2: implicit little endian, whatever the file is), or undefined
 * where the bytes are not one to the last of them. The walker asks this for tags that the dictionary knows as sequences;
 * for private ones only those can ask who know what the creator puts there.
 */
export function openHiddenSequence(element: ValueElement): SequenceElement | undefined {
  const { tag, value, offset } = element;
  const input = new ByteQueue(Math.max(offset, 0) + 12);
  const reader = new DataSetReader(input, {
    encoding: implicitLittle,
    encapsulated: false,
    headerBytes: value.length,
    bulkTags: new Set(),
  });
  const header: ElementHeader = { tag, vr: 'UN', length: value.length, size: 12 };
  reader.openSequence(header, offset, input.position + value.length, implicitLittle);
  input.push(value);
  try {
    reader.read();
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
  const [found] = reader.takeDataSet().elements;
  return reader.isWhole && found?.kind === 'sequence' ? found : undefined;
}
