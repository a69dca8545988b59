// The tables as Kysely sees them. Portable between SQLite and PostgreSQL: TEXT ids (UUIDv7), INTEGER milliseconds since
// the epoch, TEXT JSON, 0/1 for booleans. What a column means stands here; how it is made, in migrations.ts.

import type { ColumnType, Generated } from 'kysely';
import type { UploadState } from '../../core/upload.ts';

type Default<T> = ColumnType<T, T | undefined, T>;

export interface ProjectTable {
  id: string;
  /** Without `ji_`. Unique, archived projects included. */
  name: string;
  state: Default<'active' | 'archived'>;
  /** Name of a shipped profile or of a file in config/profiles, without `.yaml`. */
  profile: Default<string>;
  /** JSON object of what `project set` knows. */
  settings: Default<string>;
  /** Why and since when nothing of the project may be removed; null when it may. */
  holdReason: Default<string | null>;
  heldAt: Default<number | null>;
  createdAt: number;
}

export interface ProjectPartnerTable {
  projectId: string;
  partner: string;
}

export interface MemberTable {
  id: string;
  name: string;
  state: Default<'active' | 'disabled' | 'removed'>;
  /** Argon2id in PHC form. */
  passwordHash: string | null;
  expiresAt: number | null;
  /** JSON array of networks from which it may log in; [] from anywhere. */
  sources: Default<string>;
  quotaBytes: Default<number | null>;
  createdAt: number;
  removedAt: number | null;
}

export interface MembershipTable {
  memberId: string;
  projectId: string;
}

export interface MemberKeyTable {
  id: string;
  memberId: string;
  /** `SHA256:…` */
  fingerprint: string;
  algorithm: string;
  /** Base64 of the SSH wire form. */
  blob: string;
  comment: Default<string>;
  /** As of the member. */
  sources: Default<string>;
  createdAt: number;
}

export interface PartnerTable {
  code: string;
  host: string | null;
  port: number | null;
  /** The name under which we log in there. */
  user: string | null;
  /** Pinned `SHA256:…`. */
  hostKey: string | null;
  state: Default<'active' | 'removed'>;
  /** How a delivery is proven at a partner without check-file: by reading back, or by its size alone. */
  verify: Default<'hash' | 'size'>;
  /** What an administrator must see to, as an error code; null when all is well. */
  alarm: string | null;
  alarmDetail: string | null;
  alarmAt: number | null;
  lastPassAt: number | null;
  lastSuccessAt: number | null;
  /** Failed passes in a row, for the back-off. */
  failures: Default<number>;
  createdAt: number;
  /** Bytes a second that go there at most; null without limit. */
  limitBytes: Default<number | null>;
  /** `20:00-06:00`, when files go there; null at any time. */
  sendWindow: Default<string | null>;
}

/** Keys with which a partner's replicator may log in here (`partner accept`). */
export interface PartnerKeyTable {
  id: string;
  partner: string;
  fingerprint: string;
  algorithm: string;
  blob: string;
  /** JSON array of networks; [] from anywhere. */
  sources: Default<string>;
  createdAt: number;
}

/** What wrong logins from one source cost one user (port PenaltyStore). */
export interface LoginPenaltyTable {
  /** An IPv4 address or an IPv6 /64. */
  source: string;
  /** A keyed hash of the user name that was typed, which may be a password in the wrong field. */
  who: string;
  failures: number;
  /** Nobody is let in until then, if it is enforced; forgotten some time after. */
  endsAt: number;
  enforced: number;
  updatedAt: number;
}

export interface RecipientTable {
  id: string;
  projectId: string;
  partner: string;
  /** Upper-case hex of the primary key. */
  fingerprint: string;
  userId: string;
  algorithm: string;
  armored: string;
  expiresAt: number | null;
  /** The smallest number of days before its end of which a warning was given. */
  warnedDays: Default<number | null>;
  createdAt: number;
  removedAt: number | null;
}

export interface UploadTable {
  id: string;
  projectId: string;
  memberId: string;
  kind: 'intake' | 'direct';
  /** For `direct`, the partner whose outgoing folder it is in. */
  partner: string | null;
  /** Relative to data/home. */
  path: string;
  /** What the published name is made from: the path at the first claim, so that a rename afterwards publishes nothing
   *  twice. Another upload that comes to the old path gets a key of its own. */
  uploadKey: Default<string>;
  /** 1, 2, … for the same path and member. */
  generation: number;
  sizeBytes: Default<number>;
  declaredSizeBytes: number | null;
  /** JSON of core/coverage. */
  coverage: Default<string>;
  /** Did the client CLOSE it after its last byte? */
  closed: Default<number>;
  device: string | null;
  inode: string | null;
  modifiedMs: number | null;
  /** Of the last write, reopen, rename or close. */
  touchedAt: number;
  /** When it may be claimed, if nothing touches it; null while it is not settling. */
  settleAt: number | null;
  /** The spool name of the claimed generation; null before and when it is no longer needed. */
  claim: string | null;
  claimedAt: number | null;
  sha256: string | null;
  /** The raw file is gone: removed by the member, or by retention. */
  rawRemovedAt: number | null;
  /** File name in receipts/, and whether it must be written anew. */
  receipt: string | null;
  receiptDue: Default<number>;
  createdAt: number;
  updatedAt: number;
}

