// The system calls that the storage uses, as promises over plain descriptors, and the one map from errno to AppError.
// The map drops the system's own message, because it holds host paths; the errno's name is kept as detail for the log.

import fs from 'node:fs';
import { promisify } from 'node:util';
import { AppError, type ErrorCode } from '../core/errors.ts';
import type { FileFacts } from '../flow/ports/storage.ts';

export const calls = {
  open: promisify(fs.open),
  close: promisify(fs.close),
  read: promisify(fs.read),
  readv: promisify(fs.readv),
  writev: promisify(fs.writev),
  /** At once: what is open has its facts in memory, and the way through a thread takes ten times as long. */
  fstat: async (fd: number): Promise<fs.BigIntStats> => fs.fstatSync(fd, { bigint: true }),
  lstat: (path: string): Promise<fs.BigIntStats> => lstat(path, { bigint: true }),
  ftruncate: promisify(fs.ftruncate),
  futimes: promisify(fs.futimes),
  lutimes: promisify(fs.lutimes),
  fsync: promisify(fs.fsync),
  link: promisify(fs.link),
  unlink: promisify(fs.unlink),
  rename: promisify(fs.rename),
  mkdir: promisify(fs.mkdir),
  rmdir: promisify(fs.rmdir),
  copyFile: promisify(fs.copyFile),
  opendir: promisify(fs.opendir),
  statfs: promisify(fs.statfs),
};
const lstat = promisify(fs.lstat);

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
