// Bytes that came but were not yet understood. The walker is fed in pieces of any size and has to give the same events,
// in linear time also byte by byte; so what is left over is kept in one growing buffer, and whole pieces are not copied.

const empty = new Uint8Array(0);

export class ByteQueue {
  /** Offset in the input of the first byte that was not taken. */
  position: number;
  #bytes: Uint8Array = empty;
  #from = 0;
  #to = 0;
  /** Is #bytes ours, with room behind #to that no view handed out can see? */
  #owned = false;

  constructor(position = 0) {
    this.position = position;
  }

  get available(): number {
    return this.#to - this.#from;
  }

  /** The bytes are kept as they are, not copied, unless something is left over: they must not change afterwards. */
  push(bytes: Uint8Array): void {
    if (this.available === 0) {
      this.#bytes = bytes;
      this.#from = 0;
      this.#to = bytes.length;
      this.#owned = false;
      return;
    }
    if (!this.#owned || this.#to + bytes.length > this.#bytes.length) {
      const grown = new Uint8Array(2 * (this.available + bytes.length));
      grown.set(this.#bytes.subarray(this.#from, this.#to));
      this.#to -= this.#from;
      this.#from = 0;
      this.#bytes = grown;
      this.#owned = true;
    }
    this.#bytes.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  /** Copies what is left over, so that nothing here looks at the last piece any more. */
  detach(): void {
    if (this.#owned) return;
    this.#bytes = new Uint8Array(this.peek(this.available));
    this.#to -= this.#from;
    this.#from = 0;
  }

  /** A byte ahead, or 0 behind the end: look at `available` first. */
  at(ahead: number): number {
    return this.#bytes[this.#from + ahead] ?? 0;
  }

  uint16(ahead: number, bigEndian: boolean): number {
    const a = this.at(ahead);
    const b = this.at(ahead + 1);
    return bigEndian ? a * 0x100 + b : b * 0x100 + a;
  }

  uint32(ahead: number, bigEndian: boolean): number {
    const a = this.uint16(ahead, bigEndian);
    const b = this.uint16(ahead + 2, bigEndian);
    return bigEndian ? a * 0x10000 + b : b * 0x10000 + a;
  }

  /** A view of the next bytes, which stay in the queue. */
  peek(length: number): Uint8Array {
    return this.#bytes.subarray(this.#from, this.#from + length);
  }

  /** A view of the next bytes, which leave the queue. There must be so many. */
  take(length: number): Uint8Array {
    const view = this.peek(length);
    this.skip(length);
    return view;
  }

  /** A second reader of the same bytes; what it takes stays in this queue. For use before the next push only. */
  lookAhead(): ByteQueue {
    const copy = new ByteQueue(this.position);
    copy.push(this.peek(this.available));
    return copy;
  }

  skip(length: number): void {
    this.#from += length;
    this.position += length;
  }
}
