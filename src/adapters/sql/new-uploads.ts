// Makes the next generation of a path with its jobs. Apart from the store, because a release of a published zip
// (adapters/sql/desk.ts) makes one too.

import type { Kysely, Transaction } from 'kysely';
import type { UploadState } from '../../core/upload.ts';
import type { NewUpload, Upload } from '../../flow/ports/jobs.ts';
import { insertRow, prepared } from './prepared.ts';
import { jobsOf, rankOf, toUpload, type Parts, type UploadRecord } from './moves.ts';
import { sql } from './kysely.ts';
import { newId } from './new-id.ts';
import type { Database } from './schema.ts';

/** States in which a generation was never claimed, or its claim was given back for more bytes. */
export const beforeClaim: ReadonlySet<UploadState> = new Set<UploadState>([
  'uploading',
  'partial',
  'settling',
  'queued',
  'waiting',
]);

export async function insertUpload(
  parts: Parts,
  trx: Transaction<Database>,
  upload: NewUpload,
  actor: string,
): Promise<Upload> {
  const now = parts.clock.now();
  const id = newId();
  const before = await newest(trx, upload);
  const row: UploadRecord = {
    id,
    projectId: upload.projectId,
    memberId: upload.memberId,
    kind: upload.kind,
    partner: upload.partner ?? null,
    path: upload.path,
    uploadKey: before?.uploadKey ?? (await freeKey(trx, upload.memberId, upload.path, id)),
    generation: (before?.generation ?? 0) + 1,
    sizeBytes: upload.identity.sizeBytes,
    declaredSizeBytes: upload.declaredSizeBytes ?? null,
    coverage: JSON.stringify(upload.coverage),
    closed: upload.closed ? 1 : 0,
    device: upload.identity.device,
    inode: upload.identity.inode,
    modifiedMs: Math.floor(upload.identity.modifiedMs),
    touchedAt: now,
    settleAt: upload.settleAt ?? null,
    claim: null,
    claimedAt: null,
    sha256: null,
    rawRemovedAt: null,
    receipt: null,
    receiptDue: upload.state === 'partial' ? 1 : 0,
    createdAt: now,
    updatedAt: now,
  };
  await insertRow(trx, 'upload', row);
  const partners = await firstPartners(trx, row);
  for (const partner of partners) {
    await insertJob(trx, row, { partner, state: upload.state, reason: upload.reason, now });
  }
  await parts.audit.append(trx, {
    actor,
    action: 'upload.begun',
    object: id,
    detail: { generation: row.generation, kind: row.kind, state: upload.state },
  });
  return toUpload(
    row,
    partners.map(() => upload.state),
  );
}

/** One job for '' while there is no partner. */
async function firstPartners(
  trx: Transaction<Database>,
  upload: Pick<UploadRecord, 'projectId' | 'partner'>,
): Promise<readonly string[]> {
  const partners = await partnersOf(trx, upload);
  return partners.length === 0 ? [''] : partners;
}

/** A job for each partner that has none yet. While the project has no partner there is one job, for ''. */
export async function insertJobs(
  parts: Parts,
  trx: Transaction<Database>,
  upload: Pick<UploadRecord, 'id' | 'projectId' | 'memberId' | 'partner'>,
  state: UploadState,
  reason?: string,
): Promise<void> {
  const now = parts.clock.now();
  const there = await jobsOf(trx, upload.id);
  const known = new Set(there.map((job) => job.partner));
  const partners = await partnersOf(trx, upload);
  const [first, ...rest] = partners.filter((partner) => !known.has(partner));
  const nobody = there.find((job) => job.partner === '');
  const added = nobody === undefined && first !== undefined ? [first, ...rest] : rest;
  if (nobody !== undefined && first !== undefined) {
    await trx
      .updateTable('job')
      .set({ partner: first, updatedAt: now })
      .where('id', '=', nobody.id)
      .execute();
  }
  if (partners.length === 0 && there.length === 0) added.push('');
  for (const partner of added) await insertJob(trx, upload, { partner, state, reason, now });
}

