// A sending site for the tests of replication: a real database and real files, a clock that the test moves.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { v7 as newId } from 'uuid';
import { createLog } from '../../src/adapters/log.ts';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { createDeliveries } from '../../src/adapters/sql/deliveries.ts';
import { createLeases } from '../../src/adapters/sql/leases.ts';
import { createOutgoingRows } from '../../src/adapters/sql/outgoing.ts';
import { createPartners } from '../../src/adapters/sql/partners.ts';
import { recordPending } from '../../src/adapters/sql/record-pending.ts';
import { openSqlite, type OpenDatabase } from '../../src/adapters/sql/sqlite.ts';
import { createStorage } from '../../src/adapters/storage.ts';
import type { Clock } from '../../src/flow/ports/clock.ts';
import type { Remotes } from '../../src/flow/ports/replication.ts';
import type { ReplicatorParts } from '../../src/flow/replicate.ts';
import { digest } from './fake-remote.ts';

/** Stands still until the test moves it; sleeping takes a moment of real time, whatever was asked for. */
export class TestClock implements Clock {
  at = Date.now();

  now(): number {
    return this.at;
  }

  async sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    await sleep(2, undefined, signal === undefined ? {} : { signal });
  }
}

export const everyMs = 300_000;
export const address = { host: 'there', port: 22, user: 'PUHSC', hostKey: 'SHA256:pinned' };
export const projectId = 'p1';
export const outgoing = 'ji_brain/club_house/From_PUHSC_To_UMHS';

export type AdoptedFile = Parameters<ReplicatorParts['uploads']['adoptDirect']>[0];

export class SendingSite {
  readonly clock = new TestClock();
  readonly adopted: AdoptedFile[] = [];
  readonly folder: string;
  readonly database: OpenDatabase;
  readonly parts: ReplicatorParts;
  readonly #close: () => Promise<void>;

  private constructor(
    folder: string,
    database: OpenDatabase,
    made: {
      readonly storage: ReplicatorParts['storage'];
      readonly remotes: Remotes;
      readonly close: () => Promise<void>;
    },
  ) {
    this.folder = folder;
    this.database = database;
    this.#close = made.close;
    this.parts = this.partsOver(database, made.storage, made.remotes);
  }

  static async make(folder: string, remotes: Remotes): Promise<SendingSite> {
    const database = await openSqlite(join(folder, 'clubhouse.db'));
    const storage = await createStorage({
      home: join(folder, 'home'),
      spool: join(folder, 'spool'),
    });
    const close = async (): Promise<void> => {
      await storage.close();
      await database.close();
    };
    const site = new SendingSite(folder, database, { storage, remotes, close });
    await site.#seed();
    return site;
  }

  /** The same stores over another handle of the database, as another process has them. */
  partsOver(
    database: OpenDatabase,
    storage: ReplicatorParts['storage'],
    remotes: Remotes,
  ): ReplicatorParts {
    const { clock } = this;
    const store = { db: database.db, clock, audit: new AuditLog(new Uint8Array(32), clock) };
    return {
      site: 'PUHSC',
      everyMs,
      eager: false,
      timeZone: 'UTC',
      storage,
      deliveries: createDeliveries(store),
      partners: createPartners(store),
      leases: createLeases(database.db, clock),
      outgoing: createOutgoingRows(database.db, clock),
      uploads: {
        adoptDirect: (file) => {
          this.adopted.push(file);
          return Promise.resolve(true);
        },
      },
      remotes,
      temporaryNames: ['*.part'],
      settleMs: 5_000,
      owner: newId(),
      clock,
      log: createLog('silent'),
    };
  }

  async #seed(): Promise<void> {
    const { db } = this.database;
    const createdAt = this.clock.now();
    await db.insertInto('project').values({ id: projectId, name: 'brain', createdAt }).execute();
    await db.insertInto('project_partner').values({ projectId, partner: 'UMHS' }).execute();
    await db.insertInto('member').values({ id: 'm1', name: 'alice', createdAt }).execute();
    await this.parts.partners.add({ code: 'UMHS', address, verify: undefined }, 'cli');
  }

  at(path: string): string {
    return join(this.folder, 'home', outgoing, path);
  }

  async write(path: string, bytes: Uint8Array): Promise<void> {
    await mkdir(dirname(this.at(path)), { recursive: true });
    await writeFile(this.at(path), bytes);
  }

  /** A job whose output lies in the outgoing folder, and, unless told otherwise, its delivery row. */
  async publish(path: string, bytes: Uint8Array, isOwed = true): Promise<string> {
    await this.write(path, bytes);
    const { db } = this.database;
    const now = this.clock.now();
    const jobId = newId();
    const uploadId = newId();
    const sha256 = digest(bytes);
    const own = { projectId, memberId: 'm1', createdAt: now, updatedAt: now };
    await db
      .insertInto('upload')
      .values({
        id: uploadId,
        kind: 'intake',
        path: uploadId,
        generation: 1,
        touchedAt: now,
        ...own,
      })
      .execute();
    await db
      .insertInto('job')
      .values({ id: jobId, uploadId, partner: 'UMHS', state: 'published', output: path, ...own })
      .execute();
    const output = { outputSha256: sha256, outputBytes: bytes.length };
    await db.updateTable('job').set(output).where('id', '=', jobId).execute();
    if (isOwed) await this.owe(path, bytes, jobId);
    return jobId;
  }

  async owe(path: string, bytes: Uint8Array, jobId: string | null): Promise<void> {
    const facts = await this.parts.storage.facts(`${outgoing}/${path}`);
    const row = { projectId, partner: 'UMHS', path, jobId, sizeBytes: bytes.length };
    await this.database.db.transaction().execute((trx) =>
      recordPending(trx, {
        ...row,
        modifiedMs: facts?.modifiedMs ?? 0,
        inode: facts?.inode ?? '',
        sha256: digest(bytes),
        now: this.clock.now(),
      }),
    );
  }

  delivery(path: string) {
    return this.database.db
      .selectFrom('delivery')
      .selectAll()
      .where('path', '=', path)
      .executeTakeFirstOrThrow();
  }

  job(id: string) {
    return this.database.db
      .selectFrom('job')
      .innerJoin('upload', 'upload.id', 'job.uploadId')
      .select(['job.state', 'job.deliveredAt', 'upload.receiptDue'])
      .where('job.id', '=', id)
      .executeTakeFirstOrThrow();
  }

  async actions(): Promise<readonly string[]> {
    const rows = await this.database.db
      .selectFrom('audit')
      .select('action')
      .orderBy('seq')
      .execute();
    return rows.map((row) => row.action).filter((action) => !action.startsWith('partner.add'));
  }

  close(): Promise<void> {
    return this.#close();
  }
}
