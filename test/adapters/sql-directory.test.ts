// Projects, members, recipients and logins over a real database file, seen from two processes' handles.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { argonPasswords } from '../../src/adapters/passwords.ts';
import { createAccounts } from '../../src/adapters/sql/accounts.ts';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { SqlMembers } from '../../src/adapters/sql/members.ts';
import { createPartners } from '../../src/adapters/sql/partners.ts';
import { SqlProjects } from '../../src/adapters/sql/projects.ts';
import { SqlRecipients } from '../../src/adapters/sql/recipients.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import type { Clock } from '../../src/flow/ports/clock.ts';
import type { SshKey } from '../../src/flow/ports/directory.ts';

const key = (text: string): SshKey => ({
  fingerprint: `SHA256:${text}`,
  algorithm: 'ssh-ed25519',
  blob: Buffer.from(text).toString('base64'),
  comment: '',
});

async function open(path: string, auditKey: Uint8Array, time: { now: number }) {
  const database = await openSqlite(path);
  const clock: Clock = { now: () => time.now, sleep: () => Promise.resolve() };
  const { db } = database;
  const audit = new AuditLog(auditKey, clock);
  const tools = { db, audit, clock, actor: 'cli' };
  const members = new SqlMembers(tools);
  const projects = new SqlProjects(tools);
  const accounts = createAccounts({
    ...tools,
    members,
    projects,
    passwords: argonPasswords,
    dataVersion: () => database.dataVersion(),
  });
  const partners = createPartners(tools);
  const recipients = new SqlRecipients(tools);
  return { database, db, audit, members, projects, accounts, partners, recipients };
}

/** `here` is the command line, `there` the server; both on one file. */
async function instance(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-directory-'));
  const auditKey = randomBytes(32);
  const time = { now: Date.UTC(2026, 0, 1) };
  const path = join(folder, 'clubhouse.db');
  const here = await open(path, auditKey, time);
  const there = await open(path, auditKey, time);
  t.teardown(async () => {
    await here.database.close();
    await there.database.close();
    await rm(folder, { recursive: true });
  });
  const actions = async (): Promise<string[]> =>
    (await here.audit.list(here.db)).map((row) => row.action);
  return { here, there, time, actions };
}

const blob = (text: string): Uint8Array => Buffer.from(text);

void t.test('a project is made once and then changed, and each change is audited', async (t) => {
  const { here, actions } = await instance(t);
  const first = await here.projects.put('brain', { addPartners: ['UMHS'] });
  const again = await here.projects.put('brain', { addPartners: ['UMHS', 'OSLO'], profile: 'x' });
  t.ok(first.isNew);
  t.notOk(again.isNew);
  t.equal(again.project.id, first.project.id);
  t.match(again.project, { profile: 'x', partners: ['OSLO', 'UMHS'], state: 'active' });
  const fewer = await here.projects.put('brain', {
    removePartners: ['OSLO'],
    settings: { directDicom: 'allow' },
  });
  t.match(fewer.project, { partners: ['UMHS'], settings: { directDicom: 'allow' } });
  t.same(await actions(), ['project.added', 'project.changed', 'project.changed']);
  t.equal(await here.audit.firstBroken(here.db), undefined);
});

void t.test('a password lets in its owner alone, and only while the account is open', async (t) => {
  const { here, there, time } = await instance(t);
  const { project } = await here.projects.put('brain', { addPartners: ['UMHS'] });
  const passwordHash = await argonPasswords.hash('correct horse');
  t.match(passwordHash, /^\$argon2id\$/);
  const { member } = await here.members.put('alice', { projectIds: [project.id], passwordHash });
  const login = (name: string, password: string) => there.accounts.verifyPassword(name, password);

  const principal = await login('alice', 'correct horse');
  t.match(principal, { kind: 'member', id: member.id, name: 'alice' });
  t.match(principal?.projects, [{ id: project.id, name: 'brain', partners: ['UMHS'] }]);
  t.equal(await login('alice', 'wrong'), undefined);
  t.equal(await login('alice', ''), undefined);
  t.equal(await login('nobody', 'correct horse'), undefined);
  t.equal(await login('Alice', 'correct horse'), undefined);

  await here.members.put('alice', { state: 'disabled' });
  t.equal(await login('alice', 'correct horse'), undefined, 'disabled');
  t.equal(principal && (await there.accounts.current(principal)), undefined);
  await here.members.put('alice', { state: 'active', expiresAt: time.now + 1000 });
  t.ok(await login('alice', 'correct horse'));
  time.now += 1000;
  t.equal(await login('alice', 'correct horse'), undefined, 'expired');
  t.equal(principal && (await there.accounts.current(principal)), undefined);
  await here.members.put('alice', { expiresAt: null });
  t.ok(principal && (await there.accounts.current(principal)));
});

