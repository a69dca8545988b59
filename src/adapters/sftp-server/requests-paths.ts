// What the requests on paths and folders do (draft-ietf-secsh-filexfer-02 §6.5 to §6.11), one function each. Who may do it
// was asked before, by the table; here is only the doing.

import { AppError } from '../../core/errors.ts';
import { permit, permitRename, type Place, type RealPlace } from '../../core/tree.ts';
import { packetType, readAttributes, type Reader } from './codec.ts';
import { attributeFields, encode } from './encode.ts';
import { factsOf, refuseHidden, shownAttributes, writePlaceOf, type Context } from './context.ts';
import { createHandleQueue, type FolderHandle, type Handle } from './handles.ts';
import { listPlace } from './listing.ts';
import { asNumber, endOfFile, onDisk, success } from './requests-common.ts';

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
    await refuseHidden(context, place, 'NO_SUCH_FILE');
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
    async () => {
      await refuseHidden(context, at, 'NO_SUCH_FILE');
      await context.storage.removeFile(at.path);
    },
  );
  return success(id);
}

export async function mkdir(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  const at = onDisk(place);
  const change = { kind: 'make', place: writePlaceOf(at) } as const;
  await context.intake.change(context.principal(), change, () =>
    context.storage.makeFolder(at.path),
  );
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
  await context.intake.change(
    context.principal(),
    { kind: 'rename', from: writePlaceOf(source), to: writePlaceOf(target), isFolder },
    async () => {
      // What was asked about above may be another thing by now.
      await refuseHidden(context, source, 'NO_SUCH_FILE');
      await refuseHidden(context, target, 'ALREADY_EXISTS');
      const facts = await context.storage.facts(source.path);
      if (facts === undefined) throw new AppError('NO_SUCH_FILE');
      if ((facts.kind === 'folder') !== isFolder) throw new AppError('SOURCE_CHANGED');
      await context.storage.rename(source.path, target.path, replace);
    },
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

export async function opendir(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  const facts = place.kind === 'real' ? await factsOf(context, place) : undefined;
  if (facts !== undefined && facts.kind !== 'folder') throw new AppError('NOT_A_DIRECTORY');
  context.handles.reserve();
  context.handles.release();
  const entries = listPlace(context, place, facts)[Symbol.asyncIterator]();
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
