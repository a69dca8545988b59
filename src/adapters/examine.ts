// What `clubhouse doctor` looks at on the disk, and `clubhouse serve` before it starts. The database: sql/examine.ts.

import { lstat, readdir, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { AppError } from '../core/errors.ts';
import type { InstancePaths } from '../core/instance.ts';
import type { Finding } from '../flow/ports/directory.ts';
import { fingerprintOfFile } from './keys.ts';
import { loadSecrets } from './secrets.ts';

const gigabyte = 1024 ** 3;

/** What a server must not start without: each key there, usable and secret. Throws CONFIG_INVALID. */
export async function needSoundKeys(paths: InstancePaths): Promise<void> {
  for (const path of [...paths.hostKeys, paths.replicatorKey, paths.masterKey]) {
    const name = `keys/${basename(path)}`;
    const facts = await stat(path).catch(() => undefined);
    if (facts === undefined) throw unsound(`${name} is missing; restore it from a backup`);
    if ((facts.mode & 0o077) !== 0) throw unsound(`others can read ${name}; chmod 600 ${name}`);
    if (path !== paths.masterKey) await fingerprintOfFile(path, name);
  }
}

const unsound = (detail: string): AppError => new AppError('CONFIG_INVALID', { detail });

/** Modes, keys, room on the disk. */
export async function examineFiles(paths: InstancePaths): Promise<readonly Finding[]> {
  return [
    await modes(paths),
    ...(await keys(paths)),
    await oneFileSystem(paths),
    ...(await leftHalf(paths)),
    await room(paths),
  ];
}

/** Is everything of ours for our own account alone? */
async function modes(paths: InstancePaths): Promise<Finding> {
  const open: string[] = [];
  const look = async (path: string): Promise<void> => {
    const facts = await lstat(path).catch(() => undefined);
    if (facts !== undefined && !facts.isSymbolicLink() && (facts.mode & 0o077) !== 0) {
      open.push(path);
    }
  };
  for (const path of [paths.config, paths.profiles, paths.data, paths.tree, paths.spool]) {
    await look(path);
  }
  for (const folder of [paths.keys, paths.state]) {
    await look(folder);
    for (const name of await readdir(folder).catch(() => [])) {
      if (name !== 'README.md') await look(join(folder, name));
    }
  }
  const shown = open.slice(0, 5).join(', ');
  return open.length === 0
    ? { check: 'modes', state: 'ok', text: 'files and folders are for our own account alone' }
    : { check: 'modes', state: 'error', text: `others can read ${shown}; chmod go-rwx` };
}

async function keys(paths: InstancePaths): Promise<readonly Finding[]> {
  const all: Finding[] = [];
  for (const path of [...paths.hostKeys, paths.replicatorKey]) {
    const name = `keys/${path.slice(paths.keys.length + 1)}`;
    all.push(await tried(name, () => fingerprintOfFile(path, name)));
  }
  all.push(
    await tried('keys/master.key', async () => {
      await loadSecrets(paths.masterKey);
      return 'is there';
    }),
  );
  return all;
}

async function tried(check: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { check, state: 'ok', text: await look() };
  } catch (error) {
    return {
      check,
      state: 'error',
      text: error instanceof AppError ? error.message : 'unreadable',
    };
  }
}

/** Publishing is a rename, so the spool and the tree must be on one file system. */
async function oneFileSystem(paths: InstancePaths): Promise<Finding> {
  const devices = await Promise.all(
    [paths.tree, paths.spool].map(async (p) => (await lstat(p)).dev),
  );
  return devices[0] === devices[1]
    ? { check: 'spool', state: 'ok', text: 'on the file system of data/home' }
    : {
        check: 'spool',
        state: 'error',
        text: 'data/spool must be on the file system of data/home',
      };
}

/** A restore or a backup that was killed: nothing of an instance, but the one is in the way and the other takes room. */
async function leftHalf({ home, spool }: InstancePaths): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  if ((await lstat(join(home, '.restoring')).catch(() => undefined)) !== undefined) {
    const text = 'a restore was not ended here; remove the folder .restoring';
    found.push({ check: 'restore', state: 'warning', text });
  }
  if ((await lstat(join(spool, 'backup')).catch(() => undefined)) !== undefined) {
    const text = 'a backup is being made, or one was killed; the next one clears its folder away';
    found.push({ check: 'backup', state: 'ok', text });
  }
  return found;
}

async function room({ data }: InstancePaths): Promise<Finding> {
  const { bavail, bsize, blocks } = await statfs(data);
  const free = bavail * bsize;
  const text = `${(free / gigabyte).toFixed(1)} GB free`;
  const isLittle = free < 10 * gigabyte || bavail < blocks / 20;
  return { check: 'disk', state: isLittle ? 'warning' : 'ok', text };
}