void t.test('ten wrong passwords lock for a while, keys go on, unlock ends it', async (t) => {
  const { here, there, time } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const passwordHash = await argonPasswords.hash('right');
  await here.members.put('alice', { projectIds: [project.id], passwordHash, key: key('k') });
  for (let i = 0; i < 10; i += 1) await there.accounts.verifyPassword('alice', `wrong ${i}`);
  t.equal(await there.accounts.verifyPassword('alice', 'right'), undefined, 'locked');
  t.ok(await there.accounts.findByKey('alice', blob('k')), 'a key is not locked');
  time.now += 30_000;
  t.ok(await there.accounts.verifyPassword('alice', 'right'), 'the lock ends by itself');
  t.match(await here.members.find('alice'), { failures: 0, lockedUntil: null });
  for (let i = 0; i < 10; i += 1) await there.accounts.verifyPassword('alice', `wrong ${i}`);
  t.equal(await there.accounts.verifyPassword('alice', 'right'), undefined, 'locked again');
  await here.members.put('alice', { unlock: true });
  t.ok(await there.accounts.verifyPassword('alice', 'right'), 'unlocked by the administrator');
});

void t.test('a key opens the account that has it and no other', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const alice = await here.members.put('alice', { projectIds: [project.id], key: key('a') });
  await here.members.put('bob', { projectIds: [project.id], key: key('b') });
  t.match(await there.accounts.findByKey('alice', blob('a')), { id: alice.member.id });
  t.equal(await there.accounts.findByKey('alice', blob('b')), undefined);
  t.equal(await there.accounts.findByKey('carol', blob('a')), undefined);
  t.ok(await here.members.removeKey(alice.member.id, 'SHA256:a'));
  t.notOk(await here.members.removeKey(alice.member.id, 'SHA256:a'));
  t.equal(await there.accounts.findByKey('alice', blob('a')), undefined);
});

void t.test('a partner logs in under its code and sees the projects that name it', async (t) => {
  const { here, there } = await instance(t);
  await here.projects.put('brain', { addPartners: ['UMHS'] });
  await here.projects.put('heart', { addPartners: ['OSLO'] });
  t.equal(await there.accounts.findByKey('UMHS', blob('r')), undefined);
  await here.partners.accept('UMHS', key('r'), 'cli');
  const principal = await there.accounts.findByKey('UMHS', blob('r'));
  t.match(principal, { kind: 'partner', name: 'UMHS' });
  t.same(
    principal?.projects.map((one) => one.name),
    ['brain'],
  );
  t.equal(await there.accounts.findByKey('UMHS', blob('x')), undefined);
  t.equal(await there.accounts.verifyPassword('UMHS', 'r'), undefined, 'never by a password');
  await here.projects.put('heart', { addPartners: ['UMHS'] });
  const now = principal && (await there.accounts.current(principal));
  t.same(
    now?.projects.map((one) => one.name),
    ['brain', 'heart'],
  );
  await here.projects.put('brain', { state: 'archived' });
  const later = principal && (await there.accounts.current(principal));
  t.same(
    later?.projects.map((one) => one.name),
    ['heart'],
    'an archived project is gone',
  );
  await here.partners.remove('UMHS', 'cli');
  t.equal(principal && (await there.accounts.current(principal)), undefined);
  t.equal(await there.accounts.findByKey('UMHS', blob('r')), undefined);
});

void t.test('the version grows with the commits of others and with time', async (t) => {
  const { here, there, time } = await instance(t);
  const first = there.accounts.version();
  t.equal(there.accounts.version(), first, 'nothing happened');
  await here.projects.put('brain', {});
  const second = there.accounts.version();
  t.ok(second > first);
  time.now += 60_000;
  t.ok(there.accounts.version() > second, 'an account may have expired');
});

