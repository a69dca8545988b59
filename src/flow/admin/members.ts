// Members: accounts, their keys and passwords, and the folders that belong to them (SPEC 3, 5).

import { checkName } from '../../core/codes.ts';
import { AppError } from '../../core/errors.ts';
import type { Member, MemberChange, SshKey } from '../ports/directory.ts';
import { knownSites, needMember, needNetworks, needProject, type AdminParts } from './parts.ts';

export type MemberView = Omit<Member, 'passwordHash'> & {
  readonly hasPassword: boolean;
  /** Too many wrong passwords from `source`: passwords from there are refused until then. */
  readonly locks: readonly { readonly source: string; readonly until: number }[];
};

/** What an account may have beside its projects and keys; what is undefined stays as it is. */
export interface MemberLimits {
  readonly expiresAt?: number | null;
  /** Networks from which it may log in; none: from anywhere. */
  readonly sources?: readonly string[];
  readonly quotaBytes?: number | null;
}

export interface MemberAdmin {
  /** Makes the account, or changes the one that is there: projects and keys are added to what it has. */
  add(
    request: {
      readonly name: string;
      readonly projects: readonly string[];
      /** Text of a public key file. */
      readonly key?: string;
      readonly password?: string;
    } & MemberLimits,
  ): Promise<{ readonly member: MemberView; readonly isNew: boolean }>;
  /**
   * `leaves`: projects that the member is taken out of, at once for live sessions too. What it uploaded there goes on to the
   * partner, and its folder stays as it is, for its return. Those that it is not in do not matter; CONFLICT for the last one.
   */
  set(
    name: string,
    change: MemberLimits & { readonly leaves?: readonly string[] },
  ): Promise<{ readonly member: MemberView; readonly left: readonly string[] }>;
  list(): Promise<readonly MemberView[]>;
  show(name: string): Promise<MemberView>;
  setState(name: string, state: 'active' | 'disabled'): Promise<MemberView>;
  setPassword(name: string, password: string): Promise<MemberView>;
  unlock(name: string): Promise<MemberView>;
  /** Ends the account and moves its folders away; the name is free then and inherits nothing. */
  remove(name: string): Promise<{ readonly id: string; readonly withdrawn: number }>;
  /** `sources` undefined: as the key's line says with from="…", else as it is. */
  addKey(
    name: string,
    text: string,
    sources?: readonly string[],
  ): Promise<{ readonly key: SshKey; readonly isNew: boolean }>;
  /** NOT_FOUND when the member has no such key. */
  removeKey(name: string, fingerprint: string): Promise<void>;
}

export function createMemberAdmin(parts: AdminParts): MemberAdmin {
  const { members, penalties } = parts;
  const change = async (name: string, wanted: MemberChange): Promise<MemberView> =>
    view(parts, (await members.put((await needMember(parts, name)).name, wanted)).member);
  return {
    add: (request) => addMember(parts, request),
    set: (name, wanted) => setMember(parts, name, wanted),
    list: async () => Promise.all((await members.list()).map((member) => view(parts, member))),
    show: async (name) => view(parts, await needMember(parts, name)),
    setState: (name, state) => change(name, { state }),
    setPassword: async (name, password) => {
      await needMember(parts, name);
      const passwordHash = await hashPassword(parts, password);
      await penalties.forget(name);
      return change(name, { passwordHash });
    },
    unlock: async (name) => {
      await needMember(parts, name);
      await penalties.forget(name);
      return change(name, { unlocked: true });
    },
    remove: (name) => removeMember(parts, name),
    addKey: async (name, text, sources) => {
      const key = readKey(parts, text, sources);
      const member = await needMember(parts, name);
      const isNew = !member.keys.some((one) => one.fingerprint === key.fingerprint);
      if (isNew || key.sources !== undefined) await members.put(member.name, { key });
      return { key, isNew };
    },
    removeKey: async (name, fingerprint) => {
      const member = await needMember(parts, name);
      if (!(await members.removeKey(member.id, fingerprint))) {
        throw new AppError('NOT_FOUND', { detail: `${name} has no key ${fingerprint}` });
      }
    },
  };
}

