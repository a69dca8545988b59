// The port Remote over SFTP: to another Clubhouse, or to a plain OpenSSH. What a server does not announce is not used.

import {
  deliveryReceiptName,
  type DeliveryReceipt,
  type ExpectedDelivery,
} from '../../core/delivery-receipt.ts';
import { AppError } from '../../core/errors.ts';
import type {
  Remote,
  RemoteFacts,
  RemoteSource,
  Remotes,
  SmallFile,
  SmallFileProof,
} from '../../flow/ports/replication.ts';
import { RemoteStatus, SftpChannel } from './channel.ts';
import { askReceipt } from './ask-receipt.ts';
import { readSha256, sha256Request } from './check-file.ts';
import { connectSftp } from './connect.ts';
import { lanesFor, openLanes, type Lanes } from './lanes.ts';
import { handleOf, writeSmall } from './small-file.ts';
import {
  createPieces,
  flightBytesFor,
  hashByReading,
  raggedBytes,
  writeAll,
  type Lane,
  type Pieces,
} from './transfer.ts';
import {
  noAttributes,
  openFlags,
  readAttributes,
  string,
  timeAttributes,
  uint32,
  type Attributes,
} from './wire.ts';

/** Bytes per request where the server does not say (draft-ietf-secsh-filexfer-02 §3 promises 32 KB). */
const defaultChunkBytes = 32 * 1024;
/** No request needs to be larger: ssh2 and OpenSSH cut it into packets of 32 KB anyway. */
const largestChunkBytes = 255 * 1024;
/** A server that hashes or syncs a large file is silent meanwhile: a minute, and a second for each 5 MB. */
const patienceMs = (sizeBytes: number): number => 60_000 + sizeBytes / 5_000;

export function createRemotes(options: {
  readonly keyPath: string;
  readonly timeoutMs?: number;
  /** Channels at an OpenSSH; else as many as the line is long. */
  readonly lanes?: number;
}): Remotes {
  const connecting = { keyPath: options.keyPath, timeoutMs: options.timeoutMs ?? 20_000 };
  return {
    connect: async (address, signal) => {
      const connection = await connectSftp(address, connecting, signal);
      const channel = new SftpChannel(connection.stream, connection);
      try {
        await channel.start();
        const askedAt = performance.now();
        const limits = await askLimits(channel);
        const roundTripMs = performance.now() - askedAt;
        const isClubhouse = channel.extensions.has(deliveryReceiptName);
        const count = isClubhouse ? 1 : (options.lanes ?? lanesFor(roundTripMs));
        const lanes = await openLanes(connection, channel, count);
        return new SftpRemote(channel, { ...connection, lanes, limits, roundTripMs });
      } catch (error) {
        connection.end();
        throw error;
      }
    },
  };
}

/** A server that does not say how many files may be open has room for these. */
const defaultHandles = 64;

interface Limits {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly handles: number;
}

async function askLimits(channel: SftpChannel): Promise<Limits> {
  const chunks = { readBytes: defaultChunkBytes, writeBytes: defaultChunkBytes };
  if (!channel.extensions.has('limits@openssh.com')) return { ...chunks, handles: defaultHandles };
  const fields = await channel.extended('limits@openssh.com', [], 'EXTENDED_REPLY');
  fields.uint64();
  const within = (stated: number): number =>
    stated === 0 ? defaultChunkBytes : Math.min(stated, largestChunkBytes);
  const readBytes = within(fields.uint64());
  const writeBytes = within(fields.uint64());
  const handles = fields.uint64();
  return { readBytes, writeBytes, handles: handles === 0 ? defaultHandles : handles };
}

class SftpRemote implements Remote {
  readonly hostKey: string;
  readonly hashes: boolean;
  readonly roundTripMs: number;
  readonly maximumOpen: number;
  readonly flightBytes: number;
  readonly raggedBytes: number;
  /** For what does not weigh. */
  readonly #channel: SftpChannel;
  readonly #lanes: Lanes;
  readonly #limits: Limits;
  readonly #pieces: Pieces;
  readonly #end: () => void;

  constructor(
    channel: SftpChannel,
    facts: {
      readonly hostKey: string;
      readonly lanes: Lanes;
      readonly limits: Limits;
      readonly roundTripMs: number;
      readonly end: () => void;
    },
  ) {
    this.#channel = channel;
    this.#lanes = facts.lanes;
    this.raggedBytes = facts.lanes.all.length > 1 ? raggedBytes : 0;
    this.hostKey = facts.hostKey;
    this.#limits = facts.limits;
    this.roundTripMs = facts.roundTripMs;
    this.flightBytes = flightBytesFor(facts.roundTripMs);
    this.#pieces = createPieces(facts.limits.writeBytes, this.flightBytes);
    this.maximumOpen = facts.limits.handles;
    this.#end = facts.end;
    this.hashes = this.#offers('check-file') || this.#offers('check-file-name');
  }

