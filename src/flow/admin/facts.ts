// What a project says about a job (port ProjectFacts), looked up anew each time, so that commands take effect at once.

import { profileHash } from '../../core/deid/profile.ts';
import { AppError } from '../../core/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Project } from '../ports/directory.ts';
import type { ProjectFacts } from '../ports/jobs.ts';
import type { AdminParts } from './parts.ts';
import { createProfileAdmin } from './profiles.ts';

/** Judging a key means checking its signatures, a few milliseconds of the thread that answers SFTP; so not for each file. */
const keyJudgedForMs = 60_000;
/** Reading and compiling a profile, the same. Shorter than any settling, so that a change counts for what comes after it. */
const profileKnownForMs = 200;

export function createProjectFacts(parts: AdminParts): ProjectFacts {
  const profiles = createProfileAdmin(parts);
  const isUsable = remember(parts.clock, keyJudgedForMs, (armored: string) =>
    parts.recipientKeys.isUsable(armored, new Date(parts.clock.now())),
  );
  const compiled = remember(parts.clock, profileKnownForMs, async (name: string) => {
    const profile = await profiles.compile(name);
    return { json: JSON.stringify(profile), hash: profileHash(profile) };
  });
  const project = async (id: string): Promise<Project> => {
    const found = await parts.projects.get(id);
    if (found === undefined) throw new AppError('NOT_FOUND', { detail: `project ${id}` });
    return found;
  };
  return {
    profileFor: async (projectId) => {
      return compiled((await project(projectId)).profile);
    },
    recipientsFor: async (projectId, partner) => {
      const usable: string[] = [];
      for (const { armored, expiresAt } of await parts.recipients.list({ projectId, partner })) {
        const isOver = expiresAt !== null && expiresAt <= parts.clock.now();
        if (!isOver && (await isUsable(armored))) usable.push(armored);
      }
      return usable;
    },
    settingsFor: async (projectId) => (await project(projectId)).settings,
  };
}

/** Keeps answers for a while; a failure is not kept. */
function remember<T>(
  clock: Clock,
  forMs: number,
  ask: (key: string) => Promise<T>,
): (key: string) => Promise<T> {
  const known = new Map<string, { readonly at: number; readonly answer: Promise<T> }>();
  return async (key) => {
    const there = known.get(key);
    if (there !== undefined && Math.abs(clock.now() - there.at) < forMs) return there.answer;
    if (known.size >= 64) known.clear();
    const answer = ask(key);
    known.set(key, { at: clock.now(), answer });
    try {
      return await answer;
    } catch (error) {
      known.delete(key);
      throw error;
    }
  };
}
