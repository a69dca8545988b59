// The audit trail under tampering: whoever can write the database, but has not the master key, must be found out.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { createAnchor, type Anchor } from '../../src/adapters/audit-anchor.ts';
import { AuditLog, type AuditFault } from '../../src/adapters/sql/audit.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { killAppenders } from '../support/audit-kills.ts';

t.setTimeout(300_000);

const clock = { now: () => 1_700_000_000_000, sleep: () => Promise.resolve() };

class Trail {
  readonly path: string;
  readonly anchorPath: string;
  readonly log: AuditLog;

  constructor(folder: string, key = Buffer.alloc(32, 5)) {
    this.path = join(folder, 'clubhouse.db');
    this.anchorPath = join(folder, 'audit.head');
    this.log = new AuditLog(key, clock);
  }

  async use<T>(
    work: (db: Awaited<ReturnType<typeof openSqlite>>['db'], anchor: Anchor) => Promise<T>,
  ): Promise<T> {
    const database = await openSqlite(this.path);
    const { db } = database;
    const { log } = this;
    const append = (object: string): Promise<void> =>
      db
        .transaction()
        .execute((trx) => log.append(trx, { actor: 'server', action: 'audit.sealed', object }));
    const anchor = createAnchor(this.anchorPath, {
      head: () => log.head(db),
      passes: (head) => log.passes(db, head),
      sealNow: () => append('audit'),
      sealAnchor: (head) => log.sealAnchor(head),
      openAnchor: (line) => log.openAnchor(line),
    });
    try {
      await anchor.begin();
      return await work(db, anchor);
    } finally {
      await database.close();
    }
  }

  /** As `count` things that happen, seen by an anchor at the end. */
  append(count: number, name = 'j'): Promise<void> {
    return this.use(async (db, anchor) => {
      for (let i = 0; i < count; i += 1) {
        const entry = {
          actor: 'server',
          action: 'job.queued',
          object: `${name}${i}`,
          detail: { i },
        };
        await db.transaction().execute((trx) => this.log.append(trx, entry));
      }
      await anchor.move();
    });
  }

  fault(): Promise<AuditFault | string | undefined> {
    return this.use(async (db, anchor) => {
      const head = await anchor.read();
      if (typeof head === 'string') return head;
      return this.log.firstFault(db, [head]);
    });
  }

  sql(statements: string): void {
    const database = new Sqlite(this.path);
    try {
      database.exec(statements);
    } finally {
      database.close();
    }
  }
}

async function trail(t: Test, count = 10): Promise<Trail> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-audit-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const made = new Trail(folder);
  await made.append(count);
  return made;
}

void t.test(
  'a trail that nobody touched is whole, also in the end and when it is empty',
  async (t) => {
    const made = await trail(t);
    t.equal(await made.fault(), undefined);
    await made.append(5);
    t.equal(await made.fault(), undefined);
    t.equal(await (await trail(t, 0)).fault(), undefined);
  },
);

