// Numbered, forward only. Run at every open; each in one transaction (Kysely's Migrator).

import type { Kysely, Migration, MigrationProvider } from 'kysely';
import { uploadStates } from '../../core/upload.ts';
import { sql } from './kysely.ts';
import { auditMigration } from './migration-audit.ts';
import { freshMigration } from './migration-fresh.ts';
import { hardnessMigration } from './migration-hardness.ts';
import { indexesMigration } from './migration-indexes.ts';
import { jobsMigration } from './migration-jobs.ts';
import { replicationMigration } from './migration-replication.ts';
import { upkeepMigration } from './migration-upkeep.ts';

const quoted = (values: readonly string[]): string => values.map((v) => `'${v}'`).join(', ');

const first: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    for (const statement of tables) await sql.raw(statement).execute(db);
  },
};

const tables: readonly string[] = [
  `create table project (
    id text primary key, name text not null unique,
    state text not null default 'active' check (state in ('active', 'archived')),
    profile text not null default 'basic', settings text not null default '{}', "createdAt" bigint not null)`,
  `create table project_partner (
    "projectId" text not null references project(id), partner text not null, primary key ("projectId", partner))`,
  `create table member (
    id text primary key, name text not null,
    state text not null default 'active' check (state in ('active', 'disabled', 'removed')),
    "passwordHash" text, "expiresAt" bigint, failures integer not null default 0, "lockedUntil" bigint,
    "createdAt" bigint not null, "removedAt" bigint)`,
  `create unique index member_name on member (name) where state <> 'removed'`,
  `create table membership (
    "memberId" text not null references member(id), "projectId" text not null references project(id),
    primary key ("memberId", "projectId"))`,
  `create table member_key (
    id text primary key, "memberId" text not null references member(id), fingerprint text not null,
    algorithm text not null, blob text not null, comment text not null default '', "createdAt" bigint not null,
    unique ("memberId", fingerprint))`,
  `create table partner (
    code text primary key, host text, port integer, "user" text, "hostKey" text,
    state text not null default 'active' check (state in ('active', 'removed')),
    verify text not null default 'hash' check (verify in ('hash', 'size')),
    alarm text, "alarmDetail" text, "alarmAt" bigint, "lastPassAt" bigint, "lastSuccessAt" bigint,
    failures integer not null default 0, "createdAt" bigint not null)`,
  `create table partner_key (
    id text primary key, partner text not null, fingerprint text not null, algorithm text not null,
    blob text not null, "createdAt" bigint not null, unique (partner, fingerprint))`,
  `create table recipient (
    id text primary key, "projectId" text not null references project(id), partner text not null,
    fingerprint text not null, "userId" text not null, algorithm text not null, armored text not null,
    "expiresAt" bigint, "createdAt" bigint not null, "removedAt" bigint)`,
  `create unique index recipient_key on recipient ("projectId", partner, fingerprint) where "removedAt" is null`,
  `create table upload (
    id text primary key, "projectId" text not null references project(id),
    "memberId" text not null references member(id),
    kind text not null check (kind in ('intake', 'direct')), partner text, path text not null,
    "uploadKey" text not null default '', generation integer not null, "sizeBytes" bigint not null default 0, "declaredSizeBytes" bigint,
    coverage text not null default '[]', closed integer not null default 0, device text, inode text,
    "modifiedMs" bigint, "touchedAt" bigint not null, "settleAt" bigint, claim text, "claimedAt" bigint,
    sha256 text, "rawRemovedAt" bigint, receipt text, "receiptDue" integer not null default 0,
    "createdAt" bigint not null, "updatedAt" bigint not null, unique ("memberId", path, generation))`,
  `create index upload_path on upload (path)`,
  `create index upload_key on upload ("memberId", "uploadKey")`,
  `create index upload_settle on upload ("settleAt") where "settleAt" is not null`,
  `create index upload_receipt on upload ("updatedAt") where "receiptDue" = 1`,
  `create table job (
    id text primary key, "uploadId" text not null references upload(id), "projectId" text not null,
    "memberId" text not null, partner text not null,
    state text not null check (state in (${quoted(uploadStates)})),
    reason text, detail text, exclusions text not null default '[]', "profileHash" text, recipients text,
    output text, "outputSha256" text, "outputBytes" bigint, report text,
    attempts integer not null default 0, "workerDeaths" integer not null default 0, "dueAt" bigint,
    "leaseOwner" text, "leaseUntil" bigint, fence integer not null default 0,
    "publishedAt" bigint, "deliveredAt" bigint, "createdAt" bigint not null, "updatedAt" bigint not null,
    unique ("uploadId", partner))`,
  `create index job_state on job (state, "dueAt")`,
  `create index job_queue on job (state, "memberId", "dueAt")`,
  `create index job_upload on job ("uploadId")`,
  `create index job_output on job ("projectId", partner, output)`,
  `create index job_project on job ("projectId", "updatedAt")`,
  `create table release (
    id text primary key, "projectId" text not null, sha256 text not null, reason text not null,
    note text not null, "createdAt" bigint not null, unique ("projectId", sha256, reason))`,
  `create table delivery (
    id text primary key, "projectId" text not null, partner text not null, path text not null, "jobId" text,
    "sizeBytes" bigint not null, "modifiedMs" bigint not null, inode text not null, sha256 text,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'failed', 'conflict', 'gone')),
    reason text, attempts integer not null default 0, "dueAt" bigint, "previousSha256" text, evidence text,
    "deliveredAt" bigint, "createdAt" bigint not null, "updatedAt" bigint not null,
    unique ("projectId", partner, path))`,
  `create index delivery_due on delivery (partner, state, "dueAt")`,
  `create table pass (
    id text primary key, partner text not null, "startedAt" bigint not null, "endedAt" bigint,
    delivered integer not null default 0, failed integer not null default 0, error text)`,
  `create index pass_partner on pass (partner, "startedAt")`,
  `create table lease (name text primary key, owner text not null, until bigint not null, fence integer not null)`,
  `create table subject (
    id text primary key, "projectId" text not null references project(id), identity text not null,
    code text not null, "dateOffsetDays" integer not null, sealed text not null, "createdAt" bigint not null,
    unique ("projectId", identity), unique ("projectId", code))`,
  `create table audit (
    seq integer primary key autoincrement, at bigint not null, actor text not null, action text not null,
    object text not null, detail text not null default '{}', hash text not null)`,
  `create index audit_object on audit (object, seq)`,
];

export const migrations: MigrationProvider = {
  getMigrations: () =>
    Promise.resolve({
      '001-first': first,
      '002-hardness': hardnessMigration,
      '003-replication': replicationMigration,
      '004-jobs': jobsMigration,
      '005-audit': auditMigration,
      '006-upkeep': upkeepMigration,
      '007-indexes': indexesMigration,
      '008-fresh': freshMigration,
    }),
};
