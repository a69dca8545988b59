// What we need of ssh2 and its types do not tell: the one file that reads its inner fields, so that a new version is
// looked at here. A test of each fails when the field is gone; then `refused` or the slower way of ssh2's own is taken.

import type { Connection, ServerChannel, Session as SshSession } from 'ssh2';

type Accept = () => ServerChannel | undefined;
type Refuse = (() => void) | undefined;

/** ssh2's raw way: with a listener for 'subsystem' and none for 'sftp' the channel is ours. `accept` gives undefined when
 *  the session has a channel already. */
export function onSubsystem(
  session: SshSession,
  use: (name: string, accept: Accept, refuse: Refuse) => void,
): void {
  const raw = session as unknown as {
    on(
      event: 'subsystem',
      listener: (accept: Accept, refuse: Refuse, info: { readonly name: string }) => void,
    ): void;
  };
  raw.on('subsystem', (accept, refuse, info) => use(info.name, accept, refuse));
}

/**
 * The largest packet that the client takes on this channel. ssh2 cuts what it sends into such pieces, and for 0 it cuts
 * for ever: one logged-in client would stop the whole server.
 */
export function peerPacketBytes(channel: ServerChannel): number {
  const { outgoing } = channel as unknown as { outgoing?: { packetSize?: unknown } };
  return typeof outgoing?.packetSize === 'number' ? outgoing.packetSize : 0;
}

interface InnerProtocol {
  channelWindowAdjust?: unknown;
  readonly _kexinit?: unknown;
  readonly _decipher?: {
    readonly constructor: { readonly name: string };
    readonly _packet?: { readonly buffer?: unknown } | null;
    readonly _lenBytes?: unknown;
  };
  _offer?: InnerOffer;
}

interface InnerList {
  readonly array: readonly string[];
}

interface InnerLists {
  readonly kex: InnerList;
  readonly serverHostKey: InnerList;
  readonly cs: Readonly<Record<'cipher' | 'mac' | 'compress' | 'lang', InnerList>>;
  readonly sc: InnerLists['cs'];
}

/** What ssh2 offers in the exchange of keys, already put together; all connections of a server share one. */
interface InnerOffer {
  readonly lists: InnerLists;
  readonly constructor: new (lists: object) => InnerOffer;
}

interface InnerChannel {
  readonly incoming?: { window?: unknown };
  readonly outgoing?: { readonly id?: unknown; readonly state?: unknown };
  readonly _client?: { readonly _protocol?: InnerProtocol };
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
  channel: ServerChannel,
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

const protocolOf = (client: Connection): InnerProtocol | undefined =>
  (client as unknown as { readonly _protocol?: InnerProtocol })._protocol;

/**
 * May ssh2 still hold on to a part of `memory`, of which it was given a piece? It does during a key exchange, and of a packet
 * whose end has not come yet.
 */
export function mayHold(client: Connection, memory: ArrayBufferLike): boolean {
  const protocol = protocolOf(client);
  const packet = protocol?._decipher?._packet;
  if (protocol === undefined || packet === undefined || !('_kexinit' in protocol)) return true;
  return protocol._kexinit !== undefined || packet?.buffer === memory;
}

/**
 * Offers these algorithms, of their kinds, on this connection alone. Called in 'connection', before ssh2 has sent its offer.
 * False when ssh2 is not as we know it: then the offer stays the server's.
 */
export function offerOnly(
  client: Connection,
  { macs, ciphers }: { readonly macs?: readonly string[]; readonly ciphers?: readonly string[] },
): boolean {
  const protocol = protocolOf(client);
  const offer = protocol?._offer;
  if (protocol === undefined || offer?.lists?.cs?.mac === undefined) return false;
  if (protocol._kexinit !== undefined) return false;
  const { kex, serverHostKey, cs, sc } = offer.lists;
  const way = (lists: InnerLists['cs']): object => ({
    cipher: [...(ciphers ?? lists.cipher.array)],
    mac: [...(macs ?? lists.mac.array)],
    compress: [...lists.compress.array],
    lang: [...lists.lang.array],
  });
  protocol._offer = new offer.constructor({
    kex: [...kex.array],
    serverHostKey: [...serverHostKey.array],
    cs: way(cs),
    sc: way(sc),
  });
  return true;
}

const tagBytes = 16;
const mostPacketBytes = 64 * 1024;

/**
 * How many of these bytes are whole packets, for AES-GCM alone, whose lengths are in the clear (RFC 5647 §7.3): ssh2 decrypts
 * those where they lie, and makes new memory for one that comes in two pieces. All of them when that cannot be told: in the
 * middle of a packet, during an exchange of keys, with another cipher, or when ssh2 is not as we know it.
 */
export function wholePacketBytes(client: Connection, bytes: Buffer): number {
  const protocol = protocolOf(client);
  const decipher = protocol?._decipher;
  const isKnown = decipher?.constructor.name === 'AESGCMDecipherBinding';
  if (!isKnown || decipher._lenBytes !== 0 || protocol?._kexinit !== undefined) return bytes.length;
  for (let at = 0; ;) {
    if (bytes.length - at < 4) return at;
    const total = 4 + bytes.readUInt32BE(at) + tagBytes;
    if (total > mostPacketBytes) return bytes.length;
    if (total > bytes.length - at) return at;
    at += total;
  }
}
