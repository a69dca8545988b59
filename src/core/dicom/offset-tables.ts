// Offset tables say where the frames of encapsulated pixel data begin (PS3.5 §A.4, PS3.3 §C.7.6.3.1.8). They go through with the
// pixels, so what only calls itself a table would too: each number has to be the place of a fragment.

import type { DataSet, Tag } from './dataset.ts';
import { malformed } from './element-header.ts';
import { find } from './encode.ts';
import { AppError } from '../errors.ts';

const extendedOffsets: Tag = 0x7fe00001;
const extendedLengths: Tag = 0x7fe00002;
const totalLength: Tag = 0x7fe00003;
const pixelData: Tag = 0x7fe00010;

/** Four million frames; the table is held in memory. */
const maxTableBytes = 1 << 24;

/** The header speaks of fragments and there are none. */
export function refuseTables(header: DataSet): void {
  const found = header.elements.find(({ tag }) => tag >= extendedOffsets && tag <= totalLength);
  if (found !== undefined) throw malformed(found.offset, found.tag, 'a table of no fragments');
}

/**
 * Is told of the fragments of one element as they come. `header`: what precedes top-level pixel data, for the extended tables;
 * an icon has none. Throws DICOM_MALFORMED where a table does not fit, DICOM_TOO_LARGE.
 */
export class OffsetTables {
  readonly #offsets: BigUint64Array | undefined;
  readonly #lengths: BigUint64Array | undefined;
  readonly #total: bigint | undefined;
  #basic = Buffer.alloc(0);
  /** How many bytes of the basic table are filled. */
  #filled = 0;
  /** How many entries of the basic table were met. */
  #met = 0;
  #fragments = 0;
  #bytes = 0;

  constructor(header: DataSet) {
    this.#offsets = numbersOf(header, extendedOffsets);
    this.#lengths = numbersOf(header, extendedLengths);
    this.#total = numbersOf(header, totalLength)?.[0];
    if (this.#offsets?.length !== this.#lengths?.length) {
      throw malformed(0, extendedLengths, 'two tables of different lengths');
    }
  }

  /** The basic table's item begins. */
  begin(length: number, at: number): void {
    if (length % 4 !== 0) throw malformed(at, pixelData, 'length of the offset table');
    if (length > maxTableBytes) throw new AppError('DICOM_TOO_LARGE', { at });
    this.#basic = Buffer.alloc(length);
  }

  /** Its next bytes. */
  fill(bytes: Uint8Array): void {
    this.#basic.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  /** A fragment begins `at`, `place` bytes behind the basic table. */
  fragment(length: number, place: number, at: number): void {
    // 32 bits: writers of more than 4 GB let them run over
    if (this.#met * 4 < this.#filled && this.#basic.readUInt32LE(this.#met * 4) === place >>> 0) {
      this.#met += 1;
    } else if (this.#filled > 0 && this.#fragments === 0) {
      throw malformed(at, pixelData, 'offsets that do not begin at 0');
    }
    if (this.#offsets !== undefined) this.#extended(length, place, at);
    this.#fragments += 1;
    this.#bytes += length;
  }

  end(at: number): void {
    if (this.#met * 4 !== this.#filled) {
      throw malformed(at, pixelData, 'an offset that is not the place of a fragment');
    }
    if (this.#offsets !== undefined && this.#offsets.length !== this.#fragments) {
      throw malformed(at, extendedOffsets, 'not as many offsets as fragments');
    }
    const total = this.#total;
    const isRight = total === undefined || isUpTo(total, this.#bytes, this.#fragments);
    if (!isRight) throw malformed(at, totalLength, 'not the length of the fragments');
  }

  /** PS3.3 §C.7.6.3.1.8: each frame is in one fragment, and its length is the fragment's without padding. */
  #extended(length: number, place: number, at: number): void {
    if (this.#offsets?.[this.#fragments] !== BigInt(place)) {
      throw malformed(at, extendedOffsets, 'an offset that is not the place of a fragment');
    }
    if (!isUpTo(this.#lengths?.[this.#fragments] ?? 0n, length, 1)) {
      throw malformed(at, extendedLengths, 'not the length of a fragment');
    }
  }
}

/** Is the number `most`, or less by up to `pads`? */
const isUpTo = (value: bigint, most: number, pads: number): boolean =>
  value <= BigInt(most) && value >= BigInt(most - pads);

function numbersOf(header: DataSet, tag: Tag): BigUint64Array | undefined {
  const element = find(header, tag);
  if (element === undefined) return undefined;
  const isTable = element.kind === 'value' && element.value.length % 8 === 0;
  if (!isTable) throw malformed(element.offset, tag, 'no table of numbers of 64 bits');
  const { value } = element;
  if (tag === totalLength && value.length !== 8) throw malformed(element.offset, tag, 'no number');
  // encapsulated files are little endian, as are the machines that this runs on
  return new BigUint64Array(Uint8Array.from(value).buffer);
}

/** The same for fragments that are in memory, e.g. of an icon: the basic table first. */
export function checkTable(fragments: readonly Uint8Array[], at: number): void {
  const tables = new OffsetTables({ elements: [] });
  let place = 0;
  for (const [i, fragment] of fragments.entries()) {
    if (i === 0) {
      tables.begin(fragment.length, at);
      tables.fill(fragment);
      continue;
    }
    tables.fragment(fragment.length, place, at);
    place += 8 + fragment.length;
  }
  tables.end(at);
}
