// The work on one claimed generation, as the flow hands it to a worker thread and gets it back. Plain data: it
// crosses a thread by structured clone.

import type { Clean, Sealed } from '../../core/bytes.ts';
import type { Subject, SubjectIdentity } from '../../core/deid/subject.ts';
import type { Exclusion, HoldReason, PartialReason } from '../../core/reasons.ts';

export type { Subject, SubjectIdentity };

export interface ProcessLimits {
  readonly headerBytes: number;
  readonly inflatedBytes: number;
  readonly inflateRatio: number;
  readonly zipEntries: number;
  readonly zipDepth: number;
}

/** 32 bytes each, hex, derived from the master key for this project alone (HKDF). */
export interface ProjectKeys {
  readonly uid: string;
  readonly name: string;
  readonly identity: string;
}

export interface ProcessTask {
  readonly jobId: string;
  readonly projectId: string;
  /** `deidentify`: from the intake. `direct`: a file of the outgoing folder; only looked at (SPEC 3, slips). */
  readonly kind: 'deidentify' | 'direct';
  /** Absolute path of the claimed generation. Never written to. */
  readonly source: string;
  /** Absolute path for the sealed output; the worker makes it (wx, 0600), syncs it and closes it, or leaves none. */
  readonly output: string;
  /** Absolute path of a folder for the worker's own temporary files, made and emptied by the worker. */
  readonly scratch: string;
  /** The resolved profile as JSON, see core/deid/profile. */
  readonly profile: string;
  readonly keys: ProjectKeys;
  /** What the `<id>` of the published name is made from: stable for the upload's path, no patient's value in the result. */
  readonly uploadKey: string;
  /** The client's path below the intake (`series/1.dcm`), for `names: keep | scrub` and for the extension of other files. */
  readonly uploadName: string;
  /** Armored public keys. */
  readonly recipients: readonly string[];
  /** Overrides by `held release`, as `<reason>:<sha256 of the raw content>`. */
  readonly releases: readonly string[];
  readonly limits: ProcessLimits;
  /** A file that the client never closed counts as whole only if it has a structure that says so. */
  readonly closedByClient: boolean;
}

/** What was done, for receipts, the audit and people. Tags and counts only, no values. */
export interface ProcessReport {
  readonly files: number;
  readonly dicomFiles: number;
  /** `(gggg,eeee)` → action kind → how many times, over all files. */
  readonly actions: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly subjects: readonly string[];
}

export type ProcessOutcome =
  | {
      readonly kind: 'sealed';
      /** Below `gpg-<MEMBER>/`, e.g. `JI-7K3M9/CT_2_14_a1b2c3d4.dcm.gpg`. */
      readonly name: string;
      readonly sizeBytes: number;
      readonly sha256: string;
      readonly recipientFingerprints: readonly string[];
      readonly sourceSha256: string;
      readonly exclusions: readonly Exclusion[];
      readonly report: ProcessReport;
    }
  /** `direct` only: nothing speaks against passing it on as it is. */
  | { readonly kind: 'passed'; readonly sourceSha256: string }
  | {
      readonly kind: 'held';
      readonly reason: HoldReason;
      /** Tag, offset, kind, counts; no value. */
      readonly detail: string | undefined;
      readonly sourceSha256: string | undefined;
      readonly exclusions: readonly Exclusion[];
    }
  | { readonly kind: 'partial'; readonly reason: PartialReason };

/** Runs one task in a worker thread. Rejects with AppError (NO_VALID_KEY, WORKER_DIED, DISK_FULL, …). */
export interface Processor {
  run(task: ProcessTask, signal: AbortSignal): Promise<ProcessOutcome>;
  /** How many may run at once. */
  readonly width: number;
  stop(): Promise<void>;
}

// --- inside the worker -----------------------------------------------------------------------------------

export type SubjectAnswer =
  | { readonly kind: 'subject'; readonly subject: Subject }
  | { readonly kind: 'held'; readonly reason: 'subject-conflict' | 'no-subject-code' };

/** Finds or makes the subject of a patient. The same key gives the same subject, for ever, in the whole project. */
export interface Crosswalk {
  resolve(
    projectId: string,
    identity: SubjectIdentity,
    how: {
      readonly code: 'random' | 'sequential' | 'hmac' | 'csv';
      readonly prefix: string;
      readonly wholeWeeks: boolean;
    },
  ): Promise<SubjectAnswer>;
}

/** Encrypts a stream to recipients as one OpenPGP message (RFC 9580: PKESK per recipient, SEIPDv1, literal data). */
export interface Encryptor {
  /** Throws NO_VALID_KEY when none of the keys can be used now; uses all that can. */
  seal(
    body: AsyncIterable<Clean>,
    recipients: readonly string[],
    signal: AbortSignal,
  ): Promise<{
    readonly message: AsyncIterable<Sealed>;
    readonly fingerprints: readonly string[];
  }>;
}
