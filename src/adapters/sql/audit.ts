// The audit trail: one row for each thing that mattered, in the same transaction as the thing itself, chained by a keyed
// hash so that a removed or changed row shows (`clubhouse audit verify`).

import { createHmac } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Database } from './schema.ts';

export interface AuditEntry {
  /** `cli`, `server`, or the id of a member or partner. */
  readonly actor: string;
  /** A noun and a past participle, e.g. `job.published`. */
  readonly action: string;
  /** The id of what it is about. */
  readonly object: string;
  /** Ids, tags, codes, counts. No patient's value, no client's path. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

export interface AuditRow extends Required<AuditEntry> {
  readonly seq: number;
  readonly at: number;
}

export class AuditLog {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  /** `key`: 32 bytes derived from the master key for this purpose alone. */
  constructor(key: Uint8Array, clock: Clock) {
    this.#key = key;
    this.#clock = clock;
  }

  async append(trx: Transaction<Database>, entry: AuditEntry): Promise<void> {
    const last = await trx
      .selectFrom('audit')
      .select('hash')
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    const row = {
      at: this.#clock.now(),
      actor: entry.actor,
      action: entry.action,
      object: entry.object,
      detail: JSON.stringify(entry.detail ?? {}),
    };
    const hash = this.#chain(last?.hash ?? '', row);
    await trx
      .insertInto('audit')
      .values({ ...row, hash })
      .execute();
  }

  async list(
    db: Kysely<Database>,
    filter: { readonly object?: string; readonly limit?: number } = {},
  ): Promise<readonly AuditRow[]> {
    let query = db.selectFrom('audit').selectAll().orderBy('seq', 'desc');
    if (filter.object !== undefined) query = query.where('object', '=', filter.object);
    if (filter.limit !== undefined) query = query.limit(filter.limit);
    const rows = await query.execute();
    return rows.reverse().map(({ hash: _, detail, ...row }) => ({
      ...row,
      detail: JSON.parse(detail) as Record<string, unknown>,
    }));
  }

  /** The sequence number of the first row that does not fit the chain, or undefined when all do. */
  async firstBroken(db: Kysely<Database>): Promise<number | undefined> {
    let previous = '';
    for await (const row of db.selectFrom('audit').selectAll().orderBy('seq').stream(1000)) {
      if (this.#chain(previous, row) !== row.hash) return row.seq;
      previous = row.hash;
    }
    return undefined;
  }

  /** Was the oldest row written with our key? True when there is none. */
  async isOurs(db: Kysely<Database>): Promise<boolean> {
    const row = await db.selectFrom('audit').selectAll().orderBy('seq').limit(1).executeTakeFirst();
    return row === undefined || this.#chain('', row) === row.hash;
  }

  #chain(
    previous: string,
    row: { at: number; actor: string; action: string; object: string; detail: string },
  ): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([previous, row.at, row.actor, row.action, row.object, row.detail]))
      .digest('hex');
  }
}
