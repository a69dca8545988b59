// What compressed images carry beside their pixels (PS3.5 §8.2, §A.4): comments and application segments of JPEG and JPEG-LS
// (ISO/IEC 10918-1 §B.2.4), also between scans, comments of JPEG 2000 code streams (ISO/IEC 15444-1 §A.9.2), boxes around them
// (§I), and what stands in front of and behind an image. The pixels are stepped over, by the lengths that are written there or
// to the next marker, so this costs next to nothing.

import {
  beginsFrame,
  isReserved,
  segments2000,
  superBoxes,
  isCodedBox,
  isPadding,
  paddingUsed,
  u16,
  u32,
} from './image-markers.ts';

/** Something in a frame that may be text. */
export interface ImageComment {
  /** `JPEG COM`, `JPEG APP1`, `JPEG 2000 COM`, `box uuid`. */
  readonly where: string;
  readonly bytes: Uint8Array;
}

/** What a frame's header waits for; `skip` bytes go by unseen first. */
type State =
  | { readonly at: 'start' }
  | { readonly at: 'jpeg' }
  /** Coded pixels of JPEG, up to a marker that is no restart. */
  | { readonly at: 'scan' }
  /** Packets of the last tile of JPEG 2000, up to the end of the code stream. */
  | { readonly at: 'packets' }
  /** Behind the end of an image: padding, or another image. */
  | { readonly at: 'behind' }
  /** `tileEnd`: how far the tile-part of the last SOT reaches, counted like `#position`; none in the main header. */
  | { readonly at: 'codestream'; readonly tileEnd: number | undefined }
  | { readonly at: 'box' }
  | { readonly at: 'take'; readonly where: string; readonly length: number; readonly next: State }
  | { readonly at: 'done' };

const done: State = { at: 'done' };
const nothing = new Uint8Array(0);
/** A box of text larger than this says more than an encoder's name; its beginning is enough to hold the file. */
const maxTaken = 65_536;

/** Is fed the value of encapsulated pixel data in pieces of any size, item headers included, as the walker gives it. */
export class ImageComments {
  readonly #found: ImageComment[] = [];
  readonly #hasFrames: boolean;
  #isFirstFragment = true;
  readonly #header = new Uint8Array(8);
  #headerBytes = 0;
  /** Of the current fragment, still to come. */
  #left = 0;
  /** The first bytes of a fragment, while they are too few to know it by. */
  #pendingStart: Uint8Array = nothing;
  /** Bytes of a frame's header that are too few to go on. */
  #pending: Uint8Array = nothing;
  /** Of the frame's header, to go by unseen. */
  #skip = 0;
  #isFirstItem = true;
  #isFragmentStart = false;
  #state: State = done;
  /** Bytes of the frame that were looked at or skipped. */
  #position = 0;
  #isBoxed = false;

  /** `hasFrames`: see image-markers. */
  constructor(hasFrames = true) {
    this.#hasFrames = hasFrames;
  }

  /** Gives what was found since the last call. */
  push(bytes: Uint8Array): readonly ImageComment[] {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#left === 0) rest = this.#itemHeader(rest);
      else {
        const part = rest.subarray(0, this.#left);
        this.#left -= part.length;
        rest = rest.subarray(part.length);
        this.#fragment(part);
      }
    }
    return this.#found.splice(0);
  }

  /** Eight bytes: the tag of an item or of the delimiter, and a length (PS3.5 §A.4); little endian. */
  #itemHeader(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, 8 - this.#headerBytes);
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    if (this.#headerBytes === 8) {
      this.#headerBytes = 0;
      this.#left = u32(this.#header.toReversed(), 0);
      if (this.#header[2] !== 0) this.#endFrame(); // the delimiter is FFFE,E0DD, an item FFFE,E000
      // the first item is the offset table
      this.#isFragmentStart = !this.#isFirstItem;
      this.#isFirstItem = false;
    }
    return bytes.subarray(part.length);
  }

