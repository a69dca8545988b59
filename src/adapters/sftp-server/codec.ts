// SFTP version 3 on the wire (draft-ietf-secsh-filexfer-02): packets out of a stream of chunks. Answers: encode.ts.
// ssh2's own SFTP class delivers without waiting for answers, cannot send EXTENDED_REPLY and turns names into strings; so
// the raw channel is read here. The data of a WRITE is never put together: it stays as slices of what arrived.

import { AppError } from '../../core/errors.ts';

export const packetType = {
  INIT: 1,
  VERSION: 2,
  OPEN: 3,
  CLOSE: 4,
  READ: 5,
  WRITE: 6,
  LSTAT: 7,
  FSTAT: 8,
  SETSTAT: 9,
  FSETSTAT: 10,
  OPENDIR: 11,
  READDIR: 12,
  REMOVE: 13,
  MKDIR: 14,
  RMDIR: 15,
  REALPATH: 16,
  STAT: 17,
  RENAME: 18,
  READLINK: 19,
  SYMLINK: 20,
  STATUS: 101,
  HANDLE: 102,
  DATA: 103,
  NAME: 104,
  ATTRS: 105,
  EXTENDED: 200,
  EXTENDED_REPLY: 201,
} as const;

export const openFlag = {
  READ: 0x01,
  WRITE: 0x02,
  APPEND: 0x04,
  CREAT: 0x08,
  TRUNC: 0x10,
  EXCL: 0x20,
} as const;

export const attributeFlag = {
  SIZE: 0x01,
  UIDGID: 0x02,
  PERMISSIONS: 0x04,
  ACMODTIME: 0x08,
  EXTENDED: 0x80000000,
} as const;

/** The same limits as OpenSSH's sftp-server, so that its client sends 255 KB requests. */
export const maximumPacketBytes = 256 * 1024;
export const maximumDataBytes = maximumPacketBytes - 1024;

export interface Packet {
  readonly type: number;
  /** Request id; the version for INIT. */
  readonly id: number;
  /** What follows the id; for a WRITE, handle and offset only. */
  readonly body: Reader;
  /** The data of a WRITE. */
  readonly data: readonly Buffer[];
  readonly dataBytes: number;
}

/** Reads the fields of one packet; anything missing is BAD_MESSAGE, which ends the channel. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new AppError('BAD_MESSAGE');
    this.#at = at + count;
    return at;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  string(): Buffer {
    const length = this.uint32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Reads the same fields again, from here on. */
  fork(): Reader {
    return new Reader(this.#bytes.subarray(this.#at));
  }

  text(): string {
    return this.string().toString('latin1');
  }
}

/** Attributes as a client sends them (§5); what is not there was not sent. Modes and owners are read and ignored. */
export interface SentAttributes {
  readonly sizeBytes: bigint | undefined;
  readonly times: { readonly accessed: number; readonly modified: number } | undefined;
}

export function readAttributes(reader: Reader): SentAttributes {
  const flags = reader.uint32();
  const sizeBytes = flags & attributeFlag.SIZE ? reader.uint64() : undefined;
  if (flags & attributeFlag.UIDGID) reader.uint64();
  if (flags & attributeFlag.PERMISSIONS) reader.uint32();
  const times =
    flags & attributeFlag.ACMODTIME
      ? { accessed: reader.uint32(), modified: reader.uint32() }
      : undefined;
  return { sizeBytes, times };
}

export interface PacketReader {
  feed(chunk: Buffer): void;
  /** The next whole packet; undefined when more bytes are needed. Throws BAD_MESSAGE. */
  next(): Packet | undefined;
}

/** Takes packets out of chunks, however they were cut. Holds at most one packet beyond what was fed. */
export function createPacketReader(limitBytes: number = maximumPacketBytes): PacketReader {
  let chunks: Buffer[] = [];
  let first = 0;
  let at = 0;
  let available = 0;

  const slices = (count: number): Buffer[] => {
    const taken: Buffer[] = [];
    let left = count;
    while (left > 0) {
      const chunk = chunks[first] as Buffer;
      const length = Math.min(left, chunk.length - at);
      taken.push(chunk.subarray(at, at + length));
      at += length;
      left -= length;
      if (at === chunk.length) {
        first += 1;
        at = 0;
      }
    }
    available -= count;
    if (first > 64 || first === chunks.length) {
      chunks = chunks.slice(first);
      first = 0;
    }
    return taken;
  };
  const bytes = (count: number): Buffer => {
    const taken = slices(count);
    return taken.length === 1 ? (taken[0] as Buffer) : Buffer.concat(taken, count);
  };

  let length: number | undefined;
  return {
    feed: (chunk) => {
      if (chunk.length === 0) return;
      chunks.push(chunk);
      available += chunk.length;
    },
    next: () => {
      if (length === undefined) {
        if (available < 4) return undefined;
        length = bytes(4).readUInt32BE(0);
        if (length < 5 || length > limitBytes) throw new AppError('BAD_MESSAGE');
      }
      if (available < length) return undefined;
      const packetBytes = length;
      length = undefined;
      return split(packetBytes, bytes, slices);
    },
  };
}

const none: readonly Buffer[] = [];

function split(
  length: number,
  bytes: (count: number) => Buffer,
  slices: (count: number) => Buffer[],
): Packet {
  const head = bytes(5);
  const type = head[0] as number;
  const id = head.readUInt32BE(1);
  let left = length - 5;
  if (type !== packetType.WRITE) {
    const body = new Reader(left === 0 ? Buffer.alloc(0) : bytes(left));
    return { type, id, body, data: none, dataBytes: 0 };
  }
  const part = (count: number): Buffer => {
    if (count > left) throw new AppError('BAD_MESSAGE');
    left -= count;
    return bytes(count);
  };
  const handleLength = part(4);
  const fields = part(handleLength.readUInt32BE(0) + 12);
  const dataBytes = fields.readUInt32BE(fields.length - 4);
  if (dataBytes > left) throw new AppError('BAD_MESSAGE');
  const data = slices(dataBytes);
  // rclone 1.60 sends junk behind the data.
  if (left > dataBytes) slices(left - dataBytes);
  const body = new Reader(Buffer.concat([handleLength, fields.subarray(0, -4)]));
  return { type, id, body, data, dataBytes };
}
