// Files below data/home and in data/spool (port: flow/ports/storage). Every path of a client ends here, so this is where
// links, FIFOs and swapped folders are kept out: names are used inside verified folder handles (storage-folders), the
// last part is opened with O_NOFOLLOW and O_NONBLOCK and must prove to be a regular file.

import fs from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { AppError } from '../core/errors.ts';
import { createLocks } from '../core/locks.ts';
import type {
  DirectoryEntry,
  FileFacts,
  OpenFile,
  OpenHow,
  Storage,
} from '../flow/ports/storage.ts';
import { asStorageError, calls, errnoOf, factsOf, guarded } from './storage-calls.ts';
import { asOpenFile } from './storage-file.ts';
import { beside, openFolders, parentOf, type Folders } from './storage-folders.ts';
import { openSpool, type Spool } from './storage-spool.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
const batch = 100;

export interface StoragePaths {
  /** data/home and data/spool, on one file system; made (0700) when missing. */
  readonly home: string;
  readonly spool: string;
}

/** `hasProc` false forces the slower way for systems without /proc; for tests. */
export async function createStorage(
  paths: StoragePaths,
  hasProc?: boolean,
): Promise<Storage & { close(): Promise<void> }> {
  await mkdir(paths.home, { recursive: true, mode: 0o700 });
  const home = await realpath(paths.home);
  const folders = openFolders(home, hasProc);
  const spool = await openSpool(paths.spool, folders);
  const files = fileCalls(folders, spool);
  return {
    ...files,
    ...folderCalls(folders),
    writeWhole: async (path, text) => {
      await folderCalls(folders).ensureFolder(parentOf(path));
      await spool.writeWhole(path, text);
    },
    space: () =>
      guarded(async () => {
        const { bsize, blocks, bavail, files, ffree } = await calls.statfs(home);
        const [totalFiles, freeFiles] = [files, ffree];
        return {
          blockBytes: bsize,
          totalBlocks: blocks,
          freeBlocks: bavail,
          totalFiles,
          freeFiles,
        };
      }),
    spoolPath: (area, name) => spool.path(area, name),
    claim: (path, name, expect) => spool.claim(path, name, expect),
    dropSpool: (area, name) => spool.drop(area, name),
    listSpool: (area) => spool.list(area),
    publish: async (request) => {
      await folderCalls(folders).ensureFolder(parentOf(request.path));
      await spool.publish(request);
    },
    sha256: (path) => spool.sha256(path),
    close: () => folders.close(),
  };
}

async function factsAt(at: string): Promise<FileFacts | undefined> {
  try {
    return factsOf(await calls.lstat(at));
  } catch (error) {
    const failure = asStorageError(error);
    if (failure.status === 'NO_SUCH_FILE') return undefined;
    throw failure;
  }
}

type FileCalls = Pick<
  Storage,
  'facts' | 'open' | 'readSmall' | 'syncEntry' | 'removeFile' | 'rename' | 'setTimes' | 'truncate'
>;

function fileCalls(folders: Folders, spool: Spool): FileCalls {
  const locks = createLocks();
  const openExisting = (path: string, how: OpenHow): Promise<OpenFile> =>
    beside(folders, path, async (at) => asOpenFile(await openRegular(at, how, spool)));

  const open = async (path: string, how: OpenHow): Promise<OpenFile> => {
    if (!how.create && !how.freshInode) return openExisting(path, how);
    return locks.hold(path, () =>
      beside(folders, path, async (at, folder) => {
        if (how.freshInode && !how.exclusive && (await spool.replaceByCopy(at, how.truncate))) {
          const copy = await openRegular(at, { ...how, truncate: false }, spool);
          return asOpenFile(copy, folders.keep(folder));
        }
        const made = how.create ? await create(at, how) : undefined;
        if (made !== undefined) return asOpenFile(made, folders.keep(folder));
        return asOpenFile(await openRegular(at, how, spool));
      }),
    );
  };

  return {
    open,
    syncEntry: (path) => beside(folders, path, (_at, folder) => folders.sync(folder)),
    readSmall: (path, mostBytes) => beside(folders, path, async (at) => readAtOnce(at, mostBytes)),
    facts: async (path) => {
      try {
        return await beside(folders, path, factsAt);
      } catch (error) {
        if (error instanceof AppError && error.status === 'NO_SUCH_FILE') return undefined;
        throw error;
      }
    },
    removeFile: (path) =>
      beside(folders, path, async (at, folder) => {
        const facts = await factsAt(at);
        if (facts === undefined) throw new AppError('NO_SUCH_FILE');
        if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
        await calls.unlink(at);
        await folders.sync(folder);
      }),
    rename: (from, to, replace) =>
      locks.hold(to, () =>
        beside(folders, from, (source, sourceFolder) =>
          beside(folders, to, async (target, targetFolder) => {
            if ((await factsAt(source)) === undefined) throw new AppError('NO_SUCH_FILE');
            if (!replace) await refuseExisting(target);
            await calls.rename(source, target);
            await folders.sync(targetFolder);
            await folders.sync(sourceFolder);
          }),
        ),
      ),
    setTimes: (path, accessedMs, modifiedMs) =>
      beside(folders, path, async (at) => {
        const stats = await calls.lstat(at);
        const facts = factsOf(stats);
        if (facts === undefined) throw new AppError('NO_SUCH_FILE');
        const isShared = facts.kind === 'file' && stats.nlink > 1n;
        if (isShared) await spool.refuseForeign(() => calls.lstat(at));
        await calls.lutimes(at, accessedMs / 1000, modifiedMs / 1000);
      }),
    truncate: async (path, sizeBytes) => {
      const file = await openExisting(path, { ...plainWrite });
      try {
        await file.truncate(sizeBytes);
      } finally {
        await file.close();
      }
    },
  };
}

