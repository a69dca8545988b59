// The rows of uploads: one a generation of a path. Its own jobs move with it until the claim; afterwards only the
// worker's store moves them.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import { isLegalMove, isWithdrawable, type UploadState } from '../../core/upload.ts';
import type { Identity, Upload, UploadChange, UploadStore } from '../../flow/ports/jobs.ts';
import { ownOf } from './at-once.ts';
import { createCommitQueue } from './commit-queue.ts';
import { freshUploads } from './fresh-uploads.ts';
import { beforeClaim, insertJobs, insertUpload, newPlace } from './new-uploads.ts';
import { jobsOf, moveJob, toUpload, type Parts, type UploadRecord } from './moves.ts';
import { prepared, updateRow } from './prepared.ts';
import { uploadQueries } from './upload-queries.ts';
import type { Database } from './schema.ts';

export function createUploadStore(parts: Parts & { readonly db: Kysely<Database> }): UploadStore {
  const { db, clock, audit } = parts;
  const queue = createCommitQueue(db);
  const { commit: inTransaction, commitAtOnce } = queue;
  const fresh = freshUploads(parts);
  return {
    ...uploadQueries(db, fresh),
    begin: (upload, actor) => commitAtOnce((own) => insertUpload(parts, own, upload, actor)),
    beginSoon: (upload, actor) => fresh.note(queue, upload, actor),
    change: (id, change, actor) =>
      inTransaction((trx) => changeUpload(parts, trx, id, change, actor)),
    persist: async (id, coverage, closed, identity) => {
      await db
        .updateTable('upload')
        .set({
          coverage: JSON.stringify(coverage),
          closed: closed ? 1 : 0,
          ...identityColumns(identity),
          touchedAt: clock.now(),
          updatedAt: clock.now(),
        })
        .where('id', '=', id)
        .execute();
    },
    withdraw: (id, actor) => inTransaction((trx) => withdraw(parts, trx, id, actor)),
    rawRemoved: (id, isReplaced) =>
      inTransaction(async (trx) => {
        const row = await need(trx, id);
        const now = clock.now();
        await trx
          .updateTable('upload')
          .set({ rawRemovedAt: now, updatedAt: now, receiptDue: 1 })
          .where('id', '=', id)
          .execute();
        const { sha256, sizeBytes: bytes } = row;
        const detail = { sha256, bytes, ...(isReplaced ? { replaced: true } : {}) };
        await audit.append(trx, {
          actor: 'server',
          action: 'upload.raw-removed',
          object: id,
          detail,
        });
      }),
    adoptDirect: (file) => inTransaction((trx) => adoptDirect(parts, trx, file)),
  };
}

const identityColumns = (
  identity: Identity,
): Pick<UploadRecord, 'sizeBytes' | 'modifiedMs' | 'device' | 'inode'> => ({
  sizeBytes: identity.sizeBytes,
  modifiedMs: Math.floor(identity.modifiedMs),
  device: identity.device,
  inode: identity.inode,
});

const byId = prepared<{ id: string }, UploadRecord>((db, value) =>
  db.selectFrom('upload').selectAll().where('id', '=', value('id')),
);

async function need(trx: Transaction<Database>, id: string): Promise<UploadRecord> {
  const [row] = await byId(trx, { id });
  if (row === undefined) throw new AppError('NOT_FOUND', { detail: `upload ${id}` });
  return row;
}

async function changeUpload(
  parts: Parts,
  trx: Transaction<Database>,
  id: string,
  change: UploadChange,
  actor: string,
): Promise<Upload> {
  const now = parts.clock.now();
  const before = await need(trx, id);
  const isMoved = change.path !== undefined && change.path !== before.path;
  const { to } = change;
  const set = {
    updatedAt: now,
    ...(isMoved ? await newPlace(trx, before, change.path ?? before.path) : {}),
    ...(change.coverage === undefined ? {} : { coverage: JSON.stringify(change.coverage) }),
    ...(change.closed === undefined ? {} : { closed: change.closed ? 1 : 0 }),
    ...('declaredSizeBytes' in change
      ? { declaredSizeBytes: change.declaredSizeBytes ?? null }
      : {}),
    ...(change.identity === undefined ? {} : identityColumns(change.identity)),
    ...(change.touched === true ? { touchedAt: now } : {}),
    ...(to === undefined ? {} : { settleAt: to.state === 'settling' ? to.settleAt : null }),
  };
  await updateRow(trx, 'upload', id, set);
  if (to?.state === 'queued') await insertJobs(parts, trx, before, 'settling');
  const states =
    to === undefined
      ? (await jobsOf(trx, id)).map((job) => job.state)
      : await moveAll(parts, trx, before, to, change.touched === true, actor);
  if (isMoved) {
    await parts.audit.append(trx, { actor, action: 'upload.renamed', object: id });
  }
  return toUpload({ ...before, ...set }, states);
}

