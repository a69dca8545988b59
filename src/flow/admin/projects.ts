// Projects: what may be named how, and the folders that a project needs (SPEC 3, 5).

import { checkName, checkSite } from '../../core/codes.ts';
import { AppError } from '../../core/errors.ts';
import { sharedFolder } from '../../core/tree.ts';
import type { Project, ProjectChange, ProjectSettings } from '../ports/directory.ts';
import { knownSites, needProject, type AdminParts } from './parts.ts';

export interface ProjectAdmin {
  /** Makes the project, or changes the one that is there: named partners are added to it. */
  add(request: {
    readonly name: string;
    readonly profile?: string;
    readonly partners: readonly string[];
    readonly settings?: Partial<ProjectSettings>;
  }): Promise<{ readonly project: Project; readonly isNew: boolean }>;
  list(): Promise<readonly Project[]>;
  show(name: string): Promise<Project>;
  /** NOT_FOUND for a project, or a partner to remove, that is not there. */
  set(
    name: string,
    change: {
      readonly profile?: string;
      readonly addPartners?: readonly string[];
      readonly removePartners?: readonly string[];
      readonly settings?: Partial<ProjectSettings>;
      /** Stops retention, or lets it go on. */
      readonly legalHold?: { readonly isOn: boolean; readonly reason: string };
    },
  ): Promise<Project>;
  /** Nobody sees it any more over SFTP; nothing is deleted. `add` brings it back. */
  archive(name: string): Promise<Project>;
}

export function createProjectAdmin(parts: AdminParts): ProjectAdmin {
  const { projects } = parts;
  const change = async (name: string, wanted: ProjectChange): Promise<Project> => {
    const { project } = await projects.put((await needProject(parts, name)).name, wanted);
    await makeFolders(parts, project);
    return project;
  };
  return {
    add: (request) => addProject(parts, request),
    list: () => projects.list(),
    show: (name) => needProject(parts, name),
    set: async (name, wanted) => {
      await checkPartners(parts, wanted.addPartners ?? []);
      const { partners } = await needProject(parts, name);
      const stranger = wanted.removePartners?.find((code) => !partners.includes(code));
      if (stranger !== undefined) {
        throw new AppError('NOT_FOUND', { detail: `${stranger} is no partner of project ${name}` });
      }
      return change(name, wanted);
    },
    archive: (name) => change(name, { state: 'archived' }),
  };
}

async function addProject(
  parts: AdminParts,
  request: Parameters<ProjectAdmin['add']>[0],
): Promise<{ project: Project; isNew: boolean }> {
  const name = request.name.replace(/^ji_/, '');
  const there = await parts.projects.find(name);
  const fallback = there === undefined && parts.defaultPartner !== undefined;
  const partners =
    request.partners.length === 0 && fallback ? [parts.defaultPartner ?? ''] : request.partners;
  await checkPartners(parts, partners);
  if (there === undefined) checkName('project', name, await knownSites(parts));
  const result = await parts.projects.put(name, {
    state: 'active',
    addPartners: partners,
    ...(request.profile === undefined ? {} : { profile: request.profile }),
    ...(request.settings === undefined ? {} : { settings: request.settings }),
  });
  await makeFolders(parts, result.project);
  return result;
}

/** A partner needs no server yet, but its code must not be our own or the name of somebody here. */
async function checkPartners(parts: AdminParts, partners: readonly string[]): Promise<void> {
  for (const code of partners) await checkPartner(parts, code);
}

/** Throws BAD_INPUT or CONFLICT. */
export async function checkPartner(parts: AdminParts, code: string): Promise<string> {
  checkSite(code);
  if (code === parts.site) {
    throw new AppError('CONFLICT', { detail: `${code} is this site itself` });
  }
  if ((await parts.members.find(code.toLowerCase())) !== undefined) {
    throw new AppError('CONFLICT', { detail: `a user here has the name of the site ${code}` });
  }
  return code;
}

async function makeFolders(parts: AdminParts, project: Project): Promise<void> {
  await parts.files.ensureFolder(`ji_${project.name}/club_house`);
  for (const partner of project.partners) {
    await parts.files.ensureFolder(sharedFolder(project.name, parts.site, partner));
    await parts.files.ensureFolder(sharedFolder(project.name, partner, parts.site));
  }
}
