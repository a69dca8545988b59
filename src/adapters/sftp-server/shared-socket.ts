// A socket that reads into one buffer of its own, again and again. Node makes a new buffer of 64 KB for each read, which is
// a quarter of an upload's system calls and most of its garbage (npm run bench -- sftp). What is read is emitted as 'data',
// as from any socket; until `lend` is called each piece is a copy that may be kept.

import { Socket } from 'node:net';

export interface SharedSocket {
  readonly socket: Socket;
  /**
   * From now on pieces are the socket's own memory, valid until the next read; unless `mayHold` says that somebody still
   * holds on to a part of it, then the socket goes on with new memory.
   */
  lend(mayHold: (memory: ArrayBufferLike) => boolean): void;
}

const strangerBytes = 16 * 1024;
const memberBytes = 256 * 1024;

interface WithHandle {
  _handle: object | null;
}

/** `accepted` is fresh from a server with `pauseOnConnect`, and is not to be used any more. */
export function shareReads(accepted: Socket): SharedSocket {
  const inner = accepted as unknown as WithHandle;
  const handle = inner._handle;
  // A Node that keeps it elsewhere: as it always was.
  if (handle === undefined || handle === null) return { socket: accepted, lend: () => undefined };
  inner._handle = null;
  let memory = Buffer.allocUnsafeSlow(strangerBytes);
  let mayHold: ((bytes: ArrayBufferLike) => boolean) | undefined;
  const read = (count: number, bytes: Uint8Array): boolean => {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, count);
    socket.cork();
    if (mayHold === undefined) socket.emit('data', Buffer.from(piece));
    else {
      socket.emit('data', piece);
      if (memory.length !== memberBytes || mayHold(memory.buffer)) {
        memory = Buffer.allocUnsafeSlow(memberBytes);
      }
    }
    socket.uncork();
    return true;
  };
  const options = { handle, onread: { buffer: () => memory, callback: read } };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  // The server counts its connections by the one it gave us.
  socket.once('close', () => accepted.destroy());
  return {
    socket,
    lend: (holds) => {
      mayHold = holds;
    },
  };
}
