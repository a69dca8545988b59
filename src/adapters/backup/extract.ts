// Puts the files of a backup into a new folder. Names come from the archive, so only those that an instance has are taken;
// nothing is ever overwritten, and a link leads to an earlier file of the same archive or nowhere.

import fs from 'node:fs';
import { link, lstat, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { BackupFacts } from '../../flow/ports/backup.ts';
import type { BackupEnd } from './collect.ts';
import { damaged, readTar, type ReadEntry } from './tar-read.ts';

const allowed = [
  /^(config|keys)(\/.+)?$/,
  /^data\/state\/clubhouse\.db$/,
  /^data\/(home|removed)(\/.+)?$/,
  /^data\/spool\/(claims|outputs)\/[^/]+$/,
];
const mostTextBytes = 64 << 20;

// Whoever has the public key can make an archive, so its own texts are looked at like any other input.
const factsShape: z.ZodType<BackupFacts> = z.object({
  format: z.int(),
  site: z.string(),
  createdAt: z.string(),
  schema: z.array(z.string()),
  files: z.boolean(),
});
const endShape: z.ZodType<BackupEnd> = z.strictObject({
  entries: z.int(),
  spoilt: z.array(z.string()),
  sha256: z.string(),
});

export interface Extracted {
  readonly facts: BackupFacts;
  readonly entries: number;
}

/**
 * `root`: an empty folder. `accept` sees the first entry and may refuse the backup. Throws BAD_BACKUP when the archive is not
 * whole; what was put there then is the caller's to remove.
 */
export async function extractBackup(
  source: AsyncIterable<Uint8Array>,
  root: string,
  accept: (facts: BackupFacts) => void,
): Promise<Extracted> {
  let facts: BackupFacts | undefined;
  let end: BackupEnd | undefined;
  let entries = 0;
  for await (const entry of readTar(source)) {
    if (end !== undefined) throw damaged('more behind its end');
    if (facts === undefined) {
      if (entry.name !== 'backup/instance.json') throw damaged('it does not begin as one');
      facts = await parseText(entry, factsShape);
      accept(facts);
    } else if (entry.name === 'backup/end.json') {
      end = await parseText(entry, endShape);
      if (end.sha256 !== entry.sha256Before()) throw damaged('its digest is another one');
      continue;
    } else {
      await put(entry, root);
    }
    entries += 1;
  }
  if (facts === undefined || end?.entries !== entries) throw damaged('it ends too early');
  for (const name of end.spoilt) await rm(join(root, checked(name)), { force: true });
  return { facts, entries };
}

function checked(name: string): string {
  if (!allowed.some((one) => one.test(name)) || name.split('/').includes('..')) {
    throw damaged('a file that no instance has');
  }
  return name;
}

async function put(entry: ReadEntry, root: string): Promise<void> {
  const path = join(root, checked(entry.name));
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  switch (entry.kind) {
    case 'folder':
      await mkdir(path, { recursive: true, mode: 0o700 });
      return;
    case 'link': {
      const target = join(root, checked(entry.target ?? ''));
      const facts = await lstat(target).catch(() => undefined);
      if (facts?.isFile() !== true) throw damaged('a link to nothing');
      await link(target, path).catch(asTwice);
      return;
    }
    case 'file':
      await write(entry, path);
  }
}

async function write({ body, modifiedMs }: ReadEntry, path: string): Promise<void> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  const file = await open(path, flags, 0o600).catch(asTwice);
  try {
    for await (const piece of body) await writeAll(file, piece);
    // In the middle of the millisecond, so that no rounding makes it the one before.
    const time = (modifiedMs + 0.5) / 1000;
    await file.utimes(time, time);
    await file.sync();
  } finally {
    await file.close();
  }
}

function asTwice(error: NodeJS.ErrnoException): never {
  if (error.code === 'EEXIST') throw damaged('a file is there twice');
  throw error;
}

async function writeAll(file: fs.promises.FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length;) {
    at += (await file.write(piece, at, piece.length - at)).bytesWritten;
  }
}

async function parseText<T>({ body, sizeBytes }: ReadEntry, shape: z.ZodType<T>): Promise<T> {
  if (sizeBytes > mostTextBytes) throw damaged('a text that is too long');
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(Uint8Array.from(piece));
  try {
    return shape.parse(JSON.parse(Buffer.concat(pieces).toString('utf8')));
  } catch {
    throw damaged('a text that is none');
  }
}
