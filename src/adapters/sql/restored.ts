// Makes the rows of a restored database fit the files that were restored with it: every file has another inode now, and what
// was being written when the backup was made is not there. Rows say in the end what is really on the disk, so that nothing is
// published or delivered a second time, and what is owed work goes on.

import type { Kysely, Transaction } from 'kysely';
import { sharedFolder } from '../../core/tree.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { AuditLog } from './audit.ts';
import { rankOf } from './moves.ts';
import type { Database } from './schema.ts';

/** What is at a path below data/home, or in spool/claims. */
export interface Disk {
  file(path: string): Promise<{ device: string; inode: string; sizeBytes: number } | undefined>;
  hasClaim(name: string): Promise<boolean>;
}

export interface Restored {
  /** Files that were published and not yet delivered, and are made anew from what the sender uploaded. */
  readonly again: number;
  /** The same, but the upload is not in the backup either: the sender must send it again. */
  readonly lost: number;
}

export interface RestoreTools {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly disk: Disk;
  /** The code of this site. */
  readonly site: string;
}

const pageRows = 1000;

/** One transaction: the database has no other user yet. `about`: for the audit entry. */
export async function fitRows(
  tools: RestoreTools,
  about: Readonly<Record<string, unknown>>,
): Promise<Restored> {
  return tools.db.transaction().execute(async (trx) => {
    // Whoever held a lease is gone.
    await trx.updateTable('lease').set({ until: 0 }).execute();
    await fitUploads(tools, trx);
    await fitDeliveries(tools, trx);
    const result = await fitPublished(tools, trx);
    await tools.audit.append(trx, {
      actor: 'cli',
      action: 'instance.restored',
      object: 'instance',
      detail: { ...about, ...result },
    });
    return result;
  });
}

/** The newest generation of a path owns the file that lies there; older ones have none any more. */
async function fitUploads({ disk }: RestoreTools, trx: Transaction<Database>): Promise<void> {
  for (let after = ''; ;) {
    const rows = await trx
      .selectFrom('upload')
      .select(['id', 'path', 'memberId', 'generation', 'createdAt', 'rawRemovedAt'])
      .select((eb) =>
        eb
          .selectFrom('upload as other')
          .whereRef('other.path', '=', 'upload.path')
          .orderBy('other.createdAt', 'desc')
          .orderBy('other.generation', 'desc')
          .limit(1)
          .select('other.id')
          .as('newest'),
      )
      .where('id', '>', after)
      .orderBy('id')
      .limit(pageRows)
      .execute();
    for (const row of rows) {
      const isOwner = row.newest === row.id && row.rawRemovedAt === null;
      const facts = isOwner ? await disk.file(row.path) : undefined;
      await trx
        .updateTable('upload')
        .set({ device: facts?.device ?? null, inode: facts?.inode ?? null })
        .where('id', '=', row.id)
        .execute();
      after = row.id;
    }
    if (rows.length < pageRows) return;
  }
}

/** The replicator tells a file that it knows by its inode. */
async function fitDeliveries(
  { disk, site }: RestoreTools,
  trx: Transaction<Database>,
): Promise<void> {
  for (let after = ''; ;) {
    const rows = await trx
      .selectFrom('delivery')
      .innerJoin('project', 'project.id', 'delivery.projectId')
      .select(['delivery.id', 'delivery.path', 'delivery.partner', 'project.name as project'])
      .where('delivery.id', '>', after)
      .orderBy('delivery.id')
      .limit(pageRows)
      .execute();
    for (const { id, path, partner, project } of rows) {
      const facts = await disk.file(outgoing(project, site, partner, path));
      const inode = facts?.inode ?? '';
      await trx.updateTable('delivery').set({ inode }).where('id', '=', id).execute();
      after = id;
    }
    if (rows.length < pageRows) return;
  }
}

const outgoing = (project: string, site: string, partner: string, path: string): string =>
  `${sharedFolder(project, site, partner)}/${path}`;

/** What is published must be there until it is delivered; what is not is made anew, or told. */
async function fitPublished(tools: RestoreTools, trx: Transaction<Database>): Promise<Restored> {
  const { audit, clock, disk, site } = tools;
  const rows = await trx
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .innerJoin('project', 'project.id', 'job.projectId')
    .select(['job.id', 'job.uploadId', 'job.partner', 'job.output', 'project.name as project'])
    .select(['upload.kind', 'upload.path', 'upload.inode', 'upload.claim'])
    .where('job.state', '=', 'published')
    .execute();
  let [again, lost] = [0, 0];
  for (const row of rows) {
    const output = outgoing(row.project, site, row.partner, row.output ?? '');
    if (row.output === null || (await disk.file(output)) !== undefined) continue;
    const hasClaim = row.claim !== null && (await disk.hasClaim(row.claim));
    const canBeMade = row.kind === 'intake' && (row.inode !== null || hasClaim);
    const now = clock.now();
    const place = canBeMade
      ? { dueAt: now, rankAt: await rankOf(trx, now, row.uploadId) }
      : { dueAt: null, rankAt: null };
    const state = canBeMade ? 'queued' : 'failed';
    const reason = canBeMade ? null : 'NOT_FOUND';
    await trx
      .updateTable('job')
      .set({ state, reason, ...place, attempts: 0, updatedAt: now })
      .where('id', '=', row.id)
      .execute();
    await audit.append(trx, {
      actor: 'cli',
      action: canBeMade ? 'job.made-anew' : 'job.lost-by-restore',
      object: row.id,
    });
    if (canBeMade) again += 1;
    else lost += 1;
  }
  return { again, lost };
}
