// Builds everything: configuration → adapters → flow. With worker-main.ts the only file that sees flow and adapters together.

import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { loadConfig, parseConfig, type Config } from './config.ts';
import { instancePaths, type InstancePaths } from './core/instance.ts';
import { systemClock } from './adapters/clock.ts';
import {
  createInstanceFiles,
  ensureInstanceFolders,
  makeInstance,
} from './adapters/instance-files.ts';
import { fingerprintOfFile, sshKeys } from './adapters/keys.ts';
import { createLog } from './adapters/log.ts';
import { recipientKeys } from './adapters/openpgp/recipient-keys.ts';
import { argonPasswords } from './adapters/passwords.ts';
import { loadSecrets, type Secrets } from './adapters/secrets.ts';
import { isServed } from './adapters/serve-lock.ts';
import { createRemotes } from './adapters/sftp-remote/remote.ts';
import { AuditLog, type AuditRow } from './adapters/sql/audit.ts';
import { createDeliveries } from './adapters/sql/deliveries.ts';
import { createJobDesk } from './adapters/sql/desk.ts';
import { createLeases } from './adapters/sql/leases.ts';
import { SqlMembers } from './adapters/sql/members.ts';
import { createOutgoingRows } from './adapters/sql/outgoing.ts';
import { createPartners } from './adapters/sql/partners.ts';
import { SqlProjects } from './adapters/sql/projects.ts';
import { SqlRecipients } from './adapters/sql/recipients.ts';
import { openSqlite, type OpenDatabase } from './adapters/sql/sqlite.ts';
import { createUploadStore } from './adapters/sql/uploads.ts';
import { createStorage } from './adapters/storage.ts';
import { createMemberAdmin, type MemberAdmin } from './flow/admin/members.ts';
import { createPartnerAdmin, type PartnerAdmin } from './flow/admin/partners.ts';
import type { AdminParts } from './flow/admin/parts.ts';
import { createProfileAdmin, type ProfileAdmin } from './flow/admin/profiles.ts';
import { createProjectAdmin, type ProjectAdmin } from './flow/admin/projects.ts';
import { createRecipientAdmin, type RecipientAdmin } from './flow/admin/recipients.ts';
import { readStatus, type Status } from './flow/admin/status.ts';
import { testPartner, type PartnerTest } from './flow/partner-test.ts';
import type { Log } from './flow/ports/clock.ts';
import type { DeliveryCounts, DeliveryTrouble, PassRow } from './flow/ports/deliveries.ts';
import type { JobDesk } from './flow/ports/jobs.ts';
import type { Remotes } from './flow/ports/replication.ts';
import type { Storage } from './flow/ports/storage.ts';
import { createReplicator, type PassResult, type ReplicatorParts } from './flow/replicate.ts';
import { packageRoot } from './package-root.ts';

export type { MemberView } from './flow/admin/members.ts';
export type { PartnerView } from './flow/admin/partners.ts';
export type { Project, Recipient } from './flow/ports/directory.ts';
export type { AuditRow } from './adapters/sql/audit.ts';

