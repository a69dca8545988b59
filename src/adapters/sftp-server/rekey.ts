// New keys after so many bytes and so long (RFC 4253 §9): ssh2 agrees on new ones when the client asks and never asks
// itself. While the exchange runs nothing else is sent, so no request is taken meanwhile: what ssh2 would queue stays small.
// A client that does not answer is not worth waiting for.

import type { Socket } from 'node:net';
import type { Connection } from 'ssh2';

export interface Rekeying {
  /** Looks whether it is time. Cheap enough for each piece of data. */
  look(): void;
  /** An exchange has ended. True: it was ours. */
  done(): boolean;
  /** Ours has begun and has not ended. */
  readonly isRunning: boolean;
}

export interface RekeyLimits {
  readonly rekeyBytes: number;
  readonly rekeyMs: number;
  /** How long the client may take. */
  readonly loginGraceMs: number;
}

export function watchKeys(
  client: Connection,
  socket: Pick<Socket, 'bytesRead' | 'bytesWritten' | 'destroy'>,
  limits: RekeyLimits,
  now: () => number,
): Rekeying {
  let bytes = 0;
  let since = now();
  let begun: number | undefined;
  const moved = (): number => socket.bytesRead + socket.bytesWritten;
  return {
    look: () => {
      if (begun !== undefined) {
        if (now() - begun > limits.loginGraceMs) socket.destroy();
        return;
      }
      if (moved() - bytes < limits.rekeyBytes && now() - since < limits.rekeyMs) return;
      begun = now();
      client.rekey();
    },
    done: () => {
      const isOurs = begun !== undefined;
      begun = undefined;
      bytes = moved();
      since = now();
      return isOurs;
    },
    get isRunning() {
      return begun !== undefined;
    },
  };
}

/** OpenSSH's client asks for new keys each gigabyte, some do each hundred megabytes. */
const exchangesPerMinute = 120;

/** True so many times a minute: a client may ask for new keys once more. */
export function limitExchanges(now: () => number): () => boolean {
  let minute = 0;
  let count = 0;
  return () => {
    const current = Math.floor(now() / 60_000);
    count = current === minute ? count + 1 : 1;
    minute = current;
    return count <= exchangesPerMinute;
  };
}
