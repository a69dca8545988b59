// What comes in on a channel of ssh2, past ssh2's own stream and window; for the server and for the sender. Reads inner fields of
// ssh2 that its types do not tell, as sftp-server/ssh2-private does: a test fails when one is gone, and then the channel is read
// as a stream.

import type { Duplex } from 'node:stream';

interface InnerChannel {
  readonly incoming?: { window?: unknown };
  readonly outgoing?: { readonly id?: unknown; readonly state?: unknown };
  readonly _client?: { readonly _protocol?: { channelWindowAdjust?: unknown } };
  push(chunk: Buffer | null): boolean;
}

/** What comes in on a channel whose window is ours to give. */
export interface Inflow {
  /** What the client may send from the beginning. */
  readonly windowBytes: number;
  /** Lets the client send so much more. */
  grant(bytes: number): void;
  /** All that came was taken: the channel's 'end', and what ssh2 does after it, may happen. */
  finish(): void;
}

/**
 * Takes what a channel receives out of ssh2's hands: `take` gets the bytes at once, valid only until it returns, undefined
 * for the end; ssh2 neither keeps them nor grants any window of its own (2 MB at most, which is slow on a long line).
 * Undefined when ssh2 is not as we know it: then the channel is to be read as a stream.
 */
export function takeInflow(
  channel: Duplex,
  take: (bytes: Buffer | undefined) => void,
): Inflow | undefined {
  const inner = channel as unknown as InnerChannel;
  const { incoming, outgoing } = inner;
  const protocol = inner._client?._protocol;
  const adjust = protocol?.channelWindowAdjust;
  const windowBytes = incoming?.window;
  if (incoming === undefined || outgoing === undefined || typeof adjust !== 'function') return;
  if (typeof windowBytes !== 'number' || channel.readableLength > 0) return;
  // ssh2 grants more when it falls below a bound, and drops data when it is 0; this does neither.
  incoming.window = Infinity;
  const push = inner.push.bind(channel);
  let hasFinished = false;
  inner.push = (chunk) => {
    take(chunk ?? undefined);
    return true;
  };
  channel.resume();
  return {
    windowBytes,
    grant: (bytes) => {
      if (outgoing.state !== 'open' && outgoing.state !== 'eof') return;
      adjust.call(protocol, outgoing.id, bytes);
    },
    finish: () => {
      if (!hasFinished) push(null);
      hasFinished = true;
    },
  };
}
