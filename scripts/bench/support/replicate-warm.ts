// Our replication in one process, for `bench replicate`: a real database with a job and a delivery for each file, real files,
// and the real replicator. What is asked for is a pass, measured from the login to the last commit.

import { createHash, randomBytes } from 'node:crypto';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { v7 as newId } from 'uuid';
import { systemClock } from '../../../src/adapters/clock.ts';
import { createLog } from '../../../src/adapters/log.ts';
import { createRemotes } from '../../../src/adapters/sftp-remote/remote.ts';
import { AuditLog } from '../../../src/adapters/sql/audit.ts';
import { createDeliveries } from '../../../src/adapters/sql/deliveries.ts';
import { createLeases } from '../../../src/adapters/sql/leases.ts';
import { createOutgoingRows } from '../../../src/adapters/sql/outgoing.ts';
import { createPartners } from '../../../src/adapters/sql/partners.ts';
import { openSqlite, type OpenDatabase } from '../../../src/adapters/sql/sqlite.ts';
import { createStorage } from '../../../src/adapters/storage.ts';
import { sharedFolder } from '../../../src/core/tree.ts';
import type { RemoteAddress } from '../../../src/flow/ports/replication.ts';
import {
  createReplicator,
  type Replicator,
  type ReplicatorParts,
} from '../../../src/flow/replicate.ts';
import { below } from '../../../test/support/below.ts';
import { serveMeasured } from './measure.ts';

export type ReplicateRequest =
  /** Makes the files and the rows; with `send` false the rows say that all was delivered. */
  | { readonly ask: 'prepare'; readonly files: number; readonly bytes: number }
  /** Everything is owed, or nothing is. */
  | { readonly ask: 'owe'; readonly all: boolean }
  /** A pass of the running replicator. Without an address the partner stays where it was. */
  | {
      readonly ask: 'pass';
      readonly address: RemoteAddress;
      /** The partner's `/home`; without it, the real one. */
      readonly root?: string;
      readonly verify: 'hash' | 'size';
      readonly expect: number;
    };

const benchOutgoing = sharedFolder('bench', 'PUHSC', 'UMHS');
const projectId = 'p1';
const [folder = '', keyPath = ''] = process.argv.slice(2);
let root: string | undefined;
const never = new AbortController().signal;
let opened: { readonly database: OpenDatabase; readonly parts: ReplicatorParts } | undefined;
let replicator: Replicator | undefined;

async function open(): Promise<NonNullable<typeof opened>> {
  if (opened !== undefined) return opened;
  const database = await openSqlite(join(folder, 'clubhouse.db'));
  const paths = { home: join(folder, 'home'), spool: join(folder, 'spool') };
  const clock = systemClock;
  const { db } = database;
  const store = { db, clock, audit: new AuditLog(new Uint8Array(32), clock) };
  const real = createRemotes({ keyPath });
  const parts: ReplicatorParts = {
    site: 'PUHSC',
    everyMs: 300_000,
    eager: false,
    timeZone: 'UTC',
    settleMs: 5_000,
    temporaryNames: [],
    storage: await createStorage(paths),
    partners: createPartners(store),
    deliveries: createDeliveries(store),
    leases: createLeases(db, clock),
    outgoing: createOutgoingRows(db, clock),
    uploads: { adoptDirect: () => Promise.resolve(false) },
    remotes: {
      connect: (address, signal) =>
        (root === undefined ? real : below(root, real)).connect(address, signal),
    },
    owner: newId(),
    clock,
    log: createLog('silent'),
  };
  opened = { database, parts };
  return opened;
}

async function prepare(files: number, bytes: number): Promise<void> {
  const { database } = await open();
  const { db } = database;
  const now = Date.now() - 3_600_000;
  await db.insertInto('project').values({ id: projectId, name: 'bench', createdAt: now }).execute();
  await db.insertInto('project_partner').values({ projectId, partner: 'UMHS' }).execute();
  await db.insertInto('member').values({ id: 'm1', name: 'alice', createdAt: now }).execute();
  await db.transaction().execute(async (trx) => {
    for (let n = 0; n < files; n += 1) {
      const path = `gpg-alice/JI-${Math.floor(n / 100)}/CT_1_${n}.dcm.gpg`;
      const full = join(folder, 'home', benchOutgoing, path);
      const content = createHash('sha256');
      await mkdir(dirname(full), { recursive: true });
      if (bytes <= 64 << 20) {
        const data = randomBytes(bytes);
        content.update(data);
        await writeFile(full, data);
      } else {
        const piece = randomBytes(16 << 20);
        await writeFile(full, '');
        for (let at = 0; at < bytes; at += piece.length) {
          content.update(piece);
          await writeFile(full, piece, { flag: 'a' });
        }
      }
      const sha256 = content.digest('hex');
      const facts = await stat(full, { bigint: true });
      const ids = { jobId: newId(), uploadId: newId() };
      const own = { projectId, memberId: 'm1', createdAt: now, updatedAt: now };
      const sizeBytes = Number(facts.size);
      await trx
        .insertInto('upload')
        .values({
          id: ids.uploadId,
          kind: 'intake',
          path: ids.uploadId,
          generation: 1,
          touchedAt: now,
          ...own,
        })
        .execute();
      await trx
        .insertInto('job')
        .values({
          ...own,
          ...{ id: ids.jobId, uploadId: ids.uploadId, partner: 'UMHS', state: 'published' },
          ...{ output: path, outputSha256: sha256, outputBytes: sizeBytes },
        })
        .execute();
      await trx
        .insertInto('delivery')
        .values({
          ...{ id: newId(), projectId, partner: 'UMHS', path, jobId: ids.jobId, sizeBytes, sha256 },
          ...{ modifiedMs: Number(facts.mtimeMs), inode: String(facts.ino), state: 'pending' },
          ...{ dueAt: now, createdAt: now, updatedAt: now },
        })
        .execute();
    }
  });
}

async function owe(all: boolean): Promise<void> {
  const { db } = (await open()).database;
  const [state, job] = all
    ? (['pending', 'published'] as const)
    : (['delivered', 'delivered'] as const);
  await db
    .updateTable('delivery')
    .set({ state, dueAt: all ? 0 : null, attempts: 0 })
    .execute();
  await db.updateTable('job').set({ state: job }).execute();
}

async function pass(request: ReplicateRequest & { ask: 'pass' }): Promise<void> {
  const { parts } = await open();
  root = request.root;
  const known = await parts.partners.find('UMHS');
  const isSame = known?.address?.port === request.address.port && known.verify === request.verify;
  if (!isSame) {
    const { address, verify } = request;
    await parts.partners.add({ code: 'UMHS', address, verify }, 'cli');
  }
  replicator ??= createReplicator(parts);
  const result = await replicator.pass('UMHS', never);
  if (result?.delivered !== request.expect || result.failed > 0) {
    throw new Error(`the pass ended otherwise: ${JSON.stringify(result)} ${String(result?.error)}`);
  }
}

serveMeasured(async (message) => {
  const request = message as ReplicateRequest;
  if (request.ask === 'prepare') await prepare(request.files, request.bytes);
  else if (request.ask === 'owe') await owe(request.all);
  else await pass(request);
});
