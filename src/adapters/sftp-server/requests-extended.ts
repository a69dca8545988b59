// The extensions that clients use: OpenSSH's (its PROTOCOL file, section 4) and file hashes
// (draft-ietf-secsh-filexfer-extensions-00 §3), which the replicator of the other site asks for.

import { createHash } from 'node:crypto';
import { deliveryReceiptName } from '../../core/delivery-receipt.ts';
import { AppError } from '../../core/errors.ts';
import { loginFolder, type Place } from '../../core/tree.ts';
import type { OpenFile } from '../../flow/ports/storage.ts';
import { maximumDataBytes, maximumPacketBytes, packetType, type Reader } from './codec.ts';
import { encode, shownOwner, shownOwnerName } from './encode.ts';
import { factsOf, placeOf, type Context } from './context.ts';
import type { Handle } from './handles.ts';
import { asNumber, onDisk } from './requests-common.ts';
import { openForReading } from './requests-files.ts';

/** VERSION's list: name, version. */
export const advertised: readonly (readonly [string, string])[] = [
  ['posix-rename@openssh.com', '1'],
  ['statvfs@openssh.com', '2'],
  ['fstatvfs@openssh.com', '2'],
  ['fsync@openssh.com', '1'],
  ['lsetstat@openssh.com', '1'],
  ['limits@openssh.com', '1'],
  ['expand-path@openssh.com', '1'],
  ['home-directory', '1'],
  ['users-groups-by-id@openssh.com', '1'],
  ['check-file', 'sha256'],
  ['check-file-name', '1'],
  ['check-file-handle', '1'],
  [deliveryReceiptName, '1'],
];

export async function limits(context: Context, _reader: Reader, id: number): Promise<Buffer> {
  const bytes = [maximumPacketBytes, maximumDataBytes, maximumDataBytes, context.maximumHandles];
  return encode(packetType.EXTENDED_REPLY, id, ...bytes.map(BigInt));
}

export async function statvfs(
  context: Context,
  place: Place,
  _reader: Reader,
  id: number,
): Promise<Buffer> {
  if (place.kind === 'real') await factsOf(context, place);
  return space(context, id);
}

export const fstatvfs = (
  context: Context,
  _handle: Handle,
  _reader: Reader,
  id: number,
): Promise<Buffer> => space(context, id);

async function space(context: Context, id: number): Promise<Buffer> {
  const { blockBytes, totalBlocks, freeBlocks } = await context.storage.space();
  const files = 0n;
  const fields = [
    BigInt(blockBytes),
    BigInt(blockBytes),
    BigInt(totalBlocks),
    BigInt(freeBlocks),
    BigInt(freeBlocks),
    files,
    files,
    files,
    0n,
    2n, // ST_NOSUID
    255n,
  ];
  return encode(packetType.EXTENDED_REPLY, id, ...fields);
}

/** `~`, `~/x` and `~<self>` start at the login folder; anything else is an ordinary path. */
export async function expandPath(context: Context, reader: Reader, id: number): Promise<Buffer> {
  const path = reader.string();
  const principal = context.principal();
  const home = loginFolder(principal);
  const text = path.toString('latin1');
  const own = [`~${principal.name}`, '~'].find(
    (prefix) => text === prefix || text.startsWith(`${prefix}/`),
  );
  if (own === undefined && text.startsWith('~')) throw new AppError('NO_SUCH_FILE');
  const full =
    own === undefined ? path : Buffer.concat([Buffer.from(home), path.subarray(own.length)]);
  return nameReply(id, placeOf(context, full).shown);
}

export async function homeDirectory(context: Context, reader: Reader, id: number): Promise<Buffer> {
  const name = reader.string().toString('utf8');
  const principal = context.principal();
  if (name !== '' && name !== principal.name) throw new AppError('NO_SUCH_FILE');
  return nameReply(id, loginFolder(principal));
}

/** More ids than this are not asked for by anybody: listings show one. */
const mostIdBytes = 4 * 256;

/** OpenSSH's `ls -l`: one name for each id. The only one there is stands in every listing (encode.ts). */
export async function usersGroupsById(
  _context: Context,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const [users, groups] = [reader.string(), reader.string()];
  if (users.length + groups.length > mostIdBytes) throw new AppError('BAD_INPUT');
  return encode(packetType.EXTENDED_REPLY, id, namesOf(users), namesOf(groups));
}

