// Uploads and jobs as the flow, the replicator and the commands need them. Each method is one transaction: state, job and
// audit entry change together or not at all, and only along core/upload's table (else AppError CONFLICT).

import type { Coverage } from '../../core/coverage.ts';
import type { Exclusion, HoldReason, PartialReason, WaitReason } from '../../core/reasons.ts';
import type { UploadState } from '../../core/upload.ts';
import type { ProcessReport } from './processing.ts';

/** What tells one content of a path from another. */
export interface Identity {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly device: string;
  readonly inode: string;
}

/** One generation of a path. */
export interface Upload {
  readonly id: string;
  readonly projectId: string;
  readonly memberId: string;
  readonly kind: 'intake' | 'direct';
  /** Of `direct`. */
  readonly partner: string | undefined;
  /** Relative to data/home. */
  readonly path: string;
  /** What the published name is made from: the path at the first claim. It stays when a published file is renamed. */
  readonly key: string;
  readonly generation: number;
  readonly sizeBytes: number;
  readonly declaredSizeBytes: number | undefined;
  readonly coverage: Coverage;
  /** Did a client CLOSE it after its last byte? */
  readonly closed: boolean;
  readonly device: string | undefined;
  readonly inode: string | undefined;
  readonly modifiedMs: number | undefined;
  readonly createdAt: number;
  readonly touchedAt: number;
  readonly settleAt: number | undefined;
  /** Name in spool/claims while a claim holds this generation's inode. */
  readonly claim: string | undefined;
  readonly sha256: string | undefined;
  readonly rawRemovedAt: number | undefined;
  /** Of its jobs, one a partner. */
  readonly states: readonly UploadState[];
}

export interface NewUpload {
  readonly projectId: string;
  readonly memberId: string;
  readonly kind: 'intake' | 'direct';
  readonly partner: string | undefined;
  readonly path: string;
  readonly declaredSizeBytes: number | undefined;
  readonly coverage: Coverage;
  readonly closed: boolean;
  readonly identity: Identity;
  readonly state: 'uploading' | 'settling' | 'partial';
  readonly reason: PartialReason | undefined;
  readonly settleAt: number | undefined;
}

/** What may change before the claim. Fields that are absent stay as they are. */
export interface UploadChange {
  readonly path?: string;
  readonly coverage?: Coverage;
  readonly closed?: boolean;
  readonly declaredSizeBytes?: number | undefined;
  readonly identity?: Identity;
  /** A client did something: the clock of partialHold and of the ten minutes starts again. */
  readonly touched?: boolean;
  readonly to?:
    | { readonly state: 'uploading' }
    | { readonly state: 'settling'; readonly settleAt: number }
    | { readonly state: 'partial'; readonly reason: PartialReason }
    | { readonly state: 'queued' }
    | { readonly state: 'held'; readonly reason: HoldReason };
}

