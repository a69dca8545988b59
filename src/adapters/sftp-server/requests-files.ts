// What the requests on open files do (draft-ietf-secsh-filexfer-02 §6.3, §6.4, §6.8), one function each. Who may do it was
// asked before, by the table; here is only the doing.

import { AppError } from '../../core/errors.ts';
import type { Place, RealPlace, Right } from '../../core/tree.ts';
import type { Writing } from '../../flow/ports/intake.ts';
import type { OpenFile, OpenHow } from '../../flow/ports/storage.ts';
import { takeBuffer } from './buffers.ts';
import { maximumDataBytes, openFlag, packetType, readAttributes, type Reader } from './codec.ts';
import { attributeFields, dataHeaderBytes, encode, finishData } from './encode.ts';
import {
  refuseHidden,
  shownAttributes,
  whenSettled,
  writePlaceOf,
  type Context,
} from './context.ts';
import { createHandleQueue, type FileHandle, type Handle } from './handles.ts';
import { asNumber, endOfFile, success } from './requests-common.ts';
import { stat } from './requests-paths.ts';

const writesFlags = openFlag.WRITE | openFlag.APPEND | openFlag.CREAT | openFlag.TRUNC;

export const openRight = (reader: Reader): Right =>
  (reader.uint32() & writesFlags) !== 0 ? 'write' : 'read';

export async function open(
  context: Context,
  place: Place,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const flags = reader.uint32();
  const attributes = readAttributes(reader);
  if (place.kind === 'virtual') throw new AppError('IS_A_DIRECTORY');
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const { sizeBytes } = attributes;
  const how = {
    read: has(openFlag.READ) || !has(writesFlags),
    write: has(writesFlags),
    create: has(openFlag.CREAT),
    exclusive: has(openFlag.CREAT) && has(openFlag.EXCL),
    truncate: has(openFlag.TRUNC),
    freshInode: false,
    declaredSizeBytes: sizeBytes === undefined ? undefined : asNumber(sizeBytes),
  };
  context.handles.reserve();
  try {
    const { file, writing } = how.write
      ? await openForWriting(context, place, how)
      : { file: await openForReading(context, place), writing: undefined };
    const handle = asFileHandle(context, {
      place,
      file,
      writing,
      canRead: how.read,
      appends: has(openFlag.APPEND),
    });
    return encode(packetType.HANDLE, id, context.handles.add(handle));
  } finally {
    context.handles.release();
  }
}

/** A regular file that this principal may know of. */
export async function openForReading(context: Context, place: RealPlace): Promise<OpenFile> {
  const how = { read: true, write: false, create: false, exclusive: false, truncate: false };
  return whenSettled(context, place, async () => {
    await refuseHidden(context, place, 'NO_SUCH_FILE');
    return context.storage.open(place.path, { ...how, freshInode: false });
  });
}

async function openForWriting(
  context: Context,
  place: RealPlace,
  how: OpenHow & { readonly declaredSizeBytes: number | undefined },
): Promise<{ readonly file: OpenFile; readonly writing: Writing }> {
  return context.intake.open(context.principal(), writePlaceOf(place), how, async (decided) => {
    await refuseHidden(context, place, how.create ? 'ALREADY_EXISTS' : 'NO_SUCH_FILE');
    return context.storage.open(place.path, decided);
  });
}

function asFileHandle(
  context: Context,
  parts: Pick<FileHandle, 'place' | 'file' | 'writing' | 'canRead' | 'appends'>,
): FileHandle {
  const { file, writing, appends, place, canRead } = parts;
  // Behind a WRITE that the disk refused nothing is taken until its place is filled: the client resumes at the file's size,
  // and a WRITE that was already under way and found room again would leave a hole there.
  let failure: { readonly at: number; readonly error: unknown } | undefined;
  const store = async (
    offset: number,
    chunks: readonly Uint8Array[],
    lengthBytes: number,
  ): Promise<void> => {
    if (failure !== undefined && offset > failure.at) throw failure.error;
    try {
      await file.write(offset, chunks);
    } catch (error) {
      const written = error instanceof AppError ? (error.at ?? 0) : 0;
      failure = { at: offset + written, error };
      writing?.failed(offset, written);
      throw error;
    }
    if (failure !== undefined && offset + lengthBytes > failure.at) failure = undefined;
    writing?.wrote(offset, lengthBytes);
  };
  const append = (chunks: readonly Uint8Array[], lengthBytes: number): Promise<void> =>
    context.appends.hold(place.path, async () => {
      await store((await file.facts()).sizeBytes, chunks, lengthBytes);
    });
  const queue = createHandleQueue((offset, chunks, lengthBytes) =>
    appends ? append(chunks, lengthBytes) : store(offset, chunks, lengthBytes),
  );
  return { kind: 'file', place, file, writing, canRead, appends, queue };
}

/** Ends a handle: what the flow has to know first, then the descriptor, which is closed in any case. */
export async function endHandle(handle: Handle, how: 'close' | 'lost'): Promise<void> {
  if (handle.kind === 'folder') {
    await handle.entries.return?.();
    return;
  }
  try {
    await handle.writing?.end(how);
  } finally {
    await handle.file.close();
  }
}

export async function read(
  _context: Context,
  handle: Handle,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const offset = reader.uint64();
  const length = Math.min(reader.uint32(), maximumDataBytes);
  if (handle.kind !== 'file') throw new AppError('BAD_HANDLE');
  if (!handle.canRead) throw new AppError('BAD_HANDLE');
  if (offset > BigInt(Number.MAX_SAFE_INTEGER)) return endOfFile(id);
  const packet = takeBuffer(dataHeaderBytes + length);
  const count = await handle.file.readInto(packet.subarray(dataHeaderBytes), Number(offset));
  return count === 0 && length > 0 ? endOfFile(id) : finishData(packet, id, count);
}

export async function fstat(
  context: Context,
  handle: Handle,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  if (handle.kind === 'folder') return stat(context, handle.place, _reader, id);
  const shown = shownAttributes(context, handle.place, await handle.file.facts());
  return encode(packetType.ATTRS, id, ...attributeFields(shown));
}

export async function fsetstat(
  _context: Context,
  handle: Handle,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const { sizeBytes, times } = readAttributes(reader);
  if (handle.kind !== 'file') throw new AppError('BAD_HANDLE');
  if (sizeBytes !== undefined) {
    if (handle.writing === undefined) throw new AppError('BAD_HANDLE');
    const size = asNumber(sizeBytes);
    if ((await handle.file.facts()).sizeBytes !== size) {
      await handle.file.truncate(size);
      handle.writing.truncated(size);
    }
  }
  if (times !== undefined) await handle.file.setTimes(times.accessed * 1000, times.modified * 1000);
  return success(id);
}

export async function fsync(
  _context: Context,
  handle: Handle,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  if (handle.kind !== 'file') throw new AppError('BAD_HANDLE');
  if (handle.writing !== undefined) await handle.file.sync();
  return success(id);
}