async function insertJob(
  trx: Transaction<Database>,
  upload: Pick<UploadRecord, 'id' | 'projectId' | 'memberId'>,
  job: {
    readonly partner: string;
    readonly state: UploadState;
    readonly reason: string | undefined;
    readonly now: number;
  },
): Promise<void> {
  const { now } = job;
  const isQueued = job.state === 'queued';
  await insertRow(trx, 'job', {
    id: newId(),
    uploadId: upload.id,
    projectId: upload.projectId,
    memberId: upload.memberId,
    partner: job.partner,
    state: job.state,
    reason: job.reason ?? null,
    detail: null,
    profileHash: null,
    recipients: null,
    output: null,
    outputSha256: null,
    outputBytes: null,
    report: null,
    dueAt: isQueued ? now : null,
    rankAt: isQueued ? await rankOf(trx, now, upload.id) : null,
    leaseOwner: null,
    leaseUntil: null,
    publishedAt: null,
    deliveredAt: null,
    createdAt: now,
    updatedAt: now,
  });
}

async function partnersOf(
  trx: Transaction<Database>,
  upload: Pick<UploadRecord, 'projectId' | 'partner'>,
): Promise<string[]> {
  if (upload.partner !== null) return [upload.partner];
  const rows = await ofProject(trx, { projectId: upload.projectId });
  return rows.map((row) => row.partner);
}

const ofProject = prepared<{ projectId: string }, { partner: string }>((db, value) =>
  db
    .selectFrom('project_partner')
    .select('partner')
    .where('projectId', '=', value('projectId'))
    .orderBy('partner'),
);

/** The newest row at a path: of this member in an intake, of anybody in the outgoing folder, which members share. */
async function newest(
  trx: Transaction<Database>,
  at: Pick<NewUpload, 'kind' | 'memberId' | 'path'>,
): Promise<Predecessor | undefined> {
  const { path, kind, memberId } = at;
  const [row] =
    kind === 'intake'
      ? await newestOfMember(trx, { path, memberId })
      : await newestDirect(trx, { path });
  return row;
}

interface Predecessor {
  readonly generation: number;
  readonly uploadKey: string;
}
type Kind = NewUpload['kind'];

/**
 * The kind and the limit stand in the query itself: SQLite, which chooses its way by them, would otherwise put the statement
 * together anew each time.
 */
const newestFirst = (db: Kysely<Database>, path: string, kind: Kind) =>
  db
    .selectFrom('upload')
    .select(['generation', 'uploadKey'])
    .where('path', '=', path)
    .where('kind', '=', sql.lit(kind))
    .orderBy('generation', 'desc')
    .limit(sql.lit(1));

const newestDirect = prepared<{ path: string }, Predecessor>((db, value) =>
  newestFirst(db, value('path'), 'direct'),
);

const newestOfMember = prepared<{ path: string; memberId: string }, Predecessor>((db, value) =>
  newestFirst(db, value('path'), 'intake').where('memberId', '=', value('memberId')),
);

/** The path itself, unless an upload that was renamed away after its claim still publishes under it. */
async function freeKey(
  trx: Transaction<Database>,
  memberId: string,
  path: string,
  ownId: string,
): Promise<string> {
  const [user] = await elsewhere(trx, { memberId, path, ownId });
  return user === undefined ? path : `${path}#${ownId}`;
}

const elsewhere = prepared<{ memberId: string; path: string; ownId: string }, { id: string }>(
  (db, value) =>
    db
      .selectFrom('upload')
      .select('id')
      .where('memberId', '=', value('memberId'))
      .where('uploadKey', '=', value('path'))
      .where('path', '<>', value('path'))
      .where('id', '<>', value('ownId'))
      .limit(sql.lit(1)),
);

/** A row's place under another path: behind what is there. After a claim it keeps its key, and with it its published name. */
export async function newPlace(
  trx: Transaction<Database>,
  row: UploadRecord,
  path: string,
): Promise<{ path: string; uploadKey: string; generation: number }> {
  const there = await newest(trx, { kind: row.kind, memberId: row.memberId, path });
  const isClaimed =
    row.claim !== null || (await jobsOf(trx, row.id)).some((job) => !beforeClaim.has(job.state));
  const uploadKey = isClaimed
    ? row.uploadKey
    : (there?.uploadKey ?? (await freeKey(trx, row.memberId, path, row.id)));
  return { path, uploadKey, generation: (there?.generation ?? 0) + 1 };
}
