// Passes the top level's pixel data on without holding it (PS3.5 §8, §A.4). Encapsulated data is walked item by item by
// its lengths, for the bytes of a delimiter may well occur inside a fragment.

import type { ByteQueue } from './byte-queue.ts';
import type { Tag } from './dataset.ts';
import { itemTag, malformed, readTag, sequenceEndTag } from './element-header.ts';
import type { OffsetTables } from './offset-tables.ts';

export class BulkReader {
  readonly #input: ByteQueue;
  readonly #tag: Tag;
  readonly #encapsulated: boolean;
  readonly #tables: OffsetTables | undefined;
  /** Offset of the first fragment behind the basic offset table. */
  #start = 0;
  /** Bytes of the value, or of the current fragment, that are still to come. */
  #left: number;
  #fragments = 0;
  #done = false;

  /** `value`: the bytes of a native one, or who checks the tables of an encapsulated one (little endian always, PS3.5 §A.4). */
  constructor(input: ByteQueue, tag: Tag, value: number | OffsetTables) {
    const isNative = typeof value === 'number';
    this.#input = input;
    this.#tag = tag;
    this.#encapsulated = !isNative;
    this.#tables = isNative ? undefined : value;
    this.#left = isNative ? value : 0;
  }

  /** One view of all bytes of the value that are there, item headers and the delimiter included. */
  read(): { readonly bytes: Uint8Array; readonly done: boolean } {
    const { available } = this.#input;
    let length = 0;
    for (;;) {
      const part = Math.min(this.#left, available - length);
      if (this.#fragments === 1 && part > 0) {
        this.#tables?.fill(this.#input.peek(length + part).subarray(length));
      }
      this.#left -= part;
      length += part;
      if (this.#left > 0 || this.#done) break;
      if (!this.#encapsulated) {
        this.#done = true;
        break;
      }
      if (available - length < 8) break;
      this.#item(length);
      length += 8;
    }
    return { bytes: this.#input.take(length), done: this.#done };
  }

  /** The header of an item or the delimiter, `ahead` bytes from here. */
  #item(ahead: number): void {
    const at = this.#input.position + ahead;
    const tag = readTag(this.#input, false, ahead);
    const length = this.#input.uint32(ahead + 4, false);
    if (tag === sequenceEndTag) {
      if (length !== 0) throw malformed(at, tag, 'a delimiter with a length');
      if (this.#fragments === 0) throw malformed(at, this.#tag, 'no offset table');
      this.#tables?.end(at);
      this.#done = true;
      return;
    }
    if (tag !== itemTag) throw malformed(at, this.#tag, 'no fragment where one must be');
    if (length % 2 === 1) throw malformed(at, this.#tag, 'length of a fragment');
    if (this.#fragments === 0) {
      this.#tables?.begin(length, at);
      this.#start = at + 8 + length;
    } else this.#tables?.fragment(length, at - this.#start, at);
    this.#fragments += 1;
    this.#left = length;
  }
}
