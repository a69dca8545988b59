// data/spool: claims (hard links of generations that are processed), outputs (unfinished results) and scratch. It lies on
// the file system of data/home, so that a claim is a link and publishing is a rename. Clients never see it; temporary
// names of the storage itself live here too, so no half file is ever inside the tree.

import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { AppError } from '../core/errors.ts';
import type { FileFacts, Storage } from '../flow/ports/storage.ts';
import { asStorageError, calls, errnoOf, factsOf, guarded } from './storage-calls.ts';
import { beside, type Folders, type FolderUse } from './storage-folders.ts';
import { countClaims, refuseForeign } from './storage-links.ts';

const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, COPYFILE_FICLONE } =
  fs.constants;

type SpoolArea = 'claims' | 'outputs' | 'scratch';
type Expected = Parameters<Storage['claim']>[2];
type Publication = Parameters<Storage['publish']>[0];

export interface Spool {
  path(area: SpoolArea, name: string): string;
  claim(path: string, name: string, expect: Expected): Promise<string>;
  drop(area: SpoolArea, name: string): Promise<void>;
  list(area: SpoolArea): Promise<readonly string[]>;
  publish(request: Publication): Promise<void>;
  sha256(path: string): Promise<string>;
  writeWhole(path: string, text: string): Promise<void>;
  /**
   * Throws NO_SUCH_FILE when the file has a name that is not ours: a hard link into the tree, which somebody planted, would
   * open what lies outside. Claims are our own second names. `look`: the file's facts as they are now.
   */
  refuseForeign(look: () => Promise<fs.BigIntStats>): Promise<void>;
  /** Puts a copy (or an empty file) in the place of the regular file `at`; false when there is none. */
  replaceByCopy(at: string, isEmpty: boolean): Promise<boolean>;
}

export async function openSpool(root: string, folders: Folders): Promise<Spool> {
  for (const area of ['claims', 'outputs', 'scratch']) {
    await mkdir(`${root}/${area}`, { recursive: true, mode: 0o700 });
  }
  const home = await realpath(root);
  const path = (area: SpoolArea, name: string): string => {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/.test(name)) throw new AppError('BAD_NAME');
    return `${home}/${area}/${name}`;
  };
  const claims = countClaims(`${home}/claims`);
  const scratch = (): string => path('scratch', `tmp-${randomUUID()}`);
  return {
    path,
    claim: (from, name, expect) =>
      beside(folders, from, (at) => claim(at, path('claims', name), expect)),
    drop: (area, name) => guarded(() => rm(path(area, name), { recursive: true, force: true })),
    list: (area) => guarded(() => readdir(`${home}/${area}`)),
    publish: (request) =>
      beside(folders, request.path, (at, folder) => publish(request, at, folder, folders)),
    sha256: (from) => beside(folders, from, (at) => hashFile(at)),
    writeWhole: (to, text) =>
      beside(folders, to, async (at, folder) => {
        const temporary = scratch();
        await writeNew(temporary, text);
        await moveInto(temporary, at);
        await folders.sync(folder);
      }),
    refuseForeign: (look) => refuseForeign(claims, look),
    replaceByCopy: (at, isEmpty) =>
      replaceByCopy(at, isEmpty, scratch(), (fd) => refuseForeign(claims, () => calls.fstat(fd))),
  };
}

