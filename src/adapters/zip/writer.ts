// Writes the zip that goes to the partner, over archiver: fixed times, one mode, no comments, no extra fields but zip64's,
// so that nothing of the sender's archive is in it but the clean bytes of its entries.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import archiver from 'archiver';
import { AppError } from '../../core/errors.ts';
import type { ZipMember } from '../../flow/ports/zip.ts';
import { calmFinish } from './calm-finish.ts';

const fixedTime = new Date(Date.UTC(1980, 0, 1));
const fixedMode = 0o644;

/**
 * A stored entry that is streamed gets a data descriptor from archiver, which programs that read zips as a stream cannot
 * follow; one that is handed over whole does not. So stored entries up to this size are handed over whole.
 */
const wholeBytes = 16 * 1024 * 1024;

export async function* writeZip(
  members: AsyncIterable<ZipMember> | Iterable<ZipMember>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const archive = archiver('zip', { zlib: { level: 6 }, statConcurrency: 1 });
  calmFinish(archive);
  const stop = (): void => void archive.destroy(asError(signal.reason));
  signal.throwIfAborted();
  signal.addEventListener('abort', stop, { once: true });
  const filling = fill(archive, members).catch((error: unknown) => {
    archive.destroy(asError(error));
    throw error;
  });
  filling.catch(() => undefined);
  try {
    for await (const chunk of archive) yield chunk as Buffer;
    await filling;
  } finally {
    signal.removeEventListener('abort', stop);
    archive.destroy();
  }
}

async function fill(
  archive: archiver.Archiver,
  members: AsyncIterable<ZipMember> | Iterable<ZipMember>,
): Promise<void> {
  for await (const member of members) await add(archive, member);
  await archive.finalize();
}

/** Resolves when all bytes of the member were taken. */
async function add(archive: archiver.Archiver, member: ZipMember): Promise<void> {
  const isStored = member.method === 'stored';
  const source = await sourceOf(member);
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: Error): void => {
      archive.off('entry', done).off('error', settle).off('close', closed);
      if (error === undefined) resolve();
      else reject(error);
    };
    const done = (): void => settle();
    const closed = (): void => settle(new AppError('INTERNAL', { detail: 'the zip was given up' }));
    archive.on('entry', done).on('error', settle).on('close', closed);
    // archiver pipes a source without listening to its errors.
    if (source instanceof Readable) source.once('error', settle);
    archive.append(source, {
      name: member.name,
      date: fixedTime,
      mode: fixedMode,
      store: isStored,
    });
  });
}

async function sourceOf(member: ZipMember): Promise<Buffer | Readable> {
  const { bytes } = member;
  if (bytes !== undefined) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const checked = checkedBytes(member);
  if (member.method === 'stored' && member.sizeBytes <= wholeBytes) return whole(checked);
  return Readable.from(checked, { objectMode: false });
}

/** The member's bytes, as long as they are what its size and checksum say. */
async function* checkedBytes(member: ZipMember): AsyncIterable<Buffer> {
  let crc = 0;
  let size = 0;
  for await (const chunk of createReadStream(member.path, { highWaterMark: 256 * 1024 })) {
    const bytes = chunk as Buffer;
    crc = crc32(bytes, crc);
    size += bytes.length;
    yield bytes;
  }
  if (size !== member.sizeBytes || crc !== member.crc32) {
    throw new AppError('SOURCE_CHANGED', { detail: 'a scratch file is not what was written' });
  }
}

async function whole(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new AppError('INTERNAL', { detail: 'aborted' });
