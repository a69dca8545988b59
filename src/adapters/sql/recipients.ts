// Recipient keys in the database; port Recipients. A removed key stays as a row: the audit and old jobs name it.

import { AppError } from '../../core/errors.ts';
import type { Recipient, Recipients } from '../../flow/ports/directory.ts';
import { newId } from './new-id.ts';
import type { StoreTools } from './projects.ts';

export class SqlRecipients implements Recipients {
  readonly #tools: StoreTools;

  constructor(tools: StoreTools) {
    this.#tools = tools;
  }

  async list(
    filter: { readonly projectId?: string; readonly partner?: string } = {},
  ): Promise<readonly Recipient[]> {
    let query = this.#tools.db
      .selectFrom('recipient')
      .innerJoin('project', 'project.id', 'recipient.projectId')
      .selectAll('recipient')
      .select('project.name as project')
      .where('recipient.removedAt', 'is', null)
      .orderBy('project.name')
      .orderBy('recipient.partner')
      .orderBy('recipient.createdAt')
      .orderBy('recipient.id');
    if (filter.projectId !== undefined) {
      query = query.where('recipient.projectId', '=', filter.projectId);
    }
    if (filter.partner !== undefined) query = query.where('recipient.partner', '=', filter.partner);
    const rows = await query.execute();
    return rows.map(({ removedAt: _, warnedDays: __, ...row }) => row);
  }

  async put(
    key: Omit<Recipient, 'id' | 'project' | 'createdAt'>,
  ): Promise<{ recipient: Recipient; isNew: boolean }> {
    const { db, audit, actor, clock } = this.#tools;
    const { id, isNew } = await db.transaction().execute(async (trx) => {
      const there = await trx
        .selectFrom('recipient')
        .select('id')
        .where('projectId', '=', key.projectId)
        .where('partner', '=', key.partner)
        .where('fingerprint', '=', key.fingerprint)
        .where('removedAt', 'is', null)
        .executeTakeFirst();
      const id = there?.id ?? newId();
      if (there === undefined) {
        const row = { ...key, id, createdAt: clock.now(), removedAt: null };
        await trx.insertInto('recipient').values(row).execute();
      } else {
        // A new expiry is warned of anew.
        const renewed = { ...key, warnedDays: null };
        await trx.updateTable('recipient').set(renewed).where('id', '=', id).execute();
      }
      await audit.append(trx, {
        actor,
        action: there === undefined ? 'recipient.added' : 'recipient.renewed',
        object: id,
        detail: {
          project: key.projectId,
          partner: key.partner,
          fingerprint: key.fingerprint,
          expiresAt: key.expiresAt,
        },
      });
      return { id, isNew: there === undefined };
    });
    const recipient = (await this.list()).find((row) => row.id === id);
    if (recipient === undefined) throw new AppError('INTERNAL', { detail: 'key not stored' });
    return { recipient, isNew };
  }

  async warned(id: string, days: number): Promise<boolean> {
    const { db, audit, actor } = this.#tools;
    return db.transaction().execute(async (trx) => {
      const result = await trx
        .updateTable('recipient')
        .set({ warnedDays: days })
        .where('id', '=', id)
        .where((where) =>
          where.or([where('warnedDays', 'is', null), where('warnedDays', '>', days)]),
        )
        .executeTakeFirst();
      if (result.numUpdatedRows === 0n) return false;
      await audit.append(trx, { actor, action: 'recipient.warned', object: id, detail: { days } });
      return true;
    });
  }

  async remove(id: string): Promise<void> {
    const { db, audit, actor, clock } = this.#tools;
    await db.transaction().execute(async (trx) => {
      await trx
        .updateTable('recipient')
        .set({ removedAt: clock.now() })
        .where('id', '=', id)
        .where('removedAt', 'is', null)
        .execute();
      await audit.append(trx, { actor, action: 'recipient.removed', object: id });
    });
  }
}
