// What the administration works with, and the look-ups that all of it needs.

import { AppError } from '../../core/errors.ts';
import { parseNetwork } from '../../core/networks.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  InstanceFiles,
  Member,
  Members,
  Passwords,
  Project,
  Projects,
  Recipients,
  SshKeys,
} from '../ports/directory.ts';
import type { Partners } from '../ports/partners.ts';
import type { PenaltyStore } from '../ports/penalties.ts';
import type { RecipientKeys } from '../ports/recipient-keys.ts';
import type { UnreadRoots } from '../ports/upkeep.ts';

export interface AdminParts {
  /** The code of this site. */
  readonly site: string;
  /** The partner of a project that names none. */
  readonly defaultPartner: string | undefined;
  readonly projects: Projects;
  readonly members: Members;
  readonly recipients: Recipients;
  readonly partners: Partners;
  readonly recipientKeys: RecipientKeys;
  readonly passwords: Passwords;
  readonly penalties: PenaltyStore;
  readonly sshKeys: SshKeys;
  readonly files: InstanceFiles;
  readonly unread: Pick<UnreadRoots, 'list'>;
  readonly clock: Clock;
}

/** Codes of this site and of all partners that anything here names. */
export async function knownSites({ site, projects, partners }: AdminParts): Promise<string[]> {
  const named = (await projects.list()).flatMap((project) => project.partners);
  const added = (await partners.list()).map((partner) => partner.code);
  return [...new Set([site, ...named, ...added])];
}

/** Networks as they are kept. Throws BAD_INPUT. */
export const needNetworks = (texts: readonly string[]): readonly string[] =>
  texts.map((text) => {
    const network = parseNetwork(text);
    if (network !== undefined) return network;
    throw new AppError('BAD_INPUT', {
      detail: `${text} is no network; write 192.0.2.0/24 or 2001:db8::/32, with zeros behind the prefix`,
    });
  });

/** Throws NOT_FOUND. */
export async function needProject(parts: AdminParts, name: string): Promise<Project> {
  const project = await parts.projects.find(name.replace(/^ji_/, ''));
  if (project === undefined) {
    throw new AppError('NOT_FOUND', { detail: `no project ${name}; see clubhouse project list` });
  }
  return project;
}

/** Throws NOT_FOUND. */
export async function needMember(parts: AdminParts, name: string): Promise<Member> {
  const member = await parts.members.find(name);
  if (member === undefined) {
    throw new AppError('NOT_FOUND', { detail: `no user ${name}; see clubhouse user list` });
  }
  return member;
}
