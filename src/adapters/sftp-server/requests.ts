// What each request of SFTP v3 does (draft-ietf-secsh-filexfer-02 §6), one function each. Who may do it was asked before,
// by the table in session.ts; here is only the doing.

import { AppError } from '../../core/errors.ts';
import { permit, permitRename, type Place, type RealPlace, type Right } from '../../core/tree.ts';
import type { Writing } from '../../flow/ports/intake.ts';
import type { OpenFile, OpenHow } from '../../flow/ports/storage.ts';
import {
  attributeFields,
  dataHeaderBytes,
  encode,
  encodeStatus,
  finishData,
  maximumDataBytes,
  openFlag,
  packetType,
  readAttributes,
  type Reader,
  type SentAttributes,
} from './codec.ts';
import { factsOf, refuseHidden, shownAttributes, writePlaceOf, type Context } from './context.ts';
import { createHandleQueue, type FileHandle, type FolderHandle, type Handle } from './handles.ts';
import { listPlace } from './listing.ts';

export const success = (id: number): Buffer => encodeStatus(id, 'OK', 'Success');

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

// --- files -------------------------------------------------------------------------------------------------

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
  const how: OpenHow = {
    read: has(openFlag.READ) || !has(writesFlags),
    write: has(writesFlags),
    create: has(openFlag.CREAT),
    exclusive: has(openFlag.CREAT) && has(openFlag.EXCL),
    truncate: has(openFlag.TRUNC),
    freshInode: false,
  };
  context.handles.reserve();
  try {
    const { file, writing } = how.write
      ? await openForWriting(context, place, how, attributes)
      : { file: await openForReading(context, place, how), writing: undefined };
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

async function openForReading(context: Context, place: RealPlace, how: OpenHow): Promise<OpenFile> {
  const facts = await factsOf(context, place);
  if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
  return context.storage.open(place.path, how);
}

async function openForWriting(
  context: Context,
  place: RealPlace,
  how: OpenHow,
  attributes: SentAttributes,
): Promise<{ readonly file: OpenFile; readonly writing: Writing }> {
  await refuseHidden(context, place);
  const declaredSizeBytes =
    attributes.sizeBytes === undefined ? undefined : asNumber(attributes.sizeBytes);
  return context.intake.open(
    context.principal(),
    writePlaceOf(place),
    { ...how, declaredSizeBytes },
    (decided) => context.storage.open(place.path, decided),
  );
}

function asFileHandle(
  context: Context,
  parts: Pick<FileHandle, 'place' | 'file' | 'writing' | 'canRead' | 'appends'>,
): FileHandle {
  const { file, writing, appends, place } = parts;
  const store = async (
    offset: number,
    chunks: readonly Uint8Array[],
    lengthBytes: number,
  ): Promise<void> => {
    await file.write(offset, chunks);
    writing?.wrote(offset, lengthBytes);
  };
  const append = (chunks: readonly Uint8Array[], lengthBytes: number): Promise<void> =>
    context.appends.hold(place.path, async () => {
      await store((await file.facts()).sizeBytes, chunks, lengthBytes);
    });
  const queue = createHandleQueue((offset, chunks, lengthBytes) =>
    appends ? append(chunks, lengthBytes) : store(offset, chunks, lengthBytes),
  );
  return { ...parts, kind: 'file', queue };
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
  const packet = Buffer.allocUnsafe(dataHeaderBytes + length);
  const count = await handle.file.readInto(packet.subarray(dataHeaderBytes), Number(offset));
  return count === 0 && length > 0 ? endOfFile(id) : finishData(packet, id, count);
}

const endOfFile = (id: number): Buffer => encodeStatus(id, 'EOF', 'End of file');

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

// --- paths -------------------------------------------------------------------------------------------------

export async function stat(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  const facts = place.kind === 'real' ? await factsOf(context, place) : undefined;
  return encode(packetType.ATTRS, id, ...attributeFields(shownAttributes(context, place, facts)));
}

/** Modes and owners are accepted and ignored: clients set them after each upload and would report a refusal. */
export async function setstat(
  context: Context,
  place: Place,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const { sizeBytes, times } = readAttributes(reader);
  const at = onDisk(place);
  const facts = await factsOf(context, at);
  if (sizeBytes !== undefined && asNumber(sizeBytes) !== facts.sizeBytes) {
    if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
    permit(at, 'write');
    await truncate(context, at, asNumber(sizeBytes));
  }
  if (times !== undefined) {
    await context.storage.setTimes(at.path, times.accessed * 1000, times.modified * 1000);
  }
  return success(id);
}

async function truncate(context: Context, place: RealPlace, sizeBytes: number): Promise<void> {
  const change = { kind: 'truncate', place: writePlaceOf(place), sizeBytes } as const;
  await context.intake.change(context.principal(), change, async ({ freshInode }) => {
    if (!freshInode) return context.storage.truncate(place.path, sizeBytes);
    const file = await context.storage.open(place.path, {
      read: false,
      write: true,
      create: false,
      exclusive: false,
      truncate: sizeBytes === 0,
      freshInode: true,
    });
    try {
      await file.truncate(sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

export async function remove(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  const at = onDisk(place);
  const facts = await factsOf(context, at);
  if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
  await context.intake.change(
    context.principal(),
    { kind: 'remove', place: writePlaceOf(at) },
    () => context.storage.removeFile(at.path),
  );
  return success(id);
}

export async function mkdir(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  await context.storage.makeFolder(onDisk(place).path);
  return success(id);
}

export async function rmdir(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  await context.storage.removeFolder(onDisk(place).path);
  return success(id);
}

export async function rename(
  context: Context,
  from: Place,
  to: Place,
  replace: boolean,
): Promise<void> {
  const source = onDisk(from);
  const target = onDisk(to);
  const isFolder = (await factsOf(context, source)).kind === 'folder';
  permitRename(source, target, isFolder);
  await refuseHidden(context, target);
  await context.intake.change(
    context.principal(),
    { kind: 'rename', from: writePlaceOf(source), to: writePlaceOf(target), isFolder },
    () => context.storage.rename(source.path, target.path, replace),
  );
}

/** Names a path without asking the disk, as clients need it before they create something. */
export async function realpath(
  _context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  return encode(packetType.NAME, id, 1, place.shown, place.shown, 0);
}

// --- folders -----------------------------------------------------------------------------------------------

export async function opendir(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  let hidden: ReadonlySet<string> = new Set();
  if (place.kind === 'real') {
    const facts = await factsOf(context, place);
    if (facts.kind !== 'folder') throw new AppError('NOT_A_DIRECTORY');
    if (place.area === 'outgoing') {
      hidden = await context.intake.hidden(context.principal(), place.path);
    }
  }
  context.handles.reserve();
  context.handles.release();
  const entries = listPlace(context, place, hidden)[Symbol.asyncIterator]();
  const queue = createHandleQueue(async () => {
    throw new AppError('BAD_HANDLE');
  });
  const handle: FolderHandle = { kind: 'folder', place, entries, queue };
  return encode(packetType.HANDLE, id, context.handles.add(handle));
}

export async function readdir(
  _context: Context,
  handle: Handle,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  if (handle.kind !== 'folder') throw new AppError('BAD_HANDLE');
  const next = await handle.entries.next();
  if (next.done === true) return endOfFile(id);
  const fields = next.value.flatMap((entry) => [entry.name, entry.longName, ...entry.fields]);
  return encode(packetType.NAME, id, next.value.length, ...fields);
}
