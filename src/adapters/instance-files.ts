// The files of an instance that administration touches (port InstanceFiles), and the making of a new instance (SPEC 4).
// Everything is 0700/0600, whatever the umask of the shell.

import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../core/errors.ts';
import type { InstancePaths } from '../core/instance.ts';
import type { InstanceFiles } from '../flow/ports/directory.ts';
import { makeSshKey } from './keys.ts';
import { makeMasterKey } from './secrets.ts';
import { syncFolder, writeNew, writeWhole } from './whole-file.ts';

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Step by step: mkdir's own `recursive` never ends in /proc, where nothing can be made and nothing says so. */
async function makeWithParents(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (code !== 'ENOENT' || (await exists(dirname(path)))) throw error;
    await makeWithParents(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
  await syncFolder(dirname(path));
}

const makePrivate = (path: string): Promise<void> =>
  makeWithParents(path).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code ?? 'unknown';
    const why = code === 'EEXIST' || code === 'ENOTDIR' ? 'a file is in its place' : code;
    throw new AppError('STORAGE_FAILED', {
      cause,
      detail: `the folder ${path} cannot be made: ${why}`,
    });
  });

/**
 * An instance works under one account. Throws CONFLICT for another one, and for root: what it makes here, its owner could
 * not open afterwards, and one command would stop the server.
 */
export async function demandOwner({ data }: InstancePaths): Promise<void> {
  const ours = process.geteuid?.();
  const found = await stat(data).catch(() => undefined);
  if (found === undefined || ours === undefined || found.uid === ours) return;
  throw new AppError('CONFLICT', {
    detail:
      `this instance belongs to another account (user id ${found.uid}, not ${ours}); ` +
      `run this under it, for example with sudo -u '#${found.uid}'`,
  });
}

/** Makes the folders that every instance has; those that are there stay. */
export async function ensureInstanceFolders(paths: InstancePaths): Promise<void> {
  const folders = [paths.profiles, paths.recipients, paths.tree, paths.state, paths.spool];
  for (const folder of [dirname(paths.config), paths.keys, paths.data, ...folders]) {
    await makePrivate(folder);
  }
}

/**
 * Makes a new instance: keys first, the configuration last, so that a folder with one is whole. Throws CONFLICT when any
 * of the files is there, and changes nothing then.
 */
export async function makeInstance(
  paths: InstancePaths,
  request: { readonly site: string; readonly configText: string },
): Promise<void> {
  const [host, olderHost] = [join(paths.keys, 'host_ed25519'), join(paths.keys, 'host_rsa')];
  for (const path of [paths.config, paths.masterKey, host, olderHost, paths.replicatorKey]) {
    if (!(await exists(path))) continue;
    throw new AppError('CONFLICT', {
      detail: `${path} is there already; init overwrites nothing, choose another folder with --home`,
    });
  }
  await ensureInstanceFolders(paths);
  const comment = `clubhouse ${request.site}`;
  await makeMasterKey(paths.masterKey);
  await makeSshKey(host, 'ed25519', { comment: `${comment} host`, withPublic: false });
  await makeSshKey(olderHost, 'rsa', { comment: `${comment} host`, withPublic: false });
  await makeSshKey(paths.replicatorKey, 'ed25519', {
    comment: `${comment} replicator`,
    withPublic: true,
  });
  await writeFile(paths.knownHosts, '', { flag: 'a', mode: 0o600 });
  await writeNew(paths.config, request.configText);
}

/** `shipped`: the folder of the package's own profiles. */
export function createInstanceFiles(paths: InstancePaths, shipped: string): InstanceFiles {
  const folderOf = { shipped, own: paths.profiles };
  return {
    ensureFolder: (path) => makePrivate(join(paths.tree, path)),
    retire: async (project, name, ownerId) => {
      const from = join(paths.tree, `ji_${project}`, name);
      if (!(await exists(from))) return;
      const target = join(paths.removed, ownerId, `ji_${project}`);
      await makePrivate(dirname(target));
      await rename(from, (await exists(target)) ? `${target}-${randomName()}` : target);
      // Under its old name it would be the next owner's of that name.
      for (const folder of [dirname(target), dirname(from)]) await syncFolder(folder);
    },
    profileNames: async (where) => {
      const names = await readdir(folderOf[where]).catch(() => []);
      return names
        .filter((name) => name.endsWith('.yaml'))
        .map((name) => basename(name, '.yaml'))
        .sort();
    },
    readProfile: async (name) => {
      if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) return undefined;
      for (const folder of [shipped, paths.profiles]) {
        const path = join(folder, `${name}.yaml`);
        if (await exists(path)) return readFile(path, 'utf8');
      }
      return undefined;
    },
    writeProfile: async (name, text) => {
      await makePrivate(paths.profiles);
      await writeWhole(join(paths.profiles, `${name}.yaml`), text);
    },
  };
}

const randomName = (): string => randomBytes(6).toString('hex');
