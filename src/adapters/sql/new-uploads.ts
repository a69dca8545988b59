// Makes the next generation of a path with its jobs. Apart from the store, because a release of a published zip
// (adapters/sql/desk.ts) makes one too.

import type { Kysely, Transaction } from 'kysely';
import type { UploadState } from '../../core/upload.ts';
import type { NewUpload, Upload } from '../../flow/ports/jobs.ts';
import { ownOf, type Own } from './at-once.ts';
import type { AuditEntry } from './audit.ts';
import { insertion, prepared } from './prepared.ts';
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

const insertUploadRow = insertion('upload', [
  'id',
  'projectId',
  'memberId',
  'kind',
  'partner',
  'path',
  'uploadKey',
  'generation',
  'sizeBytes',
  'declaredSizeBytes',
  'coverage',
  'closed',
  'device',
  'inode',
  'modifiedMs',
  'touchedAt',
  'settleAt',
  'receiptDue',
  'createdAt',
  'updatedAt',
]);

/** All in one go, for this is done for every small file. */
export function insertUpload(parts: Parts, own: Own, upload: NewUpload, actor: string): Upload {
  const { row, entry, states } = insertRows(own, upload, actor, parts.clock.now());
  parts.audit.appendNow(own, [entry]);
  return toUpload(row, states);
}

/** The rows without the audit entry, which the caller appends. `now`: when it was begun. */
export function insertRows(own: Own, upload: NewUpload, actor: string, now: number): Inserted {
  const before = newest(own, upload);
  const row = begun(upload, newId(), now);
  row.uploadKey = before?.uploadKey ?? freeKey(own, upload.memberId, upload.path, row.id);
  row.generation = (before?.generation ?? 0) + 1;
  insertUploadRow(own, row);
  const partners = firstPartners(own, row);
  const { state, reason } = upload;
  for (const partner of partners)
    insertJob(own, row, { partner, state, reason, now, rankAt: null });
  const detail = { generation: row.generation, kind: row.kind, state };
  const entry = { actor, action: 'upload.begun', object: row.id, detail };
  return { row, entry, states: partners.map(() => state) };
}

interface Inserted {
  readonly row: UploadRecord;
  readonly entry: AuditEntry;
  /** Of its jobs. */
  readonly states: readonly UploadState[];
}

/** All but what depends on other rows. Field by field: V8 is slow with fields behind a spread. */
const begun = (upload: NewUpload, id: string, now: number): UploadRecord => ({
  id,
  projectId: upload.projectId,
  memberId: upload.memberId,
  kind: upload.kind,
  partner: upload.partner ?? null,
  path: upload.path,
  uploadKey: '',
  generation: 0,
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
});

/** One job for '' while there is no partner. */
function firstPartners(
  own: Own,
  upload: Pick<UploadRecord, 'projectId' | 'partner'>,
): readonly string[] {
  const partners = partnersOf(own, upload);
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
  const own = ownOf(trx);
  const there = await jobsOf(trx, upload.id);
  const known = new Set(there.map((job) => job.partner));
  const partners = partnersOf(own, upload);
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
  const rankAt = state === 'queued' ? await rankOf(trx, now, upload.id) : null;
  for (const partner of added) insertJob(own, upload, { partner, state, reason, rankAt, now });
}

const insertJobRow = insertion('job', [
  'id',
  'uploadId',
  'projectId',
  'memberId',
  'partner',
  'state',
  'reason',
  'dueAt',
  'rankAt',
  'createdAt',
  'updatedAt',
]);

function insertJob(
  own: Own,
  upload: Pick<UploadRecord, 'id' | 'projectId' | 'memberId'>,
  job: {
    readonly partner: string;
    readonly state: UploadState;
    readonly reason: string | undefined;
    /** Of a queued job. */
    readonly rankAt: number | null;
    readonly now: number;
  },
): void {
  const { now, rankAt } = job;
  insertJobRow(own, {
    id: newId(),
    uploadId: upload.id,
    projectId: upload.projectId,
    memberId: upload.memberId,
    partner: job.partner,
    state: job.state,
    reason: job.reason ?? null,
    dueAt: rankAt === null ? null : now,
    rankAt,
    createdAt: now,
    updatedAt: now,
  });
}

function partnersOf(
  own: Own,
  upload: Pick<UploadRecord, 'projectId' | 'partner'>,
): readonly string[] {
  if (upload.partner !== null) return [upload.partner];
  return ofProject.now(own, { projectId: upload.projectId }).map((row) => row.partner);
}

const ofProject = prepared<{ projectId: string }, { partner: string }>((db, value) =>
  db
    .selectFrom('project_partner')
    .select('partner')
    .where('projectId', '=', value('projectId'))
    .orderBy('partner'),
);

/** The newest row at a path: of this member in an intake, of anybody in the outgoing folder, which members share. */
function newest(
  own: Own,
  { path, kind, memberId }: Pick<NewUpload, 'kind' | 'memberId' | 'path'>,
): Predecessor | undefined {
  const [row] =
    kind === 'intake'
      ? newestOfMember.now(own, { path, memberId })
      : newestDirect.now(own, { path });
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
function freeKey(own: Own, memberId: string, path: string, ownId: string): string {
  const [user] = elsewhere.now(own, { memberId, path, ownId });
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
  const own = ownOf(trx);
  const there = newest(own, { kind: row.kind, memberId: row.memberId, path });
  const isClaimed =
    row.claim !== null || (await jobsOf(trx, row.id)).some((job) => !beforeClaim.has(job.state));
  const uploadKey = isClaimed
    ? row.uploadKey
    : (there?.uploadKey ?? freeKey(own, row.memberId, path, row.id));
  return { path, uploadKey, generation: (there?.generation ?? 0) + 1 };
}
