// Projects in the database; port Projects. A project that gets its first partner takes along what was waiting for one.

import type { Kysely, Selectable, Transaction, Updateable } from 'kysely';
import { AppError } from '../../core/errors.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type {
  Project,
  ProjectChange,
  Projects,
  ProjectSettings,
} from '../../flow/ports/directory.ts';
import type { AuditLog } from './audit.ts';
import { newId } from './new-id.ts';
import type { Database, ProjectTable } from './schema.ts';

const defaults: ProjectSettings = { directDicom: 'hold', quotaBytes: null };

export interface StoreTools {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  /** Who acts: `cli` or `server`. */
  readonly actor: string;
}

export class SqlProjects implements Projects {
  readonly #tools: StoreTools;

  constructor(tools: StoreTools) {
    this.#tools = tools;
  }

  async list(): Promise<readonly Project[]> {
    const { db } = this.#tools;
    const rows = await db.selectFrom('project').selectAll().orderBy('name').execute();
    const partners = await db
      .selectFrom('project_partner')
      .selectAll()
      .orderBy('partner')
      .execute();
    return rows.map((row) =>
      read(
        row,
        partners.filter((p) => p.projectId === row.id).map((p) => p.partner),
      ),
    );
  }

  async find(name: string): Promise<Project | undefined> {
    return (await this.list()).find((project) => project.name === name);
  }

  async get(id: string): Promise<Project | undefined> {
    return (await this.list()).find((project) => project.id === id);
  }

  async put(name: string, change: ProjectChange): Promise<{ project: Project; isNew: boolean }> {
    const { db, audit, actor } = this.#tools;
    const isNew = await db.transaction().execute(async (trx) => {
      const there = await trx
        .selectFrom('project')
        .select(['id', 'settings'])
        .where('name', '=', name)
        .executeTakeFirst();
      const id = there?.id ?? (await this.#insert(trx, name));
      const settings = { ...defaults, ...parse(there?.settings), ...change.settings };
      await trx
        .updateTable('project')
        .set({
          settings: JSON.stringify(settings),
          ...(change.profile === undefined ? {} : { profile: change.profile }),
          ...(change.state === undefined ? {} : { state: change.state }),
          ...this.#holdColumns(change),
        })
        .where('id', '=', id)
        .execute();
      await this.#changePartners(trx, id, change);
      const action = there === undefined ? 'project.added' : 'project.changed';
      await audit.append(trx, { actor, action, object: id, detail: { ...change } });
      return there === undefined;
    });
    const project = await this.find(name);
    if (project === undefined) throw new AppError('INTERNAL', { detail: 'project not stored' });
    return { project, isNew };
  }

  #holdColumns({ legalHold }: ProjectChange): Updateable<ProjectTable> {
    if (legalHold === undefined) return {};
    return legalHold.isOn
      ? { holdReason: legalHold.reason, heldAt: this.#tools.clock.now() }
      : { holdReason: null, heldAt: null };
  }

  async #insert(trx: Transaction<Database>, name: string): Promise<string> {
    const id = newId();
    await trx
      .insertInto('project')
      .values({ id, name, createdAt: this.#tools.clock.now() })
      .execute();
    return id;
  }

  async #changePartners(
    trx: Transaction<Database>,
    projectId: string,
    change: ProjectChange,
  ): Promise<void> {
    for (const partner of change.addPartners ?? []) {
      await trx
        .insertInto('project_partner')
        .values({ projectId, partner })
        .onConflict((c) => c.doNothing())
        .execute();
    }
    const gone = change.removePartners ?? [];
    if (gone.length > 0) {
      await trx
        .deleteFrom('project_partner')
        .where('projectId', '=', projectId)
        .where('partner', 'in', gone)
        .execute();
    }
  }
}

type ProjectRow = Selectable<ProjectTable>;

const parse = (settings: string | undefined): Partial<ProjectSettings> =>
  settings === undefined ? {} : (JSON.parse(settings) as Partial<ProjectSettings>);

const read = (row: ProjectRow, partners: readonly string[]): Project => ({
  id: row.id,
  name: row.name,
  state: row.state,
  profile: row.profile,
  settings: { ...defaults, ...parse(row.settings) },
  partners,
  legalHold: row.holdReason === null ? null : { reason: row.holdReason, since: row.heldAt ?? 0 },
  createdAt: row.createdAt,
});
