// From patients to subject codes, at the sending site alone (SPEC 7). A row is found by a keyed hash of the identity; what
// the identity says is sealed with the master key, so that the database by itself names nobody.

import { randomBytes } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../core/errors.ts';
import {
  hmacCode,
  isSubjectCode,
  randomCode,
  sequentialCode,
} from '../../core/deid/subject-code.ts';
import { identityKey, isJunkID, normalizeID } from '../../core/deid/subject.ts';
import type { Clock } from '../../flow/ports/clock.ts';
import type {
  Crosswalk,
  ProjectKeys,
  Subject,
  SubjectAnswer,
  SubjectIdentity,
} from '../../flow/ports/processing.ts';
import type { AuditLog } from './audit.ts';
import { compare, merged, randomOffset, type Person } from './crosswalk-person.ts';
import { seal, unseal } from './crosswalk-seal.ts';
import { sql } from './kysely.ts';
import { newId } from './new-id.ts';
import type { Database, SubjectTable } from './schema.ts';

type How = Parameters<Crosswalk['resolve']>[2];

export interface CrosswalkRow extends Person {
  readonly code: string;
  readonly dateOffsetDays: number;
  readonly createdAt: number;
}

export interface CrosswalkImport {
  readonly patientID: string;
  readonly issuer: string;
  readonly code: string;
}

export interface CrosswalkParts {
  readonly db: Kysely<Database>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  /** 32 bytes of the master key for this purpose alone: secrets.derive('crosswalk'). */
  readonly sealingKey: Uint8Array;
  readonly projectKeys: (projectId: string) => ProjectKeys;
}

export class SqlCrosswalk implements Crosswalk {
  readonly #parts: CrosswalkParts;

  constructor(parts: CrosswalkParts) {
    this.#parts = parts;
  }

  async resolve(projectId: string, identity: SubjectIdentity, how: How): Promise<SubjectAnswer> {
    const row = await find(this.#parts.db, projectId, identity.key);
    if (row === undefined && how.code === 'csv') return { kind: 'held', reason: 'no-subject-code' };
    const known = row === undefined ? undefined : compare(this.#person(row), identity);
    if (known === 'other') return { kind: 'held', reason: 'subject-conflict' };
    if (row !== undefined && known === 'same') return found(row);
    return this.#parts.db
      .transaction()
      .execute((trx) => this.#write(trx, projectId, identity, how));
  }

  /** Every row of a project, by code. Audited: this is the one way in which patients leave the crosswalk. */
  async export(projectId: string, actor: string): Promise<readonly CrosswalkRow[]> {
    const { db, audit } = this.#parts;
    return db.transaction().execute(async (trx) => {
      const rows = await trx
        .selectFrom('subject')
        .selectAll()
        .where('projectId', '=', projectId)
        .orderBy('code')
        .execute();
      await audit.append(trx, {
        actor,
        action: 'crosswalk.exported',
        object: projectId,
        detail: { rows: rows.length },
      });
      return rows.map((row) => ({
        ...this.#person(row),
        code: row.code,
        dateOffsetDays: row.dateOffsetDays,
        createdAt: row.createdAt,
      }));
    });
  }

  /**
   * Adds codes that were given elsewhere, all or none. A patient who has this code already is left as he is. Throws
   * BAD_INPUT or CONFLICT with the number of the row, counted from 1.
   */
  async import(
    projectId: string,
    rows: readonly CrosswalkImport[],
    actor: string,
    wholeWeeks: boolean,
  ): Promise<{ readonly added: number; readonly unchanged: number }> {
    const { db, audit } = this.#parts;
    return db.transaction().execute(async (trx) => {
      let added = 0;
      for (const [i, row] of rows.entries()) {
        if (await this.#importRow(trx, projectId, row, i + 1, wholeWeeks)) added += 1;
      }
      const unchanged = rows.length - added;
      await audit.append(trx, {
        actor,
        action: 'crosswalk.imported',
        object: projectId,
        detail: { added, unchanged },
      });
      return { added, unchanged };
    });
  }

  async #importRow(
    trx: Transaction<Database>,
    projectId: string,
    given: CrosswalkImport,
    number: number,
    wholeWeeks: boolean,
  ): Promise<boolean> {
    const detail = (what: string): { detail: string } => ({ detail: `row ${number}: ${what}` });
    if (isJunkID(given.patientID)) throw new AppError('BAD_INPUT', detail('no usable patient ID'));
    if (!isSubjectCode(given.code)) {
      throw new AppError('BAD_INPUT', detail('a code has up to 32 letters, digits, - and _'));
    }
    const key = identityKey(given.patientID, given.issuer, this.#identitySecret(projectId));
    const row = await find(trx, projectId, key);
    if (row?.code === given.code) return false;
    if (row !== undefined) throw new AppError('CONFLICT', detail('the patient has another code'));
    if (await isTaken(trx, projectId, given.code)) {
      throw new AppError('CONFLICT', detail('the code belongs to another patient'));
    }
    await this.#insert(trx, projectId, {
      identity: {
        key,
        patientID: normalizeID(given.patientID),
        issuer: normalizeID(given.issuer),
        patientName: '',
        birthDate: '',
        sex: '',
      },
      code: given.code,
      dateOffsetDays: randomOffset(wholeWeeks),
    });
    return true;
  }

  #identitySecret(projectId: string): Uint8Array {
    return Buffer.from(this.#parts.projectKeys(projectId).identity, 'hex');
  }

  /** Inside the write lock: look again, since somebody else may have been first. */
  async #write(
    trx: Transaction<Database>,
    projectId: string,
    identity: SubjectIdentity,
    how: How,
  ): Promise<SubjectAnswer> {
    const row = await find(trx, projectId, identity.key);
    if (row === undefined) {
      const code = await this.#freeCode(trx, projectId, identity.key, how);
      const dateOffsetDays = randomOffset(how.wholeWeeks);
      const id = await this.#insert(trx, projectId, { identity, code, dateOffsetDays });
      const detail = { project: projectId, code, by: how.code };
      await this.#parts.audit.append(trx, {
        actor: 'server',
        action: 'subject.added',
        object: id,
        detail,
      });
      return { kind: 'subject', subject: { code, dateOffsetDays } };
    }
    if (compare(this.#person(row), identity) === 'other') {
      return { kind: 'held', reason: 'subject-conflict' };
    }
    const sealed = this.#seal(projectId, identity.key, merged(this.#person(row), identity));
    await trx.updateTable('subject').set({ sealed }).where('id', '=', row.id).execute();
    return found(row);
  }

