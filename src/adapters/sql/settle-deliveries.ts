// How deliveries end: many in one transaction, because a commit waits for the disk (synchronous=FULL), and with SQLite the
// whole process waits along; and with a few statements for all of them, because building a query costs more than running it.
// Each caller hears only after the commit that holds its own change.

import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import { isLegalMove } from '../../core/upload.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Delivery, Evidence, Proof } from '../../flow/ports/deliveries.ts';
import type { Lease } from '../../flow/ports/leases.ts';
import type { AuditEntry, AuditLog } from './audit.ts';
import type { Database } from './schema.ts';

export interface SettleParts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
}

export interface Change {
  readonly action: string;
  readonly row: {
    readonly state: 'delivered' | 'failed' | 'conflict' | 'gone';
    /** An error code. */
    readonly reason: string | null;
    readonly dueAt: number | null;
    readonly attempts?: number;
    readonly evidence?: Evidence;
  };
  readonly detail: Readonly<Record<string, unknown>>;
  readonly signed?: Extract<Proof, { evidence: 'receipt' }>;
}

interface Request {
  readonly delivery: Delivery;
  readonly lease: Lease;
  readonly change: Change;
}

interface Waiting extends Request {
  readonly resolve: (isMine: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** As long as one transaction may hold up all others, and below SQLite's limit of variables in a statement. */
const largest = 200;
const receiptsAStatement = 100;
/** What ends within this time shares a commit. */
const gatherMs = 10;

export type Settle = (delivery: Delivery, lease: Lease, change: Change) => Promise<boolean>;

/** False when the row no longer speaks of the content that was sent. LEASE_LOST when the lease is not the caller's any more. */
export function settleTogether(parts: SettleParts): Settle {
  const queue: Waiting[] = [];
  let isRunning = false;
  const drain = async (): Promise<void> => {
    isRunning = true;
    while (queue.length > 0) {
      if (queue.length < largest) await new Promise((resolve) => setTimeout(resolve, gatherMs));
      const [first] = queue;
      // One lease a transaction: what is refused to one holder must not touch another's.
      const group = queue.filter(({ lease }) => isSame(lease, first?.lease)).slice(0, largest);
      for (const one of group) queue.splice(queue.indexOf(one), 1);
      await commit(parts, group);
    }
    isRunning = false;
  };
  return (delivery, lease, change) =>
    new Promise((resolve, reject) => {
      queue.push({ delivery, lease, change, resolve, reject });
      if (!isRunning) void drain();
    });
}

const isSame = (a: Lease, b: Lease | undefined): boolean =>
  a.name === b?.name && a.owner === b.owner && a.fence === b.fence;

/** Never rejects: each caller is told by its own promise. */
async function commit(parts: SettleParts, group: readonly Waiting[]): Promise<void> {
  try {
    const mine = await parts.db.transaction().execute((trx) => settleAll(parts, trx, group));
    for (const { delivery, resolve } of group) resolve(mine.has(delivery.id));
  } catch (error) {
    for (const { reject } of group) reject(error);
  }
}

/** Ids of those whose row still speaks of what was sent. */
async function settleAll(
  { audit, clock }: SettleParts,
  trx: Transaction<Database>,
  group: readonly Request[],
): Promise<ReadonlySet<string>> {
  const now = clock.now();
  const [first] = group;
  if (first !== undefined) await assertHeld(trx, first.lease);
  const before = new Map(
    (
      await trx
        .selectFrom('delivery')
        .select(['id', 'state', 'reason', 'jobId', 'sha256'])
        .where(
          'id',
          'in',
          group.map(({ delivery }) => delivery.id),
        )
        .execute()
    ).map((row) => [row.id, row]),
  );
  const mine = new Set<string>();
  const changed: Request[] = [];
  const told: { readonly jobId: string; readonly isDelivered: boolean }[] = [];
  const entries: AuditEntry[] = [];
  for (const one of group) {
    const row = before.get(one.delivery.id);
    if (row === undefined || row.sha256 !== one.delivery.sha256) continue;
    // What was proven at the partner stays so, whatever went wrong here afterwards.
    if (row.state === 'delivered') {
      if (one.change.row.state === 'delivered') mine.add(row.id);
      continue;
    }
    mine.add(row.id);
    changed.push(one);
    // The same trouble once more: no further line in audit and receipt.
    if (row.state === one.change.row.state && row.reason === one.change.row.reason) continue;
    const isDelivered = one.change.row.state === 'delivered';
    if (row.jobId !== null) told.push({ jobId: row.jobId, isDelivered });
    entries.push({
      actor: 'server',
      action: one.change.action,
      object: row.jobId ?? row.id,
      detail: { delivery: row.id, partner: one.delivery.partner, ...one.change.detail },
    });
  }
  for (const same of alike(changed)) await updateRows(trx, same, now);
  await keepReceipts(trx, changed, now);
  await tellJobs(trx, told, now);
  await audit.appendAll(trx, entries);
  return mine;
}

/** Those that get the very same values, together. */
function alike(changed: readonly Request[]): readonly (readonly Request[])[] {
  const groups = new Map<string, Request[]>();
  for (const one of changed) {
    const key = JSON.stringify(one.change.row);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return [...groups.values()];
}

async function updateRows(
  trx: Transaction<Database>,
  same: readonly Request[],
  now: number,
): Promise<void> {
  const row = same[0]?.change.row;
  if (row === undefined) return;
  await trx
    .updateTable('delivery')
    .set({ ...row, updatedAt: now, ...(row.state === 'delivered' ? { deliveredAt: now } : {}) })
    .where(
      'id',
      'in',
      same.map(({ delivery }) => delivery.id),
    )
    .execute();
}

async function keepReceipts(
  trx: Transaction<Database>,
  changed: readonly Request[],
  now: number,
): Promise<void> {
  const rows = changed.flatMap(({ delivery, change: { signed } }) => {
    if (signed === undefined) return [];
    const { statement, signature } = signed.receipt;
    const signed64 = Buffer.from(signature).toString('base64');
    const { id: deliveryId, sha256 } = delivery;
    return [
      {
        deliveryId,
        sha256,
        statement,
        signature: signed64,
        hostKey: signed.hostKey,
        createdAt: now,
      },
    ];
  });
  for (let at = 0; at < rows.length; at += receiptsAStatement) {
    await trx
      .insertInto('delivery_receipt')
      .values(rows.slice(at, at + receiptsAStatement))
      .onConflict((conflict) => conflict.columns(['deliveryId', 'sha256']).doNothing())
      .execute();
  }
}

async function tellJobs(
  trx: Transaction<Database>,
  told: readonly { readonly jobId: string; readonly isDelivered: boolean }[],
  now: number,
): Promise<void> {
  if (told.length === 0) return;
  const delivered = new Set(told.filter((one) => one.isDelivered).map(({ jobId }) => jobId));
  const jobs = await trx
    .selectFrom('job')
    .select(['id', 'state', 'uploadId'])
    .where(
      'id',
      'in',
      told.map(({ jobId }) => jobId),
    )
    .execute();
  // A job that a newer generation superseded meanwhile stays superseded.
  const arrived = jobs.filter(
    ({ id, state }) => delivered.has(id) && isLegalMove(state, 'delivered'),
  );
  if (arrived.length > 0) {
    await trx
      .updateTable('job')
      .set({ state: 'delivered', deliveredAt: now, updatedAt: now })
      .where(
        'id',
        'in',
        arrived.map(({ id }) => id),
      )
      .execute();
  }
  await trx
    .updateTable('upload')
    .set({ receiptDue: 1, updatedAt: now })
    .where(
      'id',
      'in',
      jobs.map(({ uploadId }) => uploadId),
    )
    .execute();
}

async function assertHeld(trx: Transaction<Database>, lease: Lease): Promise<void> {
  const row = await trx
    .selectFrom('lease')
    .select('fence')
    .where('name', '=', lease.name)
    .where('owner', '=', lease.owner)
    .where('fence', '=', lease.fence)
    .executeTakeFirst();
  if (row === undefined) throw new AppError('LEASE_LOST', { detail: lease.name });
}