  #fragment(bytes: Uint8Array): void {
    if (!this.#isFragmentStart) {
      if (this.#state.at !== 'done') this.#read(bytes);
      return;
    }
    const start =
      this.#pendingStart.length === 0 ? bytes : Buffer.concat([this.#pendingStart, bytes]);
    this.#pendingStart = nothing;
    if (start.length < 4 && this.#left > 0) {
      this.#pendingStart = Uint8Array.from(start);
      return;
    }
    this.#isFragmentStart = false;
    // a fragment without the beginning of a frame goes on with the one before it
    if (beginsFrame(start)) {
      this.#endFrame();
      this.#state = { at: 'start' };
    } else if (this.#hasFrames && this.#isFirstFragment && start.length > 0) {
      if (u16(start, 0) !== 0xff0a) this.#takeRest('in front of the image'); // JPEG XL begins so
    }
    if (start.length > 0) this.#isFirstFragment = false;
    if (this.#state.at !== 'done') this.#read(start);
  }

  /** Also of a comment that says it is longer than its frame, what is there is looked at. */
  #endFrame(): void {
    if (this.#state.at === 'take') {
      this.#found.push({ where: this.#state.where, bytes: this.#pending });
    }
    this.#pending = nothing;
    this.#skip = 0;
    this.#position = 0;
    this.#isBoxed = false;
    this.#state = done;
  }