async function removeIfThere(at: string): Promise<void> {
  try {
    await calls.unlink(at);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

async function factsIfThere(at: string): Promise<FileFacts | undefined> {
  try {
    return factsOf(await calls.lstat(at));
  } catch (error) {
    const failure = asStorageError(error);
    if (failure.status === 'NO_SUCH_FILE') return undefined;
    throw failure;
  }
}

const isExpected = (facts: FileFacts | undefined, expect: Expected): boolean =>
  facts?.kind === 'file' &&
  facts.device === expect.device &&
  facts.inode === expect.inode &&
  facts.sizeBytes === expect.sizeBytes;

/** Errors of link(2) that say that this file system or this file cannot be linked, so a copy has to do. */
const cannotLink: readonly (string | undefined)[] = [
  'EXDEV',
  'EPERM',
  'EMLINK',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
];

async function claim(at: string, target: string, expect: Expected): Promise<string> {
  if (!isExpected(await factsIfThere(at), expect)) throw new AppError('SOURCE_CHANGED');
  if (isExpected(await factsIfThere(target), expect)) return target;
  await removeIfThere(target);
  try {
    await calls.link(at, target);
  } catch (error) {
    if (!cannotLink.includes(errnoOf(error))) throw error;
    return copyClaim(at, target, expect);
  }
  if (isExpected(await factsIfThere(target), expect)) return target;
  await removeIfThere(target);
  throw new AppError('SOURCE_CHANGED');
}

async function copyClaim(at: string, target: string, expect: Expected): Promise<string> {
  await withOpen(at, async (fd, facts) => {
    if (!isExpected(facts, expect)) throw new AppError('SOURCE_CHANGED');
    await copyOpen(at, fd, target);
  });
  if ((await factsIfThere(target))?.sizeBytes === expect.sizeBytes) return target;
  await removeIfThere(target);
  throw new AppError('SOURCE_CHANGED');
}

/** Opens a regular file for reading, without following a link. */
async function withOpen<T>(
  at: string,
  use: (fd: number, facts: FileFacts) => Promise<T>,
): Promise<T> {
  const fd = await calls.open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const facts = factsOf(await calls.fstat(fd));
    if (facts?.kind !== 'file') throw new AppError('NO_SUCH_FILE');
    return await use(fd, facts);
  } finally {
    await calls.close(fd);
  }
}

/** Copies the inode behind `fd` (a reflink where the file system can), not whatever the path means by then. */
async function copyOpen(at: string, fd: number, target: string): Promise<void> {
  const source = at.startsWith('/proc/self/fd/') ? `/proc/self/fd/${fd}` : at;
  await calls.copyFile(source, target, COPYFILE_FICLONE);
}

async function replaceByCopy(
  at: string,
  isEmpty: boolean,
  temporary: string,
  check: (fd: number) => Promise<void>,
): Promise<boolean> {
  const facts = await factsIfThere(at);
  if (facts?.kind !== 'file') return false;
  try {
    if (isEmpty) {
      await writeNew(temporary, '');
    } else {
      await withOpen(at, async (fd) => {
        await check(fd);
        await copyOpen(at, fd, temporary);
      });
      // Until somebody ends writing to it, it is all that is left of what was acknowledged.
      await withOpen(temporary, (copy) => calls.fsync(copy));
      await calls.lutimes(temporary, facts.accessedMs / 1000, facts.modifiedMs / 1000);
    }
    await calls.rename(temporary, at);
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
  return true;
}

async function writeNew(path: string, text: string): Promise<void> {
  const fd = await calls.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) {
      at += (await calls.writev(fd, [bytes.subarray(at)], at)).bytesWritten;
    }
    await calls.fsync(fd);
  } catch (error) {
    await removeIfThere(path);
    throw error;
  } finally {
    await calls.close(fd);
  }
}

async function moveInto(temporary: string, at: string): Promise<void> {
  try {
    await calls.rename(temporary, at);
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
}

async function hashFile(at: string): Promise<string> {
  return withOpen(at, async (fd) => {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(1 << 18);
    for (let offset = 0; ;) {
      const { bytesRead } = await calls.read(fd, buffer, 0, buffer.length, offset);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
  });
}

/** See the port: repeating after a crash adopts what is there already. */
async function publish(
  request: Publication,
  at: string,
  folder: FolderUse,
  folders: Folders,
): Promise<void> {
  const there = await factsIfThere(at);
  if (there?.kind === 'folder') throw new AppError('OUTBOX_CONFLICT');
  const hash = there === undefined ? undefined : await hashFile(at);
  if (hash === request.sha256) {
    await removeIfThere(request.output);
    await folders.sync(folder);
    return;
  }
  if (hash !== undefined && hash !== request.replaces) throw new AppError('OUTBOX_CONFLICT');
  if ((await factsIfThere(request.output)) === undefined) {
    throw new AppError('STORAGE_FAILED', { detail: 'the finished output is gone' });
  }
  if (request.isInDoubt && (await hashFile(request.output)) !== request.sha256) {
    throw new AppError('STORAGE_FAILED', { detail: 'the finished output has lost its bytes' });
  }
  await withOpen(request.output, (fd) => calls.fsync(fd));
  await calls.rename(request.output, at);
  await folders.sync(folder);
}
