// What the intake, the settling and the sweep ask about uploads. Read only.

import type { Kysely } from 'kysely';
import { sharedFolder } from '../../core/tree.ts';
import { uploadStates, type UploadState } from '../../core/upload.ts';
import type { Upload, UploadStore } from '../../flow/ports/jobs.ts';
import { toUpload, type UploadRecord } from './moves.ts';
import { sql } from './kysely.ts';
import { freeOwn } from './at-once.ts';
import type { FreshUploads } from './fresh-uploads.ts';
import { prepared } from './prepared.ts';
import type { Database } from './schema.ts';

type Queries = Pick<
  UploadStore,
  | 'latest'
  | 'below'
  | 'find'
  | 'dueSettling'
  | 'quiet'
  | 'abandoned'
  | 'retained'
  | 'uploading'
  | 'hidden'
  | 'intakes'
  | 'outgoings'
>;

export function uploadQueries(db: Kysely<Database>, fresh: Pick<FreshUploads, 'has'>): Queries {
  return {
    latest: async (path, memberId) => {
      // Asked for each new file. Where no rows are to be made for this path, those of others need not be made for it.
      const own = memberId === undefined || fresh.has(path) ? undefined : freeOwn(db);
      const isNew = own !== undefined && anyAtPath.now(own, { path }).length === 0;
      return isNew ? undefined : latest(db, path, memberId);
    },
    below: (folder) => below(db, folder),
    find: async (id) => {
      const row = await db.selectFrom('upload').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? undefined : (await withStates(db, [row]))[0];
    },
    dueSettling: (now, latest, limit) => dueSettling(db, now, latest, limit),
    quiet: (before, limit) => partials(db, before, limit, true),
    abandoned: (before, limit) => partials(db, before, limit, false),
    retained: (before, after, limit) => retained(db, before, after, limit),
    uploading: () => withState(db, 'uploading'),
    hidden: (memberId, folder, among) => hidden(db, memberId, folder, among),
    intakes: () => intakes(db),
    outgoings: (site) => outgoings(db, site),
  };
}

/** Two questions instead of one with an `or`, for which SQLite would sort all that are due. */
async function dueSettling(
  db: Kysely<Database>,
  now: number,
  latest: number,
  limit: number,
): Promise<readonly Upload[]> {
  const inOrder = db
    .selectFrom('upload')
    .selectAll()
    .where('settleAt', 'is not', null)
    .orderBy('settleAt')
    .limit(limit);
  const due = await inOrder.where('settleAt', '<=', now).execute();
  if (due.length === limit) return withStates(db, await inTurns(db, now, limit));
  const far = await inOrder.where('settleAt', '>', latest).execute();
  return withStates(db, [...due, ...far]);
}

/** Where more are due than are asked for: the first of each member, then the second, so that no crowd keeps another waiting. */
const inTurns = (
  db: Kysely<Database>,
  now: number,
  limit: number,
): Promise<readonly UploadRecord[]> =>
  db
    .with('turn', (query) =>
      query
        .selectFrom('upload')
        .select('id as upload')
        .select((select) =>
          select.fn
            .agg<number>('row_number')
            .over((over) => over.partitionBy('memberId').orderBy('settleAt').orderBy('id'))
            .as('nth'),
        )
        .where('settleAt', 'is not', null)
        .where('settleAt', '<=', now),
    )
    .selectFrom('turn')
    .innerJoin('upload', 'upload.id', 'turn.upload')
    .selectAll('upload')
    .orderBy('turn.nth')
    .orderBy('upload.settleAt')
    .limit(limit)
    .execute();

/** The rows with the states of their jobs, in the order given. In pieces, for the cap on a statement's parameters. */
async function withStates(
  db: Kysely<Database>,
  rows: readonly UploadRecord[],
): Promise<readonly Upload[]> {
  const states = new Map<string, UploadState[]>();
  for (let from = 0; from < rows.length; from += 500) {
    const ids = rows.slice(from, from + 500).map((row) => row.id);
    const jobs = await db
      .selectFrom('job')
      .select(['uploadId', 'state'])
      .where('uploadId', 'in', ids)
      .orderBy('partner')
      .execute();
    for (const { uploadId, state } of jobs) {
      states.set(uploadId, [...(states.get(uploadId) ?? []), state]);
    }
  }
  return rows.map((row) => toUpload(row, states.get(row.id) ?? []));
}

const isOver = (upload: Upload): boolean =>
  upload.states.length > 0 && upload.states.every((state) => state === 'withdrawn');

