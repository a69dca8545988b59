// A socket that reads into one buffer of its own, again and again. Node makes a new buffer of 64 KB for each read, which is
// a quarter of an upload's system calls and most of its garbage (npm run bench -- sftp). What is read is emitted as 'data',
// as from any socket; until `lend` is called each piece is a copy that may be kept.

import { Socket } from 'node:net';
import { createFirstWords } from './first-words.ts';
import type { Handshakes } from './handshakes.ts';

export interface SharedSocket {
  readonly socket: Socket;
  /** See FirstWords; known before the first 'data', if at all. */
  readonly offeredCiphers: readonly string[] | undefined;
  /**
   * From now on pieces are the socket's own memory, valid until the next read; unless the reader says that somebody still
   * holds on to a part of it, then the socket goes on with new memory.
   */
  lend(reader: SharedReader): void;
}

export interface SharedReader {
  mayHold(memory: ArrayBufferLike): boolean;
  /** How many of these bytes are to be emitted now; the rest comes in front of the next ones. */
  ready(bytes: Buffer): number;
}

const fewBytes = 16 * 1024;
/** Once a reading has filled the few: most connections never send so much at once. */
const manyBytes = 256 * 1024;

interface WithHandle {
  _handle: object | null;
}

/**
 * `accepted` is fresh from a server with `pauseOnConnect`, and is not to be used any more. Until `lend` is called its words wait
 * for their turn among those of all strangers.
 */
export function shareReads(accepted: Socket, handshakes: Handshakes, source: string): SharedSocket {
  const inner = accepted as unknown as WithHandle;
  const handle = inner._handle;
  // A Node that keeps it elsewhere: as it always was.
  if (handle === undefined || handle === null) {
    return { socket: accepted, offeredCiphers: undefined, lend: () => undefined };
  }
  inner._handle = null;
  let memory = Buffer.allocUnsafeSlow(fewBytes);
  let reader: SharedReader | undefined;
  /** Bytes at the beginning of the memory that were not ready. */
  let waiting = 0;
  const lend = (lender: SharedReader, bytes: Buffer): void => {
    const ready = lender.ready(bytes);
    if (ready > 0) socket.emit('data', bytes.subarray(0, ready));
    waiting = bytes.length - ready;
    const isFilled = bytes.length === memory.length && memory.length < manyBytes;
    if (isFilled) memory = Buffer.allocUnsafeSlow(manyBytes);
    else if (lender.mayHold(memory.buffer)) memory = Buffer.allocUnsafeSlow(memory.length);
    if (waiting > 0) bytes.copy(memory, 0, ready);
  };
  const read = (count: number): boolean => {
    const bytes = memory.subarray(0, waiting + count);
    socket.cork();
    if (reader === undefined || lane.isBusy) words.take(Buffer.from(bytes));
    else lend(reader, bytes);
    socket.uncork();
    return true;
  };
  const options = { handle, onread: { buffer: () => memory.subarray(waiting), callback: read } };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  const pass = (bytes: Buffer): void => {
    if (socket.destroyed) return;
    socket.cork();
    socket.emit('data', bytes);
    socket.uncork();
  };
  const lane = handshakes.lane(source, pass, () => socket.destroy());
  const words = createFirstWords((bytes) => lane.push(bytes));
  socket.once('close', () => {
    words.end();
    lane.end();
    // The server counts its connections by the one it gave us.
    accepted.destroy();
  });
  return {
    socket,
    get offeredCiphers() {
      return words.ciphers;
    },
    lend: (given) => {
      reader = given;
      lane.free();
    },
  };
}
