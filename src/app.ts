// Builds everything: configuration → adapters → flow. With the other app-*.ts and worker-main.ts the only files that see
// flow and adapters together. What only few commands need is loaded when they ask for it: each command is a process, and an
// administrator waits for it.

import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fillInExample, parseConfig, type Config, type InitRequest } from './config.ts';
import type { DescribedAttribute } from './core/deid/profile-describe.ts';
import type { Profile } from './core/deid/profile.ts';
import { instancePaths, type InstancePaths } from './core/instance.ts';
import { makeInstance } from './adapters/instance-files.ts';
import { fingerprintOfFile, makeSshKey } from './adapters/keys.ts';
import { isServed } from './adapters/serve-lock.ts';
import type { AuditFault, AuditHead, AuditRow } from './adapters/sql/audit.ts';
import type { CrosswalkImport, CrosswalkRow } from './adapters/sql/crosswalk.ts';
import { createJobDesk } from './adapters/sql/desk.ts';
import { openSqlite } from './adapters/sql/sqlite.ts';
import type { Trace } from './adapters/sql/trace.ts';
import { createMemberAdmin, type MemberAdmin } from './flow/admin/members.ts';
import { needProject } from './flow/admin/parts.ts';
import { createPartnerAdmin, type PartnerAdmin } from './flow/admin/partners.ts';
import type { Preview } from './flow/admin/preview.ts';
import { createProfileAdmin, type ProfileAdmin } from './flow/admin/profiles.ts';
import { createProjectAdmin, type ProjectAdmin } from './flow/admin/projects.ts';
import { createRecipientAdmin, type RecipientAdmin } from './flow/admin/recipients.ts';
import type { ReplicationDesk } from './flow/admin/replication.ts';
import {
  gaps,
  keyWarnings,
  legalHolds,
  readStatus,
  undelivered,
  unreadFolders,
  type Status,
} from './flow/admin/status.ts';
import type { Finding } from './flow/ports/directory.ts';
import type { BackupManifest } from './flow/ports/backup.ts';
import type { JobDesk } from './flow/ports/jobs.ts';
import { packageRoot } from './package-root.ts';
import type { BackupRequest } from './app-backup.ts';
import { auditFault, hostKeysOf, limitsOf, openBase, type Base } from './app-base.ts';

