// Who may log in, from the stores (port Accounts). Expired, disabled, removed and the wrong network are decided in one place,
// `closed`, so that no way in forgets one of them. Too many wrong passwords are the SFTP server's to refuse (port PenaltyStore).

import type { Kysely } from 'kysely';
import { isInside } from '../../core/networks.ts';
import type { Accounts, LoginRefusal, Principal, ProjectView } from '../../flow/ports/accounts.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Member, Members, Passwords, Projects } from '../../flow/ports/directory.ts';
import type { AuditLog } from './audit.ts';
import { networksOf } from './members.ts';
import type { Database } from './schema.ts';

export interface AccountsTools {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly members: Members;
  readonly projects: Projects;
  readonly passwords: Passwords;
  /** See OpenDatabase. */
  readonly dataVersion: () => number;
}

/** Expiry is nobody's commit, so the version grows with time too: sessions are looked at again this often. */
const lookAgainMs = 10_000;

export function createAccounts(tools: AccountsTools): Accounts {
  const { members, clock } = tools;
  const open = (member: Member | undefined, address: string): member is Member =>
    closed(member, address, clock.now()) === undefined;

  return {
    verifyPassword: async (name, password, address) => {
      const member = await members.find(name);
      const mayTry = open(member, address) && member.passwordHash !== null;
      const hash = mayTry ? (member.passwordHash ?? undefined) : undefined;
      const matches = await tools.passwords.verify(hash, password);
      return mayTry && matches ? memberPrincipal(tools, member) : undefined;
    },
    findByKey: async (name, blob, address) => {
      const wanted = Buffer.from(blob).toString('base64');
      const member = await members.find(name);
      if (member === undefined) return findPartner(tools, name, wanted, address);
      const key = member.keys.find((one) => one.blob === wanted);
      if (!open(member, address) || key === undefined) return undefined;
      return isFrom(key.sources ?? [], address) ? memberPrincipal(tools, member) : undefined;
    },
    current: async (principal, address) => {
      if (principal.kind === 'partner') return partnerPrincipal(tools, principal.name);
      const member = await members.get(principal.id);
      return open(member, address) ? memberPrincipal(tools, member) : undefined;
    },
    version: versionOf(tools),
    recordLogin: (entry) => recordLogin(tools, entry),
    recordRefusals: ({ kind, ...detail }) =>
      tools.db.transaction().execute((trx) =>
        tools.audit.append(trx, {
          actor: 'server',
          action: 'connection.refused',
          object: kind,
          detail,
        }),
      ),
  };
}

const isFrom = (sources: readonly string[], address: string): boolean =>
  sources.length === 0 || isInside(sources, address);

/** Why this account lets nobody in now; undefined when it does. */
function closed(
  member: Member | undefined,
  address: string,
  now: number,
): 'unknown-user' | 'disabled' | 'expired' | 'network' | undefined {
  if (member === undefined || member.state === 'removed') return 'unknown-user';
  if (member.state !== 'active') return 'disabled';
  if (member.expiresAt !== null && member.expiresAt <= now) return 'expired';
  return isFrom(member.sources, address) ? undefined : 'network';
}

function versionOf({ dataVersion, clock }: AccountsTools): () => number {
  let version = 0;
  let seenData: number | undefined;
  let seenAt = clock.now();
  return () => {
    const data = dataVersion();
    if (data !== seenData || clock.now() - seenAt >= lookAgainMs) {
      version += 1;
      seenData = data;
      seenAt = clock.now();
    }
    return version;
  };
}

async function views(
  { projects }: AccountsTools,
  sees: (project: { name: string; partners: readonly string[] }) => boolean,
): Promise<readonly ProjectView[]> {
  const all = await projects.list();
  return all
    .filter((project) => project.state === 'active' && sees(project))
    .map(({ id, name, partners, settings: { quotaBytes } }) =>
      Object.freeze({ id, name, partners, quotaBytes }),
    );
}

async function memberPrincipal(tools: AccountsTools, member: Member): Promise<Principal> {
  const projects = await views(tools, ({ name }) => member.projects.includes(name));
  const { id, name, quotaBytes, expiresAt } = member;
  return Object.freeze({ kind: 'member', id, name, projects, quotaBytes, expiresAt });
}

async function findPartner(
  tools: AccountsTools,
  code: string,
  blob: string,
  address: string,
): Promise<Principal | undefined> {
  const key = await tools.db
    .selectFrom('partner_key')
    .select('sources')
    .where('partner', '=', code)
    .where('blob', '=', blob)
    .executeTakeFirst();
  if (key === undefined || !isFrom(networksOf(key.sources), address)) return undefined;
  return partnerPrincipal(tools, code);
}

/** Undefined when its last key is gone or the partner was removed. `partner accept` may come before `partner add`. */
async function partnerPrincipal(
  tools: AccountsTools,
  code: string,
): Promise<Principal | undefined> {
  const key = await tools.db
    .selectFrom('partner_key')
    .select('id')
    .where('partner', '=', code)
    .executeTakeFirst();
  const row = await tools.db
    .selectFrom('partner')
    .select('state')
    .where('code', '=', code)
    .executeTakeFirst();
  if (key === undefined || row?.state === 'removed') return undefined;
  const projects = await views(tools, ({ partners }) => partners.includes(code));
  return Object.freeze({ kind: 'partner', id: code, name: code, projects });
}

async function recordLogin(
  { db, audit, members, clock }: AccountsTools,
  entry: Parameters<Accounts['recordLogin']>[0],
): Promise<void> {
  const member = await members.find(entry.name);
  const partner =
    member === undefined
      ? await db
          .selectFrom('partner_key')
          .select('partner')
          .where('partner', '=', entry.name)
          .executeTakeFirst()
      : undefined;
  // The name of nobody is not written down: it may be a password, typed into the wrong field.
  const who = member?.id ?? partner?.partner ?? 'unknown';
  const isKey = entry.method === 'publickey';
  const unproven: LoginRefusal = isKey ? 'unknown-key' : 'wrong-password';
  const why =
    entry.refusal ??
    (partner === undefined ? closed(member, entry.address, clock.now()) : undefined) ??
    unproven;
  await db.transaction().execute((trx) =>
    audit.append(trx, {
      actor: who,
      action: entry.accepted ? 'login.accepted' : 'login.refused',
      object: who,
      detail: {
        source: entry.source,
        method: entry.method,
        ...(entry.accepted ? {} : { reason: why }),
      },
    }),
  );
}