/** For the intake, the settling and the sweep. */
export interface UploadStore {
  /** The newest generation at a path; of this member alone where one is given. Withdrawn ones are over and do not count. */
  latest(path: string, memberId: string | undefined): Promise<Upload | undefined>;
  /** The newest generation of each path below a folder. */
  below(folder: string): Promise<readonly Upload[]>;
  find(id: string): Promise<Upload | undefined>;
  /** Makes the next generation at its path and a job for each partner of the project ('' while it has none). */
  begin(upload: NewUpload, actor: string): Promise<Upload>;
  /** The same for one that nobody needs the row of: it is durable when this resolves, and its row is there for whoever asks. */
  beginSoon(upload: NewUpload, actor: string): Promise<void>;
  /** Changes the row and moves all its jobs. `queued` also makes jobs for partners that the project gained meanwhile. */
  change(id: string, change: UploadChange, actor: string): Promise<Upload>;
  /** The progress of a writer; no state moves. */
  persist(id: string, coverage: Coverage, closed: boolean, identity: Identity): Promise<void>;
  /** The member took the raw file away: before the claim this withdraws it, after it only the raw bytes are gone. */
  withdraw(id: string, actor: string): Promise<void>;
  /** Retention removed the raw file, or found others in its place (`isReplaced`). Audited with the hash. */
  rawRemoved(id: string, isReplaced: boolean): Promise<void>;
  /** Uploads whose settleAt has come, or lies behind `latest`: then the clock was set back meanwhile. Of more than `limit`,
   *  members take turns. */
  dueSettling(now: number, latest: number, limit: number): Promise<readonly Upload[]>;
  /** `partial: disconnected` or `refused`, untouched since `before`, and not yet looked at by a worker. */
  quiet(before: number, limit: number): Promise<readonly Upload[]>;
  /** `partial` for whatever reason, untouched since `before`. */
  abandoned(before: number, limit: number): Promise<readonly Upload[]>;
  /** Intake files that were delivered to all partners before `before` and still have raw bytes, but for projects under a
   *  legal hold; by age, those behind `after`. */
  retained(
    before: number,
    after: { readonly createdAt: number; readonly id: string },
    limit: number,
  ): Promise<readonly Upload[]>;
  /** Still `uploading` though no server ran: what a crash left. */
  uploading(): Promise<readonly Upload[]>;
  /** Paths directly in `folder` of direct uploads that did not pass yet and are not this member's. `among`: only of these. */
  hidden(memberId: string, folder: string, among?: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * A file of an outgoing folder that nobody uploaded by SFTP (put there by hand) becomes a candidate. Known and
   * unchanged files stay as they are. True when it made one.
   */
  adoptDirect(file: {
    readonly projectId: string;
    readonly partner: string;
    readonly path: string;
    readonly identity: Identity;
    readonly settleAt: number;
  }): Promise<boolean>;
  /** Every intake folder of a living member, for the look at the disk after a crash; those that it has left too, while it is
   *  owed something there. */
  intakes(): Promise<
    readonly { readonly projectId: string; readonly memberId: string; readonly folder: string }[]
  >;
  /** Every outgoing folder of this site, for the same. */
  outgoings(
    site: string,
  ): Promise<
    readonly { readonly projectId: string; readonly partner: string; readonly folder: string }[]
  >;
}

/** A job under a lease. Every commit says the fence; a lost one is LEASE_LOST and changes nothing. */
export interface ClaimedJob {
  readonly id: string;
  readonly fence: number;
  readonly partner: string;
  /** Names, for paths. */
  readonly project: string;
  readonly member: string;
  readonly attempts: number;
  readonly workerDeaths: number;
  /** `<reason>:<sha256>` of the project's releases. */
  readonly releases: readonly string[];
  readonly upload: Upload;
}

/** A finished output, recorded before it gets its final name, so that a crash in between can be told apart. */
export interface Output {
  /** Below the outgoing folder: `gpg-alice/JI-1/CT_2_14_ab.dcm.gpg`, or the file's own place for `direct`. */
  readonly name: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly sourceSha256: string;
  /** Sorted fingerprints; empty for `direct`. */
  readonly recipients: readonly string[];
  readonly profileHash: string;
  readonly exclusions: readonly Exclusion[];
  readonly report: ProcessReport | undefined;
}

/** What is known about the job's place before its output is published. */
export interface Standing {
  /** A newer generation was claimed or published: this one must not be published any more. */
  readonly isOvertaken: boolean;
  /** The recorded name belongs to the published file of another upload. */
  readonly isTaken: boolean;
  /** The published output of the generation before, if there is one. */
  readonly predecessor:
    | {
        readonly jobId: string;
        readonly name: string;
        readonly sha256: string;
        /** Same content, profile, recipients and exclusions: publishing again would say nothing new. */
        readonly isSame: boolean;
      }
    | undefined;
}

export type Ending =
  | {
      readonly state: 'published';
      /** Of the published file, for the delivery. Undefined: the same as the predecessor, nothing new is sent. */
      readonly file: Identity | undefined;
    }
  | {
      readonly state: 'held';
      readonly reason: HoldReason;
      readonly detail: string | undefined;
      readonly exclusions: readonly Exclusion[];
      readonly sourceSha256: string | undefined;
    }
  | { readonly state: 'partial'; readonly reason: PartialReason }
  | { readonly state: 'waiting'; readonly reason: WaitReason }
  | { readonly state: 'failed'; readonly reason: string; readonly detail: string | undefined }
  | { readonly state: 'superseded' }
  /** The bytes at the path are others now: settle anew (`settleAt`), or `withdrawn` when there are none. */
  | { readonly state: 'settling'; readonly settleAt: number }
  | { readonly state: 'withdrawn' }
  /** Another try. `counts`: what it costs. */
  | {
      readonly state: 'queued';
      readonly dueAt: number;
      readonly reason: string | undefined;
      readonly counts: 'attempt' | 'death' | 'nothing';
    };

/** What some jobs wait for. */
export interface Waiting {
  readonly projectId: string;
  readonly partner: string;
  readonly reason: WaitReason;
}

/** For the worker loop. */
export interface JobStore {
  /** The next due job of an active project: of the member with the fewest in work, then the one served longest ago; of
   *  theirs the first by core/upload's `queuePenaltyMs`. No change. */
  nextDue(
    now: number,
    turn: {
      /** Grows with each turn, by member. */
      readonly lastServed: ReadonlyMap<string, number>;
      /** Larger files stay in the queue; Infinity: none does. */
      readonly mostBytes: number;
    },
  ): Promise<
    | {
        readonly id: string;
        readonly projectId: string;
        readonly memberId: string;
        readonly partner: string;
        readonly kind: 'intake' | 'direct';
        readonly path: string;
        readonly uploadId: string;
        readonly sizeBytes: number;
      }
    | undefined
  >;
  /** Takes a queued job; undefined when it is not queued any more. Older generations of the path that were not published
   *  become `superseded`. */
  claim(id: string, owner: string, leaseUntil: number): Promise<ClaimedJob | undefined>;
  /** False: the lease is lost. */
  renew(id: string, fence: number, leaseUntil: number): Promise<boolean>;
  record(id: string, fence: number, output: Output): Promise<void>;
  standing(id: string): Promise<Standing>;
  /**
   * Ends the lease: state, audit, delivery (pending), receiptDue in one. Answers the claim in the spool that nobody
   * needs any more, if there is one.
   */
  finish(
    id: string,
    fence: number,
    ending: Ending,
  ): Promise<{ readonly dropClaim: string | undefined }>;
  /** queued → waiting, before any claim. */
  wait(id: string, reason: WaitReason): Promise<void>;
  /** What is waited for. */
  waiting(): Promise<readonly Waiting[]>;
  /** waiting → queued for what waits for this. For the partner '' the jobs get the project's partners, if it has some now. */
  wake(waiting: Waiting): Promise<number>;
  /** Jobs in work whose lease ran out before `now` (Infinity: all, after a restart), leased anew to `owner`. */
  takeOver(
    now: number,
    owner: string,
    leaseUntil: number,
  ): Promise<readonly { readonly job: ClaimedJob; readonly output: Output | undefined }[]>;
  /** Outputs of superseded jobs that no published job uses. */
  leftovers(limit: number): Promise<
    readonly {
      readonly jobId: string;
      readonly project: string;
      readonly partner: string;
      readonly name: string;
    }[]
  >;
  /** Such an output was removed. */
  cleared(jobId: string): Promise<void>;
  /** Names in spool/claims that are still needed. */
  liveClaims(): Promise<ReadonlySet<string>>;
}

/** Everything that a receipt says about one upload. */
export interface ReceiptFacts {
  readonly uploadId: string;
  readonly project: string;
  /** Undefined for files that no member uploaded: they get no receipt. */
  readonly member: string | undefined;
  readonly path: string;
  readonly kind: 'intake' | 'direct';
  /** Stable for all generations of the path: 8 hexadecimal digits. */
  readonly shortId: string;
  readonly sizeBytes: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly sha256: string | undefined;
  /** A newer generation has its own receipt under the same name. */
  readonly isOvertaken: boolean;
  /** Under which its receipt stands now; it goes when the name changes. */
  readonly receipt: string | undefined;
  readonly jobs: readonly {
    readonly partner: string;
    readonly state: UploadState;
    readonly reason: string | undefined;
    readonly detail: string | undefined;
    readonly exclusions: readonly Exclusion[];
    readonly output: string | undefined;
    readonly outputBytes: number | undefined;
    readonly publishedAt: number | undefined;
    readonly deliveredAt: number | undefined;
    /** `receipt`, `check-file`, `read-back` or `size`. */
    readonly evidence: string | undefined;
    /** Fingerprint of the partner's host key that signed the receipt of the delivery. */
    readonly signedBy: string | undefined;
    /** Why a delivery waits or stopped, as an error code. */
    readonly deliveryReason: string | undefined;
  }[];
}

export interface ReceiptStore {
  due(before: number, limit: number): Promise<readonly ReceiptFacts[]>;
  /** Not due any more, unless it changed after `updatedAt`. */
  written(uploadId: string, name: string | undefined, updatedAt: number): Promise<void>;
}

/** One line of `job list --json`. */
export interface JobRow {
  readonly id: string;
  readonly project: string;
  readonly member: string;
  /** '' while the project has no partner. */
  readonly partner: string;
  /** As the client sees it: `/home/ji_brain/alice/gpg/1.dcm`. */
  readonly upload: string;
  readonly state: UploadState;
  readonly reason: string | null;
  readonly exclusions: readonly {
    readonly name: string;
    readonly reason: string;
    readonly detail: string | null;
  }[];
  /** As the client sees it: `/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice/….gpg`; null before. */
  readonly output: string | null;
  /** Of the upload. */
  readonly bytes: number;
  /** ISO 8601, UTC. */
  readonly updatedAt: string;
}

export interface JobDetails extends JobRow {
  readonly uploadId: string;
  readonly generation: number;
  /** Tag and kind at most. */
  readonly detail: string | null;
  readonly attempts: number;
  readonly sha256: string | null;
  readonly outputSha256: string | null;
  readonly outputBytes: number | null;
  readonly recipients: readonly string[];
  readonly profileHash: string | null;
  readonly report: ProcessReport | null;
  readonly createdAt: string;
  readonly publishedAt: string | null;
  readonly deliveredAt: string | null;
  readonly dueAt: string | null;
  /** Null while nothing was published. */
  readonly delivery: JobDelivery | null;
}

/** How the output of a job fares on its way to the partner. */
export interface JobDelivery {
  /** `replaced`: another job's content is owed or delivered under this name now. */
  readonly state: 'pending' | 'delivered' | 'failed' | 'conflict' | 'gone' | 'replaced';
  /** An error code. */
  readonly reason: string | null;
  /** `receipt`, `check-file`, `read-back` or `size`; null before it arrived. */
  readonly evidence: string | null;
  /** What the partner signed with its host key; `ssh-keygen -Y verify` checks it. */
  readonly receipt: {
    readonly statement: string;
    /** Armored SSHSIG. */
    readonly signature: string;
    /** `SHA256:…` of the key. */
    readonly hostKey: string;
  } | null;
}

/** One line of `held list --json`: a held job, or a published one of which entries were left out for a hold reason. */
export interface HeldRow extends JobRow {
  readonly detail: string | null;
  /** May `held release` be used on it? */
  readonly releasable: boolean;
  /** What it means and what to do, in a sentence. */
  readonly text: string;
}

/** For the commands (`job`, `held`, `status`, `trace`), beside a running server. `id`: a job's, whole or a prefix that is
 *  its alone; NOT_FOUND or CONFLICT otherwise. */
export interface JobDesk {
  list(filter?: {
    readonly project?: string;
    readonly member?: string;
    readonly state?: UploadState;
  }): Promise<readonly JobRow[]>;
  show(id: string): Promise<JobDetails>;
  /** failed, waiting, or queued for another try → queued, at once and with all its tries. */
  retry(id: string, actor: string): Promise<JobRow>;
  held(filter?: { readonly project?: string }): Promise<readonly HeldRow[]>;
  /** Overrides the one rule that holds it, for this content in this project; CONFLICT when that is not releasable. */
  release(id: string, note: string, actor: string): Promise<JobRow>;
  /** held or failed → rejected: it stays where it is and is never passed on. */
  reject(id: string, note: string, actor: string): Promise<JobRow>;
  /** How many jobs are in each state, for `status`. */
  counts(): Promise<Readonly<Record<UploadState, number>>>;
}

/** What a project says about a job, looked up anew for each. The owner of projects, profiles and recipients answers. */
export interface ProjectFacts {
  /** The resolved profile. `hash`: SHA-256, hex, of what decides the result. Throws PROFILE_INVALID. */
  profileFor(projectId: string): Promise<{ readonly json: string; readonly hash: string }>;
  /** Armored keys that are valid now, in a stable order; empty when there is none. */
  recipientsFor(projectId: string, partner: string): Promise<readonly string[]>;
  settingsFor(projectId: string): Promise<{
    /** `allow`: DICOM in the outgoing folder is no slip in this project (SPEC 3). */
    readonly directDicom: 'hold' | 'allow';
  }>;
}
