// The audit trail: one row for each thing that mattered, in the same transaction as the thing itself, chained by a keyed
// hash so that a changed, removed or moved row shows (`clubhouse audit verify`). Where the chain ends stands in a sealed row of
// its own, so that a cut tail shows too; and in a sealed file outside of the database (adapters/audit-anchor.ts), so that a
// database that was put back to an earlier state shows.

import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import { oneOf } from './kysely.ts';
import { ownOf, type Own } from './at-once.ts';
import { insertion, prepared } from './prepared.ts';
import type { AuditTable, Database } from './schema.ts';

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

/** How far the trail reached at some time: the number and the chained hash of an entry. 0 and '' before the first. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** What does not fit, and from which entry on. */
export interface AuditFault {
  readonly seq: number;
  readonly text: string;
}

const emptyHead: AuditHead = { seq: 0, hash: '' };

const isSameHead = (a: AuditHead, b: AuditHead): boolean => a.seq === b.seq && a.hash === b.hash;

const newestSeq = prepared<Record<string, never>, { readonly seq: number | null }>((db) =>
  db.selectFrom('audit').select(({ fn }) => fn.max<number | null>('seq').as('seq')),
);

/** Both at once, where there is a head. */
const headAndNewest = prepared<
  Record<string, never>,
  AuditHead & { readonly newest: number | null }
>((db) =>
  db
    .selectFrom('audit_head')
    .select(['seq', 'hash'])
    .select((query) =>
      query
        .selectFrom('audit')
        .select(({ fn }) => fn.max<number | null>('seq').as('newest'))
        .as('newest'),
    )
    .where('id', '=', 1),
);

const headRow = prepared<Record<string, never>, AuditHead & { readonly mac: string | null }>((db) =>
  db.selectFrom('audit_head').select(['seq', 'hash', 'mac']).where('id', '=', 1),
);

const setHead = prepared<{ seq: number; hash: string; mac: string }, unknown>((db, value) => {
  const head = { seq: value('seq'), hash: value('hash'), mac: value('mac') };
  return db
    .insertInto('audit_head')
    .values({ id: 1, ...head })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(head));
});

const insertEntry = insertion('audit', [
  'seq',
  'at',
  'actor',
  'action',
  'object',
  'detail',
  'hash',
]);

export class AuditLog {
  readonly #key: KeyObject;
  readonly #clock: Clock;
  #hasAppended = false;

  /** `key`: 32 bytes derived from the master key for this purpose alone. */
  constructor(key: Uint8Array, clock: Clock) {
    this.#key = createSecretKey(key);
    this.#clock = clock;
  }

  /** Did this process add an entry, be it that its transaction failed in the end? */
  get hasAppended(): boolean {
    return this.#hasAppended;
  }

  /**
   * Goes on from where the trail is said to end, not from the last row that is there: after a cut the gap stays for ever. A
   * trail that somebody tampered with stops nobody from working; `firstFault` tells of it.
   */
  append(trx: Transaction<Database>, entry: AuditEntry): Promise<void> {
    return this.appendAll(trx, [entry]);
  }

  /** The same for several, in this order. */
  async appendAll(trx: Transaction<Database>, entries: readonly AuditEntry[]): Promise<void> {
    this.appendNow(ownOf(trx), entries);
  }

  /** The same in one go. */
  appendNow(own: Own, entries: readonly AuditEntry[]): void {
    if (entries.length === 0) return;
    let head = this.#end(own);
    for (const entry of entries) {
      const row = this.#next(head, entry);
      insertEntry(own, row);
      head = row;
    }
    this.#moveHead(own, head);
  }

