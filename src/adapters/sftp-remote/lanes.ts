// Several SFTP channels over one connection. OpenSSH gives a channel 2 MB of window however long the line is, 50 MB/s at 40 ms;
// with eight of them a far partner is as quick as the line. Another Clubhouse widens its one channel by itself.

import type { Connection } from './connect.ts';
import { SftpChannel } from './channel.ts';
import { bytesEachMs } from './transfer.ts';

/** Of one channel at an OpenSSH. */
const windowBytes = 2 << 20;
/** sshd opens ten sessions on a connection, unless its MaxSessions says otherwise. */
const mostLanes = 8;

export const lanesFor = (roundTripMs: number): number =>
  Math.min(mostLanes, Math.max(1, Math.ceil((roundTripMs * bytesEachMs) / windowBytes)));

export interface Lanes {
  readonly all: readonly SftpChannel[];
  /** On the channel that has the least to carry. `bytes`: what this adds to it. */
  use<T>(bytes: number, run: (channel: SftpChannel) => Promise<T>): Promise<T>;
}

export function asLanes(all: readonly [SftpChannel, ...SftpChannel[]]): Lanes {
  const loads = new Map<SftpChannel, number>(all.map((channel) => [channel, 0]));
  const loadOf = (channel: SftpChannel): number => loads.get(channel) ?? 0;
  return {
    all,
    use: async (bytes, run) => {
      const channel = all.reduce((best, one) => (loadOf(one) < loadOf(best) ? one : best), all[0]);
      loads.set(channel, loadOf(channel) + bytes);
      try {
        return await run(channel);
      } finally {
        loads.set(channel, loadOf(channel) - bytes);
      }
    },
  };
}

/** The first channel, and as many more as are wanted and the server opens. */
export async function openLanes(
  connection: Connection,
  first: SftpChannel,
  count: number,
): Promise<Lanes> {
  const more = await Promise.allSettled(
    Array.from({ length: count - 1 }, async () => {
      const { stream, receive } = await connection.another();
      const channel = new SftpChannel(stream, { atOnce: connection.atOnce, receive });
      await channel.start();
      return channel;
    }),
  );
  return asLanes([first, ...more.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))]);
}
