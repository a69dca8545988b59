// Names of projects and members and the codes of sites (SPEC 3): they become folder and user names, so what they may
// hold is decided here once.

import { AppError } from './errors.ts';

const namePattern = /^[a-z][a-z0-9_-]{0,31}$/;
const sitePattern = /^[A-Z][A-Z0-9-]{0,31}$/;

/**
 * Checks the name of a project (without `ji_`) or of a member. `sites`: the codes that are known here.
 * Throws BAD_INPUT.
 */
export function checkName(
  kind: 'project' | 'member',
  name: string,
  sites: readonly string[],
): string {
  if (!namePattern.test(name)) {
    throw new AppError('BAD_INPUT', {
      detail: `the name of a ${kind} starts with a small letter and has up to 32 of a-z, 0-9, _ and -`,
    });
  }
  const reserved = ['club_house', ...sites.map((code) => code.toLowerCase())];
  if (reserved.includes(name)) {
    throw new AppError('BAD_INPUT', {
      detail: `the name ${name} is reserved: club_house and the codes of sites are not names of ${kind}s`,
    });
  }
  return name;
}

/** Checks the code of a site, e.g. `UMHS`. Throws BAD_INPUT. */
export function checkSite(code: string): string {
  if (!sitePattern.test(code)) {
    throw new AppError('BAD_INPUT', {
      detail: 'the code of a site starts with a capital letter and has up to 32 of A-Z, 0-9 and -',
    });
  }
  return code;
}
