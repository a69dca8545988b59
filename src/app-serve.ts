// Builds and runs the server of one instance: SFTP, intake, workers, replication. Part of the composition root, see app.ts.

import { randomUUID } from 'node:crypto';
import { needSoundKeys } from './adapters/examine.ts';
import { createLog } from './adapters/log.ts';
import { takeServeLock } from './adapters/serve-lock.ts';
import type { ServerLimits } from './adapters/sftp-server/limits.ts';
import { createSftpServer, type SftpServer } from './adapters/sftp-server/listen.ts';
import { createAccounts } from './adapters/sql/accounts.ts';
import { createJobStore } from './adapters/sql/jobs.ts';
import { createReceiptStore } from './adapters/sql/receipts.ts';
import { createArrivals, createUnreadRoots } from './adapters/sql/upkeep.ts';
import { createUploadStore } from './adapters/sql/uploads.ts';
import { createStorage } from './adapters/storage.ts';
import { removeDeadParts } from './adapters/whole-file.ts';
import { createWorkerPool } from './adapters/worker-pool/pool.ts';
import { hostKeysOf, limitsOf, openBase, type Base } from './app-base.ts';
import { crosswalkOf, endDead, isRunning, replicatorParts } from './app-replication.ts';
import type { Config } from './config.ts';
import { AppError, codeOf } from './core/errors.ts';
import { instancePaths } from './core/instance.ts';
import { createProjectFacts } from './flow/admin/facts.ts';
import { serverOwner } from './flow/dead-holders.ts';
import { createGate } from './flow/gate.ts';
import { createIntake } from './flow/intake.ts';
import { createKeyWatch } from './flow/key-watch.ts';
import type { Log } from './flow/ports/clock.ts';
import type { Intake } from './flow/ports/intake.ts';
import type { Processor } from './flow/ports/processing.ts';
import type { Storage } from './flow/ports/storage.ts';
import { createReplicator } from './flow/replicate.ts';
import { createRoom } from './flow/room.ts';
import { createWorker, type Worker } from './flow/worker.ts';

export interface RunningServer {
  readonly host: string;
  readonly port: number;
  readonly hostKeys: readonly string[];
  readonly log: Log;
  /** Ends sessions, gives back what is in work, closes the database. */
  stop(): Promise<void>;
}

/**
 * Serves the instance in `home`: puts right what a crash left, then listens. Throws CONFIG_INVALID, or BUSY when another
 * process serves it or has the port.
 */
export async function serve(home: string): Promise<RunningServer> {
  const undo: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        // What cannot end in order must not keep the rest from it; it is told when all is done.
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    return { ...(await startAll(home, undo)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Each thing that starts puts how it ends on `undo`; the last one that started ends first. */
async function startAll(
  home: string,
  undo: (() => Promise<void> | void)[],
): Promise<Omit<RunningServer, 'stop'>> {
  const base = await openBase(home, 'server');
  undo.push(() => base.database.close());
  const lock = takeServeLock(instancePaths(home).serveLock);
  // The lock goes last of all, when nothing of this process touches the instance any more.
  undo.unshift(() => lock.release());
  const { config, paths, database, audit } = base;
  await needSoundKeys(paths);
  // Another master key would give every patient a second code.
  if (!(await audit.isOurs(database.db))) {
    throw new AppError('CONFIG_INVALID', {
      detail:
        'keys/master.key is not the key that data/state/clubhouse.db was written with; restore the right one',
    });
  }
  const log = createLog(config.log.level);
  const living = { now: base.parts.clock.now(), isRunning };
  await removeDeadParts([paths.keys, paths.profiles], living, (errno) =>
    log.warn({ errno }, 'what a killed process left could not be removed'),
  );
  undo.push(anchorEverySecond(base, log));
  const storage = await createStorage({ home: paths.tree, spool: paths.spool });
  undo.push(() => storage.close());
  const processor = createWorkerPool({
    crosswalk: crosswalkOf(base),
    width: config.workers,
    stallMs: config.limits.stall,
  });
  undo.push(() => processor.stop());
  const replication = replicatorParts(base, {
    storage,
    log,
    owner: `${serverOwner}${randomUUID()}`,
  });
  // A killed server's passes would keep ours waiting until their leases run out. This one has none yet.
  await endDead(replication.leases, false);
  const replicator = createReplicator(replication);
  const { worker, intake } = flowOf(base, { storage, processor, log });
  await worker.start();
  undo.push(() => worker.stop());
  const server = sftpOf(base, { storage, intake, log });
  const { port } = await server.listen();
  undo.push(() => server.close());
  replicator.start();
  undo.push(() => replicator.stop());
  return { host: config.listen.host, port, hostKeys: await hostKeysOf(paths), log };
}

/** So that at most a second of the trail could be cut off by who knows an older end of it. Answers how to stop. */
function anchorEverySecond({ anchor }: Base, log: Log): () => Promise<void> {
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running
      .then(() => anchor.move())
      .catch((error: unknown) => log.warn({ code: codeOf(error) }, 'keys/audit.head not written'));
  }, 1000);
  return () => {
    clearInterval(timer);
    return running;
  };
}

function flowOf(
  { config, database, audit, secrets, parts }: Base,
  { storage, processor, log }: { storage: Storage; processor: Processor; log: Log },
): { worker: Worker; intake: Intake } {
  const { db } = database;
  const dataVersion = (): number => database.dataVersion();
  const { clock } = parts;
  const store = { db, audit, clock };
  const shared = {
    uploads: createUploadStore(store),
    arrivals: createArrivals(db),
    storage,
    gate: createGate(),
    room: createRoom({ storage, clock, log, keepFreeBytes: config.storage.keepFree }),
    clock,
    log,
    settleMs: config.intake.settle,
  };
  const worker = createWorker({
    ...shared,
    jobs: createJobStore(store),
    receipts: createReceiptStore(db),
    unread: createUnreadRoots(store),
    processor,
    facts: createProjectFacts(parts),
    projectKeys: (projectId) => secrets.projectKeys(projectId),
    limits: limitsOf(config),
    site: config.site,
    owner: randomUUID(),
    dataVersion,
    keyWatch: createKeyWatch({ recipients: parts.recipients, clock, log }),
    temporaryNames: config.intake.temporaryNames,
    settings: { partialHoldMs: config.intake.partialHold, retainMs: config.intake.retain },
  });
  return { worker, intake: createIntake(shared) };
}

function sftpOf(
  { config, paths, database, audit, parts }: Base,
  { storage, intake, log }: { storage: Storage; intake: Intake; log: Log },
): SftpServer {
  const { members, projects, passwords, clock } = parts;
  const { db } = database;
  const dataVersion = (): number => database.dataVersion();
  return createSftpServer({
    config: {
      ...config.listen,
      site: config.site,
      hostKeys: paths.hostKeys,
      limits: serverLimitsOf(config),
    },
    accounts: createAccounts({ db, audit, clock, members, projects, passwords, dataVersion }),
    intake,
    storage,
    penalties: parts.penalties,
    log,
    clock,
  });
}

const serverLimitsOf = ({ limits }: Config): Partial<ServerLimits> => ({
  connections: limits.connections,
  connectionsPerUser: limits.connectionsPerUser,
  sessionsPerUser: limits.sessionsPerUser,
  startups: limits.startups,
  strangersPerSource: limits.strangersPerSource,
  loginGraceMs: limits.loginGrace,
  loginAttempts: limits.loginAttempts,
  idleMs: limits.idle,
  exempt: limits.exempt,
  rekeyBytes: limits.rekeyBytes,
  rekeyMs: limits.rekeyAfter,
});
