// What a project says about a job (port ProjectFacts), looked up anew each time, so that commands take effect at once.

import { profileHash } from '../../core/deid/profile.ts';
import { AppError } from '../../core/errors.ts';
import type { Project } from '../ports/directory.ts';
import type { ProjectFacts } from '../ports/jobs.ts';
import type { AdminParts } from './parts.ts';
import { createProfileAdmin } from './profiles.ts';

export function createProjectFacts(parts: AdminParts): ProjectFacts {
  const profiles = createProfileAdmin(parts);
  const project = async (id: string): Promise<Project> => {
    const found = await parts.projects.get(id);
    if (found === undefined) throw new AppError('NOT_FOUND', { detail: `project ${id}` });
    return found;
  };
  return {
    profileFor: async (projectId) => {
      const profile = await profiles.compile((await project(projectId)).profile);
      return { json: JSON.stringify(profile), hash: profileHash(profile) };
    },
    recipientsFor: async (projectId, partner) => {
      const now = new Date(parts.clock.now());
      const usable: string[] = [];
      for (const { armored } of await parts.recipients.list({ projectId, partner })) {
        if (await parts.recipientKeys.isUsable(armored, now)) usable.push(armored);
      }
      return usable;
    },
    settingsFor: async (projectId) => (await project(projectId)).settings,
  };
}
