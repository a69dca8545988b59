// Everything that ever happened to one file, for `clubhouse trace`: its generations, its jobs, and each audit entry that
// speaks of them.

import type { Kysely } from 'kysely';
import type { AuditLog, AuditRow } from './audit.ts';
import { deliveryOf } from './delivery-of.ts';
import type { JobDelivery } from '../../flow/ports/jobs.ts';
import { sql } from './kysely.ts';
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
  const path = file.replace(/^\/home\//, '').replace(/^\/+/, '');
  const ending = `%/${path.replace(/[\\%_]/g, '\\$&')}`;
  const matches = await db
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
  const ids = matches.map((row) => row.id);
  if (ids.length === 0) return { uploads: [], jobs: [], deliveries: [], entries: [] };
  const uploads = await db
    .selectFrom('upload')
    .select(['id', 'path', 'generation', 'sizeBytes as bytes', 'sha256', 'createdAt'])
    .select('rawRemovedAt')
    .where('id', 'in', ids)
    .orderBy('path')
    .orderBy('generation')
    .execute();
  const jobs = await db
    .selectFrom('job')
    .select(['id', 'uploadId', 'partner', 'state', 'reason', 'output', 'publishedAt'])
    .select('deliveredAt')
    .where('uploadId', 'in', ids)
    .orderBy('createdAt')
    .orderBy('partner')
    .execute();
  const records = await db
    .selectFrom('job')
    .select(['id', 'projectId', 'partner', 'output', 'outputSha256'])
    .where('uploadId', 'in', ids)
    .orderBy('createdAt')
    .orderBy('partner')
    .execute();
  const arrivals: (JobDelivery & { readonly jobId: string })[] = [];
  for (const record of records) {
    const delivery = await deliveryOf(db, record);
    if (delivery !== null) arrivals.push({ jobId: record.id, ...delivery });
  }
  const jobIds = jobs.map((job) => job.id);
  const deliveries = await db
    .selectFrom('delivery')
    .select('id')
    .where('jobId', 'in', jobIds)
    .execute();
  const objects = [...ids, ...jobIds, ...deliveries.map((row) => row.id)];
  const entries: AuditRow[] = [];
  for (const object of objects) entries.push(...(await audit.list(db, { object })));
  return {
    uploads: uploads.map((row) => ({ ...row, path: `/home/${row.path}` })),
    jobs,
    deliveries: arrivals,
    entries: entries.sort((a, b) => a.seq - b.seq),
  };
}
