// What the server notes about folders beside the rows of uploads: which files a rename is just bringing to a place where they
// have no row yet, and which folders it could not look through.

import type { ErrorCode } from '../../core/errors.ts';

/** A file or folder that a member moves from the rest of their own folder into the intake. */
export interface Arrival {
  /** Where it arrives, relative to data/home. */
  readonly path: string;
  readonly device: string;
  readonly inode: string;
}

export interface Arrivals {
  /** Before the rename: if a crash comes between it and the rows, what lies there is whole and no broken upload. */
  note(arrival: Arrival): Promise<void>;
  below(folder: string): Promise<readonly Arrival[]>;
  /** Those at this path and below it are over. */
  forget(path: string): Promise<void>;
}

/** Where files of one owner lie: the intake of a member, or the outgoing folder of a partner. */
export interface UnreadRoot {
  readonly projectId: string;
  readonly memberId: string | undefined;
  readonly partner: string | undefined;
  readonly code: ErrorCode;
  /** The operating system's word for it. */
  readonly detail: string | undefined;
}

export interface UnreadRoots {
  /** Of active projects; by name, for people. `since`: when it was first found so. */
  list(): Promise<
    readonly {
      readonly project: string;
      readonly member: string | undefined;
      readonly partner: string | undefined;
      readonly code: ErrorCode;
      readonly detail: string | undefined;
      readonly since: number;
    }[]
  >;
  /** These are all that there are now. The audit hears of those that were not there before. */
  replace(all: readonly UnreadRoot[]): Promise<void>;
}
