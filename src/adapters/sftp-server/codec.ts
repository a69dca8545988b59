// SFTP version 3 on the wire (draft-ietf-secsh-filexfer-02): packets out of a stream of chunks. Answers: encode.ts.
// ssh2's own SFTP class delivers without waiting for answers, cannot send EXTENDED_REPLY and turns names into strings; so
// the raw channel is read here.

import { AppError } from '../../core/errors.ts';
import { takeBuffer } from './buffers.ts';

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
  /** The data of a WRITE, out of buffers.ts. */
  readonly data: Buffer;
  readonly dataBytes: number;
  /** What it took of the channel's window. */
  readonly wireBytes: number;
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
  /** More bytes, in front of which everything was fed before. */
  feed(chunk: Buffer): void;
  /** The next whole packet; undefined when more bytes are needed. Throws BAD_MESSAGE. */
  next(): Packet | undefined;
  /** What was fed and is not in a packet yet is copied: the memory of the chunk may be used for something else. */
  keep(): void;
}

/**
 * Takes packets out of chunks, however they were cut. Nothing is taken apart before it is asked for, so that what waits costs
 * its own bytes and no more. The data of a WRITE goes straight into the buffer that is written to the disk (buffers.ts).
 */
export function createPacketReader(limitBytes: number = maximumPacketBytes): PacketReader {
  let chunks: Buffer[] = [];
  let at = 0;
  let packet: Packet | undefined;
  /** What is being filled, and what happens when it is full. */
  let target: Buffer = none;
  let filled = 0;
  let then: (bytes: Buffer) => void = () => undefined;
  /** Bytes of the packet that are not accounted for yet. */
  let left = 0;
  let skip = 0;

  const expect = (bytes: number, next: (bytes: Buffer) => void): void => {
    if (bytes > left) throw new AppError('BAD_MESSAGE');
    left -= bytes;
    target = takeBuffer(bytes);
    filled = 0;
    then = next;
  };
  const begin = (): void => {
    left = 4;
    expect(4, (bytes) => {
      const length = bytes.readUInt32BE(0);
      if (length < 5 || length > limitBytes) throw new AppError('BAD_MESSAGE');
      left = length;
      expect(5, (head) => readBody(length, head[0] as number, head.readUInt32BE(1)));
    });
  };
  const finish = (whole: Packet): void => {
    packet = whole;
    begin();
  };
  const readBody = (length: number, type: number, id: number): void => {
    const wireBytes = length + 4;
    if (type !== packetType.WRITE) {
      expect(left, (bytes) =>
        finish({ type, id, body: new Reader(bytes), data: none, dataBytes: 0, wireBytes }),
      );
      return;
    }
    expect(4, (handleLength) => {
      expect(handleLength.readUInt32BE(0) + 12, (fields) => {
        const dataBytes = fields.readUInt32BE(fields.length - 4);
        const body = new Reader(Buffer.concat([handleLength, fields.subarray(0, -4)]));
        expect(dataBytes, (data) => {
          // rclone 1.60 sends junk behind the data.
          skip = left;
          finish({ type, id, body, data, dataBytes, wireBytes });
        });
      });
    });
  };
  /** Goes on until a packet is whole; true when the chunk is used up before. */
  const consume = (chunk: Buffer): boolean => {
    for (;;) {
      const skipped = Math.min(skip, chunk.length - at);
      skip -= skipped;
      at += skipped;
      const count = Math.min(target.length - filled, chunk.length - at);
      if (count > 0) chunk.copy(target, filled, at, at + count);
      filled += count;
      at += count;
      if (skip > 0 || filled < target.length) return true;
      then(target);
      if (packet !== undefined) return at === chunk.length;
    }
  };
  begin();
  return {
    feed: (chunk) => void chunks.push(chunk),
    next: () => {
      let used = 0;
      for (const chunk of chunks) {
        if (!consume(chunk)) break;
        used += 1;
        at = 0;
        if (packet !== undefined) break;
      }
      if (used > 0) chunks = chunks.slice(used);
      const whole = packet;
      packet = undefined;
      return whole;
    },
    keep: () => {
      const last = chunks.length - 1;
      // An index that is not there, -1, would be looked up as a name.
      const rest = last < 0 ? undefined : chunks[last];
      if (rest === undefined) return;
      chunks[last] = Buffer.from(last === 0 ? rest.subarray(at) : rest);
      if (last === 0) at = 0;
    },
  };
}

const none: Buffer = Buffer.alloc(0);
