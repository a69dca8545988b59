// What sends to the partners, and the table of subject codes: wanted by the server and by few commands, so that the others
// need not load it. Part of the composition root, see app.ts.

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createLog } from './adapters/log.ts';
import { createRemotes } from './adapters/sftp-remote/remote.ts';
import { SqlCrosswalk } from './adapters/sql/crosswalk.ts';
import { createLeases } from './adapters/sql/leases.ts';
import { createOutgoingRows } from './adapters/sql/outgoing.ts';
import { isServed } from './adapters/serve-lock.ts';
import { createUploadStore } from './adapters/sql/uploads.ts';
import { createStorage } from './adapters/storage.ts';
import type { Base } from './app-base.ts';
import { createPartnerAdmin } from './flow/admin/partners.ts';
import { createReplicationDesk, type ReplicationDesk } from './flow/admin/replication.ts';
import { commandOwner, endDeadHolders } from './flow/dead-holders.ts';
import type { Log } from './flow/ports/clock.ts';
import type { Leases } from './flow/ports/leases.ts';
import type { Remotes } from './flow/ports/replication.ts';
import type { Storage } from './flow/ports/storage.ts';
import { createReplicator, type ReplicatorParts } from './flow/replicate.ts';

const remotesOf = ({ paths }: Base): Remotes => createRemotes({ keyPath: paths.replicatorKey });

export function replicatorParts(
  base: Base,
  how: { readonly storage: Storage; readonly log: Log; readonly owner: string },
): ReplicatorParts {
  const { storage, log, owner } = how;
  const { config, parts, audit, database } = base;
  const { db } = database;
  const { clock, partners } = parts;
  return {
    site: config.site,
    everyMs: config.replication.every,
    eager: config.replication.eager,
    timeZone: config.timeZone,
    settleMs: config.intake.settle,
    temporaryNames: config.intake.temporaryNames,
    storage,
    partners,
    deliveries: base.deliveries,
    leases: createLeases(db, clock),
    outgoing: createOutgoingRows(db, clock),
    uploads: createUploadStore({ db, audit, clock }),
    remotes: remotesOf(base),
    owner,
    clock,
    log,
  };
}

/** `isServing`: does a server run, be it this process? */
export const endDead = (leases: Leases, isServing: boolean): Promise<void> =>
  endDeadHolders(leases, { isServing, host: hostname(), isRunning });

/** Of this machine, or of this container. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'; // Another account's process runs too.
  }
}

/** The crosswalk of this instance. */
export const crosswalkOf = ({ database, audit, secrets, parts }: Base): SqlCrosswalk =>
  new SqlCrosswalk({
    db: database.db,
    audit,
    clock: parts.clock,
    sealingKey: secrets.derive('crosswalk'),
    projectKeys: (projectId) => secrets.projectKeys(projectId),
  });

export function replicationDesk(base: Base): ReplicationDesk {
  const { paths, config, parts } = base;
  return createReplicationDesk({
    site: config.site,
    partners: parts.partners,
    allPartners: () => createPartnerAdmin(parts, 'cli').list(),
    deliveries: base.deliveries,
    remotes: remotesOf(base),
    withReplicator: async (work) => {
      const storage = await createStorage({ home: paths.tree, spool: paths.spool });
      try {
        const owner = commandOwner(hostname(), process.pid, randomUUID());
        const log = createLog('silent');
        const needs = replicatorParts(base, { storage, log, owner });
        await endDead(needs.leases, isServed(paths.serveLock));
        return await work(createReplicator(needs));
      } finally {
        await storage.close();
      }
    },
  });
}
