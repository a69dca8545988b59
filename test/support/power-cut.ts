// A disk that loses at a power cut whatever was not fsynced. It watches the storage's system calls: what an fsync saw of a file
// or of a folder is on the disk, all else is not. A moment of it can be laid out as a new folder, to start again from there.

import fs from 'node:fs';
import { join } from 'node:path';
import { calls } from '../../src/adapters/storage-calls.ts';

interface Entry {
  readonly key: string;
  readonly isFolder: boolean;
}

interface Content {
  readonly bytes: Buffer;
  readonly modifiedMs: number;
}

/** What may survive of names whose folder was not synced: none of them, or all (a file system may write them early). */
export type Luck = 'no names' | 'all names';

/** One moment: what would be there if the power went now. */
export interface Moment {
  readonly luck: Luck;
  readonly folders: ReadonlyMap<string, ReadonlyMap<string, Entry>>;
  readonly contents: ReadonlyMap<string, Content>;
  readonly roots: ReadonlyMap<string, string>;
}

const keyOf = (stats: fs.BigIntStats): string => `${stats.dev}:${stats.ino}`;

export class PowerCutDisk {
  readonly #roots = new Map<string, string>();
  readonly #base: string;
  readonly #contents = new Map<string, Content>();
  readonly #folders = new Map<string, ReadonlyMap<string, Entry>>();
  readonly #real = { ...calls };

  /** All that is in these folders of `base` now counts as synced. */
  constructor(base: string, roots: readonly string[]) {
    this.#base = base;
    for (const root of roots) {
      const at = join(base, root);
      this.#roots.set(root, keyOf(fs.statSync(at, { bigint: true })));
      this.#keepAll(at);
    }
  }

  /** Watches until the function that it answers is called. `changed`: something else would survive now. */
  watch(changed: () => void): () => void {
    const real = this.#real;
    calls.fsync = async (fd) => {
      await real.fsync(fd);
      this.#keep(`/proc/self/fd/${fd}`);
      changed();
    };
    for (const name of ['rename', 'link', 'unlink', 'ftruncate'] as const) {
      const call = real[name] as (...args: unknown[]) => Promise<void>;
      const watched = async (...args: unknown[]): Promise<void> => {
        await call(...args);
        changed();
      };
      Object.assign(calls, { [name]: watched });
    }
    return () => Object.assign(calls, real);
  }

  moment(luck: Luck): Moment {
    const folders =
      luck === 'no names' ? new Map(this.#folders) : new Map<string, ReadonlyMap<string, Entry>>();
    if (luck === 'all names') {
      for (const root of this.#roots.keys()) listAll(join(this.#base, root), folders);
    }
    return { luck, folders, contents: new Map(this.#contents), roots: new Map(this.#roots) };
  }

  #keep(at: string): void {
    const stats = fs.statSync(at, { bigint: true });
    if (stats.isDirectory()) {
      this.#folders.set(keyOf(stats), entriesOf(at));
    } else {
      const bytes = fs.readFileSync(at);
      this.#contents.set(keyOf(stats), { bytes, modifiedMs: Number(stats.mtimeMs) });
    }
  }

  #keepAll(at: string): void {
    this.#keep(at);
    if (!fs.statSync(at).isDirectory()) return;
    for (const name of fs.readdirSync(at)) this.#keepAll(join(at, name));
  }
}

function entriesOf(at: string): ReadonlyMap<string, Entry> {
  const entries = new Map<string, Entry>();
  for (const name of fs.readdirSync(at)) {
    const stats = fs.lstatSync(join(at, name), { bigint: true });
    entries.set(name, { key: keyOf(stats), isFolder: stats.isDirectory() });
  }
  return entries;
}

function listAll(at: string, into: Map<string, ReadonlyMap<string, Entry>>): void {
  const entries = entriesOf(at);
  into.set(keyOf(fs.statSync(at, { bigint: true })), entries);
  for (const [name, { isFolder }] of entries) if (isFolder) listAll(join(at, name), into);
}

/** Makes the files of a moment below `base`; answers which inode became which, as `[device, inode]` texts. */
export function layOut(
  moment: Moment,
  base: string,
): readonly { readonly was: string; readonly is: string }[] {
  const made = new Map<string, string>();
  const make = (key: string, at: string): void => {
    fs.mkdirSync(at, { recursive: true, mode: 0o700 });
    for (const [name, entry] of moment.folders.get(key) ?? []) {
      const path = join(at, name);
      const twin = made.get(entry.key);
      if (entry.isFolder) make(entry.key, path);
      else if (twin !== undefined) fs.linkSync(twin, path);
      else {
        const content = moment.contents.get(entry.key);
        fs.writeFileSync(path, content?.bytes ?? '', { mode: 0o600 });
        const seconds = (content?.modifiedMs ?? 0) / 1000;
        fs.utimesSync(path, seconds, seconds);
        made.set(entry.key, path);
      }
    }
  };
  for (const [root, key] of moment.roots) make(key, join(base, root));
  const inodeOf = (key: string): string => key.slice(key.indexOf(':') + 1);
  return [...made].map(([was, path]) => ({
    was: inodeOf(was),
    is: inodeOf(keyOf(fs.statSync(path, { bigint: true }))),
  }));
}
