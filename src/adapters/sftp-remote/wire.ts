// SFTP version 3 as bytes, from the client's side (draft-ietf-secsh-filexfer-02). Pure, so that it can be fed byte by byte.
// ssh2's own client cannot send an EXTENDED request of our choice, and check-file-name is what proves a delivery.

import { AppError } from '../../core/errors.ts';

export const packetTypes = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  FSTAT: 8,
  FSETSTAT: 10,
  REMOVE: 13,
  MKDIR: 14,
  STAT: 17,
  RENAME: 18,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const;

export const statusCodes = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  NO_CONNECTION: 6,
  CONNECTION_LOST: 7,
  OP_UNSUPPORTED: 8,
};

export const openFlags = { READ: 0x01, WRITE: 0x02, CREAT: 0x08, TRUNC: 0x10, EXCL: 0x20 } as const;

/** Longest reply that is taken: a READ's data is at most 256 KB, and we never list folders. */
const maximumFrameBytes = 512 * 1024;

export interface Frame {
  readonly type: number;
  /** What is behind the type byte; for all but VERSION it starts with the request's id. */
  readonly body: Buffer;
  /** Of DATA: what follows the first fields, as it arrived. Put together it would be copied, 255 KB at a time. */
  readonly rest: readonly Buffer[];
}

const nothing: readonly Buffer[] = [];
/** Id and length of DATA. */
const dataFieldsBytes = 8;

/** Cuts the channel's bytes into frames, however they arrive. Throws REMOTE_REFUSED on a length that cannot be. */
export class FrameReader {
  #chunks: Buffer[] = [];
  /** Of the chunks, those in front are used up: taking each out moves all others, which for a frame in tiny pieces takes minutes. */
  #used = 0;
  #held = 0;
  /** Of the frame that is coming, its type byte counted. */
  #length: number | undefined;

  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const frames: Frame[] = [];
    for (;;) {
      if (this.#length === undefined) {
        if (this.#held < 4) break;
        this.#length = this.#take(4).readUInt32BE(0);
        if (this.#length < 1 || this.#length > maximumFrameBytes) throw malformed();
      }
      if (this.#held < this.#length) break;
      frames.push(this.#frame(this.#length - 1));
      this.#length = undefined;
    }
    if (this.#used > 0) this.#chunks = this.#chunks.slice(this.#used);
    this.#used = 0;
    return frames;
  }

  #frame(bodyBytes: number): Frame {
    const type = this.#take(1).readUInt8(0);
    if (type !== packetTypes.DATA || bodyBytes <= dataFieldsBytes) {
      return { type, body: this.#take(bodyBytes), rest: nothing };
    }
    return {
      type,
      body: this.#take(dataFieldsBytes),
      rest: this.#takePieces(bodyBytes - dataFieldsBytes),
    };
  }

  #take(count: number): Buffer {
    const pieces = this.#takePieces(count);
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  }

  #takePieces(count: number): Buffer[] {
    const pieces: Buffer[] = [];
    for (let left = count; left > 0;) {
      const first = this.#chunks[this.#used];
      if (first === undefined) throw malformed();
      if (first.length > left) {
        pieces.push(first.subarray(0, left));
        this.#chunks[this.#used] = first.subarray(left);
        left = 0;
      } else {
        pieces.push(first);
        this.#used += 1;
        left -= first.length;
      }
    }
    this.#held -= count;
    return pieces;
  }
}

const malformed = (): AppError => new AppError('REMOTE_REFUSED', { detail: 'malformed reply' });

/** Reads the fields of a reply in order; what is not there is a malformed reply, never a guess. */
export class Fields {
  readonly #bytes: Buffer;
  readonly #rest: readonly Buffer[];
  #at = 0;

  /** `rest`: of DATA, see Frame. */
  constructor(bytes: Buffer, rest: readonly Buffer[] = nothing) {
    this.#bytes = bytes;
    this.#rest = rest;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  uint32(): number {
    return this.take(4).readUInt32BE(0);
  }

  /** A number up to 2^53; larger ones (a file system without limits) come as the largest safe one. */
  uint64(): number {
    const value = this.take(8).readBigUInt64BE(0);
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
  }

  string(): Buffer {
    return this.take(this.uint32());
  }

  /** The string of DATA, in the pieces in which it arrived, and their length. */
  data(): { readonly pieces: readonly Buffer[]; readonly bytes: number } {
    const bytes = this.uint32();
    if (this.#rest.reduce((sum, piece) => sum + piece.length, 0) !== bytes) throw malformed();
    return { pieces: this.#rest, bytes };
  }

  take(count: number): Buffer {
    if (count > this.left) throw malformed();
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }
}

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

export const uint64 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};

export const string = (value: string | Uint8Array): Buffer => {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([uint32(bytes.length), bytes]);
};

/** One packet, length first; `comingBytes` of it are sent behind this. */
export function packet(type: number, parts: readonly Uint8Array[], comingBytes = 0): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const bytes = Buffer.allocUnsafe(4 + length);
  bytes.writeUInt32BE(length + comingBytes, 0);
  bytes.writeUInt8(type, 4);
  let at = 5;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const hasSize = 0x1;
const hasOwner = 0x2;
const hasMode = 0x4;
const hasTimes = 0x8;

export interface Attributes {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly isFolder: boolean;
  readonly isFile: boolean;
}

/** ATTRS of §5. A server that does not say the mode is taken to speak of a file. */
export function readAttributes(fields: Fields): Attributes {
  const flags = fields.uint32();
  const sizeBytes = (flags & hasSize) === 0 ? 0 : fields.uint64();
  if ((flags & hasOwner) !== 0) fields.take(8);
  const kind = (flags & hasMode) === 0 ? 0o100000 : fields.uint32() & 0o170000;
  let modifiedMs = 0;
  if ((flags & hasTimes) !== 0) {
    fields.take(4);
    modifiedMs = fields.uint32() * 1000;
  }
  return { sizeBytes, modifiedMs, isFolder: kind === 0o040000, isFile: kind === 0o100000 };
}

export const noAttributes: Buffer = uint32(0);

export const timeAttributes = (modifiedMs: number): Buffer => {
  const seconds = Math.floor(modifiedMs / 1000);
  return Buffer.concat([uint32(hasTimes), uint32(seconds), uint32(seconds)]);
};
