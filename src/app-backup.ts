// `clubhouse backup` and `clubhouse restore`. Part of the composition root, see app.ts: in which order rows are copied, files
// are taken, sealed and put down, and back again.

import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, join, relative, resolve, sep } from 'node:path';
import { systemClock } from './adapters/clock.ts';
import { Collection } from './adapters/backup/collect.ts';
import { extractBackup } from './adapters/backup/extract.ts';
import { decryptWithGpg } from './adapters/backup/gpg.ts';
import { linkEarly, linkOwed, type Owed } from './adapters/backup/owed-links.ts';
import { findBackup, proveBackup, writeBackup } from './adapters/backup/place.ts';
import { needSoundKeys } from './adapters/examine.ts';
import { ensureInstanceFolders } from './adapters/instance-files.ts';
import { fingerprintOfFile } from './adapters/keys.ts';
import { openBackup, readSecretKey, sealBackup } from './adapters/openpgp/backup-message.ts';
import { inspectRecipientKey } from './adapters/openpgp/recipient-keys.ts';
import { loadSecrets } from './adapters/secrets.ts';
import { takeServeLock } from './adapters/serve-lock.ts';
import { AuditLog } from './adapters/sql/audit.ts';
import { freshUploads } from './adapters/sql/fresh-uploads.ts';
import { migrations } from './adapters/sql/migrations.ts';
import { fitRows, type Restored } from './adapters/sql/restored.ts';
import { copyRows } from './adapters/sql/row-copy.ts';
import { openSqlite } from './adapters/sql/sqlite.ts';
import { syncFolder } from './adapters/whole-file.ts';
import { anchorOf, type Base } from './app-base.ts';
import { loadConfig } from './config.ts';
import { AppError } from './core/errors.ts';
import { instancePaths, type InstancePaths } from './core/instance.ts';
import type { BackupFacts, BackupManifest, RowCopy } from './flow/ports/backup.ts';

export interface BackupRequest {
  /** Where the archive and its manifest go; made (0700) when missing, but not what is above it. */
  readonly folder: string;
  /** A file with one OpenPGP public key. */
  readonly key: Uint8Array;
  /** False: configuration, keys and database alone. */
  readonly files: boolean;
}

/** Beside a running server or without one. Throws RECIPIENT_KEY, CONFLICT, BUSY, STORAGE_FAILED. */
export async function backUp(base: Base, request: BackupRequest): Promise<BackupManifest> {
  const { paths, config, database, audit } = base;
  const folder = resolve(request.folder);
  refuseInside(paths, folder);
  const key = await inspectRecipientKey(request.key);
  const lock = oneAtATime(paths);
  const work = join(paths.spool, 'backup');
  try {
    const { rows, owed } = await copyWhole(base, work);
    try {
      const facts: BackupFacts = {
        format: 1,
        site: config.site,
        createdAt: new Date(rows.begunAt).toISOString(),
        schema: rows.schema,
        files: request.files,
      };
      const collection = new Collection({ paths, facts, rows, owed });
      const message = await sealBackup(collection.bytes(), key.armored);
      const stamp = facts.createdAt.replace(/[-:]|\.\d+/g, '');
      const name = `clubhouse-${config.site}-${stamp}.tar.gpg`;
      const manifest = await writeBackup(folder, name, message, (written) => ({
        ...facts,
        ...written,
        name,
        fingerprint: key.fingerprint,
        entries: collection.entries,
        leftOut: collection.leftOut,
        auditHead: rows.auditHead,
      }));
      await database.db.transaction().execute((trx) => {
        const { sizeBytes, sha256, fingerprint, entries, leftOut, files } = manifest;
        const detail = { sizeBytes, sha256, fingerprint, entries, leftOut, files };
        return audit.append(trx, {
          actor: 'cli',
          action: 'instance.backed-up',
          object: name,
          detail,
        });
      });
      return manifest;
    } finally {
      await rows.close();
    }
  } finally {
    await rm(work, { recursive: true, force: true });
    lock.release();
  }
}

const mostCopies = 3;

/** Rows, and links to what they owe work; anew when a claim ended in between. */
async function copyWhole(
  { paths, config }: Base,
  work: string,
): Promise<{ readonly rows: RowCopy; readonly owed: Owed }> {
  for (let tries = 1; ; tries += 1) {
    await linkEarly(paths, work);
    const rows = await copyRows({ database: paths.database, folder: work, site: config.site });
    const owed = await linkOwed(paths, work, rows);
    if (owed.missing === 0 || tries === mostCopies) return { rows, owed };
    await rows.close();
  }
}

function oneAtATime(paths: InstancePaths): ReturnType<typeof takeServeLock> {
  try {
    return takeServeLock(join(paths.state, 'backup.lock'), 0);
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    throw new AppError('BUSY', { cause, detail: 'another clubhouse backup runs on this instance' });
  }
}

/** What lies there would be seen by clients, or be part of the next backup. */
function refuseInside(paths: InstancePaths, folder: string): void {
  for (const own of [paths.data, paths.keys, join(paths.home, 'config')]) {
    const way = relative(own, folder);
    if (way.split(sep)[0] === '..') continue;
    throw new AppError('CONFLICT', {
      detail: `a backup cannot lie in ${own}; choose a folder on another disk`,
    });
  }
}

