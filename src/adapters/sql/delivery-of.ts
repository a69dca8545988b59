// What is known of the delivery of a job's output: how it stands, how the arrival was proven, and the partner's signed receipt.

import type { Kysely } from 'kysely';
import { armorSshsig } from '../../core/sshsig.ts';
import type { JobDelivery } from '../../flow/ports/jobs.ts';
import type { Database } from './schema.ts';

/** Null while nothing was published. A job that a newer one replaced keeps the receipt of its own content. */
export async function deliveryOf(
  db: Kysely<Database>,
  job: {
    readonly id: string;
    readonly projectId: string;
    readonly partner: string;
    readonly output: string | null;
    readonly outputSha256: string | null;
  },
): Promise<JobDelivery | null> {
  const { projectId, partner, output, outputSha256 } = job;
  if (output === null || outputSha256 === null) return null;
  const row = await db
    .selectFrom('delivery')
    .selectAll()
    .where('projectId', '=', projectId)
    .where('partner', '=', partner)
    .where('path', '=', output)
    .executeTakeFirst();
  if (row === undefined) return null;
  const receipt = await db
    .selectFrom('delivery_receipt')
    .selectAll()
    .where('deliveryId', '=', row.id)
    .where('sha256', '=', outputSha256)
    .executeTakeFirst();
  const isCurrent = row.jobId === job.id;
  if (!isCurrent && receipt === undefined) return null;
  return {
    state: isCurrent ? row.state : 'replaced',
    reason: isCurrent ? row.reason : null,
    evidence: isCurrent ? row.evidence : 'receipt',
    receipt:
      receipt === undefined
        ? null
        : {
            statement: receipt.statement,
            signature: armorSshsig(Buffer.from(receipt.signature, 'base64')),
            hostKey: receipt.hostKey,
          },
  };
}
