// What the SFTP server tells the flow about writes, and what it asks before it lets one happen (SPEC 6). The flow
// serialises everything that touches one path, so an OPEN never races with a claim.

import type { Principal } from './accounts.ts';
import type { OpenFile, OpenHow } from './storage.ts';

/** A file in the tree that somebody writes: its real path below data/home, and what it is. */
export interface WritePlace {
  /** Relative to data/home, e.g. `ji_brain/alice/gpg/series/1.dcm`. */
  readonly path: string;
  readonly projectId: string;
  /** `intake`: below `<self>/gpg/`. `direct`: in the outgoing folder outside `gpg-*`. `plain`: not followed by the flow
   *  (the rest of `<self>/`, receipts/ for removing, and the incoming folder for the partner). */
  readonly area: 'intake' | 'direct' | 'plain';
  /** The partner's code, for `direct`. */
  readonly partner: string | undefined;
}

/** One handle that is open for writing. The server calls wrote() for each acknowledged WRITE, in any order. */
export interface Writing {
  wrote(offset: number, length: number): void;
  /** A WRITE was refused for the disk's sake, after `written` of its bytes. Whatever the client does now, even a CLOSE as
   *  some do after an error: the file is not whole until somebody resumes or overwrites it. */
  failed(offset: number, written: number): void;
  truncated(sizeBytes: number): void;
  /**
   * The handle ends. `close`: the client sent CLOSE; `lost`: the connection ended first. Resolves when bytes and row are
   * durable; only then may CLOSE be answered. The file is still open then and is closed by the caller afterwards.
   */
  end(how: 'close' | 'lost'): Promise<void>;
}

export type Change =
  | { readonly kind: 'remove'; readonly place: WritePlace }
  | {
      readonly kind: 'rename';
      readonly from: WritePlace;
      readonly to: WritePlace;
      /** A folder takes everything below it along. */
      readonly isFolder: boolean;
    }
  | { readonly kind: 'truncate'; readonly place: WritePlace; readonly sizeBytes: number }
  /** A folder. */
  | { readonly kind: 'make'; readonly place: WritePlace };

export interface Intake {
  /**
   * Opens a file for writing. `open` is called once, inside the lock of the path, with the flags to use
   * (freshInode where a claim holds the old bytes). Throws AppError to refuse.
   */
  open(
    principal: Principal,
    place: WritePlace,
    how: OpenHow & { readonly declaredSizeBytes: number | undefined },
    open: (how: OpenHow) => Promise<OpenFile>,
  ): Promise<{ readonly file: OpenFile; readonly writing: Writing }>;
  /** Does a change (`run`) inside the lock of its paths, and keeps the rows in step. `run` gets `freshInode` for truncate. */
  change(
    principal: Principal,
    change: Change,
    run: (how: { readonly freshInode: boolean }) => Promise<void>,
  ): Promise<void>;
  /**
   * Paths (relative to data/home) directly in `folder` that must not exist for this principal: slips, files of the
   * outgoing folder that were not looked at yet and are not the principal's own. `among`: only of these.
   */
  hidden(
    principal: Principal,
    folder: string,
    among?: readonly string[],
  ): Promise<ReadonlySet<string>>;
  /**
   * Runs `work` while nobody opens, renames or removes this file, or moves a folder that it is in: it is all there with its
   * row, or not at all. Not inside `open` or `change`, which hold the path already.
   */
  whenSettled<T>(place: WritePlace, work: () => Promise<T>): Promise<T>;
}
