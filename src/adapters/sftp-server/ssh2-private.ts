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

interface InnerProtocol {
  readonly _kexinit?: unknown;
  readonly _decipher?: {
    readonly constructor: { readonly name: string };
    readonly _packet?: { readonly buffer?: unknown } | null;
    readonly _lenBytes?: unknown;
    _onPayload?: OnPayload;
  };
  readonly _cipher?: {
    readonly allocPacket?: unknown;
    readonly encrypt?: unknown;
  };
  _offer?: InnerOffer;
  /** What each new decipher gets for its own. */
  _onPayload?: OnPayload;
}

type OnPayload = (payload: Buffer) => unknown;

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

/** Of the connection protocol (RFC 4250 §4.1.2), and no sign of life: some clients give those while a person types. */
function isTooEarly(payload: Buffer): boolean {
  const number = payload[0] ?? 0;
  if (number < 80 || number > 127) return false;
  return number !== 80 || payload.toString('latin1', 5, 15) !== 'keepalive@';
}

/**
 * Before a login ssh2 ignores the messages of the connection protocol, or answers them; RFC 4252 §6 asks for a disconnect.
 * `tooEarly` is called once, at the first of them; ssh2 sees neither it nor anything behind it. Clients that use russh or
 * libssh2 ask for `keepalive@…` before the login too, and still get ssh2's no. Called in 'connection'. What is returned ends
 * the watch: the client is in. When ssh2 is not as we know it, it goes on ignoring them.
 */
export function dropTooEarly(client: Connection, tooEarly: () => void): () => void {
  const protocol = protocolOf(client);
  const given = protocol?._onPayload;
  if (protocol === undefined || typeof given !== 'function') return () => undefined;
  let isOver = false;
  const watch: OnPayload = (payload) => {
    if (!isOver && isTooEarly(payload)) {
      isOver = true;
      tooEarly();
    }
    return isOver ? undefined : given(payload);
  };
  protocol._onPayload = watch;
  return () => {
    protocol._onPayload = given;
    const decipher = protocol._decipher;
    if (decipher?._onPayload === watch) decipher._onPayload = given;
  };
}

const disconnect = 1;
/** Reasons of RFC 4253 §11.1; libraries take the first for a normal end and tell nobody what stands beside it. */
const disconnectReasons = { byApplication: 11, noMoreAuthMethods: 14 };
export type DisconnectReason = keyof typeof disconnectReasons;

/** What stands in front of a packet's payload: its length and that of its padding (RFC 4253 §6). */
const payloadAt = 5;

/**
 * SSH_MSG_DISCONNECT with a sentence for the person (RFC 4253 §11.1), where ssh2's own has none. Nothing may be sent behind it.
 * False, and nothing is sent, during a key exchange or when ssh2 is not as we know it.
 */
export function sendDisconnect(
  client: Connection,
  reason: DisconnectReason,
  text: string,
): boolean {
  const protocol = protocolOf(client);
  const cipher = protocol?._cipher as
    { allocPacket(payloadBytes: number): Buffer; encrypt(packet: Buffer): void } | undefined;
  if (protocol === undefined || !('_kexinit' in protocol)) return false;
  if (protocol._kexinit !== undefined) return false;
  if (typeof cipher?.allocPacket !== 'function' || typeof cipher.encrypt !== 'function') {
    return false;
  }
  const said = Buffer.from(text);
  const packet = cipher.allocPacket(1 + 4 + 4 + said.length + 4);
  let at = packet.writeUInt8(disconnect, payloadAt);
  at = packet.writeUInt32BE(disconnectReasons[reason], at);
  at = packet.writeUInt32BE(said.length, at);
  at += said.copy(packet, at);
  // No language.
  packet.writeUInt32BE(0, at);
  cipher.encrypt(packet);
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
