// What a backup is made of and what is made of it again. Written for app-backup.ts, which says in which order; the adapters
// behind it know tar, the disk and the database.

/** First in every archive: a newer Clubhouse's must be refused before anything else of it is believed. */
export interface BackupFacts {
  /** Of the archive; this Clubhouse knows 1. */
  readonly format: number;
  readonly site: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Names of the migrations that made the database's tables. */
  readonly schema: readonly string[];
  /** False: without what lies in data/home and data/spool. */
  readonly files: boolean;
}

/** Beside the archive, in the clear: sizes, digests and times, nothing of a patient's. */
export interface BackupManifest extends BackupFacts {
  /** Of the archive, in the same folder. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Of the key that it is encrypted to. */
  readonly fingerprint: string;
  /** Files in it, and those that were being written while it was made and are not in it. */
  readonly entries: number;
  readonly leftOut: number;
  /** Where the audit trail ended. */
  readonly auditHead: string;
}

/** What the disk says about one file that may go into a backup. */
export interface BackedFile {
  /** Below data/home. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Whole milliseconds. */
  readonly modifiedMs: number;
  readonly inode: string;
}

/**
 * `take`: the rows speak of just this file, or none ever would. `leave`: it came or changed after the rows were copied, so
 * that together they would not fit. `skip`: it has no promise, such as the beginning of an upload.
 */
export type Verdict = 'take' | 'leave' | 'skip';

/** A generation that is owed work: its bytes must be in the backup, whoever removes the file meanwhile. */
export interface OwedFile {
  /** Below data/, e.g. `home/ji_brain/alice/gpg/1.dcm` or `spool/claims/<id>`. */
  readonly path: string;
  /** Undefined: whatever inode it has. */
  readonly inode: string | undefined;
}

/** A copy of the database of one moment, which nobody else can open. */
export interface RowCopy {
  /** Before the moment of which it is. */
  readonly begunAt: number;
  readonly schema: readonly string[];
  readonly auditHead: string;
  readonly sizeBytes: number;
  /** The file itself. */
  content(): AsyncIterable<Uint8Array>;
  owed(): Iterable<OwedFile>;
  judge(file: BackedFile): Verdict;
  close(): Promise<void>;
}