  async facts(path: string): Promise<RemoteFacts | undefined> {
    const attributes = await this.#stat(path);
    if (attributes === undefined) return undefined;
    const { isFolder, isFile, sizeBytes, modifiedMs } = attributes;
    if (!isFolder && !isFile) {
      throw new AppError('REMOTE_REFUSED', { detail: 'neither a file nor a folder is there' });
    }
    return { kind: isFolder ? 'folder' : 'file', sizeBytes, modifiedMs };
  }

  async ensureFolder(path: string): Promise<void> {
    // Both at once: what is there cannot be made, and what can be made was not there. One round trip either way.
    const [there, made] = await Promise.all([this.#stat(path), this.#makeFolder(path)]);
    if (there?.isFolder === true || made === undefined) return;
    if (there !== undefined || path === '/') {
      throw new AppError('REMOTE_REFUSED', { detail: 'a file is where a folder must be' });
    }
    await this.ensureFolder(parentOf(path));
    const error = await this.#makeFolder(path);
    // Another one may have made it meanwhile; SFTP v3 has no status for that.
    if (error !== undefined && (await this.#stat(path))?.isFolder !== true) throw error;
  }

  /** The status that refused it, if one did. */
  async #makeFolder(path: string): Promise<RemoteStatus | undefined> {
    try {
      await this.#channel.request('MKDIR', [string(path), noAttributes], 'STATUS');
      return undefined;
    } catch (error) {
      if (error instanceof RemoteStatus) return error;
      throw error;
    }
  }

  putNew(file: SmallFile, path: string, by: 'hash' | 'size'): Promise<SmallFileProof | undefined> {
    return this.#lanes.use(file.bytes.length, (channel) => this.#putNew(channel, file, path, by));
  }

  async #putNew(
    channel: SftpChannel,
    file: SmallFile,
    path: string,
    by: 'hash' | 'size',
  ): Promise<SmallFileProof | undefined> {
    const { READ, WRITE, CREAT, EXCL } = openFlags;
    const parts = [string(path), uint32(READ | WRITE | CREAT | EXCL), noAttributes];
    let handle: Buffer;
    try {
      handle = handleOf(await channel.request('OPEN', parts, 'HANDLE'));
    } catch (error) {
      // The name is taken, the folder is missing, or it may not be read: the longer way finds out which.
      if (error instanceof RemoteStatus && error.code === 'REMOTE_REFUSED') return undefined;
      throw error;
    }
    const hashesHandles = this.#offers('check-file') || this.#offers('check-file-handle');
    const proof = hashesHandles
      ? 'check-file'
      : by === 'size' && !this.hashes
        ? 'size'
        : 'read-back';
    const canSync = this.#offers('fsync@openssh.com');
    const { readBytes, writeBytes: chunkBytes } = this.#limits;
    const how = { chunkBytes, readBytes, canSync, proof } as const;
    try {
      const { sizeBytes, digest } = await writeSmall(channel, handle, file, how);
      if (digest !== undefined || proof === 'size') return { sizeBytes, digest };
      return {
        sizeBytes,
        digest: await this.sha256(path, sizeBytes, new AbortController().signal),
      };
    } catch (error) {
      throw await this.#tellFull(error, path, file.bytes.length);
    }
  }

  async put(
    source: RemoteSource,
    path: string,
    how: { readonly offset: number; readonly sizeBytes: number; readonly modifiedMs: number },
    signal: AbortSignal,
  ): Promise<number> {
    const flags = openFlags.WRITE | openFlags.CREAT | (how.offset === 0 ? openFlags.TRUNC : 0);
    try {
      return await this.#withHandle(path, flags, async (handle) => {
        const first = { channel: this.#channel, handle };
        await this.#withMore(path, how.sizeBytes - how.offset, first, (lanes) =>
          writeAll(lanes, source, { ...how, pieces: this.#pieces }, signal),
        );
        const times = timeAttributes(how.modifiedMs);
        await this.#channel.request('FSETSTAT', [handle, times], 'STATUS');
        if (this.#offers('fsync@openssh.com')) {
          const patience = patienceMs(how.sizeBytes);
          await this.#channel.extended('fsync@openssh.com', [handle], 'STATUS', patience);
        }
        return readAttributes(await this.#channel.request('FSTAT', [handle], 'ATTRS')).sizeBytes;
      });
    } catch (error) {
      throw await this.#tellFull(error, path, how.sizeBytes - how.offset);
    }
  }

  async sha256(
    path: string,
    lengthBytes: number,
    signal: AbortSignal,
  ): Promise<{ readonly sha256: string; readonly by: 'check-file' | 'read-back' }> {
    // In check-file a length of 0 means "to the end", so nothing is hashed by hand.
    if (this.hashes && lengthBytes > 0) {
      return { sha256: await this.#checkFile(path, lengthBytes), by: 'check-file' };
    }
    const how = { lengthBytes, chunkBytes: this.#limits.readBytes, flightBytes: this.flightBytes };
    const sha256 = await this.#withHandle(path, openFlags.READ, (handle) =>
      hashByReading(this.#channel, handle, how, signal),
    );
    return { sha256, by: 'read-back' };
  }

  async receipt(expected: Omit<ExpectedDelivery, 'nonce'>): Promise<DeliveryReceipt | undefined> {
    if (!this.#offers(deliveryReceiptName)) return undefined;
    return askReceipt(this.#channel, expected, this.hostKey, patienceMs(expected.sizeBytes));
  }

  async replace(from: string, to: string): Promise<void> {
    const names = [string(from), string(to)];
    if (this.#offers('posix-rename@openssh.com')) {
      await this.#channel.extended('posix-rename@openssh.com', names, 'STATUS');
      return;
    }
    await this.remove(to);
    await this.#channel.request('RENAME', names, 'STATUS');
  }

  async remove(path: string): Promise<void> {
    try {
      await this.#channel.request('REMOVE', [string(path)], 'STATUS');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  close(): Promise<void> {
    const error = new AppError('REMOTE_UNREACHABLE', { detail: 'closed by us' });
    for (const channel of this.#lanes.all) channel.fail(error);
    this.#end();
    return Promise.resolve();
  }

  #offers(extension: string): boolean {
    return this.#channel.extensions.has(extension);
  }

  async #stat(path: string): Promise<Attributes | undefined> {
    const fields = await this.#channel.find('STAT', [string(path)], 'ATTRS');
    return fields === undefined ? undefined : readAttributes(fields);
  }

  async #withHandle<T>(
    path: string,
    flags: number,
    use: (handle: Buffer) => Promise<T>,
  ): Promise<T> {
    const { handle } = await openOn(this.#channel, path, flags);
    let result: T;
    try {
      result = await use(handle);
    } catch (error) {
      // The handle is given back, but what went wrong first is what the caller must hear.
      await this.#channel.request('CLOSE', [handle], 'STATUS').catch(() => undefined);
      throw error;
    }
    await this.#channel.request('CLOSE', [handle], 'STATUS');
    return result;
  }

  /** With the same file open on the other channels too when it is large. */
  async #withMore(
    path: string,
    sizeBytes: number,
    first: Lane,
    use: (lanes: readonly [Lane, ...Lane[]]) => Promise<void>,
  ): Promise<void> {
    const others = sizeBytes > this.flightBytes ? this.#lanes.all.slice(1) : [];
    const opened = await Promise.allSettled(
      others.map((channel) => openOn(channel, path, openFlags.WRITE)),
    );
    // A server that opens no more is used as far as it goes.
    const more = opened.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    const [done] = await Promise.allSettled([use([first, ...more])]);
    const closed = await Promise.allSettled(
      more.map(({ channel, handle }) => channel.request('CLOSE', [handle], 'STATUS')),
    );
    for (const one of [done, ...closed]) if (one.status === 'rejected') throw one.reason;
  }

  async #checkFile(path: string, lengthBytes: number): Promise<string> {
    const parts = sha256Request(string(path), lengthBytes);
    const patience = patienceMs(lengthBytes);
    const name = 'check-file-name';
    return readSha256(await this.#channel.extended(name, parts, 'EXTENDED_REPLY', patience));
  }

  /** OpenSSH answers a full disk with a bare FAILURE, so we ask how much room is left before we call it one. */
  async #tellFull(error: unknown, path: string, neededBytes: number): Promise<unknown> {
    if (!(error instanceof RemoteStatus) || error.code !== 'REMOTE_REFUSED') return error;
    const full = new AppError('REMOTE_FULL', { cause: error });
    if (error.saysFull) return full;
    if (!this.#offers('statvfs@openssh.com')) return error;
    try {
      const folder = string(parentOf(path));
      const fields = await this.#channel.extended(
        'statvfs@openssh.com',
        [folder],
        'EXTENDED_REPLY',
      );
      fields.uint64();
      const blockBytes = fields.uint64();
      fields.take(16);
      return fields.uint64() * blockBytes < neededBytes ? full : error;
    } catch {
      return error; // No better answer to be had than the first one.
    }
  }
}

async function openOn(channel: SftpChannel, path: string, flags: number): Promise<Lane> {
  const parts = [string(path), uint32(flags), noAttributes];
  return { channel, handle: handleOf(await channel.request('OPEN', parts, 'HANDLE')) };
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

const isMissing = (error: unknown): boolean => error instanceof RemoteStatus && error.isMissing;
