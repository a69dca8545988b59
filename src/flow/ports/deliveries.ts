// What is owed to each partner and what was proven there: one row a project, partner and path. A row is made in the
// transaction that publishes the file; here it is only read and settled. Every change is one transaction with its audit
// entry, and is refused with LEASE_LOST when the caller no longer holds the partner's lease.

import type { DeliveryReceipt } from '../../core/delivery-receipt.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Lease } from './leases.ts';

export interface Delivery {
  readonly id: string;
  readonly projectId: string;
  /** Without `ji_`. */
  readonly project: string;
  readonly partner: string;
  /** Relative to the outgoing folder, e.g. `gpg-alice/JI-7K3M9/CT_2_14_a1b2c3d4.dcm.gpg`. */
  readonly path: string;
  /** The job that published it. */
  readonly jobId: string | undefined;
  readonly sizeBytes: number;
  /** Of the file when the row was written, in whole milliseconds. */
  readonly modifiedMs: number;
  readonly inode: string;
  /** Lower-case hex of what was published. Nothing else is ever sent under this row. */
  readonly sha256: string;
  /** What we published under this path before, newest first: a remote file with one of these digests is our own. */
  readonly previousSha256: readonly string[];
  /** Tries that failed. */
  readonly attempts: number;
}

/** How the arrival was proven: by the partner's signed receipt, or by a digest that its server computed, by reading the file
 *  back, by its size. */
export type Evidence = 'receipt' | 'check-file' | 'read-back' | 'size';

export type Proof =
  | {
      readonly evidence: 'receipt';
      readonly receipt: DeliveryReceipt;
      /** Fingerprint of the key that signed it. */
      readonly hostKey: string;
    }
  | { readonly evidence: Exclude<Evidence, 'receipt'> };

export interface DeliveryCounts {
  readonly partner: string;
  readonly pending: number;
  readonly delivered: number;
  readonly failed: number;
  readonly conflict: number;
  /** Sealed files that somebody removed before they were sent. */
  readonly gone: number;
  /** When the oldest of what is not delivered was published. */
  readonly oldestPendingAt: number | undefined;
}

export interface DeliveryTrouble {
  readonly id: string;
  readonly project: string;
  readonly partner: string;
  readonly path: string;
  readonly state: 'pending' | 'failed' | 'conflict' | 'gone';
  readonly reason: ErrorCode | undefined;
  readonly attempts: number;
  readonly dueAt: number | undefined;
}

export interface PassRow {
  readonly partner: string;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly delivered: number;
  readonly failed: number;
  readonly error: ErrorCode | undefined;
}

export interface Deliveries {
  /** What is due now, longest due first. Archived projects are left out. */
  due(partner: string, now: number, limit: number): Promise<readonly Delivery[]>;
  anyDue(partner: string, now: number): Promise<boolean>;
  /** Makes failed, conflicting and put-off rows due now (`replicate now`). */
  hasten(partner: string, now: number): Promise<void>;

  /** The partner holds it: row, job (published → delivered), audit and receipt. False when the row was replaced meanwhile
   *  by a newer file: then that one is still owed. */
  delivered(delivery: Delivery, proof: Proof, lease: Lease): Promise<boolean>;
  /** `dueAt` undefined: not tried again by itself. False as above: what was wrong is no longer what is owed. */
  failed(
    delivery: Delivery,
    code: ErrorCode,
    dueAt: number | undefined,
    lease: Lease,
  ): Promise<boolean>;
  /** Another file that is not ours has its name. Looked at again at `dueAt`. */
  conflict(delivery: Delivery, dueAt: number, lease: Lease): Promise<void>;
  /** The local file is no longer there; deletes never travel. */
  gone(delivery: Delivery, lease: Lease): Promise<void>;

  /** Notes the end of a pass in the partner's row and, when something was due, in its history. `error`: the partner could
   *  not be used; `alarm` is set with it, and a pass without an error clears the alarm. */
  passEnded(pass: {
    readonly partner: string;
    readonly startedAt: number;
    readonly delivered: number;
    readonly failed: number;
    readonly error: ErrorCode | undefined;
    readonly alarm: { readonly code: ErrorCode; readonly detail: string } | undefined;
    /** False when nothing was due, so the partner was not asked. */
    readonly connected: boolean;
  }): Promise<void>;

  counts(): Promise<readonly DeliveryCounts[]>;
  /** Rows that did not arrive at the first try, and sealed files that vanished before it, newest first. */
  troubles(limit: number): Promise<readonly DeliveryTrouble[]>;
  passes(partner: string, limit: number): Promise<readonly PassRow[]>;
}

export interface FoundFile {
  /** Relative to the outgoing folder. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: string;
}

/** What the scan of an outgoing folder asks about the files that it finds there. */
export interface OutgoingRows {
  /**
   * Sorts files of one outgoing folder. `owed`: published by a job, but the delivery was missing; it is made by this call.
   * `unknown`: no row knows this content, or the file was changed after its row was written. The others are known.
   */
  compare(
    place: { readonly projectId: string; readonly project: string; readonly partner: string },
    files: readonly FoundFile[],
  ): Promise<{ readonly owed: number; readonly unknown: readonly FoundFile[] }>;
}
