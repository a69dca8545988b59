// A small file in one go: everything that follows OPEN is sent at once, since a server works on the requests of one handle in
// their order. So a file costs three round trips instead of ten, and ten thousand files do not wait for the line.

import { createHash } from 'node:crypto';
import type { SmallFile, SmallFileProof } from '../../flow/ports/replication.ts';
import { RemoteStatus, type SftpChannel } from './channel.ts';
import { readSha256, sha256Request } from './check-file.ts';
import { readAttributes, string, timeAttributes, uint32, uint64, type Fields } from './wire.ts';

export interface SmallFileHow {
  readonly chunkBytes: number;
  readonly readBytes: number;
  readonly canSync: boolean;
  /** How the bytes are proven, on the handle that they were written through. */
  readonly proof: 'check-file' | 'read-back' | 'size';
}

/**
 * Sends what belongs to a file that was opened, CLOSE included, and waits for all answers; the first failure is thrown. No
 * digest: none was asked for, or the server answered with less than that.
 */
export async function writeSmall(
  channel: SftpChannel,
  handle: Buffer,
  file: SmallFile,
  how: SmallFileHow,
): Promise<SmallFileProof> {
  const { bytes } = file;
  const steps: Promise<unknown>[] = [];
  for (let at = 0; at < bytes.length; at += how.chunkBytes) {
    const piece = bytes.subarray(at, at + how.chunkBytes);
    steps.push(
      channel.request('WRITE', [handle, uint64(at), uint32(piece.length), piece], 'STATUS'),
    );
  }
  const times = timeAttributes(file.modifiedMs);
  steps.push(channel.request('FSETSTAT', [handle, times], 'STATUS'));
  if (how.canSync) steps.push(channel.extended('fsync@openssh.com', [handle], 'STATUS'));
  const proof = prove(channel, handle, bytes.length, how);
  steps.push(proof, channel.request('CLOSE', [handle], 'STATUS'));
  // All must be heard, or a second failure would have no listener.
  const ended = await Promise.allSettled(steps);
  const failed = ended.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return proof;
}

async function prove(
  channel: SftpChannel,
  handle: Buffer,
  sizeBytes: number,
  how: SmallFileHow,
): Promise<SmallFileProof> {
  // An answered FSTAT says how long the file is; the digests are of so many bytes.
  const facts = channel.request('FSTAT', [handle], 'ATTRS');
  const digest =
    how.proof === 'size'
      ? Promise.resolve(undefined)
      : how.proof === 'check-file' && sizeBytes > 0
        ? channel
            .extended('check-file-handle', sha256Request(handle, sizeBytes), 'EXTENDED_REPLY')
            .then((fields) => ({ sha256: readSha256(fields), by: 'check-file' as const }))
        : readBack(channel, handle, sizeBytes, how.readBytes);
  const [attributes, found] = await Promise.allSettled([facts, digest]);
  if (attributes.status === 'rejected') throw attributes.reason;
  if (found.status === 'rejected') throw found.reason;
  return { sizeBytes: readAttributes(attributes.value).sizeBytes, digest: found.value };
}

async function readBack(
  channel: SftpChannel,
  handle: Buffer,
  sizeBytes: number,
  readBytes: number,
): Promise<SmallFileProof['digest']> {
  const parts: Promise<Fields>[] = [];
  for (let at = 0; at < sizeBytes; at += readBytes) {
    const length = Math.min(readBytes, sizeBytes - at);
    parts.push(channel.request('READ', [handle, uint64(at), uint32(length)], 'DATA'));
  }
  const answers = await Promise.allSettled(parts);
  const hash = createHash('sha256');
  let count = 0;
  for (const answer of answers) {
    if (answer.status === 'rejected') {
      if (answer.reason instanceof RemoteStatus && answer.reason.isEnd) break;
      throw answer.reason;
    }
    const { pieces, bytes } = answer.value.data();
    for (const piece of pieces) hash.update(piece);
    count += bytes;
  }
  // A server may answer with less than was asked for.
  return count < sizeBytes ? undefined : { sha256: hash.digest('hex'), by: 'read-back' };
}

/** OPEN's answer as the string that requests carry. */
export const handleOf = (fields: Fields): Buffer => string(fields.string());
