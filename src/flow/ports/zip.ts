// Zip files (SPEC 7): read strictly, one entry after the other, and written without anything that a client put into names,
// times, comments or extra fields.

import type { ProcessLimits } from './processing.ts';

export type ZipMethod = 'stored' | 'deflated';

/** A file in a zip. Folders are checked and then left out of the list. */
export interface ZipEntry {
  /** Position in the central directory, folders counted; for exclusions and messages. */
  readonly index: number;
  /** As the sender named it, decoded (UTF-8, Unicode path, GB18030, else Latin-1). It is PHI: for the receipt alone. */
  readonly name: string;
  readonly method: ZipMethod;
  /** As declared; `read` refuses when it is not so. */
  readonly sizeBytes: number;
}

/** What was inflated so far, shared by a zip and the zips inside it, so that nesting does not get around the limit. */
export interface ZipBudget {
  inflatedBytes: number;
  entries: number;
}

/** An open zip whose whole structure was checked. Names, comments and times of folders and of the archive are not passed on. */
export interface ZipSource {
  /** In the order of the central directory. */
  readonly entries: readonly ZipEntry[];
  readonly budget: ZipBudget;
  /**
   * The bytes of an entry, with back-pressure and in bounded memory. The last chunk comes only when size and CRC-32 were
   * found right, so who reads to the end has a whole entry. One at a time. May be left early. Throws ZipRefusal
   * (core/zip-refusal): `zip-crc`, `zip-bomb`, `zip-broken`.
   */
  read(entry: ZipEntry, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** A file to be put into a zip. Its bytes must be clean. */
export interface ZipMember {
  /** The complete name, with `/`; made by core/names. Never twice. */
  readonly name: string;
  readonly method: ZipMethod;
  /** Absolute path of the scratch file. It may be removed once the next member is asked for. */
  readonly path: string;
  /** The whole file, where it is small; then there is no scratch file. */
  readonly bytes?: Uint8Array;
  readonly sizeBytes: number;
  /** CRC-32 (zlib.crc32) of the whole file. */
  readonly crc32: number;
}

export interface Zips {
  /**
   * Opens a zip and checks all of its structure before anything is read: directory against local headers, overlaps, bytes that
   * belong to nothing, names, links, passwords, counts and declared sizes. Throws ZipRefusal (with the reason to hold
   * it) or AppError ZIP_TRUNCATED when it ends too early.
   * `budget`: of the zip around it, for a zip in a zip.
   */
  open(path: string, limits: ProcessLimits, budget?: ZipBudget): Promise<ZipSource>;
  /** Writes a zip, one member after the other, as fast as the output is read. Nothing in it but names and bytes of the members. */
  write(
    members: AsyncIterable<ZipMember> | Iterable<ZipMember>,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
}
