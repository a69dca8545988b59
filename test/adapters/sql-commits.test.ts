// Commits that are shared, and queries that are put together once: each caller gets what is its own.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Kysely, Transaction } from 'kysely';
import t, { type Test } from 'tap';
import { freeOwn, ownOf, type Own } from '../../src/adapters/sql/at-once.ts';
import { createCommitQueue } from '../../src/adapters/sql/commit-queue.ts';
import { sql } from '../../src/adapters/sql/kysely.ts';
import { insertion, prepared, updateRow } from '../../src/adapters/sql/prepared.ts';
import type { Database } from '../../src/adapters/sql/schema.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';

async function openOne(t: Test): Promise<Kysely<Database>> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-sql-'));
  const opened = await openSqlite(join(folder, 'one.db'));
  t.teardown(async () => {
    await opened.close();
    await rm(folder, { recursive: true });
  });
  return opened.db;
}

const insertEntry = insertion('audit', [
  'seq',
  'at',
  'actor',
  'action',
  'object',
  'detail',
  'hash',
]);

const insertNow = (own: Own, object: string, seq: number): void =>
  insertEntry(own, entry(object, seq));

const insert = async (trx: Transaction<Database>, object: string, seq: number): Promise<void> =>
  insertNow(ownOf(trx), object, seq);

const entry = (object: string, seq: number) =>
  ({ seq, at: 1, actor: 'cli', action: 'a', object, detail: '{}', hash: '' }) as const;

const objects = async (db: Kysely<Database>): Promise<string[]> =>
  (await db.selectFrom('audit').select('object').orderBy('seq').execute()).map((row) => row.object);

