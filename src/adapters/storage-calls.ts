// The system calls that the storage uses, as promises over plain descriptors, and the one map from errno to AppError.
// The map drops the system's own message, because it holds host paths; the errno's name is kept as detail for the log.

import fs from 'node:fs';
import { promisify } from 'node:util';
import { AppError, type ErrorCode } from '../core/errors.ts';
import type { FileFacts } from '../flow/ports/storage.ts';
import { paced } from './storage-pace.ts';

const threads = {
  open: promisify(fs.open),
  lstat: promisify(fs.lstat),
  read: promisify(fs.read),
  writev: promisify(fs.writev),
  fsync: promisify(fs.fsync),
};
const writeFew = paced(
  (fd: number, chunks: readonly NodeJS.ArrayBufferView[], at: number) => ({
    bytesWritten: fs.writevSync(fd, chunks, at),
  }),
  (fd, chunks, at) => threads.writev(fd, chunks, at),
);
const readFew = paced(
  (fd: number, target: NodeJS.ArrayBufferView, from: number, length: number, at: number) => ({
    bytesRead: fs.readSync(fd, target, from, length, at),
  }),
  (fd, target, from, length, at) => threads.read(fd, target, from, length, at),
);
const syncFew = paced((fd: number): void => fs.fsyncSync(fd), threads.fsync);

/** What is short is made at once while the disk is quick (storage-pace). */
export const calls = {
  open: paced<[path: string, flags: number, mode?: number], number>(
    (path, flags, mode) => fs.openSync(path, flags, mode),
    (path, flags, mode) => threads.open(path, flags, mode),
  ),
  close: paced((fd: number): void => fs.closeSync(fd), promisify(fs.close)),
  /** `areFew`: they are near the file's beginning, and of a small file all there is. */
  read: (
    fd: number,
    target: NodeJS.ArrayBufferView,
    from: number,
    length: number,
    at: number,
    areFew = false,
  ): Promise<{ readonly bytesRead: number }> =>
    areFew ? readFew(fd, target, from, length, at) : threads.read(fd, target, from, length, at),
  readv: promisify(fs.readv),
  /** `areFew`: it is all that this file was given since it was last synced, and not much. */
  writev: (
    fd: number,
    chunks: readonly NodeJS.ArrayBufferView[],
    at: number,
    areFew = false,
  ): Promise<{ readonly bytesWritten: number }> =>
    areFew ? writeFew(fd, chunks, at) : threads.writev(fd, chunks, at),
  /** At once: what is open has its facts in memory, and the way through a thread takes ten times as long. */
  fstat: async (fd: number): Promise<fs.BigIntStats> => fs.fstatSync(fd, { bigint: true }),
  lstat: paced(
    (path: string): fs.BigIntStats => fs.lstatSync(path, { bigint: true }),
    (path) => threads.lstat(path, { bigint: true }),
  ),
  ftruncate: promisify(fs.ftruncate),
  futimes: paced(
    (fd: number, accessed: number, modified: number): void =>
      fs.futimesSync(fd, accessed, modified),
    promisify(fs.futimes),
  ),
  lutimes: paced(
    (path: string, accessed: number, modified: number): void =>
      fs.lutimesSync(path, accessed, modified),
    promisify(fs.lutimes),
  ),
  /** `areFew`: few bytes, or a few names, are to be waited for. */
  fsync: (fd: number, areFew = false): Promise<void> => (areFew ? syncFew(fd) : threads.fsync(fd)),
  link: promisify(fs.link),
  unlink: promisify(fs.unlink),
  rename: paced((from: string, to: string): void => fs.renameSync(from, to), promisify(fs.rename)),
  mkdir: promisify(fs.mkdir),
  rmdir: promisify(fs.rmdir),
  copyFile: promisify(fs.copyFile),
  opendir: promisify(fs.opendir),
  statfs: promisify(fs.statfs),
};

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'NO_SUCH_FILE',
  ELOOP: 'NO_SUCH_FILE',
  ENXIO: 'NO_SUCH_FILE',
  ENODEV: 'NO_SUCH_FILE',
  ENOTDIR: 'NOT_A_DIRECTORY',
  EISDIR: 'IS_A_DIRECTORY',
  EEXIST: 'ALREADY_EXISTS',
  ENOTEMPTY: 'NOT_EMPTY',
  ENAMETOOLONG: 'BAD_NAME',
  EILSEQ: 'BAD_NAME',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  // A folder into itself; a size beyond what the file system can hold.
  EINVAL: 'BAD_INPUT',
  EFBIG: 'BAD_INPUT',
};

export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined;

/** Any error of a system call as an AppError without a host path. */
export function asStorageError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const errno = errnoOf(error);
  const code = (errno === undefined ? undefined : codes[errno]) ?? 'STORAGE_FAILED';
  return new AppError(code, errno === undefined ? {} : { detail: errno });
}

/** Runs it and turns what it throws into an AppError. */
export async function guarded<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw asStorageError(error);
  }
}

/** The facts of a file or folder; undefined for a link, a FIFO, a socket, a device. */
export function factsOf(stats: fs.BigIntStats): FileFacts | undefined {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : undefined;
  if (kind === undefined) return undefined;
  return {
    kind,
    sizeBytes: Number(stats.size),
    modifiedMs: Number(stats.mtimeNs) / 1e6,
    accessedMs: Number(stats.atimeNs) / 1e6,
    mode: Number(stats.mode & 0o7777n),
    device: stats.dev.toString(),
    inode: stats.ino.toString(),
    allottedBytes: Number(stats.blocks) * 512,
  };
}
