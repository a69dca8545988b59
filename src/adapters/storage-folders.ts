// Folder handles: how the storage names a file without ever following a planted link. Node has no openat, but Linux
// resolves /proc/self/fd/<fd>/<name> against the open folder itself. A folder is opened by its path and then asked where
// it really is: a link anywhere on the way, or a folder that was moved since, gives another answer and does not count.
// So a cached handle is checked again on each use, and a swap between check and use cannot redirect anything.
// Elsewhere than on Linux every part is looked at with lstat instead, which loses that race (ARCHITECTURE, deviations).

import fs from 'node:fs';
import { AppError } from '../core/errors.ts';
import { calls, errnoOf, guarded } from './storage-calls.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;

/** An open folder while it is used: `base` + '/' + name is a path inside it, `fd` can be synced. */
export interface FolderUse {
  readonly base: string;
  readonly fd: number;
}

export interface Folders {
  /** Opens the folder (relative to the root; '' is the root) for the time of `use`. */
  within<T>(path: string, use: (folder: FolderUse) => Promise<T>): Promise<T>;
  /** On the disk: new, renamed and removed names of this folder. Calls that come together share one fsync. */
  sync(folder: FolderUse): Promise<void>;
  /** The same for later, of this very folder, whatever its path is by then. Ends with `release`. */
  keep(folder: FolderUse): KeptFolder;
  close(): Promise<void>;
}

export interface KeptFolder {
  sync(): Promise<void>;
  release(): void;
}

interface Handle {
  readonly path: string;
  readonly fd: number;
  users: number;
  isDropped: boolean;
  syncing: Promise<void> | undefined;
  next: Promise<void> | undefined;
}

const maximumCached = 64;

/** `root` is absolute and resolved (realpath). */
export function openFolders(root: string, hasProc = fs.existsSync('/proc/self/fd')): Folders {
  const cache = new Map<string, Handle>();

  const absolute = (path: string): string => (path === '' ? root : `${root}/${path}`);

  const isStillThere = (handle: Handle): boolean => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${handle.fd}`) === absolute(handle.path);
    } catch {
      return false;
    }
  };

  const drop = (handle: Handle): void => {
    if (cache.get(handle.path) === handle) cache.delete(handle.path);
    handle.isDropped = true;
    if (handle.users === 0) fs.closeSync(handle.fd);
  };

  const open = async (path: string): Promise<Handle> => {
    if (!hasProc) await refuseLinks(root, path);
    const fd = await openFolder(absolute(path));
    const handle = {
      path,
      fd,
      users: 0,
      isDropped: false,
      syncing: undefined,
      next: undefined,
    };
    if (hasProc && !isStillThere(handle)) {
      await calls.close(fd);
      throw new AppError('NO_SUCH_FILE');
    }
    return handle;
  };

  const remember = (handle: Handle): void => {
    const known = cache.get(handle.path);
    if (known !== undefined) drop(known);
    cache.set(handle.path, handle);
    for (const oldest of cache.values()) {
      if (cache.size <= maximumCached) break;
      drop(oldest);
    }
  };

  const take = async (path: string): Promise<Handle> => {
    const known = cache.get(path);
    if (known !== undefined && hasProc) {
      if (isStillThere(known)) {
        cache.delete(path);
        cache.set(path, known);
        known.users += 1;
        return known;
      }
      drop(known);
    }
    const handle = await open(path);
    handle.users += 1;
    if (hasProc) remember(handle);
    else handle.isDropped = true;
    return handle;
  };

  const leave = (handle: Handle): void => {
    handle.users -= 1;
    if (handle.isDropped && handle.users === 0) fs.closeSync(handle.fd);
  };

  const byUse = new WeakMap<FolderUse, Handle>();
  return {
    within: async (path, use) => {
      const handle = await take(path);
      const folder = {
        base: hasProc ? `/proc/self/fd/${handle.fd}` : absolute(path),
        fd: handle.fd,
      };
      byUse.set(folder, handle);
      try {
        return await use(folder);
      } finally {
        leave(handle);
      }
    },
    sync: async (folder) => {
      const handle = byUse.get(folder);
      if (handle !== undefined) await shareSync(handle);
    },
    keep: (folder) => {
      const handle = byUse.get(folder);
      if (handle === undefined) throw new AppError('INTERNAL', { detail: 'no folder to keep' });
      handle.users += 1;
      let isKept = true;
      return {
        sync: () => shareSync(handle),
        release: () => {
          if (isKept) leave(handle);
          isKept = false;
        },
      };
    },
    close: async () => {
      for (const handle of cache.values()) drop(handle);
    },
  };
}

/** A link answers ENOTDIR, as a file does; neither is a folder that exists. */
async function openFolder(at: string): Promise<number> {
  try {
    return await calls.open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') throw new AppError('NO_SUCH_FILE');
    throw error;
  }
}

/** A running fsync may have begun before our change, so whoever comes meanwhile waits for the next one, together. */
async function shareSync(handle: Handle): Promise<void> {
  if (handle.syncing === undefined) {
    handle.syncing = calls.fsync(handle.fd, true).finally(() => {
      handle.syncing = undefined;
    });
    return handle.syncing;
  }
  handle.next ??= handle.syncing
    .catch(() => undefined)
    .then(() => {
      handle.next = undefined;
      return shareSync(handle);
    });
  return handle.next;
}

async function refuseLinks(root: string, path: string): Promise<void> {
  let at = root;
  for (const part of path.split('/').filter((one) => one !== '')) {
    at = `${at}/${part}`;
    if (!(await calls.lstat(at)).isDirectory()) throw new AppError('NO_SUCH_FILE');
  }
}

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** An empty part, `.` or `..`. */
const notPlain = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** Runs `use` in the folder that holds `path`, with the path to use there. */
export async function beside<T>(
  folders: Folders,
  path: string,
  use: (at: string, folder: FolderUse) => Promise<T>,
): Promise<T> {
  if (notPlain.test(path)) throw new AppError('NO_SUCH_FILE');
  return guarded(() =>
    folders.within(parentOf(path), (folder) => use(`${folder.base}/${nameOf(path)}`, folder)),
  );
}
