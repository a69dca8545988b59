// Who may log in, from the stores (port Accounts). Expired, disabled, locked and removed are decided in one place, `open`,
// so that no way in forgets one of them.

import type { Kysely } from 'kysely';
import type { Accounts, Principal, ProjectView } from '../../flow/ports/accounts.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type { Member, Members, Passwords, Projects } from '../../flow/ports/directory.ts';
import type { AuditLog } from './audit.ts';
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
  const open = (member: Member | undefined): member is Member =>
    member?.state === 'active' && (member.expiresAt === null || member.expiresAt > clock.now());

  return {
    verifyPassword: async (name, password) => {
      const member = await members.find(name);
      const locked = (member?.lockedUntil ?? 0) > clock.now();
      const mayTry = open(member) && !locked && member.passwordHash !== null;
      const hash = mayTry ? (member.passwordHash ?? undefined) : undefined;
      const matches = await tools.passwords.verify(hash, password);
      if (!mayTry) return undefined;
      if (!matches) {
        await members.countFailure(member.id);
        return undefined;
      }
      if (member.failures > 0) await members.forgetFailures(member.id);
      return memberPrincipal(tools, member);
    },
    findByKey: async (name, blob) => {
      const wanted = Buffer.from(blob).toString('base64');
      const member = await members.find(name);
      if (member === undefined) return findPartner(tools, name, wanted);
      if (!open(member) || !member.keys.some((key) => key.blob === wanted)) return undefined;
      return memberPrincipal(tools, member);
    },
    current: async (principal) => {
      if (principal.kind === 'partner') return partnerPrincipal(tools, principal.name);
      const member = await members.get(principal.id);
      return open(member) ? memberPrincipal(tools, member) : undefined;
    },
    version: versionOf(tools),
    recordLogin: (entry) => recordLogin(tools, entry),
  };
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
    .map(({ id, name, partners }) => Object.freeze({ id, name, partners }));
}

async function memberPrincipal(tools: AccountsTools, member: Member): Promise<Principal> {
  const projects = await views(tools, ({ name }) => member.projects.includes(name));
  return Object.freeze({ kind: 'member', id: member.id, name: member.name, projects });
}

async function findPartner(
  tools: AccountsTools,
  code: string,
  blob: string,
): Promise<Principal | undefined> {
  const key = await tools.db
    .selectFrom('partner_key')
    .select('id')
    .where('partner', '=', code)
    .where('blob', '=', blob)
    .executeTakeFirst();
  return key === undefined ? undefined : partnerPrincipal(tools, code);
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
  { db, audit, members }: AccountsTools,
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
  await db.transaction().execute((trx) =>
    audit.append(trx, {
      actor: who,
      action: entry.accepted ? 'login.accepted' : 'login.refused',
      object: who,
      detail: { source: entry.source, method: entry.method },
    }),
  );
}
