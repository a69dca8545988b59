// One open file of the storage. Positions are explicit on every call, so calls on one file never disturb each other.

import { AppError } from '../core/errors.ts';
import type { OpenFile } from '../flow/ports/storage.ts';
import { asStorageError, calls, factsOf, guarded } from './storage-calls.ts';
import type { KeptFolder } from './storage-folders.ts';

/** IOV_MAX on Linux: more buffers than this do not fit into one writev. */
const maximumBuffers = 1024;
/** A file of this size is written, synced and read at once where the disk is quick. What is more is left to the threads, which do
 *  it while the next bytes are decrypted, or the last ones encrypted. */
const fewBytes = 1 << 18;

/** `folder`, where a new entry is in: it is synced with the first sync, and released when the file is closed. */
export function asOpenFile(fd: number, folder?: KeptFolder): OpenFile {
  let isEntrySynced = folder === undefined;
  /** Since the last sync. */
  let writtenBytes = 0;
  const readInto = async (target: Uint8Array, offset: number): Promise<number> => {
    let done = 0;
    while (done < target.length) {
      const [length, at] = [target.length - done, offset + done];
      const { bytesRead } = await calls.read(fd, target, done, length, at, at + length <= fewBytes);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  };
  return {
    readInto: (target, offset) => guarded(() => readInto(target, offset)),
    readIntoAll: (targets, offset) => guarded(() => readAll(fd, targets, offset)),
    read: (offset, length) =>
      guarded(async () => {
        const target = Buffer.allocUnsafe(length);
        return target.subarray(0, await readInto(target, offset));
      }),
    write: (offset, chunks) => {
      for (const chunk of chunks) writtenBytes += chunk.length;
      return writeAll(fd, offset, chunks, writtenBytes <= fewBytes);
    },
    facts: () =>
      guarded(async () => {
        const facts = factsOf(await calls.fstat(fd));
        if (facts === undefined) throw new AppError('NO_SUCH_FILE');
        return facts;
      }),
    truncate: (sizeBytes) => guarded(() => calls.ftruncate(fd, sizeBytes)),
    setTimes: (accessedMs, modifiedMs) =>
      guarded(() => calls.futimes(fd, accessedMs / 1000, modifiedMs / 1000)),
    sync: () =>
      guarded(async () => {
        const areFew = writtenBytes <= fewBytes;
        writtenBytes = 0;
        if (isEntrySynced || folder === undefined) return calls.fsync(fd, areFew);
        // Both at once: on most file systems they wait for the same commit of the journal.
        const [bytes, entry] = await Promise.allSettled([calls.fsync(fd, areFew), folder.sync()]);
        if (bytes.status === 'rejected') throw bytes.reason;
        if (entry.status === 'rejected') throw entry.reason;
        isEntrySynced = true;
      }),
    close: () => {
      folder?.release();
      return guarded(() => calls.close(fd));
    },
  };
}

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
