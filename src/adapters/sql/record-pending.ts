// Makes a file owed to a partner. Apart from the store, because the store of the jobs calls it inside the transaction
// that publishes: a publication without its delivery row cannot exist.

import type { Transaction } from 'kysely';
import { newId } from './new-id.ts';
import type { Database } from './schema.ts';

export interface PendingFile {
  readonly projectId: string;
  readonly partner: string;
  /** Relative to the outgoing folder. */
  readonly path: string;
  readonly jobId: string | null;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: string;
  /** Lower-case hex of what is published under this path. */
  readonly sha256: string;
  readonly now: number;
}

/** How many predecessors of a path are remembered, to tell them from a stranger's file. */
const remembered = 8;

/** Upsert by project, partner and path. What is there with the same content stays as it is, but for its job. */
export async function recordPending(trx: Transaction<Database>, file: PendingFile): Promise<void> {
  const { now, ...facts } = file;
  const old = await trx
    .selectFrom('delivery')
    .select(['id', 'sha256', 'state', 'previousSha256'])
    .where('projectId', '=', file.projectId)
    .where('partner', '=', file.partner)
    .where('path', '=', file.path)
    .executeTakeFirst();
  const fresh = {
    ...facts,
    modifiedMs: Math.floor(file.modifiedMs),
    state: 'pending' as const,
    reason: null,
    attempts: 0,
    dueAt: now,
    evidence: null,
    deliveredAt: null,
    updatedAt: now,
  };
  if (old === undefined) {
    await trx
      .insertInto('delivery')
      .values({ id: newId(), ...fresh, createdAt: now })
      .execute();
    return;
  }
  const isSame = old.sha256 === file.sha256;
  if (isSame && old.state === 'delivered' && file.jobId === null) return;
  const before = [old.sha256, ...(old.previousSha256 ?? '').split(',')].filter(
    (digest): digest is string => digest !== null && digest !== '' && digest !== file.sha256,
  );
  const previousSha256 = before.length === 0 ? null : before.slice(0, remembered).join(',');
  await trx
    .updateTable('delivery')
    .set({ ...fresh, previousSha256 })
    .where('id', '=', old.id)
    .execute();
}
