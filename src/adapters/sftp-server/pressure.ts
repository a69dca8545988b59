// Stops reading from a client that does not read. ssh2 answers whatever comes (keep-alives, refused channels, data into
// the widest window a client can name) into the socket's own buffer, without a look at how full that is.

import type { Socket } from 'node:net';

export interface Pressure {
  /** Bytes that the client has not taken yet, beyond what it should have. */
  readonly isHigh: boolean;
}

const mostUnsentBytes = 2 << 20;

/** `onRoom` is called when the client has taken everything. */
export function watchPressure(socket: Socket, onRoom: () => void): Pressure {
  let isPaused = false;
  // Answers of the data that came before are in the buffer by now, so looking at each piece is often enough.
  socket.on('data', () => {
    if (isPaused || socket.writableLength < mostUnsentBytes) return;
    isPaused = true;
    socket.pause();
  });
  socket.on('drain', () => {
    if (isPaused) socket.resume();
    isPaused = false;
    onRoom();
  });
  return {
    get isHigh() {
      return socket.writableLength >= mostUnsentBytes;
    },
  };
}
