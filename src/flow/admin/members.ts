// Members: accounts, their keys and passwords, and the folders that belong to them (SPEC 3, 5).

import { checkName } from '../../core/codes.ts';
import { AppError } from '../../core/errors.ts';
import type { Member, MemberChange, SshKey } from '../ports/directory.ts';
import { knownSites, needMember, needProject, type AdminParts } from './parts.ts';

export type MemberView = Omit<Member, 'passwordHash'> & { readonly hasPassword: boolean };

export interface MemberAdmin {
  /** Makes the account, or changes the one that is there: projects and keys are added to what it has. */
  add(request: {
    readonly name: string;
    readonly projects: readonly string[];
    /** Text of a public key file. */
    readonly key?: string;
    readonly password?: string;
    readonly expiresAt?: number | null;
  }): Promise<{ readonly member: MemberView; readonly isNew: boolean }>;
  list(): Promise<readonly MemberView[]>;
  show(name: string): Promise<MemberView>;
  setState(name: string, state: 'active' | 'disabled'): Promise<MemberView>;
  setPassword(name: string, password: string): Promise<MemberView>;
  unlock(name: string): Promise<MemberView>;
  /** Ends the account and moves its folders away; the name is free then and inherits nothing. */
  remove(name: string): Promise<{ readonly id: string; readonly withdrawn: number }>;
  addKey(name: string, text: string): Promise<{ readonly key: SshKey; readonly isNew: boolean }>;
  /** NOT_FOUND when the member has no such key. */
  removeKey(name: string, fingerprint: string): Promise<void>;
}

export function createMemberAdmin(parts: AdminParts): MemberAdmin {
  const { members } = parts;
  const change = async (name: string, wanted: MemberChange): Promise<MemberView> =>
    view((await members.put((await needMember(parts, name)).name, wanted)).member);
  return {
    add: (request) => addMember(parts, request),
    list: async () => (await members.list()).map(view),
    show: async (name) => view(await needMember(parts, name)),
    setState: (name, state) => change(name, { state }),
    setPassword: async (name, password) => {
      await needMember(parts, name);
      return change(name, { passwordHash: await hashPassword(parts, password) });
    },
    unlock: (name) => change(name, { unlock: true }),
    remove: (name) => removeMember(parts, name),
    addKey: async (name, text) => {
      const key = parts.sshKeys.parse(text);
      const member = await needMember(parts, name);
      const isNew = !member.keys.some((one) => one.fingerprint === key.fingerprint);
      if (isNew) await members.put(member.name, { key });
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
  const key = request.key === undefined ? undefined : parts.sshKeys.parse(request.key);
  const passwordHash =
    request.password === undefined ? undefined : await hashPassword(parts, request.password);
  const before = new Set(there?.projects);
  const added = projects.filter((project) => !before.has(project.name));
  // A folder that is there before its owner belonged to somebody else, of whose removal the machine's crash kept the end.
  for (const project of added) {
    await parts.files.retire(project.name, request.name, `found-${parts.clock.now()}`);
  }
  const { member, isNew } = await parts.members.put(request.name, {
    projectIds: projects.map((project) => project.id),
    ...(key === undefined ? {} : { key }),
    ...(passwordHash === undefined ? {} : { passwordHash }),
    ...(request.expiresAt === undefined ? {} : { expiresAt: request.expiresAt }),
  });
  for (const project of member.projects) {
    await parts.files.ensureFolder(`ji_${project}/${member.name}/gpg`);
    await parts.files.ensureFolder(`ji_${project}/${member.name}/receipts`);
  }
  return { member: view(member), isNew };
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

const view = ({ passwordHash, ...rest }: Member): MemberView => ({
  ...rest,
  hasPassword: passwordHash !== null,
});
