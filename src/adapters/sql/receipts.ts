// What the receipts' writer asks for: everything about an upload whose receipt is due.

import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Exclusion } from '../../core/reasons.ts';
import type { ReceiptFacts, ReceiptStore } from '../../flow/ports/jobs.ts';
import { sql } from './kysely.ts';
import type { Database } from './schema.ts';

export const createReceiptStore = (db: Kysely<Database>): ReceiptStore => ({
  due: async (before, limit) => {
    const rows = await db
      .selectFrom('upload')
      .innerJoin('project', 'project.id', 'upload.projectId')
      .innerJoin('member', 'member.id', 'upload.memberId')
      .selectAll('upload')
      .select(['project.name as project', 'member.name as member', 'member.state as memberState'])
      // As a literal, or SQLite does not see that the index of those that are due will do.
      .where('upload.receiptDue', '=', sql.lit(1))
      // Behind the next minute: from before the clock was set back.
      .where((where) =>
        where.or([
          where('upload.updatedAt', '<=', before),
          where('upload.updatedAt', '>', before + 60_000),
        ]),
      )
      .orderBy('upload.updatedAt')
      .orderBy('upload.id')
      .limit(limit)
      .execute();
    const facts: ReceiptFacts[] = [];
    // Generations of one path share a receipt: the newest writes it last, whichever row changed last.
    for (const row of rows.toSorted((a, b) => a.generation - b.generation)) {
      facts.push({
        uploadId: row.id,
        project: row.project,
        member: row.memberState === 'removed' ? undefined : row.member,
        path: row.path,
        kind: row.kind,
        shortId: createHash('sha256')
          .update(`${row.memberId}:${row.uploadKey}`)
          .digest('hex')
          .slice(0, 8),
        sizeBytes: row.sizeBytes,
        createdAt: row.createdAt,
        updatedAt: row.updatedAt,
        sha256: row.sha256 ?? undefined,
        isOvertaken: await hasSuccessor(db, row),
        receipt: row.receipt ?? undefined,
        jobs: await jobFacts(db, row.id),
      });
    }
    return facts;
  },
  written: async (uploadId, name, updatedAt) => {
    await db
      .updateTable('upload')
      .set({ receiptDue: 0, ...(name === undefined ? {} : { receipt: name }) })
      .where('id', '=', uploadId)
      .where('updatedAt', '=', updatedAt)
      .execute();
  },
});

const hasSuccessor = async (
  db: Kysely<Database>,
  row: { memberId: string; uploadKey: string; generation: number },
): Promise<boolean> =>
  (await db
    .selectFrom('upload')
    .select('id')
    .where('memberId', '=', row.memberId)
    .where('uploadKey', '=', row.uploadKey)
    .where('generation', '>', row.generation)
    .where('receipt', 'is not', null)
    .limit(1)
    .executeTakeFirst()) !== undefined;

async function jobFacts(db: Kysely<Database>, uploadId: string): Promise<ReceiptFacts['jobs']> {
  const rows = await db
    .selectFrom('job')
    .leftJoin('delivery', 'delivery.jobId', 'job.id')
    .leftJoin('delivery_receipt', (join) =>
      join
        .onRef('delivery_receipt.deliveryId', '=', 'delivery.id')
        .onRef('delivery_receipt.sha256', '=', 'delivery.sha256'),
    )
    .selectAll('job')
    .select(['delivery.evidence', 'delivery.state as deliveryState'])
    .select(['delivery.reason as deliveryReason', 'delivery_receipt.hostKey as signedBy'])
    .where('job.uploadId', '=', uploadId)
    .orderBy('job.partner')
    .execute();
  return rows.map((row) => ({
    partner: row.partner,
    state: row.state,
    reason: row.reason ?? undefined,
    detail: row.detail ?? undefined,
    exclusions: JSON.parse(row.exclusions) as Exclusion[],
    output: row.output ?? undefined,
    outputBytes: row.outputBytes ?? undefined,
    publishedAt: row.publishedAt ?? undefined,
    deliveredAt: row.deliveredAt ?? undefined,
    evidence: row.evidence ?? undefined,
    signedBy: row.signedBy ?? undefined,
    deliveryReason: row.deliveryReason ?? undefined,
  }));
}
