// What sends to the partners, and the table of subject codes: wanted by the server and by few commands, so that the others
// need not load it. Part of the composition root, see app.ts.

import { randomUUID } from 'node:crypto';
import { createLog } from './adapters/log.ts';
import { createRemotes } from './adapters/sftp-remote/remote.ts';
import { SqlCrosswalk } from './adapters/sql/crosswalk.ts';
import { createLeases } from './adapters/sql/leases.ts';
import { createOutgoingRows } from './adapters/sql/outgoing.ts';
import { createUploadStore } from './adapters/sql/uploads.ts';
import { createStorage } from './adapters/storage.ts';
import type { Base } from './app-base.ts';
import { createPartnerAdmin } from './flow/admin/partners.ts';
import { createReplicationDesk, type ReplicationDesk } from './flow/admin/replication.ts';
import type { Log } from './flow/ports/clock.ts';
import type { Remotes } from './flow/ports/replication.ts';
import type { Storage } from './flow/ports/storage.ts';
import { createReplicator, type ReplicatorParts } from './flow/replicate.ts';

const remotesOf = ({ paths }: Base): Remotes => createRemotes({ keyPath: paths.replicatorKey });

/** Owners of leases begin with it: only one server runs at a time, so the next one may end what a dead one held. */
export const serverOwner = 'server:';

export function replicatorParts(
  base: Base,
  how: { readonly storage: Storage; readonly log: Log; readonly owner: 'server:' | 'cli:' },
): ReplicatorParts {
  const { storage, log, owner } = how;
  const { config, parts, audit, database } = base;
  const { db } = database;
  const { clock, partners } = parts;
  return {
    site: config.site,
    everyMs: config.replication.every,
    eager: config.replication.eager,
    settleMs: config.intake.settle,
    temporaryNames: config.intake.temporaryNames,
    storage,
    partners,
    deliveries: base.deliveries,
    leases: createLeases(db, clock),
    outgoing: createOutgoingRows(db, clock),
    uploads: createUploadStore({ db, audit, clock }),
    remotes: remotesOf(base),
    owner: `${owner}${randomUUID()}`,
    clock,
    log,
  };
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
        return await work(
          createReplicator(
            replicatorParts(base, { storage, log: createLog('silent'), owner: 'cli:' }),
          ),
        );
      } finally {
        await storage.close();
      }
    },
  });
}