  #read(bytes: Uint8Array): void {
    let data = bytes;
    for (;;) {
      const part = Math.min(this.#skip, data.length);
      this.#skip -= part;
      this.#position += part;
      data = data.subarray(part);
      if (this.#skip > 0 || this.#state.at === 'done' || data.length === 0) return;
      const view = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
      this.#pending = nothing;
      const used = this.#step(view);
      if (used === undefined) {
        this.#pending = Uint8Array.from(view);
        return;
      }
      this.#position += used;
      data = view.subarray(used);
    }
  }

  /** One step with what is there: how many bytes it used, or undefined where it needs more. */
  #step(view: Uint8Array): number | undefined {
    const state = this.#state;
    switch (state.at) {
      case 'start':
        return this.#start(view);
      case 'jpeg':
        return this.#jpeg(view);
      case 'scan':
        return this.#scan(view);
      case 'packets':
        return this.#packets(view);
      case 'behind':
        return this.#behind(view);
      case 'codestream':
        return this.#codestream(view, state.tileEnd);
      case 'box':
        return this.#box(view);
      case 'take':
        if (view.length < state.length) return undefined;
        this.#found.push({
          where: state.where,
          bytes: Uint8Array.from(view.subarray(0, state.length)),
        });
        this.#state = state.next;
        return state.length;
      case 'done':
        return view.length;
    }
  }

  /** At least the four bytes by which it was seen to begin a frame. */
  #start(view: Uint8Array): number {
    const first = u16(view, 0);
    // the signature box of JP2 and JPEG XL is looked over like the others
    this.#isBoxed = first === 0;
    if (first === 0) this.#state = { at: 'box' };
    else this.#state = first === 0xffd8 ? { at: 'jpeg' } : { at: 'codestream', tileEnd: undefined };
    return first === 0 ? 0 : 2;
  }

  /** Marker segments in front of, between and behind the scans. */
  #jpeg(view: Uint8Array): number | undefined {
    if (view.length < 2) return undefined;
    const marker = u16(view, 0);
    if (marker === 0xffff) return 1; // fill bytes may stand before a marker
    if (marker === 0xffd9) {
      this.#state = { at: 'behind' };
      return 2;
    }
    if (marker < 0xffc0) {
      this.#takeRest('JPEG, between its segments');
      return 0;
    }
    if (marker >= 0xffd0 && marker <= 0xffd8) return 2; // restarts, and the start of an image, have no length
    if (view.length < 4) return undefined;
    const length = u16(view, 2) - 2;
    const next: State = { at: 'jpeg' };
    if (length < 0) this.#takeRest('JPEG, between its segments');
    else if (marker === 0xfffe) this.#take('JPEG COM', length, next);
    else if (marker >= 0xffe0 && marker <= 0xffef) {
      this.#take(`JPEG APP${marker & 15}`, length, next);
    } else if (isReserved(marker)) this.#take('JPEG segment', length, next);
    else {
      this.#skip = length;
      if (marker === 0xffda) this.#state = { at: 'scan' };
    }
    return 4;
  }

  /** In coded pixels a byte FF is followed by one that makes no marker, in JPEG-LS by one under 80. */
  #scan(view: Uint8Array): number | undefined {
    for (let at = view.indexOf(0xff); at >= 0; at = view.indexOf(0xff, at)) {
      if (at + 1 === view.length) return at > 0 ? at : undefined;
      const next = view[at + 1] ?? 0;
      if (next === 0xff) at += 1;
      else if (next < 0xc0 || (next >= 0xd0 && next <= 0xd7)) at += 2;
      else {
        this.#state = { at: 'jpeg' };
        return at;
      }
    }
    return view.length;
  }

  /** In packets no two bytes are above FF8F (ISO/IEC 15444-1 §B.10.1), so that the end of the code stream shows. */
  #packets(view: Uint8Array): number | undefined {
    for (let at = view.indexOf(0xff); at >= 0; at = view.indexOf(0xff, at + 1)) {
      if (at + 1 === view.length) return at > 0 ? at : undefined;
      if (view[at + 1] !== 0xd9) continue;
      this.#state = { at: 'codestream', tileEnd: undefined };
      return at;
    }
    return view.length;
  }

  /** Padding is zeros, blanks or FF; anything else is looked at. */
  #behind(view: Uint8Array): number | undefined {
    let at = 0;
    while (at < view.length && isPadding(view[at])) {
      if (view[at] === 0xff && view[at + 1] === 0xd8) {
        this.#state = { at: 'jpeg' };
        return at + 2;
      }
      at += 1;
    }
    if (at === view.length) return view.at(-1) === 0xff && at > 1 ? at - 1 : paddingUsed(view);
    this.#takeRest('behind the image');
    return at;
  }

  /** The main header, and the header of each tile-part: a comment may stand in all of them. */
  #codestream(view: Uint8Array, tileEnd: number | undefined): number | undefined {
    if (view.length < 2) return undefined;
    const marker = u16(view, 0);
    if (marker === 0xffd9) {
      this.#state = { at: this.#isBoxed ? 'box' : 'behind' };
      return 2;
    }
    const here: State = { at: 'codestream', tileEnd };
    if (marker === 0xff93) {
      // start of data: on to the next tile-part
      if (tileEnd === undefined || tileEnd <= this.#position + 2) this.#state = { at: 'packets' };
      else this.#skip = tileEnd - this.#position - 2;
      return 2;
    }
    if (view.length < 4) return undefined;
    const length = u16(view, 2) - 2;
    if (marker >> 8 !== 0xff || length < 0) {
      this.#takeRest('JPEG 2000, between its segments');
      return 0;
    }
    if (marker === 0xff90) {
      if (view.length < 12) return undefined;
      const tileLength = u32(view, 6); // 0: to the end of the code stream
      const end = tileLength === 0 ? undefined : this.#position + tileLength;
      this.#state = { at: 'codestream', tileEnd: end };
      return 12;
    }
    if (marker === 0xff64) this.#take('JPEG 2000 COM', length, here);
    else if (!segments2000.has(marker)) this.#take('JPEG 2000 segment', length, here);
    else this.#skip = length;
    return 4;
  }

  #box(view: Uint8Array): number | undefined {
    if (view.length < 8) return undefined;
    let [length, head] = [u32(view, 0), 8];
    const type = Buffer.from(view.subarray(4, 8)).toString('latin1');
    if (length === 1) {
      if (view.length < 16) return undefined;
      length = u32(view, 8) * 2 ** 32 + u32(view, 12);
      head = 16;
    }
    if (type === 'jp2c') {
      this.#state = { at: 'codestream', tileEnd: undefined };
      // its start marker, which other code streams have at their very beginning
      this.#skip = 2;
      return head;
    }
    if (length === 0 && type === '\0\0\0\0') {
      this.#state = { at: 'behind' };
      return head;
    }
    if (length !== 0 && length < head) this.#takeRest('box ?');
    else if (superBoxes.has(type))
      return head; // its boxes come next
    else if (!isCodedBox(type, length)) this.#textBox(type, length === 0 ? 0 : length - head);
    else if (length === 0) this.#state = done;
    else this.#skip = length - head;
    return head;
  }

  /** `length` 0: to the end of the frame. */
  #textBox(type: string, length: number): void {
    const where = `box ${/^[\w ]{4}$/.test(type) ? type.trim() : '?'}`;
    if (length > 0) return this.#take(where, length, { at: 'box' });
    this.#found.push({ where, bytes: nothing });
    this.#state = done;
  }

  /** Something that belongs to no image, up to the end of the frame. */
  #takeRest(where: string): void {
    this.#state = { at: 'take', where, length: maxTaken, next: done };
  }

  #take(where: string, length: number, next: State): void {
    const isWhole = length <= maxTaken;
    this.#state = {
      at: 'take',
      where,
      length: isWhole ? length : maxTaken,
      next: isWhole ? next : done,
    };
  }
}
