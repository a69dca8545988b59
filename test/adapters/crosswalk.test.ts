// The crosswalk on real SQLite files: one patient, one code, whoever asks and however often.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { SqlCrosswalk } from '../../src/adapters/sql/crosswalk.ts';
import { seal, unseal } from '../../src/adapters/sql/crosswalk-seal.ts';
import { openSqlite, type OpenDatabase } from '../../src/adapters/sql/sqlite.ts';
import { identityKey } from '../../src/core/deid/subject.ts';
import type { Clock } from '../../src/flow/ports/clock.ts';
import type { SubjectAnswer, SubjectIdentity } from '../../src/flow/ports/processing.ts';

const folder = await mkdtemp(join(tmpdir(), 'clubhouse-crosswalk-'));
const clock: Clock = { now: () => 1_700_000_000_000, sleep: () => Promise.resolve() };
const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');
const identitySecret = Buffer.alloc(32, 3);
const opened: OpenDatabase[] = [];
t.teardown(async () => {
  for (const one of opened) await one.close();
  await rm(folder, { recursive: true, force: true });
});

let counter = 0;
async function site(path = join(folder, `${counter++}.db`)) {
  const database = await openSqlite(path);
  opened.push(database);
  for (const id of ['brain', 'heart']) {
    await database.db
      .insertInto('project')
      .values({ id, name: id, createdAt: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  const audit = new AuditLog(Buffer.alloc(32, 9), clock);
  const crosswalk = new SqlCrosswalk({
    db: database.db,
    audit,
    clock,
    sealingKey: Buffer.alloc(32, 7),
    projectKeys: () => ({ uid: hex(1), name: hex(2), identity: identitySecret.toString('hex') }),
  });
  return { path, audit, crosswalk, db: database.db };
}

const who = (patientID: string, more: Partial<SubjectIdentity> = {}): SubjectIdentity => ({
  key: identityKey(patientID, '', identitySecret),
  patientID,
  issuer: '',
  patientName: 'Testperson^Anna',
  birthDate: '19870305',
  sex: 'F',
  ...more,
});

const random = { code: 'random', prefix: 'JI-', wholeWeeks: false } as const;
const codeOf = (answer: SubjectAnswer): string =>
  answer.kind === 'subject' ? answer.subject.code : answer.reason;

void t.test('the same patient gets the same code and offset, in the project alone', async (t) => {
  const { crosswalk, path } = await site();
  const first = await crosswalk.resolve('brain', who('MRN1'), random);
  t.match(codeOf(first), /^JI-[0-9A-Z]{5}$/);
  t.same(await crosswalk.resolve('brain', who('MRN1', { patientName: '王^小东' }), random), first);
  const again = await site(path);
  t.same(await again.crosswalk.resolve('brain', who('MRN1'), random), first, 'after a restart');
  t.not(codeOf(await crosswalk.resolve('brain', who('MRN2'), random)), codeOf(first));
  const elsewhere = await crosswalk.resolve('heart', who('MRN1'), random);
  t.not(codeOf(elsewhere), codeOf(first), 'another project, another code');
});

void t.test('two processes at once get one code a patient', async (t) => {
  const { path, crosswalk } = await site();
  const worker = fileURLToPath(new URL('../support/crosswalk-worker.js', import.meta.url));
  const args = [worker, path, identitySecret.toString('hex'), '40'];
  const answers = await Promise.all(
    [1, 2, 3].map(async () => {
      const { stdout } = await promisify(execFile)(process.execPath, args);
      return JSON.parse(stdout) as string[];
    }),
  );
  t.equal(answers.flat().length, 120);
  t.equal(new Set(answers.flat()).size, 8);
  t.equal((await crosswalk.export('brain', 'cli')).length, 8);
});

void t.test('another birth date or sex is a conflict, an empty one is not', async (t) => {
  const { crosswalk } = await site();
  const bare = await crosswalk.resolve('brain', who('MRN1', { birthDate: '', sex: '' }), random);
  t.equal(bare.kind, 'subject');
  t.same(await crosswalk.resolve('brain', who('MRN1'), random), bare, 'now it is known');
  const cases: [Partial<SubjectIdentity>, string][] = [
    [{ birthDate: '19870306' }, 'held'],
    [{ sex: 'M' }, 'held'],
    [{ birthDate: '', sex: '' }, 'subject'],
    [{ birthDate: '1987.03.05' }, 'subject'],
    [{ sex: 'UNKNOWN' }, 'subject'],
    [{ patientName: 'Married^Anna' }, 'subject'],
  ];
  for (const [more, kind] of cases) {
    const answer = await crosswalk.resolve('brain', who('MRN1', more), random);
    t.equal(answer.kind, kind, JSON.stringify(more));
    if (answer.kind === 'held') t.equal(answer.reason, 'subject-conflict');
    else t.same(answer, bare);
  }
  const [row] = await crosswalk.export('brain', 'cli');
  t.match(row, { birthDate: '19870305', sex: 'F', patientName: 'Testperson^Anna' });
});

void t.test('codes in sequence, by key, and from a list', async (t) => {
  const { crosswalk } = await site();
  const sequential = { ...random, code: 'sequential' } as const;
  t.equal(codeOf(await crosswalk.resolve('brain', who('P-A1'), sequential)), 'JI-0001');
  t.equal(codeOf(await crosswalk.resolve('brain', who('P-B1'), sequential)), 'JI-0002');
  await crosswalk.import(
    'brain',
    [{ patientID: 'P-C1', issuer: '', code: 'JI-0004' }],
    'cli',
    false,
  );
  t.equal(
    codeOf(await crosswalk.resolve('brain', who('P-D1'), sequential)),
    'JI-0005',
    'none twice',
  );
  const hmac = { ...random, code: 'hmac' } as const;
  const byKey = codeOf(await crosswalk.resolve('heart', who('P-A1'), hmac));
  t.equal(codeOf(await (await site()).crosswalk.resolve('heart', who('P-A1'), hmac)), byKey);
  // the code that the key would give belongs to somebody else already: another attempt, and still the same one each time
  const taken = await site();
  await taken.crosswalk.import(
    'heart',
    [{ patientID: 'P-X1', issuer: '', code: byKey }],
    'cli',
    false,
  );
  const next = codeOf(await taken.crosswalk.resolve('heart', who('P-A1'), hmac));
  t.match(next, /^JI-[0-9A-Z]{5}$/);
  t.not(next, byKey);
  t.equal(codeOf(await taken.crosswalk.resolve('heart', who('P-A1'), hmac)), next);
  const csv = { ...random, code: 'csv' } as const;
  t.equal(codeOf(await crosswalk.resolve('heart', who('P-E1'), csv)), 'no-subject-code');
  await crosswalk.import('heart', [{ patientID: 'P-E1', issuer: '', code: 'S-77' }], 'cli', false);
  t.equal(codeOf(await crosswalk.resolve('heart', who('P-E1'), csv)), 'S-77');
});

void t.test('an import is all or nothing and says which row is wrong', async (t) => {
  const { crosswalk, db } = await site();
  await crosswalk.import('brain', [{ patientID: 'P-A1', issuer: '', code: 'S1' }], 'cli', false);
  const cases: [string, string, string][] = [
    ['P-A1', 'S2', 'CONFLICT'],
    ['P-B1', 's1', 'CONFLICT'],
    ['P-B1', '../x', 'BAD_INPUT'],
    ['P-B1', '', 'BAD_INPUT'],
    ['0', 'S3', 'BAD_INPUT'],
  ];
  for (const [patientID, code, error] of cases) {
    const rows = [
      { patientID: 'NEW', issuer: '', code: 'S9' },
      { patientID, issuer: '', code },
    ];
    await t.rejects(crosswalk.import('brain', rows, 'cli', false), {
      code: error,
      message: /row 2/,
    });
    const left = await db.selectFrom('subject').select('code').execute();
    t.same(left, [{ code: 'S1' }], 'nothing of it stays');
  }
  const again = await crosswalk.import(
    'brain',
    [{ patientID: ' P-A1 ', issuer: '', code: 'S1' }],
    'cli',
    false,
  );
  t.same(again, { added: 0, unchanged: 1 });
});

void t.test(
  'offsets are never 0, stay within a year, and come in whole weeks on request',
  async (t) => {
    const { crosswalk } = await site();
    const offsets: number[] = [];
    for (let i = 0; i < 60; i++) {
      const how = { ...random, wholeWeeks: i % 2 === 0 };
      const answer = await crosswalk.resolve('brain', who(`MRN${i}`), how);
      if (answer.kind !== 'subject') throw new Error('held');
      const days = answer.subject.dateOffsetDays;
      if (how.wholeWeeks) t.equal(Math.abs(days % 7), 0);
      offsets.push(days);
    }
    t.ok(offsets.every((days) => days !== 0 && Math.abs(days) <= 365));
    t.ok(offsets.some((days) => days < 0) && offsets.some((days) => days > 0));
  },
);

void t.test('the database names nobody, and every change is in the audit', async (t) => {
  const { crosswalk, path, audit, db } = await site();
  await crosswalk.resolve('brain', who('MRN0012345'), random);
  await crosswalk.import(
    'brain',
    [{ patientID: 'MRN777888', issuer: '', code: 'S1' }],
    'cli',
    true,
  );
  await crosswalk.export('brain', 'cli');
  for (const file of [path, `${path}-wal`]) {
    const bytes = (await readFile(file)).toString('latin1');
    for (const word of ['MRN0012345', 'MRN777888', 'Testperson', '19870305']) {
      t.notOk(bytes.includes(word), `no ${word}`);
    }
  }
  t.same(
    (await audit.list(db)).map(({ action, actor }) => `${actor} ${action}`),
    ['server subject.added', 'cli crosswalk.imported', 'cli crosswalk.exported'],
  );
  t.equal(await audit.firstFault(db), undefined);
});

void t.test('what was sealed opens with its key and at its place alone', async (t) => {
  const key = Buffer.alloc(32, 1);
  const sealed = seal(key, 'made-up 王', 'brain/x');
  t.equal(unseal(key, sealed, 'brain/x'), 'made-up 王');
  t.not(seal(key, 'made-up 王', 'brain/x'), sealed, 'never the same twice');
  const wrong: [Uint8Array, string, string][] = [
    [Buffer.alloc(32, 2), sealed, 'brain/x'],
    [key, sealed, 'brain/y'],
    [key, `${sealed.slice(0, 20)}AAAA${sealed.slice(24)}`, 'brain/x'],
    [key, 'AAAA', 'brain/x'],
  ];
  for (const [k, s, place] of wrong) t.throws(() => unseal(k, s, place), { code: 'INTERNAL' });
});
