// Everything that ever happened to one file, for `clubhouse trace`: its generations, its jobs, and each audit entry that
// speaks of them.

import type { Kysely } from 'kysely';
import type { AuditLog, AuditRow } from './audit.ts';
import { deliveryOf } from './delivery-of.ts';
import type { JobDelivery } from '../../flow/ports/jobs.ts';
import { oneOf, sql } from './kysely.ts';
import type { Database } from './schema.ts';

export interface Trace {
  readonly uploads: readonly {
    readonly id: string;
    /** As the client sees it. */
    readonly path: string;
    readonly generation: number;
    readonly bytes: number;
    readonly sha256: string | null;
    readonly createdAt: number;
    readonly rawRemovedAt: number | null;
  }[];
  readonly jobs: readonly {
    readonly id: string;
    readonly uploadId: string;
    readonly partner: string;
    readonly state: string;
    readonly reason: string | null;
    readonly output: string | null;
    readonly publishedAt: number | null;
    readonly deliveredAt: number | null;
  }[];
  /** Of each job that published something, in the order of `jobs`. */
  readonly deliveries: readonly (JobDelivery & { readonly jobId: string })[];
  readonly entries: readonly AuditRow[];
}

/**
 * `file`: a path as the client sees it, its end (`series/1.dcm`), the name of a published file, or the id of an upload or a
 * job. Empty lists when nothing is known of it.
 */
export async function traceFile(
  db: Kysely<Database>,
  audit: AuditLog,
  file: string,
): Promise<Trace> {
  const ids = await matching(db, file);
  const uploads = await db
    .selectFrom('upload')
    .select(['id', 'path', 'generation', 'sizeBytes as bytes', 'sha256', 'createdAt'])
    .select('rawRemovedAt')
    .where('id', 'in', oneOf(ids))
    .orderBy('path')
    .orderBy('generation')
    .execute();
  const records = await db
    .selectFrom('job')
    .select(['id', 'uploadId', 'partner', 'state', 'reason', 'output', 'publishedAt'])
    .select(['deliveredAt', 'projectId', 'outputSha256'])
    .where('uploadId', 'in', oneOf(ids))
    .orderBy('createdAt')
    .orderBy('partner')
    .execute();
  const deliveries: (JobDelivery & { readonly jobId: string })[] = [];
  for (const record of records) {
    const delivery = await deliveryOf(db, record);
    if (delivery !== null) deliveries.push({ jobId: record.id, ...delivery });
  }
  const jobIds = records.map(({ id }) => id);
  return {
    uploads: uploads.map((row) => ({ ...row, path: `/home/${row.path}` })),
    jobs: records.map(({ projectId: _project, outputSha256: _sha256, ...job }) => job),
    deliveries,
    entries: await entriesOf(db, audit, ids, jobIds),
  };
}

async function matching(db: Kysely<Database>, file: string): Promise<readonly string[]> {
  const path = file.replace(/^\/home\//, '').replace(/^\/+/, '');
  const ending = `%/${path.replace(/[\\%_]/g, '\\$&')}`;
  const rows = await db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select('upload.id')
    .distinct()
    .where((eb) =>
      eb.or([
        eb('upload.path', '=', path),
        eb('upload.id', '=', file),
        eb('job.id', '=', file),
        eb('job.output', '=', path),
        sql<boolean>`upload.path like ${ending} escape '\\'`,
        sql<boolean>`job.output like ${ending} escape '\\'`,
        sql<boolean>`${path} like '%/' || job.output`,
      ]),
    )
    .execute();
  return rows.map(({ id }) => id);
}

async function entriesOf(
  db: Kysely<Database>,
  audit: AuditLog,
  uploadIds: readonly string[],
  jobIds: readonly string[],
): Promise<readonly AuditRow[]> {
  const deliveries = await db
    .selectFrom('delivery')
    .select('id')
    .where('jobId', 'in', oneOf(jobIds))
    .execute();
  const object = [...uploadIds, ...jobIds, ...deliveries.map(({ id }) => id)];
  return await audit.list(db, { object });
}
