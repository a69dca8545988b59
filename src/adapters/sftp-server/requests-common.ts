// What the functions of several requests share.

import { AppError } from '../../core/errors.ts';
import type { Place, RealPlace } from '../../core/tree.ts';
import { encodeStatus } from './encode.ts';

const succeeded = encodeStatus(0, 'OK', 'Success');

/** The answer to most requests: only the id differs. */
export function success(id: number): Buffer {
  const packet = Buffer.from(succeeded);
  packet.writeUInt32BE(id, 5);
  return packet;
}

/** Only places on the disk can be changed; the virtual folders answer as read-only ones do. */
export function onDisk(place: Place): RealPlace {
  if (place.kind === 'virtual') throw new AppError('READ_ONLY');
  return place;
}

/** Offsets and sizes are 64 bit on the wire; beyond 2^53 no file system of ours goes, so they fail instead of wrapping. */
export function asNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new AppError('BAD_INPUT');
  return Number(value);
}

export const endOfFile = (id: number): Buffer => encodeStatus(id, 'EOF', 'End of file');