void t.test('a name that was removed and is made again inherits nothing', async (t) => {
  const { here, there, actions } = await instance(t);
  const { project } = await here.projects.put('brain', { addPartners: ['UMHS'] });
  const passwordHash = await argonPasswords.hash('old');
  const old = await here.members.put('alice', {
    projectIds: [project.id],
    passwordHash,
    key: key('k'),
  });
  const session = await there.accounts.findByKey('alice', blob('k'));
  for (const [id, state] of [
    ['u1', 'settling'],
    ['u2', 'published'],
    ['u3', 'held'],
  ] as const) {
    const path = `ji_brain/alice/gpg/${id}`;
    const ids = { projectId: project.id, memberId: old.member.id };
    const times = { createdAt: 1, updatedAt: 1 };
    await here.db
      .insertInto('upload')
      .values({
        ...{ id, ...ids, kind: 'intake', path, generation: 1, touchedAt: 1, ...times },
        ...{ partner: null, declaredSizeBytes: null, device: null, inode: null, modifiedMs: null },
        ...{ settleAt: 5, claim: null, claimedAt: null, sha256: null, rawRemovedAt: null },
        receipt: null,
      })
      .execute();
    await here.db
      .insertInto('job')
      .values({
        ...{ id: `j-${id}`, uploadId: id, ...ids, partner: 'UMHS', state, ...times },
        ...{ reason: null, detail: null, profileHash: null, recipients: null, output: null },
        ...{ outputSha256: null, outputBytes: null, report: null, dueAt: null, leaseOwner: null },
        ...{ leaseUntil: null, publishedAt: null, deliveredAt: null },
      })
      .execute();
  }
  t.same(await here.members.remove(old.member.id), { withdrawn: 1 });
  t.equal(session && (await there.accounts.current(session)), undefined, 'the session ends');
  const states = await here.db.selectFrom('job').select(['id', 'state']).orderBy('id').execute();
  t.same(
    states.map((row) => row.state),
    ['withdrawn', 'published', 'held'],
  );
  t.same(await here.members.list(), []);

  const fresh = await here.members.put('alice', { projectIds: [project.id] });
  t.ok(fresh.isNew);
  t.not(fresh.member.id, old.member.id);
  t.match(fresh.member, { keys: [], passwordHash: null });
  t.equal(await there.accounts.findByKey('alice', blob('k')), undefined);
  t.equal(await there.accounts.verifyPassword('alice', 'old'), undefined);
  t.equal(session && (await there.accounts.current(session)), undefined, 'nor the old session');
  t.ok((await actions()).includes('member.removed'));
  const ofJob = await here.audit.list(here.db, { object: 'j-u1' });
  t.match(ofJob, [{ action: 'job.withdrawn', detail: { from: 'settling' } }], 'each job by itself');
});

void t.test('logins are audited without the name of nobody', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const { member } = await here.members.put('alice', { projectIds: [project.id] });
  const entry = { source: '192.0.2.7', method: 'password' } as const;
  await there.accounts.recordLogin({ ...entry, name: 'alice', accepted: true });
  await there.accounts.recordLogin({ ...entry, name: 'hunter2-typed-here', accepted: false });
  const rows = (await here.audit.list(here.db)).slice(-2);
  t.match(rows, [
    { action: 'login.accepted', object: member.id, detail: { source: '192.0.2.7' } },
    { action: 'login.refused', object: 'unknown' },
  ]);
  t.notMatch(JSON.stringify(rows), /hunter2/);
});

void t.test(
  'a recipient key is renewed in place, and a removed one is no longer listed',
  async (t) => {
    const { here } = await instance(t);
    const { project } = await here.projects.put('brain', {});
    const facts = {
      ...{ projectId: project.id, partner: 'UMHS', fingerprint: 'AB', userId: 'Bob', expiresAt: 5 },
      ...{ algorithm: 'rsa4096', armored: 'one' },
    };
    const first = await here.recipients.put(facts);
    const second = await here.recipients.put({ ...facts, armored: 'two', expiresAt: null });
    t.ok(first.isNew);
    t.notOk(second.isNew);
    t.match(await here.recipients.list(), [{ armored: 'two', expiresAt: null, project: 'brain' }]);
    t.same(await here.recipients.list({ projectId: project.id, partner: 'OSLO' }), []);
    await here.recipients.remove(second.recipient.id);
    t.same(await here.recipients.list(), []);
    t.ok((await here.recipients.put(facts)).isNew, 'it can be added again');
  },
);