export interface RestoreRequest {
  /** An empty or new folder. */
  readonly home: string;
  /** The folder of the backups, or `-`: the decrypted archive comes from standard input. */
  readonly from: string;
  /** A private key; without one, gpg is asked to decrypt. */
  readonly key: Uint8Array | undefined;
  /** For the key, or for gpg. */
  readonly passphrase: string | undefined;
  readonly ask: () => Promise<string>;
}

export interface RestoreResult extends Restored {
  readonly facts: BackupFacts;
  readonly entries: number;
  /** For comparing it with what clients and partners have pinned. */
  readonly hostKey: string;
}

/** Puts an instance back, whole or not at all. Throws CONFLICT, NOT_FOUND, BAD_INPUT, BAD_BACKUP. */
export async function restore(request: RestoreRequest): Promise<RestoreResult> {
  const home = resolve(request.home);
  await needEmpty(home);
  const source = await archiveOf(request);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const building = join(home, unfinished);
  await rm(building, { recursive: true, force: true });
  try {
    await mkdir(building, { mode: 0o700 });
    const { facts, entries } = await extractBackup(source, building, knownSchema);
    const result = await settleDown(building, facts);
    await syncFolders(building);
    await moveAll(building, home);
    await rm(building, { recursive: true });
    await syncFolder(home);
    return { ...result, facts, entries };
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    throw error;
  }
}

/** The configuration last: a folder with one is an instance. Where one cannot be moved, none is. */
async function moveAll(building: string, home: string): Promise<void> {
  const moved: string[] = [];
  try {
    for (const name of ['data', 'keys', 'config']) {
      await rename(join(building, name), join(home, name));
      moved.push(join(home, name));
    }
  } catch (error) {
    for (const path of moved) await rm(path, { recursive: true, force: true });
    throw error;
  }
}

/** A power cut must not take names out of a folder that was restored. */
async function syncFolders(root: string): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await syncFolder(join(entry.parentPath, entry.name));
  }
  await syncFolder(root);
}

const unfinished = '.restoring';

async function needEmpty(home: string): Promise<void> {
  const names = await readdir(home).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return [];
    throw new AppError('CONFLICT', { cause, detail: `${home} cannot be used: ${cause.code}` });
  });
  // What a restore left that was killed is no reason to stop; what else is there must stay.
  if (names.every((name) => name === unfinished || name === 'lost+found')) return;
  throw new AppError('CONFLICT', {
    detail: `${home} is not empty; a backup is restored into a new folder, named with --home`,
  });
}

async function archiveOf(request: RestoreRequest): Promise<AsyncIterable<Uint8Array>> {
  if (request.from === '-') return process.stdin;
  const found = await findBackup(request.from);
  const { key, passphrase } = request;
  const secret =
    key === undefined
      ? undefined
      : await readSecretKey(key, async () => passphrase ?? (await request.ask()));
  await proveBackup(found);
  return secret === undefined
    ? decryptWithGpg(found.path, passphrase)
    : openBackup(found.path, secret);
}

/** Throws BAD_BACKUP when the backup is from a newer Clubhouse than this one. */
export function knownSchema(facts: BackupFacts): void {
  const isKnown = facts.schema.every((name) => knownMigrations.includes(name));
  if (facts.format === 1 && isKnown) return;
  throw new AppError('BAD_BACKUP', {
    detail: 'the backup was made by a newer Clubhouse; restore it with that version',
  });
}

const knownMigrations = Object.keys(await migrations.getMigrations());

/** In its temporary place: the rows fit the files, the keys work, the trail goes on. */
async function settleDown(
  building: string,
  facts: BackupFacts,
): Promise<Restored & { readonly hostKey: string }> {
  const paths = instancePaths(building);
  const { site } = await loadConfig(paths.config);
  await ensureInstanceFolders(paths);
  await needSoundKeys(paths);
  const secrets = await loadSecrets(paths.masterKey);
  const database = await openSqlite(paths.database);
  const { db } = database;
  try {
    const audit = new AuditLog(secrets.derive('audit'), systemClock);
    freshUploads({ db, audit, clock: systemClock });
    const disk = diskOf(paths);
    const { createdAt, files } = facts;
    const tools = { db, audit, clock: systemClock, disk, site };
    const result = await fitRows(tools, { createdAt, files });
    await anchorOf(paths, db, audit).replace();
    const [hostKey = ''] = paths.hostKeys;
    return { ...result, hostKey: await fingerprintOfFile(hostKey, `keys/${basename(hostKey)}`) };
  } finally {
    await database.close();
  }
}

const diskOf = (paths: InstancePaths): Parameters<typeof fitRows>[0]['disk'] => ({
  file: async (path) => {
    const facts = await lstat(join(paths.tree, path), { bigint: true }).catch(() => undefined);
    if (facts?.isFile() !== true) return undefined;
    const { dev, ino, size } = facts;
    return { device: String(dev), inode: String(ino), sizeBytes: Number(size) };
  },
  hasClaim: async (name) => {
    const facts = await lstat(join(paths.spool, 'claims', name)).catch(() => undefined);
    return facts?.isFile() === true;
  },
});