function namesOf(ids: Buffer): Buffer {
  const names = Array.from({ length: Math.floor(ids.length / 4) }, (_, index) => {
    const name = ids.readUInt32BE(4 * index) === shownOwner ? shownOwnerName : '';
    const bytes = Buffer.alloc(4 + name.length);
    bytes.writeUInt32BE(name.length, 0);
    bytes.write(name, 4);
    return bytes;
  });
  return Buffer.concat(names);
}

const nameReply = (id: number, name: string): Buffer =>
  encode(packetType.NAME, id, 1, name, name, 0);

// --- check-file --------------------------------------------------------------------------------------------

interface HashRange {
  readonly offset: number;
  /** 0: to the end. */
  readonly lengthBytes: number;
  /** 0: one hash for the whole range. */
  readonly blockBytes: number;
}

function readRange(reader: Reader): HashRange {
  const algorithms = reader.text().split(',');
  if (!algorithms.includes('sha256')) throw new AppError('UNSUPPORTED');
  const offset = asNumber(reader.uint64());
  const lengthBytes = asNumber(reader.uint64());
  const blockBytes = reader.uint32();
  if (blockBytes !== 0 && blockBytes < 256) throw new AppError('BAD_INPUT');
  return { offset, lengthBytes, blockBytes };
}

/** Of the answer, at most. */
export function hashesBytes(reader: Reader): number {
  const rest = reader.fork();
  rest.string();
  rest.uint64();
  rest.uint64();
  return rest.uint32() === 0 ? 0 : maximumDataBytes;
}

export async function checkFileName(
  context: Context,
  place: Place,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const range = readRange(reader);
  const at = onDisk(place);
  // Opened when its turn has come: hundreds may wait for it, and no descriptor with them.
  return inHashTurn(context, async () => {
    const file = await openForReading(context, at);
    try {
      return await hashReply(context, id, file, range);
    } finally {
      await file.close();
    }
  });
}

export async function checkFileHandle(
  context: Context,
  handle: Handle,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const range = readRange(reader);
  if (handle.kind !== 'file' || !handle.canRead) throw new AppError('BAD_HANDLE');
  const { file } = handle;
  return inHashTurn(context, () => hashReply(context, id, file, range));
}

/** One at a time for each user: a hash of a large file keeps the only thread that all others share. */
export const inHashTurn = <T>(context: Context, work: () => Promise<T>): Promise<T> =>
  context.appends.hold(`hash of ${context.principal().id}`, work);

async function hashReply(
  context: Context,
  id: number,
  file: OpenFile,
  range: HashRange,
): Promise<Buffer> {
  const size = (await file.facts()).sizeBytes;
  const whole = Math.max(0, size - range.offset);
  const length = range.lengthBytes === 0 ? whole : Math.min(range.lengthBytes, whole);
  const step = range.blockBytes === 0 ? length : range.blockBytes;
  const count = length === 0 ? 1 : Math.ceil(length / step);
  if (count * 32 > maximumDataBytes) throw new AppError('BAD_INPUT');
  const hashes: Buffer[] = [];
  for (let block = 0; block < count; block += 1) {
    const from = range.offset + block * step;
    const to = Math.min(from + step, range.offset + length);
    hashes.push(await hashBlock(context, file, from, to));
  }
  const reply = encode(packetType.EXTENDED_REPLY, id, 'sha256');
  const packet = Buffer.concat([reply, ...hashes]);
  packet.writeUInt32BE(packet.length - 4, 0);
  return packet;
}

/** SHA-256 of a part. */
export async function hashBlock(
  context: Context,
  file: OpenFile,
  from: number,
  to: number,
): Promise<Buffer> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(1 << 18, Math.max(1, to - from)));
  for (let at = from; at < to;) {
    const count = await file.readInto(buffer.subarray(0, Math.min(buffer.length, to - at)), at);
    if (count === 0 || context.isGone()) throw new AppError('SOURCE_CHANGED');
    hash.update(buffer.subarray(0, count));
    at += count;
  }
  return hash.digest();
}
