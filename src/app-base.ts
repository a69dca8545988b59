// What commands and the server both stand on: the configuration, the keys, the database and the stores of one instance. Part
// of the composition root, see app.ts. Every command loads this file, so what only some of them need is not imported here.

import { basename, join } from 'node:path';
import { loadConfig, type Config } from './config.ts';
import { instancePaths, type InstancePaths } from './core/instance.ts';
import { createAnchor, type Anchor } from './adapters/audit-anchor.ts';
import { systemClock } from './adapters/clock.ts';
import {
  createInstanceFiles,
  demandOwner,
  ensureInstanceFolders,
} from './adapters/instance-files.ts';
import { fingerprintOfFile, sshKeys } from './adapters/keys.ts';
import { argonPasswords } from './adapters/passwords.ts';
import { loadSecrets, type Secrets } from './adapters/secrets.ts';
import { AuditLog, type AuditFault, type AuditHead } from './adapters/sql/audit.ts';
import { createDeliveries } from './adapters/sql/deliveries.ts';
import { freshUploads } from './adapters/sql/fresh-uploads.ts';
import { SqlMembers } from './adapters/sql/members.ts';
import { createPartners } from './adapters/sql/partners.ts';
import { createPenaltyStore } from './adapters/sql/penalties.ts';
import { SqlProjects } from './adapters/sql/projects.ts';
import { SqlRecipients } from './adapters/sql/recipients.ts';
import { createUnreadRoots } from './adapters/sql/upkeep.ts';
import { openSqlite, type OpenDatabase } from './adapters/sql/sqlite.ts';
import type { AdminParts } from './flow/admin/parts.ts';
import type { Deliveries } from './flow/ports/deliveries.ts';
import type { ProcessLimits } from './flow/ports/processing.ts';
import type { RecipientKeys } from './flow/ports/recipient-keys.ts';
import { packageRoot } from './package-root.ts';

/** openpgp.js takes a quarter of a second to load, which most commands need not pay. */
const recipientKeys: RecipientKeys = {
  inspect: async (file) =>
    (await import('./adapters/openpgp/recipient-keys.ts')).recipientKeys.inspect(file),
  isUsable: async (armored, at) =>
    (await import('./adapters/openpgp/recipient-keys.ts')).recipientKeys.isUsable(armored, at),
};

/** Everything that both commands and the server stand on. */
export interface Base {
  readonly paths: InstancePaths;
  readonly config: Config;
  readonly secrets: Secrets;
  readonly database: OpenDatabase;
  readonly audit: AuditLog;
  readonly anchor: Anchor;
  readonly deliveries: Deliveries;
  readonly parts: AdminParts;
}

export async function openBase(home: string, actor: 'cli' | 'server'): Promise<Base> {
  const clock = systemClock;
  const paths = instancePaths(home);
  const config = await loadConfig(paths.config);
  await demandOwner(paths);
  const secrets = await loadSecrets(paths.masterKey);
  await ensureInstanceFolders(paths);
  const opened = await openSqlite(paths.database);
  const { db } = opened;
  const audit = new AuditLog(secrets.derive('audit'), clock);
  freshUploads({ db, audit, clock });
  const anchor = anchorOf(paths, db, audit);
  const close = async (): Promise<void> => {
    try {
      if (audit.hasAppended) await anchor.move();
    } finally {
      await opened.close();
    }
  };
  await anchor.begin();
  const database = { ...opened, close };
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
    penalties: createPenaltyStore({ db, clock, key: secrets.derive('penalties') }),
    sshKeys,
    unread: createUnreadRoots({ db, audit, clock }),
    files: createInstanceFiles(paths, join(packageRoot, 'config', 'profiles')),
    clock,
  };
  const deliveries = createDeliveries({ db, audit, clock });
  return { paths, config, secrets, database, audit, anchor, deliveries, parts };
}

/** The note outside of the database of how far its audit trail reached. */
export const anchorOf = (paths: InstancePaths, db: OpenDatabase['db'], audit: AuditLog): Anchor =>
  createAnchor(paths.auditHead, {
    head: () => audit.head(db),
    passes: (head) => audit.passes(db, head),
    sealNow: () =>
      db
        .transaction()
        .execute((trx) =>
          audit.append(trx, { actor: 'server', action: 'audit.sealed', object: 'audit' }),
        ),
    sealAnchor: (head) => audit.sealAnchor(head),
    openAnchor: (line) => audit.openAnchor(line),
  });

/** What is wrong with the audit trail, if anything. `kept`: a head that somebody kept elsewhere. */
export async function auditFault(
  { database, audit, anchor }: Pick<Base, 'database' | 'audit' | 'anchor'>,
  kept?: AuditHead,
): Promise<AuditFault | undefined> {
  const anchored = await anchor.read();
  const witnesses = [anchored, kept].filter((one) => typeof one === 'object');
  const fault = await audit.firstFault(database.db, witnesses);
  if (fault !== undefined || typeof anchored !== 'string') return fault;
  return { seq: (await audit.head(database.db)).seq, text: anchored };
}

export const limitsOf = ({ limits }: Config): ProcessLimits => ({
  headerBytes: limits.header,
  inflatedBytes: limits.inflated,
  inflateRatio: limits.inflateRatio,
  zipEntries: limits.zipEntries,
  zipDepth: limits.zipDepth,
});

/** One line a host key: name of its file and `SHA256:…`. */
export const hostKeysOf = (paths: InstancePaths): Promise<readonly string[]> =>
  Promise.all(
    paths.hostKeys.map(async (path) => {
      const name = basename(path);
      return `${name} ${await fingerprintOfFile(path, `keys/${name}`)}`;
    }),
  );