export type { MemberLimits, MemberView } from './flow/admin/members.ts';
export type { PartnerStanding } from './flow/admin/replication.ts';
export type { JobRow } from './flow/ports/jobs.ts';
export type { PartnerView } from './flow/admin/partners.ts';
export type { Project, ProjectChange, Recipient } from './flow/ports/directory.ts';
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
    /** All, oldest first, one at a time. Nothing else of the instance may be asked meanwhile. */
    entries(): AsyncIterable<AuditRow & { readonly hash: string }>;
    /** By our host key, of a SHA-512: in the form of ssh-keygen -Y sign, namespace `clubhouse-audit`. */
    sign(sha512: Uint8Array): Promise<string>;
    /** What does not fit and from which entry on, or undefined. `kept`: a head that somebody kept elsewhere. */
    firstFault(kept?: AuditHead): Promise<AuditFault | undefined>;
    /** Where the trail ends now. */
    head(): Promise<AuditHead>;
  };
  readonly replication: ReplicationDesk;
  readonly crosswalk: {
    /** Who is behind which code: patients' names and IDs. Audited. */
    export(project: string): Promise<readonly CrosswalkRow[]>;
    /** Codes that were given elsewhere, all or none. */
    import(
      project: string,
      rows: readonly CrosswalkImport[],
    ): Promise<{ readonly added: number; readonly unchanged: number }>;
  };
  /** Everything that the instance is, sealed, into a folder; beside a running server. */
  backUp(request: BackupRequest): Promise<BackupManifest>;
  status(): Promise<Status>;
  /** For `doctor`. */
  examine(): Promise<readonly Finding[]>;
  trace(file: string): Promise<Trace>;
  describeProfile(name: string): Promise<{
    readonly profile: Profile;
    readonly hash: string;
    readonly attributes: readonly DescribedAttribute[];
  }>;
  previewFiles(files: readonly string[], profile: string): Promise<readonly Preview[]>;
  /** One line a host key: algorithm's file name and `SHA256:…`. */
  hostKeys(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const loadReplication = () => import('./app-replication.ts');

/** Opens the instance in `home` for commands, beside a running server or without one. */
export async function openApp(home: string): Promise<App> {
  const base = await openBase(home, 'cli');
  const { paths, config, database, audit, deliveries, parts } = base;
  const { db } = database;
  const profiles = createProfileAdmin(parts);
  const jobs = createJobDesk({ db, audit, clock: parts.clock, site: config.site });
  return {
    paths,
    config,
    projects: createProjectAdmin(parts),
    members: createMemberAdmin(parts),
    recipients: createRecipientAdmin(parts),
    partners: createPartnerAdmin(parts, 'cli'),
    profiles,
    jobs,
    audit: {
      list: (filter) => audit.list(db, filter),
      entries: () => audit.entries(db),
      sign: async (sha512) => {
        const { signDigest } = await import('./adapters/ssh-signature.ts');
        return signDigest(paths.hostKeys[0] ?? '', 'clubhouse-audit', sha512);
      },
      firstFault: (kept) => auditFault(base, kept),
      head: () => audit.head(db),
    },
    replication: {
      now: async (partners) => (await loadReplication()).replicationDesk(base).now(partners),
      status: async () => (await loadReplication()).replicationDesk(base).status(),
      test: async (partner) => (await loadReplication()).replicationDesk(base).test(partner),
    },
    crosswalk: {
      export: async (name) => {
        const project = await needProject(parts, name);
        return (await loadReplication()).crosswalkOf(base).export(project.id, 'cli');
      },
      import: async (name, rows) => {
        const project = await needProject(parts, name);
        const { dates } = await profiles.compile(project.profile);
        const crosswalk = (await loadReplication()).crosswalkOf(base);
        return crosswalk.import(project.id, rows, 'cli', dates.wholeWeeks);
      },
    },
    backUp: async (request) => (await import('./app-backup.ts')).backUp(base, request),
    status: async () =>
      readStatus(parts, {
        jobs,
        deliveries,
        partners: await createPartnerAdmin(parts, 'cli').list(),
        serving: isServed(paths.serveLock),
        hostKeys: await hostKeysOf(paths),
      }),
    examine: () => examine(base),
    trace: async (file) => (await import('./adapters/sql/trace.ts')).traceFile(db, audit, file),
    describeProfile: async (name) => {
      const profile = await profiles.compile(name);
      const { describeProfile } = await import('./core/deid/profile-describe.ts');
      const { profileHash } = await import('./core/deid/profile.ts');
      return { profile, hash: profileHash(profile), attributes: describeProfile(profile) };
    },
    previewFiles: async (files, name) => previewAll(base, files, await profiles.compile(name)),
    hostKeys: () => hostKeysOf(paths),
    close: () => database.close(),
  };
}

async function examine(base: Base): Promise<readonly Finding[]> {
  const { paths, database, parts } = base;
  const { examineFiles } = await import('./adapters/examine.ts');
  const { examineAgreement } = await import('./adapters/sql/examine-files.ts');
  const { examineDatabase } = await import('./adapters/sql/examine.ts');
  const profiles = await createProfileAdmin(parts).list();
  const used = profiles.filter((one) => one.mistake !== null && one.projects.length > 0);
  return [
    ...(await examineFiles(paths)),
    ...(await examineDatabase(database.db, () => auditFault(base))),
    ...(await examineAgreement({
      ...{ db: database.db, paths, site: base.config.site },
      pause: () => parts.clock.sleep(1500, new AbortController().signal),
    })),
    ...used.map(({ name, mistake }): Finding => ({
      check: `profile ${name}`,
      state: 'error',
      text: mistake ?? '',
    })),
    ...(await keyWarnings(parts)).map((text): Finding => ({
      check: 'keys',
      state: 'warning',
      text,
    })),
    ...(await unreadFolders(parts)).map((text): Finding => ({
      check: 'folders',
      state: 'error',
      text,
    })),
    ...(await legalHolds(parts)).map((text): Finding => ({
      check: 'legal hold',
      state: 'ok',
      text,
    })),
    ...(await deliveryFindings(base)),
    ...(await gaps(parts)).map((text): Finding => ({ check: 'set-up', state: 'warning', text })),
  ];
}

/** What a partner did not get, and what it is alarmed about. */
async function deliveryFindings({ deliveries, parts }: Base): Promise<readonly Finding[]> {
  const warn = (check: string, text: string): Finding => ({ check, state: 'warning', text });
  return [
    ...(await deliveries.counts()).flatMap(undelivered).map((text) => warn('deliveries', text)),
    ...(await parts.partners.list()).flatMap(({ code, alarm }) =>
      alarm === undefined ? [] : [warn(`partner ${code}`, `${alarm.code} (${alarm.detail})`)],
    ),
  ];
}

async function previewAll(
  { paths, config }: Base,
  files: readonly string[],
  profile: Profile,
): Promise<readonly Preview[]> {
  // Loaded when it is needed: the zip libraries are slow to start.
  const { zips } = await import('./adapters/zip/zips.ts');
  const { previewFile } = await import('./flow/admin/preview.ts');
  const scratch = join(paths.spool, 'scratch', `preview-${randomUUID()}`);
  const output = `${scratch}.out`;
  // a server makes it when it starts; there may have been none yet
  await mkdir(join(paths.spool, 'scratch'), { recursive: true, mode: 0o700 });
  const previews: Preview[] = [];
  for (const file of files) {
    try {
      const limits = limitsOf(config);
      previews.push(await previewFile({ file, profile, zips, limits, scratch, output }));
    } finally {
      await rm(output, { force: true });
    }
  }
  return previews;
}

/** A key pair for the demo's people: PATH and PATH.pub. */
export const makeKeyPair = (path: string, comment: string): Promise<void> =>
  makeSshKey(path, 'ed25519', { comment, withPublic: true });

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
  const configText = fillInExample(example, request);
  const config = parseConfig(configText);
  const paths = instancePaths(home);
  await makeInstance(paths, { site: request.site, configText });
  await (await openSqlite(paths.database)).close();
  const [hostKeyFile = ''] = paths.hostKeys;
  return { paths, config, hostKey: await fingerprintOfFile(hostKeyFile, 'keys/host_ed25519') };
}
