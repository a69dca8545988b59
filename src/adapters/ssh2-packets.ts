// How ssh2 puts packets together, for the server and for the sender alike. Reads inner fields of ssh2 that its types do not
// tell, as sftp-server/ssh2-private does: a test fails when one is gone, and then ssh2's own, slower way is taken.

import { randomFillSync } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client, Connection } from 'ssh2';

interface InnerProtocol {
  readonly _kexinit?: unknown;
  readonly _cipher?: { readonly constructor: { readonly name: string } };
  readonly _packetRW?: {
    write?: { readonly allocStart?: unknown; alloc?: (bytes: number, force?: boolean) => Buffer };
  };
}

const blockBytes = 16;
const tagBytes = 16;
const firstSlabBytes = 8 * 1024;
const slabBytes = 512 * 1024;
/** More than the socket's own buffer takes at once; beyond it new memory is made, and left to the collector. */
const keptSlabs = 8;

/**
 * ssh2 makes new memory for each packet of 32 KB and asks the system for its random padding; together that costs more than
 * encrypting it, and most of it is the collector's work. Here packets lie in memory that is used again when the socket has
 * sent it, and padding comes out of a store of random bytes. For AES-GCM alone (RFC 5647 §7.2: blocks of 16, the length not
 * counted; the tag is appended in place). False when ssh2 is not as we know it: then all stays as it was.
 */
export function reusePackets(client: Client | Connection, socket: SentSocket): boolean {
  const protocol = (client as unknown as { readonly _protocol?: InnerProtocol })._protocol;
  const writer = protocol?._packetRW?.write;
  const alloc = writer?.alloc;
  if (protocol === undefined || writer === undefined || typeof alloc !== 'function') return false;
  if (writer.allocStart !== 5 || !('_kexinit' in protocol)) return false;
  const slabs = createSlabs(socket);
  writer.alloc = (payloadBytes, force) => {
    const isPlain = protocol._kexinit !== undefined && force !== true;
    if (isPlain || protocol._cipher?.constructor.name !== 'AESGCMCipherBinding') {
      return alloc.call(writer, payloadBytes, force);
    }
    let padding = blockBytes - ((1 + payloadBytes) & (blockBytes - 1));
    if (padding < 4) padding += blockBytes;
    const length = 1 + payloadBytes + padding;
    const packet = slabs.take(4 + length + tagBytes);
    packet.writeUInt32BE(length, 0);
    packet[4] = padding;
    pad(packet, 5 + payloadBytes, padding);
    return packet;
  };
  return true;
}

/** RFC 4253 §6.1 asks for 32 KB; some say half of it. Less only makes work. */
const leastPacketBytes = 1024;

/**
 * Does the peer take packets that are worth sending on this channel? ssh2 cuts what it sends into such pieces, and for 0 it cuts
 * for ever: one client, or one partner, would stop the whole server.
 */
export function takesPackets(channel: Duplex): boolean {
  const { outgoing } = channel as unknown as { outgoing?: { packetSize?: unknown } };
  const bytes = outgoing?.packetSize;
  return typeof bytes === 'number' && bytes >= leastPacketBytes;
}

type SentSocket = Pick<Socket, 'bytesWritten' | 'writableLength'>;

/**
 * Memory in the order of sending. ssh2 gives a packet to the socket before it asks for the next one. Little is taken at first, and
 * more when nothing that was sent can be used again: a connection that only logs in needs none of it.
 */
export function createSlabs(socket: SentSocket): { take(bytes: number): Buffer } {
  let slab: Buffer = Buffer.alloc(0);
  let used = 0;
  let size = firstSlabBytes;
  /** Full ones, oldest first. `until`: free when the socket has sent so many bytes in all. */
  const full: { readonly slab: Buffer; readonly until: number }[] = [];
  const next = (bytes: number): Buffer => {
    const given = socket.bytesWritten;
    const sent = given - socket.writableLength;
    const [oldest] = full;
    const free = oldest !== undefined && oldest.until <= sent ? full.shift()?.slab : undefined;
    if (slab.length > 0 && full.length < keptSlabs) full.push({ slab, until: given });
    if (free !== undefined && free.length >= bytes) return free;
    size = Math.min(slabBytes, size * 2);
    return Buffer.allocUnsafeSlow(Math.max(size, bytes));
  };
  return {
    take: (bytes) => {
      if (bytes > slabBytes) return Buffer.allocUnsafeSlow(bytes);
      if (used + bytes > slab.length) {
        slab = next(bytes);
        used = 0;
      }
      used += bytes;
      return slab.subarray(used - bytes, used);
    },
  };
}

const store = Buffer.allocUnsafeSlow(64 * 1024);
let storeUsed = store.length;

function pad(packet: Buffer, at: number, bytes: number): void {
  if (storeUsed + bytes > store.length) {
    randomFillSync(store);
    storeUsed = 0;
  }
  store.copy(packet, at, storeUsed, storeUsed + bytes);
  storeUsed += bytes;
}
