// What the parts of the de-identification of one file share: what goes in, where in the nesting they are, what was done.

import type { DataSet, Encoding, FileHead, Tag } from '../dicom/dataset.ts';
import type { ActionKind } from './action.ts';
import type { Identifying } from './identifying-words.ts';
import type { FilePolicy } from './policy.ts';
import type { Subject } from './subject.ts';

/** `(gggg,eeee)` → kind of action → how often. Elements that stay as they are do not count. */
export type ActionCounts = Record<string, Partial<Record<ActionKind, number>>>;

export interface DeidInput {
  readonly part: 'header' | 'trailer';
  readonly dataset: DataSet;
  readonly head: FileHead;
  /** The header as it came; for the header itself the same as `dataset`. Says the character set and who it is about. */
  readonly header: DataSet;
  /** From `createPolicy(profile).forFile(header)`. */
  readonly policy: FilePolicy;
  /** 32 bytes. */
  readonly uidKey: Uint8Array;
  readonly subject: Subject;
}

/** How free text that would stay is treated below a sequence that is to be cleaned or to become a dummy. */
export type TextMode = 'stay' | 'clean' | 'dummy';

/** One level of nesting. */
export interface Level {
  readonly encoding: Encoding;
  readonly charsets: readonly string[];
  readonly path: readonly Tag[];
  readonly mode: TextMode;
  /** The item is a code of a standard's scheme: its texts are no free text. */
  readonly isStandardCode: () => boolean;
}

/** What stays the same for the whole part. */
export interface Work {
  readonly input: DeidInput;
  /** What in this file stands for somebody. */
  readonly identifying: () => Identifying;
  /** The days that this file names, YYYYMMDD. */
  readonly dates: () => ReadonlySet<string>;
  readonly count: (tag: Tag, kind: ActionKind) => void;
  readonly hold: (tag: Tag) => void;
}
