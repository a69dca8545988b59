// One look at the whole instance, for `clubhouse status`: what is in work, what waits for somebody.

import type { UploadState } from '../../core/upload.ts';
import type { Deliveries, DeliveryCounts } from '../ports/deliveries.ts';
import type { JobDesk } from '../ports/jobs.ts';
import type { Partner } from '../ports/partners.ts';
import type { AdminParts } from './parts.ts';

export interface Status {
  readonly site: string;
  /** Does `clubhouse serve` run? */
  readonly serving: boolean;
  /** One line a key: name of its file and `SHA256:…`. */
  readonly hostKeys: readonly string[];
  readonly projects: number;
  readonly users: number;
  readonly jobs: Readonly<Record<UploadState, number>>;
  readonly partners: readonly {
    readonly code: string;
    readonly lastSuccessAt: number | null;
    readonly pending: number;
    readonly failed: number;
    readonly alarm: string | null;
  }[];
  /** What an administrator should see to, in words. */
  readonly attention: readonly string[];
}

const dayMs = 86_400_000;

export async function readStatus(
  parts: AdminParts,
  now: {
    readonly jobs: JobDesk;
    readonly deliveries: Deliveries;
    /** Also those that only a project names. */
    readonly partners: readonly Partner[];
    readonly serving: boolean;
    readonly hostKeys: readonly string[];
  },
): Promise<Status> {
  const { jobs, deliveries, serving, hostKeys } = now;
  const projects = (await parts.projects.list()).filter((project) => project.state === 'active');
  const counts = await jobs.counts();
  const owed = await deliveries.counts();
  const partners = now.partners.map((partner) => {
    const mine = owed.find((row) => row.partner === partner.code);
    return {
      code: partner.code,
      lastSuccessAt: partner.lastSuccessAt ?? null,
      pending: mine?.pending ?? 0,
      failed: (mine?.failed ?? 0) + (mine?.conflict ?? 0),
      alarm: partner.alarm === undefined ? null : partner.alarm.code,
    };
  });
  const attention = [
    ...(serving ? [] : ['clubhouse serve does not run']),
    ...(counts.held > 0 ? [`${counts.held} held; see held list`] : []),
    ...(counts.failed > 0 ? [`${counts.failed} failed; see job list --failed`] : []),
    ...(counts.waiting > 0 ? [`${counts.waiting} waiting; see job list --state waiting`] : []),
    ...partners.flatMap((p) => (p.alarm === null ? [] : [`partner ${p.code}: ${p.alarm}`])),
    ...(await unreadFolders(parts)),
    ...owed.flatMap(undelivered),
    ...(await keyWarnings(parts)),
    ...(await legalHolds(parts)),
    ...(await gaps(parts)),
  ];
  const users = (await parts.members.list()).length;
  return {
    site: parts.site,
    serving,
    hostKeys,
    projects: projects.length,
    users,
    jobs: counts,
    partners,
    attention,
  };
}

/** Of one partner: what stopped, and why as far as it needs somebody. */
export function undelivered(counts: DeliveryCounts): readonly string[] {
  const { partner, failed, conflict, gone } = counts;
  const count = (n: number): string => `${n} ${n === 1 ? 'file' : 'files'}`;
  return [
    ...(conflict > 0
      ? [
          `partner ${partner} holds other files under the names of ${count(conflict)} of ours; see replicate status`,
        ]
      : []),
    ...(gone > 0
      ? [
          `${count(gone)} for partner ${partner} vanished before they were sent; see replicate status`,
        ]
      : []),
    ...(failed > 0
      ? [`${count(failed)} did not get to partner ${partner}; see replicate status`]
      : []),
  ];
}

/** Whose folders the server could not look through, so that it may not know of all files in them. */
export async function unreadFolders({ unread }: AdminParts): Promise<string[]> {
  return (await unread.list()).map(({ project, member, partner, code, detail, since }) => {
    const where = member === undefined ? `for ${partner ?? ''}` : `of ${member}`;
    const kind = member === undefined ? 'the outgoing folder' : 'the intake';
    const day = new Date(since).toISOString().slice(0, 16).replace('T', ' ');
    const why = detail === undefined ? code : `${code}, ${detail}`;
    return `${kind} ${where} in ${project} cannot be read whole since ${day} UTC (${why}); look at the disk and the folder's owner, it is tried again`;
  });
}

/** Keys that end within 90 days or ended. */
export async function keyWarnings({ recipients, clock }: AdminParts): Promise<string[]> {
  const now = clock.now();
  return (await recipients.list()).flatMap(({ project, partner, fingerprint, expiresAt }) => {
    if (expiresAt === null || expiresAt > now + 90 * dayMs) return [];
    const day = new Date(expiresAt).toISOString().slice(0, 10);
    const verb = expiresAt <= now ? 'expired' : 'expires';
    return [`key ${fingerprint.slice(-16)} of ${project} for ${partner} ${verb} on ${day}`];
  });
}

/** Also of archived projects: their files are kept too. */
export async function legalHolds({ projects }: AdminParts): Promise<string[]> {
  return (await projects.list()).flatMap(({ name, legalHold }) => {
    if (legalHold === null) return [];
    const day = new Date(legalHold.since).toISOString().slice(0, 10);
    return [`project ${name} is under a legal hold since ${day}: ${legalHold.reason}`];
  });
}

/** What is still missing before a project's files can leave. */
export async function gaps(parts: AdminParts): Promise<string[]> {
  const found: string[] = [];
  const known = await parts.partners.list();
  for (const project of await parts.projects.list()) {
    if (project.state !== 'active') continue;
    if (project.partners.length === 0) found.push(`project ${project.name} has no partner`);
    for (const partner of project.partners) {
      const keys = await parts.recipients.list({ projectId: project.id, partner });
      if (keys.length === 0)
        found.push(`project ${project.name} has no recipient key for ${partner}`);
      if (known.find((one) => one.code === partner)?.address === undefined) {
        found.push(`the server of partner ${partner} is not known; see partner add`);
      }
    }
  }
  return [...new Set(found)];
}