export interface JobTable {
  id: string;
  uploadId: string;
  projectId: string;
  memberId: string;
  /** '' while the project has no partner. */
  partner: string;
  state: UploadState;
  reason: string | null;
  detail: string | null;
  /** JSON array of Exclusion. */
  exclusions: Default<string>;
  profileHash: string | null;
  /** Fingerprints, sorted, joined by a comma. */
  recipients: string | null;
  /** Relative to the outgoing folder, e.g. `gpg-alice/JI-7K3M9/CT_2_14_a1b2c3d4.dcm.gpg`. */
  output: string | null;
  outputSha256: string | null;
  outputBytes: number | null;
  /** JSON of ProcessReport. */
  report: string | null;
  attempts: Default<number>;
  workerDeaths: Default<number>;
  dueAt: number | null;
  /** While it is queued, and only then: its place among its member's jobs, see core/upload's `queuePenaltyMs`. */
  rankAt: Default<number | null>;
  leaseOwner: string | null;
  leaseUntil: number | null;
  /** Grows with each lease; every commit of a worker says `where fence = mine`. */
  fence: Default<number>;
  publishedAt: number | null;
  deliveredAt: number | null;
  createdAt: number;
  updatedAt: number;
}

/** `held release`: one rule is overridden for one content in one project. */
export interface ReleaseTable {
  id: string;
  projectId: string;
  sha256: string;
  reason: string;
  note: string;
  createdAt: number;
}

/** What is owed to or was proven at a partner, one row a path. */
export interface DeliveryTable {
  id: string;
  projectId: string;
  partner: string;
  /** Relative to the outgoing folder. */
  path: string;
  jobId: string | null;
  sizeBytes: number;
  modifiedMs: number;
  inode: string;
  sha256: string | null;
  state: Default<'pending' | 'delivered' | 'failed' | 'conflict' | 'gone'>;
  /** An error code. */
  reason: string | null;
  attempts: Default<number>;
  dueAt: number | null;
  /** SHA-256 of what we published under this path before, newest first, joined by commas: it tells our own predecessor from a
   *  stranger's file, whether or not its delivery was ever noted. */
  previousSha256: string | null;
  /** `receipt`, `check-file`, `read-back` or `size`. */
  evidence: string | null;
  deliveredAt: number | null;
  createdAt: number;
  updatedAt: number;
}

/** What a partner signed: that it has this content of this file. */
export interface DeliveryReceiptTable {
  deliveryId: string;
  /** Of what was delivered: a newer generation has a receipt of its own. */
  sha256: string;
  statement: string;
  /** SSHSIG, base64. */
  signature: string;
  /** Fingerprint of the key that signed. */
  hostKey: string;
  createdAt: number;
}

export interface PassTable {
  id: string;
  partner: string;
  startedAt: number;
  endedAt: number | null;
  delivered: Default<number>;
  failed: Default<number>;
  /** An error code when the partner itself could not be used. */
  error: string | null;
}

export interface LeaseTable {
  /** e.g. `replicate:UMHS`. */
  name: string;
  owner: string;
  until: number;
  fence: number;
}

export interface SubjectTable {
  id: string;
  projectId: string;
  /** SubjectIdentity.key */
  identity: string;
  code: string;
  dateOffsetDays: number;
  /** AES-256-GCM of the identity as JSON, base64: nonce, ciphertext, tag. */
  sealed: string;
  createdAt: number;
}

export interface AuditTable {
  seq: Generated<number>;
  at: number;
  /** `cli`, `server`, a member's or partner's id. */
  actor: string;
  action: string;
  /** The id of what it is about. */
  object: string;
  /** JSON; ids, tags, codes, counts. */
  detail: string;
  /** HMAC-SHA-256 over the previous one and this row. */
  hash: string;
}

/** One row: where the audit trail ends. */
export interface AuditHeadTable {
  id: number;
  seq: number;
  hash: string;
  /** HMAC-SHA-256 over the two; null as the migration left it. */
  mac: string | null;
}

/** What a member is just moving into the intake (port Arrivals). */
export interface ArrivalTable {
  /** Relative to data/home. */
  path: string;
  device: string;
  inode: string;
}

/** What the server could not look through (port UnreadRoots): an intake, or an outgoing folder. */
export interface UnreadRootTable {
  projectId: string;
  /** '' for an outgoing folder. */
  memberId: Default<string>;
  /** '' for an intake. */
  partner: Default<string>;
  code: string;
  detail: string | null;
  since: number;
}

/** An upload that is closed and whose rows are still to be made (fresh-uploads.ts). */
export interface FreshUploadTable {
  seq: Generated<number>;
  /** NewUpload as JSON. A version that changes NewUpload reads what the one before it noted. */
  upload: string;
  actor: string;
  createdAt: number;
}

export interface Database {
  project: ProjectTable;
  project_partner: ProjectPartnerTable;
  member: MemberTable;
  membership: MembershipTable;
  member_key: MemberKeyTable;
  partner: PartnerTable;
  partner_key: PartnerKeyTable;
  login_penalty: LoginPenaltyTable;
  recipient: RecipientTable;
  upload: UploadTable;
  job: JobTable;
  release: ReleaseTable;
  delivery: DeliveryTable;
  delivery_receipt: DeliveryReceiptTable;
  pass: PassTable;
  lease: LeaseTable;
  subject: SubjectTable;
  audit: AuditTable;
  audit_head: AuditHeadTable;
  arrival: ArrivalTable;
  unread_root: UnreadRootTable;
  fresh_upload: FreshUploadTable;
}