  async #insert(
    trx: Transaction<Database>,
    projectId: string,
    subject: Subject & { readonly identity: SubjectIdentity },
  ): Promise<string> {
    const { identity, code, dateOffsetDays } = subject;
    const id = newId();
    await trx
      .insertInto('subject')
      .values({
        id,
        projectId,
        identity: identity.key,
        code,
        dateOffsetDays,
        sealed: this.#seal(projectId, identity.key, identity),
        createdAt: this.#parts.clock.now(),
      })
      .execute();
    return id;
  }

  async #freeCode(
    trx: Transaction<Database>,
    projectId: string,
    key: string,
    how: How,
  ): Promise<string> {
    const first = how.code === 'sequential' ? (await count(trx, projectId)) + 1 : 0;
    for (let attempt = 0; attempt < 10_000; attempt++) {
      const code = this.#candidate(projectId, key, how, first, attempt);
      if (!(await isTaken(trx, projectId, code))) return code;
    }
    throw new AppError('INTERNAL', { detail: 'no free subject code' });
  }

  #candidate(projectId: string, key: string, how: How, first: number, attempt: number): string {
    switch (how.code) {
      case 'sequential':
        return sequentialCode(how.prefix, first + attempt);
      case 'hmac':
        return hmacCode(how.prefix, key, this.#identitySecret(projectId), attempt);
      case 'random':
      // A list that lost its row between the two looks cannot happen: rows are never removed.
      case 'csv':
        return randomCode(how.prefix, randomBytes(32), attempt);
    }
  }

  #person(row: SubjectTable): Person {
    const text = unseal(this.#parts.sealingKey, row.sealed, `${row.projectId}/${row.identity}`);
    return JSON.parse(text) as Person;
  }

  #seal(projectId: string, key: string, person: Person): string {
    const { patientID, issuer, patientName, birthDate, sex } = person;
    const text = JSON.stringify({ patientID, issuer, patientName, birthDate, sex });
    return seal(this.#parts.sealingKey, text, `${projectId}/${key}`);
  }
}

const found = (row: SubjectTable): SubjectAnswer => ({
  kind: 'subject',
  subject: { code: row.code, dateOffsetDays: row.dateOffsetDays },
});

const find = (
  db: Kysely<Database>,
  projectId: string,
  key: string,
): Promise<SubjectTable | undefined> =>
  db
    .selectFrom('subject')
    .selectAll()
    .where('projectId', '=', projectId)
    .where('identity', '=', key)
    .executeTakeFirst();

/** In any case, because codes become names of files. */
const isTaken = async (db: Kysely<Database>, projectId: string, code: string): Promise<boolean> => {
  const row = await db
    .selectFrom('subject')
    .select('id')
    .where('projectId', '=', projectId)
    .where(sql<string>`lower(code)`, '=', code.toLowerCase())
    .executeTakeFirst();
  return row !== undefined;
};

const count = async (db: Kysely<Database>, projectId: string): Promise<number> => {
  const row = await db
    .selectFrom('subject')
    .select(({ fn }) => fn.countAll<number>().as('rows'))
    .where('projectId', '=', projectId)
    .executeTakeFirstOrThrow();
  return row.rows;
};