/** The open instance, as commands use it. */
export interface App {
  readonly paths: InstancePaths;
  readonly config: Config;
  readonly projects: ProjectAdmin;
  readonly members: MemberAdmin;
  readonly recipients: RecipientAdmin;
  readonly partners: PartnerAdmin;
  readonly profiles: ProfileAdmin;
  readonly jobs: JobDesk;
  readonly audit: {
    list(filter: {
      readonly object?: string;
      readonly limit?: number;
    }): Promise<readonly AuditRow[]>;
    /** Number of the first entry that does not fit, or undefined. */
    firstBroken(): Promise<number | undefined>;
  };
  readonly replication: ReplicationDesk;
  status(): Promise<Status>;
  /** One line a host key: algorithm's file name and `SHA256:…`. */
  hostKeys(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** Everything that both commands and the server stand on. */
interface Base {
  readonly paths: InstancePaths;
  readonly config: Config;
  readonly secrets: Secrets;
  readonly database: OpenDatabase;
  readonly audit: AuditLog;
  readonly parts: AdminParts;
}

async function openBase(home: string, actor: 'cli' | 'server'): Promise<Base> {
  const clock = systemClock;
  const paths = instancePaths(home);
  const config = await loadConfig(paths.config);
  const secrets = await loadSecrets(paths.masterKey);
  await ensureInstanceFolders(paths);
  const database = await openSqlite(paths.database);
  const { db } = database;
  const audit = new AuditLog(secrets.derive('audit'), clock);
  const tools = { db, audit, clock, actor };
  const parts = {
    site: config.site,
    defaultPartner: config.partner,
    projects: new SqlProjects(tools),
    members: new SqlMembers(tools),
    recipients: new SqlRecipients(tools),
    partners: createPartners({ db, audit, clock }),
    recipientKeys,
    passwords: argonPasswords,
    sshKeys,
    files: createInstanceFiles(paths, join(packageRoot, 'config', 'profiles')),
    clock,
  };
  return { paths, config, secrets, database, audit, parts };
}

/** Opens the instance in `home` for commands, beside a running server or without one. */
export async function openApp(home: string): Promise<App> {
  const base = await openBase(home, 'cli');
  const { paths, config, database, audit, parts } = base;
  const { db } = database;
  const jobs = createJobDesk({ db, audit, clock: parts.clock, site: config.site });
  const deliveries = createDeliveries({ db, audit, clock: parts.clock });
  return {
    paths,
    config,
    projects: createProjectAdmin(parts),
    members: createMemberAdmin(parts),
    recipients: createRecipientAdmin(parts),
    partners: createPartnerAdmin(parts, 'cli'),
    profiles: createProfileAdmin(parts),
    jobs,
    audit: {
      list: (filter) => audit.list(db, filter),
      firstBroken: () => audit.firstBroken(db),
    },
    replication: replicationDesk(base),
    status: () => readStatus(parts, jobs, deliveries, isServed(paths.serveLock)),
    hostKeys: () => hostKeysOf(paths),
    close: () => database.close(),
  };
}

const hostKeysOf = (paths: InstancePaths): Promise<readonly string[]> =>
  Promise.all(
    paths.hostKeys.map(async (path) => {
      const name = basename(path);
      return `${name} ${await fingerprintOfFile(path, `keys/${name}`)}`;
    }),
  );

/** Replication as commands use it, in their own process: a lease keeps it apart from the server's passes. */
export interface ReplicationDesk {
  /** A pass to each partner (or to the named ones) that begins now; ends when all ended. */
  now(partners: readonly string[] | undefined): Promise<readonly PassResult[]>;
  status(): Promise<ReplicationStatus>;
  test(partner: string): Promise<PartnerTest>;
}

export interface ReplicationStatus {
  readonly partners: readonly (DeliveryCounts & { readonly passes: readonly PassRow[] })[];
  readonly troubles: readonly DeliveryTrouble[];
}

function replicationDesk(base: Base): ReplicationDesk {
  const { database, audit, parts, config } = base;
  const deliveries = createDeliveries({ db: database.db, audit, clock: parts.clock });
  const forever = new AbortController().signal;
  return {
    now: async (partners) => {
      const log = createLog('silent');
      const storage = await createStorage({ home: base.paths.tree, spool: base.paths.spool });
      try {
        const replicator = createReplicator(replicatorParts(base, storage, log));
        return await replicator.replicateNow(partners, forever);
      } finally {
        await storage.close();
      }
    },
    status: async () => {
      const counts = await deliveries.counts();
      const partners = await Promise.all(
        counts.map(async (row) => ({ ...row, passes: await deliveries.passes(row.partner, 10) })),
      );
      return { partners, troubles: await deliveries.troubles(100) };
    },
    test: (partner) =>
      testPartner(
        { site: config.site, partners: parts.partners, remotes: remotesOf(base) },
        partner,
        AbortSignal.timeout(60_000),
      ),
  };
}

const remotesOf = ({ paths }: Base): Remotes => createRemotes({ keyPath: paths.replicatorKey });

function replicatorParts(base: Base, storage: Storage, log: Log): ReplicatorParts {
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
    deliveries: createDeliveries({ db, audit, clock }),
    leases: createLeases(db, clock),
    outgoing: createOutgoingRows(db, clock),
    uploads: createUploadStore({ db, audit, clock }),
    remotes: remotesOf(base),
    owner: randomUUID(),
    clock,
    log,
  };
}

/** What `init` asks for; the rest of the configuration is the example's. */
export interface InitRequest {
  readonly site: string;
  readonly partner: string | undefined;
  readonly listen: { readonly host: string; readonly port: number } | undefined;
}

/** Makes a new instance in `home`. Throws CONFLICT when there is one. */
export async function initInstance(
  home: string,
  request: InitRequest,
): Promise<{
  readonly paths: InstancePaths;
  readonly config: Config;
  /** Of the first host key. */
  readonly hostKey: string;
}> {
  const example = await readFile(join(packageRoot, 'config', 'clubhouse.example.yaml'), 'utf8');
  const configText = fillIn(example, request);
  const config = parseConfig(configText);
  const paths = instancePaths(home);
  await makeInstance(paths, { site: request.site, configText });
  await (await openSqlite(paths.database)).close();
  const [hostKeyFile = ''] = paths.hostKeys;
  return { paths, config, hostKey: await fingerprintOfFile(hostKeyFile, 'keys/host_ed25519') };
}

const fillIn = (example: string, { site, partner, listen }: InitRequest): string =>
  example
    .replace(/^site: .*$/m, `site: ${site}`)
    .replace(/^# partner: .*$/m, (line) => (partner === undefined ? line : `partner: ${partner}`))
    .replace(/^( {2}host: ).*$/m, (line, key: string) =>
      listen === undefined ? line : `${key}${JSON.stringify(listen.host)}`,
    )
    .replace(/^( {2}port: ).*$/m, (line, key: string) =>
      listen === undefined ? line : `${key}${listen.port}`,
    );