const plainWrite: OpenHow = {
  read: false,
  write: true,
  create: false,
  exclusive: false,
  truncate: false,
  freshInode: false,
};

/** lstat, so that a planted link in the way counts as something too. */
async function refuseExisting(at: string): Promise<void> {
  try {
    await calls.lstat(at);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw error;
  }
  throw new AppError('ALREADY_EXISTS');
}

const accessFlags = ({ read, write }: OpenHow): number =>
  (write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK;

/** A new file, or undefined when the name is taken and that is allowed. */
async function create(at: string, how: OpenHow): Promise<number | undefined> {
  try {
    return await calls.open(at, accessFlags(how) | O_CREAT | O_EXCL, 0o600);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && !how.exclusive) return undefined;
    throw error;
  }
}

/** Truncates only after the descriptor proved to be a regular file. */
async function openRegular(at: string, how: OpenHow, spool: Spool): Promise<number> {
  // Opening alone does something to some devices and FIFOs, so they are looked at first.
  if (factsOf(await calls.lstat(at)) === undefined) throw new AppError('NO_SUCH_FILE');
  const fd = await calls.open(at, accessFlags(how));
  try {
    const stats = await calls.fstat(fd);
    const facts = factsOf(stats);
    if (facts === undefined) throw new AppError('NO_SUCH_FILE');
    if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
    if (stats.nlink > 1n) await spool.refuseForeign(() => calls.fstat(fd));
    if (how.truncate) await calls.ftruncate(fd, 0);
    return fd;
  } catch (error) {
    await calls.close(fd);
    throw error;
  }
}

/** Synchronous: for a small file the way to another thread and back, four times, costs ten times the work itself. */
function readAtOnce(
  at: string,
  mostBytes: number,
): { readonly bytes: Uint8Array; readonly facts: FileFacts } | undefined {
  const fd = fs.openSync(at, accessFlags({ ...plainWrite, read: true, write: false }));
  try {
    const facts = factsOf(fs.fstatSync(fd, { bigint: true }));
    if (facts === undefined) throw new AppError('NO_SUCH_FILE');
    if (facts.kind === 'folder') throw new AppError('IS_A_DIRECTORY');
    if (facts.sizeBytes > mostBytes) return undefined;
    const bytes = Buffer.allocUnsafe(facts.sizeBytes);
    let count = 0;
    while (count < bytes.length) {
      const more = fs.readSync(fd, bytes, count, bytes.length - count, count);
      if (more === 0) break;
      count += more;
    }
    return { bytes: bytes.subarray(0, count), facts };
  } finally {
    fs.closeSync(fd);
  }
}

type FolderCalls = Pick<Storage, 'list' | 'makeFolder' | 'ensureFolder' | 'removeFolder'>;

function folderCalls(folders: Folders): FolderCalls {
  const makeFolder = (path: string): Promise<void> =>
    beside(folders, path, async (at, folder) => {
      await calls.mkdir(at, 0o700);
      await folders.sync(folder);
    });
  const ensureFolder = async (path: string): Promise<void> => {
    if (path === '') return;
    try {
      await guarded(() => folders.within(path, async () => undefined));
      return;
    } catch (error) {
      if (!(error instanceof AppError) || error.status !== 'NO_SUCH_FILE') throw error;
    }
    await ensureFolder(parentOf(path));
    try {
      await makeFolder(path);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'ALREADY_EXISTS') throw error;
      await guarded(() => folders.within(path, async () => undefined));
    }
  };
  return {
    makeFolder,
    ensureFolder,
    removeFolder: (path) =>
      beside(folders, path, async (at, folder) => {
        await calls.rmdir(at);
        await folders.sync(folder);
      }),
    list: (path) => listFolder(folders, path),
  };
}

async function* listFolder(
  folders: Folders,
  path: string,
): AsyncGenerator<readonly DirectoryEntry[]> {
  const directory = await guarded(() =>
    folders.within(path, (folder) => calls.opendir(folder.base, { bufferSize: batch })),
  );
  try {
    for (;;) {
      const names: string[] = [];
      while (names.length < batch) {
        const entry = await guarded(() => directory.read());
        if (entry === null) break;
        if (entry.isFile() || entry.isDirectory()) names.push(entry.name);
      }
      if (names.length === 0) return;
      yield await guarded(() =>
        folders.within(path, async (folder) => {
          const all = await Promise.all(
            names.map(async (name) => ({ name, facts: await factsAt(`${folder.base}/${name}`) })),
          );
          return all.filter((entry): entry is DirectoryEntry => entry.facts !== undefined);
        }),
      );
    }
  } finally {
    await directory.close();
  }
}
