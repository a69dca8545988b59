// Where backups lie: a folder with archives and, beside each, a manifest in the clear. An archive gets its name when it is
// whole and on the disk, the manifest last of all, so that what has a manifest is whole.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { BackupManifest } from '../../flow/ports/backup.ts';
import { syncFolder } from '../whole-file.ts';
import { damaged } from './tar-read.ts';

const manifestOf = z.strictObject({
  format: z.literal(1),
  site: z.string(),
  createdAt: z.string(),
  schema: z.array(z.string()),
  files: z.boolean(),
  name: z.string().regex(/^clubhouse-[A-Z0-9_-]+-[0-9TZ]+\.tar\.gpg$/),
  sizeBytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  fingerprint: z.string(),
  entries: z.int().nonnegative(),
  leftOut: z.int().nonnegative(),
  auditHead: z.string(),
});

export interface Written {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Writes the stream under a temporary name; `name` is its own once `manifest` is written too. */
export async function writeBackup(
  folder: string,
  name: string,
  message: AsyncIterable<Uint8Array>,
  manifest: (written: Written) => BackupManifest,
): Promise<BackupManifest> {
  await ensureFolder(folder);
  await removeUnfinished(folder, name);
  const path = join(folder, name);
  const temporary = join(folder, `.${name}.part`);
  let mine = temporary;
  try {
    const written = await writeNew(temporary, message);
    await rename(temporary, path);
    mine = path;
    const made = manifest(written);
    await writeManifest(folder, made);
    return made;
  } catch (error) {
    await rm(mine, { force: true });
    if (error instanceof AppError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new AppError('STORAGE_FAILED', {
        cause: error,
        detail: 'there is not enough room for the backup; nothing of it is left',
      });
    }
    throw new AppError('STORAGE_FAILED', { cause: error, detail: `the backup failed: ${code}` });
  }
}

/** One step, no more: where the folder above is missing too, a disk is not mounted, and the backup would lie on another one. */
async function ensureFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST') return;
    const why = cause.code === 'ENOENT' ? 'the one above it is not there either' : cause.code;
    const detail = `the folder ${folder} cannot be made: ${why}; is the disk mounted, and may this account write there?`;
    throw new AppError('STORAGE_FAILED', { cause, detail });
  });
}

/** So long nobody wrote to it: another instance of this site may have its backups in the same folder. */
const abandonedAfterMs = 3_600_000;

/** What a killed backup of this site left is as large as a whole one, and no later one has its name. */
async function removeUnfinished(folder: string, name: string): Promise<void> {
  const ours = `.${name.slice(0, name.lastIndexOf('-') + 1)}`;
  for (const found of await readdir(folder)) {
    if (
      !found.startsWith(ours) ||
      !/^[0-9TZ]+\.(tar\.gpg|json)\.part$/.test(found.slice(ours.length))
    )
      continue;
    const path = join(folder, found);
    const facts = await lstat(path).catch(() => undefined);
    const isOurs = facts?.isFile() === true && Date.now() - facts.mtimeMs > abandonedAfterMs;
    if (isOurs) await rm(path, { force: true });
  }
}

const manifestName = (name: string): string => name.replace(/\.tar\.gpg$/, '.json');

async function writeManifest(folder: string, manifest: BackupManifest): Promise<void> {
  const name = manifestName(manifest.name);
  const [temporary, path] = [join(folder, `.${name}.part`), join(folder, name)];
  const text = Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`);
  try {
    await writeNew(temporary, [text]);
    await rename(temporary, path);
    await syncFolder(folder);
  } catch (error) {
    for (const made of [temporary, path]) await rm(made, { force: true });
    throw error;
  }
}

async function writeNew(
  path: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Written> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      for (let at = 0; at < piece.length;) {
        at += (await file.write(piece, at, piece.length - at)).bytesWritten;
      }
      sizeBytes += piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}

/** The newest whole backup of the folder. Throws NOT_FOUND, or BAD_BACKUP when its size is not the manifest's. */
export async function findBackup(folder: string): Promise<BackupManifest & { path: string }> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new AppError('NOT_FOUND', { cause, detail: `the folder ${folder} cannot be read` });
  });
  const newest = names
    .filter((name) => /^clubhouse-[A-Z0-9_-]+-[0-9TZ]+\.json$/.test(name))
    .sort((a, b) => timeIn(a).localeCompare(timeIn(b)))
    .at(-1);
  if (newest === undefined) {
    throw new AppError('NOT_FOUND', { detail: `there is no backup with its .json in ${folder}` });
  }
  const manifest = await readManifest(join(folder, newest));
  const path = join(folder, manifest.name);
  const facts = await stat(path).catch(() => undefined);
  if (facts === undefined) throw damaged(`${manifest.name} is not there`);
  if (facts.size !== manifest.sizeBytes) {
    throw damaged(`${manifest.name} has ${facts.size} bytes instead of ${manifest.sizeBytes}`);
  }
  return { ...manifest, path };
}

const timeIn = (name: string): string => /[0-9TZ]+(?=\.json$)/.exec(name)?.[0] ?? '';

async function readManifest(path: string): Promise<BackupManifest> {
  try {
    return Object.freeze(manifestOf.parse(JSON.parse(await readFile(path, 'utf8'))));
  } catch {
    throw damaged('its .json cannot be read');
  }
}

/** Throws BAD_BACKUP when the archive is not what the manifest says. */
export async function proveBackup({
  path,
  sha256,
}: {
  path: string;
  sha256: string;
}): Promise<void> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 18 })) {
    hash.update(piece as Uint8Array);
  }
  if (hash.digest('hex') !== sha256) throw damaged('its SHA-256 is not the one in its .json');
}
