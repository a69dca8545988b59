// Members, their keys and their memberships in the database; port Members.

import type { Selectable, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Member, MemberChange, Members, SshKey } from '../../flow/ports/directory.ts';
import { moveJob } from './moves.ts';
import { newId } from './new-id.ts';
import { beforeClaim } from './new-uploads.ts';
import type { StoreTools } from './projects.ts';
import type { Database, MemberTable } from './schema.ts';

export class SqlMembers implements Members {
  readonly #tools: StoreTools;

  constructor(tools: StoreTools) {
    this.#tools = tools;
  }

  async list(): Promise<readonly Member[]> {
    const rows = await this.#tools.db
      .selectFrom('member')
      .selectAll()
      .where('state', '<>', 'removed')
      .orderBy('name')
      .execute();
    return Promise.all(rows.map((row) => this.#read(row)));
  }

  async find(name: string): Promise<Member | undefined> {
    const row = await this.#tools.db
      .selectFrom('member')
      .selectAll()
      .where('name', '=', name)
      .where('state', '<>', 'removed')
      .executeTakeFirst();
    return row === undefined ? undefined : this.#read(row);
  }

  async get(id: string): Promise<Member | undefined> {
    const row = await this.#tools.db
      .selectFrom('member')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#read(row);
  }

  async put(name: string, change: MemberChange): Promise<{ member: Member; isNew: boolean }> {
    const { db, audit, actor, clock } = this.#tools;
    const { id, isNew } = await db.transaction().execute(async (trx) => {
      const there = await trx
        .selectFrom('member')
        .select('id')
        .where('name', '=', name)
        .where('state', '<>', 'removed')
        .executeTakeFirst();
      const id = there?.id ?? newId();
      if (there === undefined) {
        const row = { id, name, passwordHash: null, expiresAt: null };
        await trx
          .insertInto('member')
          .values({ ...row, removedAt: null, createdAt: clock.now() })
          .execute();
      }
      await this.#change(trx, id, change);
      const action = there === undefined ? 'member.added' : 'member.changed';
      await audit.append(trx, { actor, action, object: id, detail: describe(change) });
      return { id, isNew: there === undefined };
    });
    const member = await this.get(id);
    if (member === undefined) throw new AppError('INTERNAL', { detail: 'member not stored' });
    return { member, isNew };
  }

  async #change(trx: Transaction<Database>, memberId: string, change: MemberChange): Promise<void> {
    const { passwordHash, expiresAt, state, sources, quotaBytes } = change;
    const fields = {
      ...(passwordHash === undefined ? {} : { passwordHash }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(state === undefined ? {} : { state }),
      ...(sources === undefined ? {} : { sources: JSON.stringify(sources) }),
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    };
    if (Object.keys(fields).length > 0) {
      await trx.updateTable('member').set(fields).where('id', '=', memberId).execute();
    }
    for (const projectId of change.projectIds ?? []) {
      await trx
        .insertInto('membership')
        .values({ memberId, projectId })
        .onConflict((c) => c.doNothing())
        .execute();
    }
    await leave(trx, memberId, change.leavesProjectIds ?? []);
    if (change.key !== undefined) {
      const createdAt = this.#tools.clock.now();
      const given = change.key.sources;
      const sources = JSON.stringify(given ?? []);
      await trx
        .insertInto('member_key')
        .values({ ...change.key, sources, id: newId(), memberId, createdAt })
        .onConflict((c) => {
          // A key that is given again without networks stays bound to those that it has.
          const same = c.columns(['memberId', 'fingerprint']);
          return given === undefined ? same.doNothing() : same.doUpdateSet({ sources });
        })
        .execute();
    }
  }

  async removeKey(memberId: string, fingerprint: string): Promise<boolean> {
    const { db, audit, actor } = this.#tools;
    return db.transaction().execute(async (trx) => {
      const gone = await trx
        .deleteFrom('member_key')
        .where('memberId', '=', memberId)
        .where('fingerprint', '=', fingerprint)
        .executeTakeFirst();
      if (gone.numDeletedRows === 0n) return false;
      const action = 'member.key-removed';
      await audit.append(trx, { actor, action, object: memberId, detail: { fingerprint } });
      return true;
    });
  }

  async remove(memberId: string): Promise<{ withdrawn: number }> {
    const { db, audit, actor, clock } = this.#tools;
    return db.transaction().execute(async (trx) => {
      const now = clock.now();
      await trx
        .updateTable('member')
        .set({ state: 'removed', removedAt: now, passwordHash: null })
        .where('id', '=', memberId)
        .execute();
      await trx.deleteFrom('member_key').where('memberId', '=', memberId).execute();
      await trx.deleteFrom('membership').where('memberId', '=', memberId).execute();
      // What was not claimed yet goes with the member's folder.
      const jobs = await trx
        .selectFrom('job')
        .select(['id', 'state', 'uploadId'])
        .where('memberId', '=', memberId)
        .where('state', 'in', [...beforeClaim])
        .execute();
      for (const job of jobs) {
        await moveJob({ audit, clock }, trx, job, { to: 'withdrawn', actor, set: { dueAt: null } });
      }
      const withdrawn = new Set(jobs.map((job) => job.uploadId)).size;
      await trx
        .updateTable('upload')
        .set({ settleAt: null, receiptDue: 0 })
        .where('memberId', '=', memberId)
        .execute();
      const detail = { withdrawn };
      await audit.append(trx, { actor, action: 'member.removed', object: memberId, detail });
      return { withdrawn };
    });
  }

  async #read(row: Selectable<MemberTable>): Promise<Member> {
    const { db } = this.#tools;
    const projects = await db
      .selectFrom('membership')
      .innerJoin('project', 'project.id', 'membership.projectId')
      .select('project.name')
      .where('memberId', '=', row.id)
      .orderBy('project.name')
      .execute();
    const keys = await db
      .selectFrom('member_key')
      .select(['fingerprint', 'algorithm', 'blob', 'comment', 'sources'])
      .where('memberId', '=', row.id)
      .orderBy('createdAt')
      .orderBy('id')
      .execute();
    const { removedAt: _, ...rest } = row;
    return {
      ...rest,
      sources: networksOf(row.sources),
      projects: projects.map((p) => p.name),
      keys: keys.map((key): SshKey => ({ ...key, sources: networksOf(key.sources) })),
    };
  }
}

/** What the member uploaded goes on, and its folder stays: only the way to it ends. */
async function leave(
  trx: Transaction<Database>,
  memberId: string,
  projectIds: readonly string[],
): Promise<void> {
  if (projectIds.length === 0) return;
  const ofMember = trx.deleteFrom('membership').where('memberId', '=', memberId);
  await ofMember.where('projectId', 'in', projectIds).execute();
  const left = await trx
    .selectFrom('membership')
    .select('projectId')
    .where('memberId', '=', memberId)
    .limit(1)
    .executeTakeFirst();
  if (left !== undefined) return;
  throw new AppError('CONFLICT', {
    detail:
      'a user has at least one project: add another first (user add NAME --project P), or end the account with user disable or user remove',
  });
}

/** The JSON of a `sources` column. */
export const networksOf = (text: string): readonly string[] => JSON.parse(text) as string[];

/** For the audit: what changed, without the secret. */
const describe = (change: MemberChange): Record<string, unknown> => ({
  ...(change.projectIds === undefined ? {} : { projects: change.projectIds }),
  ...(change.leavesProjectIds === undefined ? {} : { leaves: change.leavesProjectIds }),
  ...(change.passwordHash === undefined ? {} : { password: 'set' }),
  ...(change.key === undefined
    ? {}
    : {
        fingerprint: change.key.fingerprint,
        ...(change.key.sources === undefined ? {} : { keySources: change.key.sources }),
      }),
  ...(change.expiresAt === undefined ? {} : { expiresAt: change.expiresAt }),
  ...(change.state === undefined ? {} : { state: change.state }),
  ...(change.unlocked === undefined ? {} : { unlocked: true }),
  ...(change.sources === undefined ? {} : { sources: change.sources }),
  ...(change.quotaBytes === undefined ? {} : { quotaBytes: change.quotaBytes }),
});