void t.test('work that is asked for together is committed together, in its order', async (t) => {
  const db = await openOne(t);
  let transactions = 0;
  const counted = new Proxy(db, {
    get: (target, name) => {
      if (name === 'transaction') transactions += 1;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const { commit } = createCommitQueue(counted);
  const answers = await Promise.all(
    [1, 2, 3].map((seq) =>
      commit(async (trx) => {
        await insert(trx, `o${seq}`, seq);
        return seq * 10;
      }),
    ),
  );
  t.same(answers, [10, 20, 30]);
  t.same(await objects(db), ['o1', 'o2', 'o3']);
  t.equal(transactions, 1);
  await commit((trx) => insert(trx, 'o4', 4));
  t.equal(transactions, 2);
});

void t.test('work that fails is undone alone, and its caller alone hears of it', async (t) => {
  const db = await openOne(t);
  const { commit } = createCommitQueue(db);
  const add = (seq: number, fails = false): Promise<number> =>
    commit(async (trx) => {
      await insert(trx, `o${seq}`, seq);
      if (fails) throw new Error('no');
      return seq;
    });
  const settled = await Promise.allSettled([add(1), add(2, true), add(3), add(3)]);
  t.same(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
  );
  t.same(await objects(db), ['o1', 'o3']);
  await t.rejects(add(4, true));
  t.same(await objects(db), ['o1', 'o3'], 'alone in its transaction too');
  t.equal(await add(5), 5, 'the queue goes on');
});

void t.test('when the commit fails everybody hears of it', async (t) => {
  const db = await openOne(t);
  const { commit } = createCommitQueue(db);
  const works = [1, 2].map((seq) =>
    commit(async (trx) => {
      await insert(trx, `o${seq}`, seq);
      // A reference to nobody that is looked at when the transaction ends.
      if (seq === 2) await sql`pragma defer_foreign_keys = on`.execute(trx);
      if (seq === 2) await trx.insertInto('membership').values(orphan).execute();
    }),
  );
  const settled = await Promise.allSettled(works);
  t.same(
    settled.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.same(await objects(db), []);
  await commit((trx) => insert(trx, 'after', 1));
  t.same(await objects(db), ['after']);
});

void t.test('work in one go is committed together too, before anything else runs', async (t) => {
  const db = await openOne(t);
  const { commitAtOnce } = createCommitQueue(db);
  const add = (seq: number, fails = false): Promise<number> =>
    commitAtOnce((own) => {
      insertNow(own, `o${seq}`, seq);
      if (fails) throw new Error('no');
      return seq * 10;
    });
  let seen: string[] = [];
  const others = objectsLater(db).then((found) => (seen = found));
  const settled = await Promise.allSettled([add(1), add(2, true), add(3), add(3)]);
  t.same(
    settled.map((one) => (one.status === 'fulfilled' ? one.value : 'failed')),
    [10, 'failed', 30, 'failed'],
  );
  await others;
  t.same(seen, ['o1', 'o3'], 'nobody saw a part of it');
  await t.rejects(add(4, true), 'alone in its transaction too');
  t.same(await objects(db), ['o1', 'o3']);
  t.equal(await add(5), 50, 'the queue goes on');
});

const objectsLater = async (db: Kysely<Database>): Promise<string[]> => {
  for (;;) {
    const found = await objects(db);
    if (found.length > 0) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
};

void t.test('work in one go waits for a transaction that is open', async (t) => {
  const db = await openOne(t);
  const { commit, commitAtOnce } = createCommitQueue(db);
  const order: string[] = [];
  const long = db.transaction().execute(async (trx) => {
    await insert(trx, 'long', 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    order.push('long');
    t.equal(freeOwn(db), undefined);
    throw new Error('undone');
  });
  await new Promise((resolve) => setTimeout(resolve, 5));
  const short = commitAtOnce((own) => {
    order.push('short');
    insertNow(own, 'short', 1);
  });
  const mixed = commit(async (trx) => {
    await insert(trx, 'mixed', 2);
  });
  await t.rejects(long);
  await Promise.all([short, mixed]);
  t.same(order, ['long', 'short']);
  t.same(await objects(db), ['short', 'mixed'], 'what was undone took nobody along');
});

void t.test(
  'when a commit in one go fails everybody hears of it, and nothing is there',
  async (t) => {
    const db = await openOne(t);
    const { commitAtOnce } = createCommitQueue(db);
    const insertMembership = insertion('membership', ['memberId', 'projectId']);
    const works = [1, 2].map((seq) =>
      commitAtOnce((own) => {
        insertNow(own, `o${seq}`, seq);
        if (seq === 1) return;
        own.engine.prepare('pragma defer_foreign_keys = on').run([]);
        insertMembership(own, orphan);
      }),
    );
    const settled = await Promise.allSettled(works);
    t.same(
      settled.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    t.same(await objects(db), []);
    await commitAtOnce((own) => insertNow(own, 'after', 1));
    t.same(await objects(db), ['after']);
  },
);

void t.test('a disk that is full in the middle of a group undoes all of it', async (t) => {
  const db = await openOne(t);
  const { commitAtOnce } = createCommitQueue(db);
  const pages = await sql<{ page_count: number }>`pragma page_count`.execute(db);
  const limit = (pages.rows[0]?.page_count ?? 0) + 2;
  await sql`pragma max_page_count = ${sql.lit(limit)}`.execute(db);
  const works = [1, 2, 3].map((seq) =>
    commitAtOnce((own) => insertNow(own, seq === 2 ? 'x'.repeat(50_000) : `o${seq}`, seq)),
  );
  const settled = await Promise.allSettled(works);
  t.equal(settled[1]?.status, 'rejected');
  const kept = settled.flatMap(({ status }, n) => (status === 'fulfilled' ? [`o${n + 1}`] : []));
  t.same(await objects(db), kept, 'who was told so is there, and nobody else');
});

const orphan = { memberId: 'nobody', projectId: 'none' };

void t.test('a query that is put together once takes the values of each call', async (t) => {
  const db = await openOne(t);
  const find = prepared<{ object: string; from: number }, { seq: number }>((any, value) =>
    any
      .selectFrom('audit')
      .select('seq')
      .where('object', '=', value('object'))
      .where('seq', '>=', value('from'))
      .orderBy('seq'),
  );
  const rows = [1, 2, 3].map((seq) => entry(seq === 2 ? 'b' : 'a', seq));
  await db.insertInto('audit').values(rows).execute();
  t.same(await find(db, { object: 'a', from: 0 }), [{ seq: 1 }, { seq: 3 }]);
  t.same(await find(db, { object: 'a', from: 2 }), [{ seq: 3 }]);
  t.same(await find(db, { object: 'b', from: 0 }), [{ seq: 2 }]);
  const other = await openOne(t);
  t.same(await find(other, { object: 'a', from: 0 }), [], 'of another database');
});

void t.test('rows are changed by their id, columns that are not named stay', async (t) => {
  const db = await openOne(t);
  const project = { id: 'p', name: 'brain', createdAt: 5 };
  const columns = await db.introspection.getTables();
  const table = columns.find(({ name }) => name === 'project');
  const filler = Object.fromEntries(
    (table?.columns ?? [])
      .filter(({ isNullable, hasDefaultValue }) => !isNullable && !hasDefaultValue)
      .map(({ name, dataType }) => [name, /int/i.test(dataType) ? 0 : 'active']),
  );
  await db
    .insertInto('project')
    .values({ ...filler, ...project } as never)
    .execute();
  await updateRow(db, 'project', 'p', { name: 'lung' });
  await updateRow(db, 'project', 'p', { createdAt: sql<number>`1 + 1` });
  await updateRow(db, 'project', 'p', {});
  await updateRow(db, 'project', 'another', { name: 'x' });
  const rows = await db.selectFrom('project').select(['id', 'name', 'createdAt']).execute();
  t.same(rows, [{ id: 'p', name: 'lung', createdAt: 2 }]);
});
