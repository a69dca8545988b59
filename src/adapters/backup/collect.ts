// The files of an instance as one stream of tar, beside a server that goes on working: each file is taken only if it is the
// one that the copied rows speak of; what is owed work comes from the links that were made when the rows were copied.
// Bounded memory: one piece of one file at a time.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstancePaths } from '../../core/instance.ts';
import type { BackupFacts, RowCopy } from '../../flow/ports/backup.ts';
import type { Owed } from './owed-links.ts';
import { tarEnd, tarHeader, tarPadding } from './tar-write.ts';

const pieceBytes = 1 << 18;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** What the last entry says, so that a cut archive is told from a whole one. */
export interface BackupEnd {
  /** Before this one. */
  readonly entries: number;
  /** Names in the archive that changed while they were read: not to be restored. */
  readonly spoilt: readonly string[];
  /** Of all that stands before. */
  readonly sha256: string;
}

export interface CollectParts {
  readonly paths: InstancePaths;
  readonly facts: BackupFacts;
  readonly rows: RowCopy;
  readonly owed: Owed;
}

/** The archive as a stream, to be read once; the counts are right at its end. */
export class Collection {
  readonly #parts: CollectParts;
  readonly #digest = createHash('sha256');
  readonly #spoilt: string[] = [];
  readonly #buffer = Buffer.allocUnsafe(pieceBytes);
  /** Links whose file was met under its own name. */
  readonly #met = new Map<string, string>();
  #leftOut = 0;
  entries = 0;

  constructor(parts: CollectParts) {
    this.#parts = parts;
  }

  /** Files that were being written, or came, after the rows were copied. */
  get leftOut(): number {
    return this.#leftOut + this.#spoilt.length;
  }

  async *bytes(): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#all()) {
      this.#digest.update(piece);
      yield piece;
    }
    const sha256 = this.#digest.digest('hex');
    const end: BackupEnd = { entries: this.entries, spoilt: this.#spoilt, sha256 };
    yield* this.#text('backup/end.json', end);
    yield tarEnd();
  }

  async *#all(): AsyncGenerator<Uint8Array> {
    const { facts, paths, rows } = this.#parts;
    yield* this.#text('backup/instance.json', facts);
    for (const name of ['config', 'keys'] as const)
      yield* this.#folder(join(paths.home, name), name);
    const about = { sizeBytes: rows.sizeBytes, modifiedMs: rows.begunAt };
    yield* this.#entry('data/state/clubhouse.db', about, rows.content());
    if (!facts.files) return;
    yield* this.#folder(paths.tree, 'data/home');
    yield* this.#folder(paths.removed, 'data/removed');
    yield* this.#owedFiles();
  }

  /** What is owed work and was not met in the tree; a claim that was is a link to it. */
  async *#owedFiles(): AsyncGenerator<Uint8Array> {
    for (const [path, { at, inode }] of this.#parts.owed.links) {
      const name = `data/${path}`;
      const target = this.#met.get(inode);
      if (target === name) continue;
      if (target !== undefined) {
        this.entries += 1;
        yield tarHeader({ name, kind: 'link', sizeBytes: 0, modifiedMs: 0, target });
        continue;
      }
      yield* this.#file(at, name, true);
      this.#met.set(inode, name);
    }
  }

  async *#folder(folder: string, name: string): AsyncGenerator<Uint8Array> {
    const entries = await readdir(folder, { withFileTypes: true }).catch(ifGone);
    if (entries === undefined) return;
    this.entries += 1;
    yield tarHeader({ name, kind: 'folder', sizeBytes: 0, modifiedMs: 0 });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const [path, inside] = [join(folder, entry.name), `${name}/${entry.name}`];
      if (entry.isDirectory()) yield* this.#folder(path, inside);
      else if (entry.isFile() && !isPassing(entry.name)) yield* this.#file(path, inside, false);
    }
  }

  /** `isSure`: nobody needs to be asked whether this is the right one. */
  async *#file(path: string, name: string, isSure: boolean): AsyncGenerator<Uint8Array> {
    const file = await openFile(path);
    if (file === undefined) return;
    try {
      const before = await file.stat({ bigint: true });
      if (!before.isFile()) return;
      const inode = String(before.ino);
      const about = { sizeBytes: Number(before.size), modifiedMs: Number(before.mtimeMs) };
      const below = name.startsWith('data/home/') ? name.slice('data/home/'.length) : undefined;
      const asked =
        isSure || below === undefined
          ? 'take'
          : this.#parts.rows.judge({ path: below, inode, ...about });
      if (asked === 'leave') this.#leftOut += 1;
      if (asked !== 'take') return;
      let isWhole = true;
      yield* this.#entry(
        name,
        about,
        this.#content(file, about.sizeBytes, () => (isWhole = false)),
      );
      const after = await file.stat({ bigint: true });
      if (!isWhole || after.size !== before.size || after.mtimeNs !== before.mtimeNs)
        this.#spoilt.push(name);
      else if (this.#isOwed(inode)) this.#met.set(inode, name);
    } finally {
      await file.close();
    }
  }

  #isOwed(inode: string): boolean {
    this.#owedInodes ??= new Set([...this.#parts.owed.links.values()].map((one) => one.inode));
    return this.#owedInodes.has(inode);
  }
  #owedInodes: ReadonlySet<string> | undefined;

  /** Exactly so many bytes; zeros where the file ended too early. */
  async *#content(
    file: FileHandle,
    sizeBytes: number,
    spoil: () => void,
  ): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < sizeBytes;) {
      const most = Math.min(pieceBytes, sizeBytes - at);
      const { bytesRead } = await file.read(this.#buffer, 0, most, at);
      if (bytesRead === 0) {
        spoil();
        this.#buffer.fill(0, 0, most);
      }
      yield this.#buffer.subarray(0, bytesRead === 0 ? most : bytesRead);
      at += bytesRead === 0 ? most : bytesRead;
    }
  }

  async *#entry(
    name: string,
    about: { readonly sizeBytes: number; readonly modifiedMs: number },
    content: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    this.entries += 1;
    yield tarHeader({ name, kind: 'file', ...about });
    yield* content;
    yield tarPadding(about.sizeBytes);
  }

  async *#text(name: string, value: object): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
    const about = { sizeBytes: bytes.length, modifiedMs: this.#parts.rows.begunAt };
    yield* this.#entry(name, about, one(bytes));
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A partner's replicator resumes or repeats what it had not finished. */
const isPassing = (name: string): boolean => name.startsWith('.clubhouse-');

/** Removed meanwhile, or not what it was any more. What is there and cannot be read ends the backup: it would not be whole. */
function ifGone(error: NodeJS.ErrnoException): undefined {
  const isGone = ['ENOENT', 'ELOOP', 'ENXIO', 'ENOTDIR'].includes(error.code ?? '');
  if (!isGone) throw error;
}

const openFile = (path: string): Promise<FileHandle | undefined> =>
  open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(ifGone);
