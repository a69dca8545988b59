// One open file of the storage. Positions are explicit on every call, so calls on one file never disturb each other.

import { AppError } from '../core/errors.ts';
import type { FileFacts, OpenFile } from '../flow/ports/storage.ts';
import { asStorageError, calls, factsOf, guarded } from './storage-calls.ts';
import type { KeptFolder } from './storage-folders.ts';

/** IOV_MAX on Linux: more buffers than this do not fit into one writev. */
const maximumBuffers = 1024;
/** A file of this size is written, synced and read at once where the disk is quick. What is more is left to the threads, which do
 *  it while the next bytes are decrypted, or the last ones encrypted. */
const fewBytes = 1 << 18;

class DiskFile implements OpenFile {
  readonly #fd: number;
  readonly #folder: KeptFolder | undefined;
  #isEntrySynced: boolean;
  /** Since the last sync. */
  #writtenBytes = 0;

  constructor(fd: number, folder: KeptFolder | undefined) {
    this.#fd = fd;
    this.#folder = folder;
    this.#isEntrySynced = folder === undefined;
  }

  async readInto(target: Uint8Array, offset: number): Promise<number> {
    let done = 0;
    try {
      while (done < target.length) {
        const [length, at] = [target.length - done, offset + done];
        const areFew = at + length <= fewBytes;
        const { bytesRead } = await calls.read(this.#fd, target, done, length, at, areFew);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
    } catch (error) {
      throw asStorageError(error);
    }
    return done;
  }

  readIntoAll(targets: readonly Uint8Array[], offset: number): Promise<number> {
    return guarded(() => readAll(this.#fd, targets, offset));
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const target = Buffer.allocUnsafe(length);
    return target.subarray(0, await this.readInto(target, offset));
  }

  write(offset: number, chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) this.#writtenBytes += chunk.length;
    return writeAll(this.#fd, offset, chunks, this.#writtenBytes <= fewBytes);
  }

  async facts(): Promise<FileFacts> {
    try {
      const facts = factsOf(await calls.fstat(this.#fd));
      if (facts !== undefined) return facts;
    } catch (error) {
      throw asStorageError(error);
    }
    throw new AppError('NO_SUCH_FILE');
  }

  truncate(sizeBytes: number): Promise<void> {
    return guarded(() => calls.ftruncate(this.#fd, sizeBytes));
  }

  setTimes(accessedMs: number, modifiedMs: number): Promise<void> {
    return guarded(() => calls.futimes(this.#fd, accessedMs / 1000, modifiedMs / 1000));
  }

  async sync(): Promise<void> {
    const folder = this.#isEntrySynced ? undefined : this.#folder;
    const areFew = this.#writtenBytes <= fewBytes;
    this.#writtenBytes = 0;
    // Both at once: on most file systems they wait for the same commit of the journal. And both to their end, since the folder
    // may be released behind this.
    const bytes = failureOf(calls.fsync(this.#fd, areFew));
    const entry = folder === undefined ? undefined : failureOf(folder.sync());
    const [first, second] = [await bytes, await entry];
    const failure = first ?? second;
    if (failure !== undefined) throw asStorageError(failure.error);
    this.#isEntrySynced = true;
  }

  async close(): Promise<void> {
    this.#folder?.release();
    try {
      await calls.close(this.#fd);
    } catch (error) {
      throw asStorageError(error);
    }
  }
}

const failureOf = async (call: Promise<void>): Promise<{ readonly error: unknown } | undefined> => {
  try {
    await call;
    return undefined;
  } catch (error) {
    return { error };
  }
};

/** `folder`, where a new entry is in: it is synced with the first sync, and released when the file is closed. */
export const asOpenFile = (fd: number, folder?: KeptFolder): OpenFile => new DiskFile(fd, folder);

async function readAll(
  fd: number,
  targets: readonly Uint8Array[],
  offset: number,
): Promise<number> {
  let rest = targets.filter((target) => target.length > 0);
  let done = 0;
  while (rest.length > 0) {
    const { bytesRead } = await calls.readv(fd, rest.slice(0, maximumBuffers), offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
    rest = without(rest, bytesRead);
  }
  return done;
}

async function writeAll(
  fd: number,
  offset: number,
  chunks: readonly Uint8Array[],
  areFew: boolean,
): Promise<void> {
  let rest = chunks.filter((chunk) => chunk.length > 0);
  let at = offset;
  try {
    while (rest.length > 0) {
      const { bytesWritten } = await calls.writev(fd, rest.slice(0, maximumBuffers), at, areFew);
      if (bytesWritten === 0) throw new AppError('DISK_FULL');
      at += bytesWritten;
      rest = without(rest, bytesWritten);
    }
  } catch (error) {
    const { code, detail } = asStorageError(error);
    throw new AppError(code, { at: at - offset, ...(detail === undefined ? {} : { detail }) });
  }
}

/** What is left of the chunks after their first `count` bytes. */
function without(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  let index = 0;
  while (index < chunks.length && skip >= (chunks[index]?.length ?? 0)) {
    skip -= chunks[index]?.length ?? 0;
    index += 1;
  }
  const rest = chunks.slice(index);
  const first = rest[0];
  return first === undefined || skip === 0 ? rest : [first.subarray(skip), ...rest.slice(1)];
}