const fewAtOnce = 4;

/** With a limit that is no parameter, see new-uploads. */
const newestFirst = (db: Kysely<Database>, path: string) =>
  db
    .selectFrom('upload')
    .selectAll()
    .where('path', '=', path)
    .orderBy('generation', 'desc')
    .limit(sql.lit(fewAtOnce));

const atPath = prepared<{ path: string }, UploadRecord>((db, value) =>
  newestFirst(db, value('path')),
);

const atPathOf = prepared<{ path: string; memberId: string }, UploadRecord>((db, value) =>
  newestFirst(db, value('path')).where('memberId', '=', value('memberId')),
);

const anyAtPath = prepared<{ path: string }, { id: string }>((db, value) =>
  db.selectFrom('upload').select('id').where('path', '=', value('path')).limit(sql.lit(1)),
);

async function latest(
  db: Kysely<Database>,
  path: string,
  memberId: string | undefined,
): Promise<Upload | undefined> {
  const newest =
    memberId === undefined ? await atPath(db, { path }) : await atPathOf(db, { path, memberId });
  // Few paths were given up more often than that.
  for (let rows = newest, seen = 0; ;) {
    const found = (await withStates(db, rows)).find((upload) => !isOver(upload));
    if (found !== undefined || rows.length < fewAtOnce) return found;
    seen += rows.length;
    rows = await newestFirst(db, path)
      .$if(memberId !== undefined, (query) => query.where('memberId', '=', memberId ?? ''))
      .offset(seen)
      .execute();
  }
}

/** Paths below a folder lie between `folder/` and `folder0`, the next character: an index range, with nothing to escape. */
async function below(db: Kysely<Database>, folder: string): Promise<readonly Upload[]> {
  const rows = await db
    .selectFrom('upload')
    .selectAll()
    .where('path', '>', `${folder}/`)
    .where('path', '<', `${folder}0`)
    .where('rawRemovedAt', 'is', null)
    .orderBy('path')
    .orderBy('generation')
    .execute();
  const newest = new Map<string, Upload>();
  for (const upload of await withStates(db, rows)) {
    if (!isOver(upload)) newest.set(`${upload.memberId}:${upload.path}`, upload);
  }
  return [...newest.values()];
}

const withState = async (db: Kysely<Database>, state: UploadState): Promise<readonly Upload[]> =>
  withStates(
    db,
    await db
      .selectFrom('upload')
      .selectAll()
      .where('id', 'in', (query) =>
        query.selectFrom('job').select('uploadId').where('state', '=', state),
      )
      .orderBy('id')
      .execute(),
  );

const partials = async (
  db: Kysely<Database>,
  before: number,
  limit: number,
  isQuiet: boolean,
): Promise<readonly Upload[]> =>
  withStates(
    db,
    await db
      .selectFrom('upload')
      .selectAll()
      .where('id', 'in', (query) =>
        query
          .selectFrom('job')
          .select('uploadId')
          .where('state', '=', 'partial')
          .$if(isQuiet, (q) =>
            q.where('reason', 'in', ['disconnected', 'refused']).where('attempts', '=', 0),
          ),
      )
      // Those with holes never settle by themselves: they must not fill the batch before those that do.
      .$if(isQuiet, (q) => q.where('coverage', '=', oneRange))
      .where('touchedAt', '<=', before)
      .where('rawRemovedAt', 'is', null)
      .orderBy('touchedAt')
      .orderBy('id')
      .limit(limit)
      .execute(),
  );

/** As core/coverage's JSON has it: one run from the start to the end of the file. */
const oneRange = sql<string>`'[[0,' || cast("sizeBytes" as text) || ']]'`;

/** Those of projects under a legal hold stay. */
const retained = async (
  db: Kysely<Database>,
  before: number,
  after: { readonly createdAt: number; readonly id: string },
  limit: number,
): Promise<readonly Upload[]> =>
  withStates(
    db,
    await db
      .selectFrom('upload')
      .selectAll()
      .where('kind', '=', 'intake')
      .where('rawRemovedAt', 'is', null)
      .where('claim', 'is', null)
      // What came later cannot have been delivered before. This makes it a walk along an index, from where the last one ended.
      .where('createdAt', '<=', before)
      .where((where) =>
        where.or([
          where('createdAt', '>', after.createdAt),
          where.and([where('createdAt', '=', after.createdAt), where('id', '>', after.id)]),
        ]),
      )
      .where('projectId', 'not in', (query) =>
        query.selectFrom('project').select('id').where('holdReason', 'is not', null),
      )
      .where((where) =>
        where.exists(
          where
            .selectFrom('job')
            .select('job.id')
            .whereRef('job.uploadId', '=', 'upload.id')
            .where('job.state', '=', 'delivered')
            .where('job.deliveredAt', '<=', before),
        ),
      )
      .where((where) =>
        where.not(
          where.exists(
            where
              .selectFrom('job')
              .select('job.id')
              .whereRef('job.uploadId', '=', 'upload.id')
              .where((other) =>
                other.or([
                  other('job.state', '<>', 'delivered'),
                  other('job.deliveredAt', '>', before),
                ]),
              ),
          ),
        ),
      )
      .orderBy('createdAt')
      .orderBy('id')
      .limit(limit)
      .execute(),
  );

