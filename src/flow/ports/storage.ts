// The files below data/home, for the SFTP server and the intake. Paths are relative to data/home, made by core/tree
// from a resolved place: no leading slash, no `.` or `..`. No call ever follows a symbolic link or opens what is not a
// regular file or a folder: a planted link or FIFO answers NO_SUCH_FILE. Errors are AppErrors without host paths.

export interface FileFacts {
  readonly kind: 'file' | 'folder';
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly accessedMs: number;
  readonly mode: number;
  readonly device: string;
  readonly inode: string;
  /** Bytes that the file system allotted (stat's blocks × 512); 0 where it does not tell. */
  readonly allottedBytes: number;
}

export interface OpenHow {
  readonly read: boolean;
  readonly write: boolean;
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  /** Put a copy (reflink where the file system can; empty if `truncate`) at this path first, so that other links of the
   *  old inode keep their bytes. */
  readonly freshInode: boolean;
}

export interface OpenFile {
  /** Reads up to `length` bytes at `offset`; an empty array at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` from `offset` on and says how many bytes there were: for callers that have room for a header before it. */
  readInto(target: Uint8Array, offset: number): Promise<number>;
  /** The same for several targets, one behind the other, in one go. */
  readIntoAll(targets: readonly Uint8Array[], offset: number): Promise<number>;
  /** Writes all of them at `offset`, one behind the other, or throws DISK_FULL or STORAGE_FAILED, whose `at` says how many
   *  bytes of them are there nevertheless. */
  write(offset: number, chunks: readonly Uint8Array[]): Promise<void>;
  facts(): Promise<FileFacts>;
  truncate(sizeBytes: number): Promise<void>;
  setTimes(accessedMs: number, modifiedMs: number): Promise<void>;
  /** The bytes, and the folder's entry where this open made it, are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly facts: FileFacts;
}

export interface Storage {
  facts(path: string): Promise<FileFacts | undefined>;
  /** In pieces, so that 10,000 names need no more memory than a hundred. Entries that vanish meanwhile are left out. */
  list(path: string): AsyncIterable<readonly DirectoryEntry[]>;
  open(path: string, how: OpenHow): Promise<OpenFile>;
  /** All of a file of up to `mostBytes`, which are few: it is read in one go, without giving the thread back. Undefined when it
   *  is larger; NO_SUCH_FILE when it is not there. */
  readSmall(
    path: string,
    mostBytes: number,
  ): Promise<{ readonly bytes: Uint8Array; readonly facts: FileFacts } | undefined>;
  /** The name of a file, however it got it, is on the disk. */
  syncEntry(path: string): Promise<void>;
  makeFolder(path: string): Promise<void>;
  /** Makes a folder and what is missing above it. */
  ensureFolder(path: string): Promise<void>;
  removeFile(path: string): Promise<void>;
  removeFolder(path: string): Promise<void>;
  /** Atomic. Without `replace` an existing target is ALREADY_EXISTS. */
  rename(from: string, to: string, replace: boolean): Promise<void>;
  setTimes(path: string, accessedMs: number, modifiedMs: number): Promise<void>;
  truncate(path: string, sizeBytes: number): Promise<void>;
  /** A whole small file at once: temporary name, sync, rename. For receipts. */
  writeWhole(path: string, text: string): Promise<void>;
  /** Room left on the disk, for statvfs. */
  space(): Promise<{
    readonly blockBytes: number;
    readonly totalBlocks: number;
    readonly freeBlocks: number;
    /** Files and folders that there may be, and may still be; 0 where the file system counts none. */
    readonly totalFiles: number;
    readonly freeFiles: number;
  }>;

  // --- the spool (data/spool, same file system): absolute paths, for workers -----------------------------
  /** The absolute path of a file in the spool, e.g. spoolPath('claims', id). The folder exists. */
  spoolPath(area: 'claims' | 'outputs' | 'scratch', name: string): string;
  /** Claims a generation: a hard link of the file in spool/claims. Throws SOURCE_CHANGED when `expect` is not what is there. */
  claim(
    path: string,
    name: string,
    expect: { device: string; inode: string; sizeBytes: number },
  ): Promise<string>;
  /** Removes a file of the spool, or a worker's scratch folder with all in it; a missing one is fine. */
  dropSpool(area: 'claims' | 'outputs' | 'scratch', name: string): Promise<void>;
  listSpool(area: 'claims' | 'outputs' | 'scratch'): Promise<readonly string[]>;
  /** Moves a finished output to its final place: sync, rename, sync of the folder. The temporary file may be gone already,
   *  when the target has the digest: then it is adopted. Another content there is replaced only if `replaces` holds its digest.
   *  `isInDoubt`: a crash lies in between, so the output's digest is looked at first. */
  publish(request: {
    readonly isInDoubt: boolean;
    readonly output: string;
    readonly path: string;
    readonly sha256: string;
    readonly replaces: string | undefined;
  }): Promise<void>;
  sha256(path: string): Promise<string>;
}
