// The way out of a session: answers that are ready in one tick leave together, small ones sharing a packet, and the bytes
// that the peer has not taken yet are counted.

import type { ServerChannel } from 'ssh2';
import { giveBack } from './buffers.ts';

export interface Sender {
  send(packet: Buffer): void;
  /** Handed to the channel and not taken by the peer's window yet, or waiting for the tick's end. */
  readonly unsentBytes: number;
  /** Everything is out: exit status 0, then close. OpenSSH's sftp hangs without it. */
  finish(): void;
  /** The connection is gone: nothing can be written any more (ssh2 would throw). */
  drop(): void;
}

/** Packets up to this size are put together. */
const smallBytes = 4096;

/** `cork` holds the socket back until the tick's end; `onRoom` is called when bytes were taken. */
export function createSender(channel: ServerChannel, cork: () => void, onRoom: () => void): Sender {
  let waiting: Buffer[] = [];
  let unsentBytes = 0;
  let isDropped = false;

  const write = (bytes: Buffer): void => {
    const count = bytes.length;
    channel.write(bytes, () => {
      giveBack(bytes);
      unsentBytes -= count;
      onRoom();
    });
  };

  const flush = (): void => {
    const packets = waiting;
    waiting = [];
    if (isDropped || packets.length === 0 || !channel.writable) return;
    cork();
    try {
      let small: Buffer[] = [];
      const writeSmall = (): void => {
        if (small.length > 0)
          write(small.length === 1 ? (small[0] as Buffer) : Buffer.concat(small));
        small = [];
      };
      for (const packet of packets) {
        if (packet.length <= smallBytes) small.push(packet);
        else {
          writeSmall();
          write(packet);
        }
      }
      writeSmall();
    } catch {
      // ssh2 throws once its socket has ended; the connection's own events follow.
      isDropped = true;
    }
  };

  return {
    send: (packet) => {
      if (isDropped) return;
      unsentBytes += packet.length;
      waiting.push(packet);
      if (waiting.length === 1) queueMicrotask(flush);
    },
    get unsentBytes() {
      return unsentBytes;
    },
    finish: () => {
      if (isDropped) return;
      flush();
      try {
        channel.exit(0);
        channel.end();
      } catch {
        isDropped = true;
      }
    },
    drop: () => {
      isDropped = true;
      waiting = [];
    },
  };
}