/** Each of a trail of ten entries, by somebody who has the database but not the key. */
const tamperings: Readonly<Record<string, { readonly sql: string; readonly at: number }>> = {
  'another time': { sql: 'update audit set at = at + 1 where seq = 4', at: 4 },
  'another actor': { sql: `update audit set actor = 'cli' where seq = 4`, at: 4 },
  'another action': { sql: `update audit set action = 'job.held' where seq = 1`, at: 1 },
  'another object': { sql: `update audit set object = 'j0' where seq = 10`, at: 10 },
  'another detail': { sql: `update audit set detail = '{}' where seq = 4`, at: 4 },
  'another hash': { sql: `update audit set hash = 'ab' || substr(hash, 3) where seq = 4`, at: 4 },
  'the first entry gone': { sql: 'delete from audit where seq = 1', at: 1 },
  'one in the middle gone': { sql: 'delete from audit where seq = 5', at: 5 },
  'gone, and the others moved up': {
    sql: 'delete from audit where seq = 5; update audit set seq = seq - 1 where seq > 5',
    at: 5,
  },
  'two exchanged': {
    sql: `update audit set seq = 100 where seq = 3; update audit set seq = 3 where seq = 4;
      update audit set seq = 4 where seq = 100`,
    at: 3,
  },
  'one said twice': {
    sql: `insert into audit (seq, at, actor, action, object, detail, hash)
      select 11, at, actor, action, object, detail, hash from audit where seq = 10`,
    at: 11,
  },
  'one made up': {
    sql: `insert into audit (seq, at, actor, action, object, hash)
      values (11, 1, 'cli', 'job.rejected', 'j1', '${'0'.repeat(64)}')`,
    at: 11,
  },
  'the last number changed': { sql: 'update audit set seq = 20 where seq = 10', at: 10 },
  'the last entry cut off': { sql: 'delete from audit where seq = 10', at: 10 },
  'the tail cut off': { sql: 'delete from audit where seq > 6', at: 7 },
  'all cut off': { sql: 'delete from audit', at: 1 },
  'the tail cut off, and the numbering': {
    sql: `delete from audit where seq > 6; update sqlite_sequence set seq = 6 where name = 'audit'`,
    at: 7,
  },
  'the tail cut off, the end moved, its seal guessed': {
    sql: `delete from audit where seq > 6;
      update audit_head set seq = 6, hash = (select hash from audit where seq = 6)`,
    at: 6,
  },
  'the tail cut off, the end moved, its seal removed': {
    sql: `delete from audit where seq > 6;
      update audit_head set seq = 6, hash = (select hash from audit where seq = 6), mac = null`,
    at: 6,
  },
  'the end removed': { sql: 'delete from audit_head', at: 1 },
  'everything removed': { sql: 'delete from audit; delete from audit_head', at: 1 },
};

for (const [name, { sql, at }] of Object.entries(tamperings)) {
  void t.test(`tampering is found, and stays found when work goes on: ${name}`, async (t) => {
    const made = await trail(t);
    made.sql(sql);
    t.match(await made.fault(), { seq: at });
    await made.append(2);
    t.ok(await made.fault(), 'after two more entries');
  });
}

void t.test(
  'a database that is put back to an earlier state, its end included, is found',
  async (t) => {
    const made = await trail(t);
    const before = await readFile(made.path);
    await made.append(3);
    await writeFile(made.path, before);
    t.match(await made.fault(), { seq: 11, text: /missing/ });
    await made.append(5, 'other');
    t.match(
      await made.fault(),
      { seq: 13, text: /another entry/ },
      'and when others take the place',
    );
  },
);

void t.test('a seal of as many characters and more bytes is a fault like others', async (t) => {
  const made = await trail(t);
  made.sql(`update audit_head set mac = 'é' || substr(mac, 2)`);
  t.match(await made.fault(), { seq: 10 });
});

void t.test('a missing or foreign anchor is told, and not made anew in silence', async (t) => {
  const made = await trail(t);
  const line = await readFile(made.anchorPath, 'utf8');
  for (const [text, told] of [
    [undefined, /is gone/],
    ['', /not ours/],
    [line.replace(/^10/, '09'), /not ours/],
    [new AuditLog(Buffer.alloc(32, 6), clock).sealAnchor({ seq: 3, hash: '' }), /not ours/],
  ] as const) {
    if (text === undefined) await rm(made.anchorPath);
    else await writeFile(made.anchorPath, text);
    await made.append(1);
    t.match(await made.fault(), told);
  }
});

void t.test('a trail from before there was an anchor gets one and is whole', async (t) => {
  const made = await trail(t);
  made.sql('update audit_head set mac = null');
  await rm(made.anchorPath);
  t.equal(await made.fault(), undefined);
  made.sql('delete from audit where seq > 10');
  t.match(await made.fault(), { seq: 11 });
});

void t.test('a killed process leaves a whole trail with all that was committed', async (t) => {
  const result = await killAppenders(4, () => Math.random() * 30);
  t.match(result, { kills: 4, lost: 0, falseAlarms: 0 });
  t.ok(result.entries >= 4);
});
