// Who may log in, from the stores (port Accounts). Expired, disabled, removed and the wrong network are decided in one place,
// `closed`, so that no way in forgets one of them. Too many wrong passwords are the SFTP server's to refuse (port PenaltyStore).

import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { isInside } from '../../core/networks.ts';
import type {
  Accounts,
  Ended,
  Expired,
  LoginRefusal,
  Principal,
  ProjectView,
} from '../../flow/ports/accounts.ts';
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
  // An account that has expired still knows its owner, who is told so.
  const knows = (member: Member | undefined, address: string): member is Member => {
    const reason = closed(member, address, clock.now());
    if (reason !== 'expired') return reason === undefined;
    return member !== undefined && isFrom(member.sources, address);
  };
  const enter = (member: Member, openedBy: string): Promise<Principal> | Expired =>
    expiryOf(member, clock.now()) ?? memberPrincipal(tools, member, openedBy);

  return {
    verifyPassword: async (name, password, address) => {
      const member = await members.find(name);
      const hash = knows(member, address) ? (member.passwordHash ?? undefined) : undefined;
      const matches = await tools.passwords.verify(hash, password);
      if (member === undefined || hash === undefined || !matches) return undefined;
      return enter(member, openedByPassword(hash));
    },
    findByKey: async (name, blob, address) => {
      const wanted = Buffer.from(blob).toString('base64');
      const member = await members.find(name);
      if (member === undefined) return findPartner(tools, name, wanted, address);
      const key = member.keys.find((one) => one.blob === wanted);
      if (!knows(member, address) || key === undefined) return undefined;
      if (!isFrom(key.sources ?? [], address)) return undefined;
      return enter(member, openedByKey(wanted));
    },
    current: async (principal, address) => {
      if (principal.kind === 'partner') return currentPartner(tools, principal, address);
      const member = await members.get(principal.id);
      const reason = closed(member, address, clock.now());
      if (member === undefined || reason === 'unknown-user') return ended('removed');
      if (reason === 'expired') {
        return { kind: 'ended', reason, expiresAt: member.expiresAt ?? clock.now() };
      }
      const shut = reason ?? isShut(member, principal.openedBy, address);
      return shut === undefined ? memberPrincipal(tools, member, principal.openedBy) : ended(shut);
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

const ended = (reason: Exclude<Ended['reason'], 'expired'>): Ended => ({ kind: 'ended', reason });

/** `openedBy` of a principal: the key itself, or a digest of what is stored of the password. */
const openedByKey = (blob: string): string => `key ${blob}`;
const openedByPassword = (hash: string): string =>
  `password ${createHash('sha256').update(hash).digest('base64')}`;

/** Why what opened a session would not open one now; undefined when it would. */
function isShut(
  { keys, passwordHash }: Member,
  openedBy: string | undefined,
  address: string,
): 'key' | 'password' | 'network' | undefined {
  if (openedBy === undefined) return undefined;
  if (openedBy.startsWith('password ')) {
    const isSame = passwordHash !== null && openedByPassword(passwordHash) === openedBy;
    return isSame ? undefined : 'password';
  }
  const key = keys.find(({ blob }) => openedByKey(blob) === openedBy);
  if (key === undefined) return 'key';
  return isFrom(key.sources ?? [], address) ? undefined : 'network';
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
  if (expiryOf(member, now) !== undefined) return 'expired';
  return isFrom(member.sources, address) ? undefined : 'network';
}

const expiryOf = ({ expiresAt }: Member, now: number): Expired | undefined =>
  expiresAt !== null && expiresAt <= now
    ? { kind: 'ended', reason: 'expired', expiresAt }
    : undefined;

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

async function memberPrincipal(
  tools: AccountsTools,
  member: Member,
  openedBy: string | undefined,
): Promise<Principal> {
  const projects = await views(tools, ({ name }) => member.projects.includes(name));
  const { id, name, quotaBytes, expiresAt } = member;
  const opened = openedBy === undefined ? {} : { openedBy };
  return Object.freeze({ kind: 'member', id, name, projects, quotaBytes, expiresAt, ...opened });
}

async function findPartner(
  tools: AccountsTools,
  code: string,
  blob: string,
  address: string,
): Promise<Principal | undefined> {
  const opened = openedByKey(blob);
  const now = await currentPartner(tools, { name: code, openedBy: opened }, address);
  return now.kind === 'ended' ? undefined : now;
}

/** Ended when its key is gone or the partner was removed. `partner accept` may come before `partner add`. */
async function currentPartner(
  tools: AccountsTools,
  { name: code, openedBy }: Pick<Principal, 'name' | 'openedBy'>,
  address: string,
): Promise<Principal | Ended> {
  const keys = await tools.db
    .selectFrom('partner_key')
    .select(['blob', 'sources'])
    .where('partner', '=', code)
    .execute();
  const row = await tools.db
    .selectFrom('partner')
    .select('state')
    .where('code', '=', code)
    .executeTakeFirst();
  if (row?.state === 'removed') return ended('removed');
  const key = keys.find(({ blob }) => openedByKey(blob) === openedBy);
  if (key === undefined) return ended('key');
  if (!isFrom(networksOf(key.sources), address)) return ended('network');
  const projects = await views(tools, ({ partners }) => partners.includes(code));
  const opened = openedByKey(key.blob);
  return Object.freeze({ kind: 'partner', id: code, name: code, projects, openedBy: opened });
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