  #end(own: Own): AuditHead {
    this.#hasAppended = true;
    const [there] = headAndNewest.now(own, {});
    const newest = there === undefined ? newestSeq.now(own, {})[0]?.seq : there.newest;
    const last = there ?? emptyHead;
    return { seq: Math.max(last.seq, newest ?? 0), hash: last.hash };
  }

  #next(head: AuditHead, { actor, action, object, detail }: AuditEntry): Selectable<AuditTable> {
    const seq = head.seq + 1;
    const said = JSON.stringify(detail ?? {});
    const row = { seq, at: this.#clock.now(), actor, action, object, detail: said, hash: '' };
    row.hash = this.#chain(head.hash, row);
    return row;
  }

  #moveHead(own: Own, { seq, hash }: AuditHead): void {
    setHead.now(own, { seq, hash, mac: this.#seal('head', { seq, hash }) });
  }

  /** Where the trail ends now, as far as it is committed. */
  async head(db: Kysely<Database>): Promise<AuditHead & { readonly isSealed: boolean }> {
    const stored = await this.#storedHead(db);
    const { seq, hash } = stored ?? emptyHead;
    return { seq, hash, isSealed: stored !== undefined && this.#isSealed(stored, [emptyHead]) };
  }

  async list(
    db: Kysely<Database>,
    filter: { readonly object?: string | readonly string[]; readonly limit?: number } = {},
  ): Promise<readonly AuditRow[]> {
    let query = db.selectFrom('audit').selectAll().orderBy('seq', 'desc');
    const { object } = filter;
    if (object !== undefined) query = query.where('object', 'in', oneOf([object].flat()));
    if (filter.limit !== undefined) query = query.limit(filter.limit);
    const rows = await query.execute();
    return rows.reverse().map(({ hash: _, detail, ...row }) => ({
      ...row,
      detail: JSON.parse(detail) as Record<string, unknown>,
    }));
  }

  /** All, oldest first, with what chains them. The database answers nothing else meanwhile. */
  async *entries(db: Kysely<Database>): AsyncGenerator<AuditRow & { readonly hash: string }> {
    for await (const row of db.selectFrom('audit').selectAll().orderBy('seq').stream(1000)) {
      yield { ...row, detail: JSON.parse(row.detail) as Record<string, unknown> };
    }
  }

  /** Does the trail have this very entry? */
  async passes(db: Kysely<Database>, head: AuditHead): Promise<boolean> {
    const row = await db
      .selectFrom('audit')
      .select('hash')
      .where('seq', '=', head.seq)
      .executeTakeFirst();
    return row?.hash === head.hash;
  }

  /**
   * Looks through the whole trail, beside whoever appends to it. `witnesses`: heads that were read before the call, here or
   * elsewhere, which the trail must go through. Undefined: all fits.
   */
  async firstFault(
    db: Kysely<Database>,
    witnesses: readonly AuditHead[] = [],
  ): Promise<AuditFault | undefined> {
    // Read before the rows: what is appended meanwhile must not look like a fault.
    const stored = await this.#storedHead(db);
    if (stored !== undefined && !this.#isSealed(stored, witnesses)) {
      return { seq: stored.seq, text: 'the seal of the end of the trail is not ours' };
    }
    const awaited = [...(stored === undefined ? [] : [stored]), ...witnesses]
      .filter(({ seq }) => seq > 0)
      .sort((a, b) => a.seq - b.seq);
    let last = emptyHead;
    for await (const row of db.selectFrom('audit').selectAll().orderBy('seq').stream(1000)) {
      if (row.seq !== last.seq + 1) return missing(last);
      if (this.#chain(last.hash, row) !== row.hash) {
        return { seq: row.seq, text: 'an entry was changed, removed or moved' };
      }
      last = { seq: row.seq, hash: row.hash };
      while (awaited[0]?.seq === row.seq) {
        const witness = awaited.shift();
        if (witness !== undefined && !isSameHead(witness, last)) return rewritten(row.seq);
      }
    }
    if (awaited.length > 0) return missing(last);
    const end = await this.head(db);
    return end.seq < last.seq
      ? { seq: end.seq + 1, text: 'there are entries behind the sealed end of the trail' }
      : undefined;
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

  async #storedHead(
    db: Kysely<Database>,
  ): Promise<(AuditHead & { readonly mac: string | null }) | undefined> {
    return (await headRow(db, {}))[0];
  }

  /** A head without a seal comes from the migration, which has no key; from the first entry on there is one. */
  #isSealed(
    stored: AuditHead & { readonly mac: string | null },
    witnesses: readonly AuditHead[],
  ): boolean {
    if (stored.mac === null) return witnesses.length === 0;
    return isSame(stored.mac, this.#seal('head', stored));
  }

  /** For a place outside of the database: `<seq> <hash> <mac>`. */
  sealAnchor(head: AuditHead): string {
    return `${head.seq} ${head.hash === '' ? '-' : head.hash} ${this.#seal('anchor', head)}\n`;
  }

  /** Undefined when the line is not one of ours. */
  openAnchor(line: string): AuditHead | undefined {
    const [, seq, hash, mac] = /^(\d{1,15}) (-|[0-9a-f]{64}) ([0-9a-f]{64})\n$/.exec(line) ?? [];
    if (seq === undefined || hash === undefined || mac === undefined) return undefined;
    const head = { seq: Number(seq), hash: hash === '-' ? '' : hash };
    return isSame(mac, this.#seal('anchor', head)) ? head : undefined;
  }

  #seal(what: 'head' | 'anchor', { seq, hash }: AuditHead): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify({ [what]: [seq, hash] }))
      .digest('hex');
  }
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

const missing = (last: AuditHead): AuditFault => ({
  seq: last.seq + 1,
  text: 'entries are missing',
});

const rewritten = (seq: number): AuditFault => ({
  seq,
  text: 'this is another entry than the one that was witnessed',
});