/**
 * Asked for each look at the outgoing folder, so it begins at the few jobs that are not through, whatever lies there; or at the
 * few paths that are asked for, however many are not through.
 */
async function hidden(
  db: Kysely<Database>,
  memberId: string,
  folder: string,
  among: readonly string[] | undefined,
): Promise<ReadonlySet<string>> {
  if (among?.length === 1) {
    const [path = ''] = among;
    return new Set((await isHidden(db, { memberId, path })).map((row) => row.path));
  }
  const all = notSeen(db, memberId);
  const rows = await (
    among === undefined
      ? all.where('upload.path', '>', `${folder}/`).where('upload.path', '<', `${folder}0`)
      : all.where('upload.path', 'in', among)
  ).execute();
  const inFolder = rows.filter(({ path }) => !path.slice(folder.length + 1).includes('/'));
  return new Set(inFolder.map(({ path }) => path));
}

const isHidden = prepared<{ memberId: string; path: string }, { path: string }>((db, value) =>
  notSeen(db, value('memberId')).where('upload.path', '=', value('path')),
);

const notSeen = (db: Kysely<Database>, memberId: string) =>
  db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select('upload.path')
    .where('job.state', 'in', notThrough)
    .where('upload.kind', '=', 'direct')
    .where('upload.memberId', '<>', memberId)
    .where('upload.rawRemovedAt', 'is', null)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('upload as newer')
            .innerJoin('job as other', 'other.uploadId', 'newer.id')
            .select('newer.id')
            .whereRef('newer.path', '=', 'upload.path')
            .whereRef('newer.generation', '>', 'upload.generation')
            .where('newer.kind', '=', 'direct')
            .where('newer.rawRemovedAt', 'is', null)
            .where('other.state', '<>', 'withdrawn'),
        ),
      ),
    )
    .distinct();

/** Nobody has said yet that others may see the file, or somebody has said that they may not. */
const notThrough = uploadStates.filter(
  (state) => !['published', 'delivered', 'withdrawn', 'superseded'].includes(state),
);

async function intakes(
  db: Kysely<Database>,
): Promise<{ projectId: string; memberId: string; folder: string }[]> {
  // Also those of members who were taken out of the project: what they uploaded before goes on.
  const owed = db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.memberId', 'job.projectId'])
    .where('upload.kind', '=', 'intake')
    .where('job.state', 'in', notThrough);
  const rows = await db
    .selectFrom(db.selectFrom('membership').selectAll().union(owed).as('intake'))
    .innerJoin('member', 'member.id', 'intake.memberId')
    .innerJoin('project', 'project.id', 'intake.projectId')
    .select(['project.id as projectId', 'project.name as project'])
    .select(['member.id as memberId', 'member.name as member'])
    .where('member.state', '<>', 'removed')
    .where('project.state', '=', 'active')
    .orderBy('project.name')
    .orderBy('member.name')
    .execute();
  return rows.map(({ projectId, memberId, project, member }) => ({
    projectId,
    memberId,
    folder: `ji_${project}/${member}/gpg`,
  }));
}

async function outgoings(
  db: Kysely<Database>,
  site: string,
): Promise<{ projectId: string; partner: string; folder: string }[]> {
  const rows = await db
    .selectFrom('project_partner')
    .innerJoin('project', 'project.id', 'project_partner.projectId')
    .select(['project.id as projectId', 'project.name as project', 'project_partner.partner'])
    .where('project.state', '=', 'active')
    .orderBy('project.name')
    .orderBy('project_partner.partner')
    .execute();
  return rows.map(({ projectId, project, partner }) => ({
    projectId,
    partner,
    folder: sharedFolder(project, site, partner),
  }));
}