async function addMember(
  parts: AdminParts,
  request: Parameters<MemberAdmin['add']>[0],
): Promise<{ member: MemberView; isNew: boolean }> {
  const there = await parts.members.find(request.name);
  if (there === undefined) {
    checkName('member', request.name, await knownSites(parts));
    if (request.projects.length === 0) {
      throw new AppError('BAD_INPUT', { detail: 'a new user needs at least one --project' });
    }
  }
  const projects = await Promise.all(request.projects.map((name) => needProject(parts, name)));
  const key = request.key === undefined ? undefined : readKey(parts, request.key);
  const passwordHash =
    request.password === undefined ? undefined : await hashPassword(parts, request.password);
  // A folder that is there before its owner belonged to somebody else, of whose removal the machine's crash kept the end. In
  // all projects: one that is found later is the owner's own, of a project that it was taken out of and comes back to.
  for (const { name } of there === undefined ? await parts.projects.list() : []) {
    await parts.files.retire(name, request.name, `found-${parts.clock.now()}`);
  }
  const { member, isNew } = await parts.members.put(request.name, {
    projectIds: projects.map((project) => project.id),
    ...(key === undefined ? {} : { key }),
    ...(passwordHash === undefined ? {} : { passwordHash }),
    ...checked(request),
  });
  if (passwordHash !== undefined) await parts.penalties.forget(request.name);
  for (const project of member.projects) {
    await parts.files.ensureFolder(`ji_${project}/${member.name}/gpg`);
    await parts.files.ensureFolder(`ji_${project}/${member.name}/receipts`);
  }
  return { member: await view(parts, member), isNew };
}

async function setMember(
  parts: AdminParts,
  name: string,
  { leaves = [], ...limits }: Parameters<MemberAdmin['set']>[1],
): Promise<{ member: MemberView; left: readonly string[] }> {
  const member = await needMember(parts, name);
  const named = await Promise.all(leaves.map((project) => needProject(parts, project)));
  const left = named.filter((project) => member.projects.includes(project.name));
  const wanted: MemberChange = {
    ...checked(limits),
    ...(left.length === 0 ? {} : { leavesProjectIds: left.map(({ id }) => id) }),
  };
  const isSame = Object.keys(wanted).length === 0;
  const after = isSame ? member : (await parts.members.put(member.name, wanted)).member;
  return { member: await view(parts, after), left: left.map((project) => project.name) };
}

async function removeMember(
  parts: AdminParts,
  name: string,
): Promise<{ id: string; withdrawn: number }> {
  const member = await needMember(parts, name);
  const { withdrawn } = await parts.members.remove(member.id);
  for (const project of await parts.projects.list()) {
    await parts.files.retire(project.name, member.name, member.id);
  }
  return { id: member.id, withdrawn };
}

async function hashPassword(parts: AdminParts, password: string): Promise<string> {
  if (password === '') throw new AppError('BAD_INPUT', { detail: 'the password is empty' });
  return parts.passwords.hash(password);
}

const checked = ({ expiresAt, sources, quotaBytes }: MemberLimits): MemberLimits => ({
  ...(expiresAt === undefined ? {} : { expiresAt }),
  ...(sources === undefined ? {} : { sources: needNetworks(sources) }),
  ...(quotaBytes === undefined ? {} : { quotaBytes }),
});

function readKey(parts: AdminParts, text: string, sources?: readonly string[]): SshKey {
  const key = parts.sshKeys.parse(text);
  const from = sources ?? key.sources;
  return from === undefined ? key : { ...key, sources: needNetworks(from) };
}

async function view(
  { penalties, clock }: AdminParts,
  { passwordHash, ...rest }: Member,
): Promise<MemberView> {
  const locks = await penalties.of(rest.name, clock.now());
  return {
    ...rest,
    hasPassword: passwordHash !== null,
    locks: locks.map(({ source, endsAt }) => ({ source, until: endsAt })),
  };
}
