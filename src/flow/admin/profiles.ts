// De-identification profiles by name: the shipped ones and those in config/profiles. They are compiled at the door, so a
// mistake is told when the profile is given to a project and not when the first file comes.

import { AppError } from '../../core/errors.ts';
import type { Profile } from '../../core/deid/profile.ts';
import type { AdminParts } from './parts.ts';

export interface ProfileEntry {
  readonly name: string;
  readonly origin: 'shipped' | 'own';
  /** SHA-256, hex; null when it is not valid. */
  readonly hash: string | null;
  readonly mistake: string | null;
  /** Names of the active projects that use it. */
  readonly projects: readonly string[];
}

export interface ProfileAdmin {
  list(): Promise<readonly ProfileEntry[]>;
  /** Throws NOT_FOUND or PROFILE_INVALID. */
  compile(name: string): Promise<Profile>;
  /** Compiles a text that is not kept. Throws PROFILE_INVALID. */
  check(text: string, name: string): Promise<Profile>;
  /**
   * Keeps a text under `name` in config/profiles. CONFLICT when a shipped profile has the name, or when another content is
   * there that a project other than `forProject` uses. Answers whether something changed.
   */
  keep(name: string, text: string, forProject: string | undefined): Promise<boolean>;
}

type Texts = ReadonlyMap<string, string>;

/** The compiler brings the tables of the standard with it, so it is loaded when a profile is at hand. */
const loadCompiler = () => import('../../core/deid/profile.ts');

export function createProfileAdmin(parts: AdminParts): ProfileAdmin {
  return {
    list: () => listProfiles(parts),
    compile: async (name) => compileNamed(await readAll(parts), name),
    check: async (text, name) => compileText(await readAll(parts), text, name),
    keep: (name, text, forProject) => keepProfile(parts, name, text, forProject),
  };
}

async function readAll({ files }: AdminParts): Promise<Texts> {
  const texts = new Map<string, string>();
  for (const where of ['shipped', 'own'] as const) {
    for (const name of await files.profileNames(where)) {
      const text = texts.has(name) ? undefined : await files.readProfile(name);
      if (text !== undefined) texts.set(name, text);
    }
  }
  return texts;
}

async function compileText(texts: Texts, text: string, name: string): Promise<Profile> {
  const { compileProfile } = await loadCompiler();
  return compileProfile(text, name, (wanted) => {
    const base = wanted.replace(/^.*\//, '').replace(/\.ya?ml$/, '');
    const yaml = texts.get(base);
    return yaml === undefined ? undefined : { name: base, yaml };
  });
}

async function compileNamed(texts: Texts, name: string): Promise<Profile> {
  const text = texts.get(name);
  if (text === undefined) {
    throw new AppError('NOT_FOUND', { detail: `no profile ${name}; see clubhouse profile list` });
  }
  return compileText(texts, text, name);
}

async function listProfiles(parts: AdminParts): Promise<readonly ProfileEntry[]> {
  const texts = await readAll(parts);
  const shipped = new Set(await parts.files.profileNames('shipped'));
  const projects = (await parts.projects.list()).filter((one) => one.state === 'active');
  return Promise.all(
    [...texts.keys()].sort().map(async (name): Promise<ProfileEntry> => ({
      name,
      origin: shipped.has(name) ? 'shipped' : 'own',
      ...(await judge(texts, name)),
      projects: projects.filter((one) => one.profile === name).map((one) => one.name),
    })),
  );
}

async function judge(
  texts: Texts,
  name: string,
): Promise<{ hash: string | null; mistake: string | null }> {
  try {
    const profile = await compileNamed(texts, name);
    return { hash: (await loadCompiler()).profileHash(profile), mistake: null };
  } catch (error) {
    if (error instanceof AppError) return { hash: null, mistake: error.detail ?? error.message };
    throw error;
  }
}

async function keepProfile(
  parts: AdminParts,
  name: string,
  text: string,
  forProject: string | undefined,
): Promise<boolean> {
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) {
    throw new AppError('BAD_INPUT', {
      detail: 'the file name of a profile has letters, digits, _ . -',
    });
  }
  const texts = await readAll(parts);
  await compileText(texts, text, name);
  const there = texts.get(name);
  if (there === text) return false;
  if ((await parts.files.profileNames('shipped')).includes(name)) {
    throw new AppError('CONFLICT', {
      detail: `${name} is the name of a shipped profile; give the file another one`,
    });
  }
  const users = (await parts.projects.list()).filter(
    (project) => project.profile === name && project.name !== forProject,
  );
  if (there !== undefined && users.length > 0) {
    const names = users.map((project) => project.name).join(', ');
    throw new AppError('CONFLICT', {
      detail: `config/profiles has another profile ${name}, used by ${names}; give the file another name`,
    });
  }
  await parts.files.writeProfile(name, text);
  return true;
}