/** Answers the states of all its jobs as they are then. */
async function moveAll(
  parts: Parts,
  trx: Transaction<Database>,
  upload: UploadRecord,
  to: NonNullable<UploadChange['to']>,
  isTouched: boolean,
  actor: string,
): Promise<readonly UploadState[]> {
  const reason = 'reason' in to ? to.reason : null;
  const jobs = await jobsOf(trx, upload.id);
  // The jobs for two partners need not be in one state: what is past its claim, or may not go there, stays as it is.
  const movable = jobs.filter((job) => beforeClaim.has(job.state) && mayBe(job.state, to.state));
  if (movable.length === 0) throw new AppError('CONFLICT', { detail: `upload ${upload.id}` });
  for (const job of movable) {
    await moveJob(parts, trx, job, {
      to: to.state,
      actor,
      detail: { generation: upload.generation },
      set: {
        reason,
        dueAt: to.state === 'queued' ? parts.clock.now() : null,
        ...(isTouched ? { attempts: 0, workerDeaths: 0 } : {}),
      },
    });
  }
  return jobs.map((job) => (movable.includes(job) ? to.state : job.state));
}

const mayBe = (from: UploadState, to: UploadState): boolean => from === to || isLegalMove(from, to);

async function withdraw(
  parts: Parts,
  trx: Transaction<Database>,
  id: string,
  actor: string,
): Promise<void> {
  const now = parts.clock.now();
  const upload = await need(trx, id);
  const jobs = await jobsOf(trx, id);
  for (const job of jobs) {
    // A direct file is its own publication: what did not leave yet never will.
    const isUnsent = upload.kind === 'direct' && job.state === 'published';
    if (isUnsent || (upload.claim === null && isWithdrawable(job.state))) {
      await moveJob(parts, trx, job, { to: 'withdrawn', actor, set: { dueAt: null } });
    }
    if (isUnsent) await stopDelivery(trx, job.id, now);
  }
  await trx
    .updateTable('upload')
    .set({ rawRemovedAt: now, settleAt: null, updatedAt: now, touchedAt: now })
    .where('id', '=', id)
    .execute();
  const detail = await removalDetail(trx, upload);
  await parts.audit.append(trx, { actor, action: 'upload.removed', object: id, detail });
}

/** What is known of bytes that are no more. A legal hold stops retention, not a member: then the trail is what is left. */
async function removalDetail(
  trx: Transaction<Database>,
  { projectId, sha256, sizeBytes: bytes }: UploadRecord,
): Promise<Readonly<Record<string, unknown>>> {
  const [held] = await heldProject(trx, { projectId });
  const isHeld = held === undefined ? {} : { legalHold: true };
  return { bytes, ...(sha256 === null ? {} : { sha256 }), ...isHeld };
}

const heldProject = prepared<{ projectId: string }, { id: string }>((db, value) =>
  db
    .selectFrom('project')
    .select('id')
    .where('id', '=', value('projectId'))
    .where('holdReason', 'is not', null),
);

const stopDelivery = (trx: Transaction<Database>, jobId: string, now: number): Promise<unknown> =>
  trx
    .updateTable('delivery')
    .set({ state: 'gone', dueAt: null, updatedAt: now })
    .where('jobId', '=', jobId)
    .where('state', 'in', ['pending', 'failed', 'conflict'])
    .execute();

/** Stands for files that no member uploaded. Never logs in: it has no key, no password, no membership. */
const siteMember = '00000000-0000-7000-8000-000000000000';

async function adoptDirect(
  parts: Parts,
  trx: Transaction<Database>,
  file: Parameters<UploadStore['adoptDirect']>[0],
): Promise<boolean> {
  const { identity, ...where } = file;
  const known = await trx
    .selectFrom('upload')
    .selectAll()
    .where('path', '=', file.path)
    .where('kind', '=', 'direct')
    .orderBy('createdAt', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (known !== undefined && !(await isForeign(trx, known, identity))) return false;
  await trx
    .insertInto('member')
    .values({
      id: siteMember,
      name: '',
      state: 'removed',
      passwordHash: null,
      expiresAt: null,
      createdAt: parts.clock.now(),
      removedAt: parts.clock.now(),
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
  insertUpload(
    parts,
    ownOf(trx),
    {
      ...where,
      memberId: siteMember,
      kind: 'direct',
      identity,
      declaredSizeBytes: undefined,
      coverage: identity.sizeBytes > 0 ? [[0, identity.sizeBytes]] : [],
      closed: true,
      state: 'settling',
      reason: undefined,
    },
    'server',
  );
  return true;
}

/** Is what lies there something else than what the newest row speaks of, and that row is done with? */
async function isForeign(
  trx: Transaction<Database>,
  known: UploadRecord,
  found: Identity,
): Promise<boolean> {
  const jobs = await jobsOf(trx, known.id);
  if (jobs.some((job) => beforeClaim.has(job.state) || job.state === 'processing')) return false;
  return (
    known.rawRemovedAt !== null ||
    known.inode !== found.inode ||
    known.sizeBytes !== found.sizeBytes ||
    known.modifiedMs !== Math.floor(found.modifiedMs)
  );
}
