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
import { createPenaltyStore } from '../../src/adapters/sql/penalties.ts';
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

const home = '192.0.2.7';
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
  t.equal(await here.audit.firstFault(here.db), undefined);
});

void t.test('a password lets in its owner alone, and only while the account is open', async (t) => {
  const { here, there, time } = await instance(t);
  const { project } = await here.projects.put('brain', { addPartners: ['UMHS'] });
  const passwordHash = await argonPasswords.hash('correct horse');
  t.match(passwordHash, /^\$argon2id\$/);
  const { member } = await here.members.put('alice', { projectIds: [project.id], passwordHash });
  const login = (name: string, password: string) =>
    there.accounts.verifyPassword(name, password, home);

  const principal = await login('alice', 'correct horse');
  t.match(principal, { kind: 'member', id: member.id, name: 'alice' });
  t.match(principal, { projects: [{ id: project.id, name: 'brain', partners: ['UMHS'] }] });
  t.equal(await login('alice', 'wrong'), undefined);
  t.equal(await login('alice', ''), undefined);
  t.equal(await login('nobody', 'correct horse'), undefined);
  t.equal(await login('Alice', 'correct horse'), undefined);

  await here.members.put('alice', { state: 'disabled' });
  t.equal(await login('alice', 'correct horse'), undefined, 'disabled');
  if (principal === undefined || principal.kind === 'ended') return t.fail();
  const now = () => there.accounts.current(principal, home);
  t.same(await now(), { kind: 'ended', reason: 'disabled' });
  await here.members.put('alice', { state: 'active', expiresAt: time.now + 1000 });
  t.ok(await login('alice', 'correct horse'));
  time.now += 1000;
  const expired = { kind: 'ended', reason: 'expired', expiresAt: time.now };
  t.same(await login('alice', 'correct horse'), expired, 'who knows the password hears it');
  t.equal(await login('alice', 'wrong'), undefined, 'and nobody else');
  t.same(await now(), expired);
  await here.members.put('alice', { expiresAt: null });
  t.match(await now(), { kind: 'member', id: member.id });
  await here.members.put('alice', { passwordHash: await argonPasswords.hash('another horse') });
  t.same(await now(), { kind: 'ended', reason: 'password' });
  t.match(await login('alice', 'another horse'), { id: member.id });
  await here.members.remove(member.id);
  t.same(await now(), { kind: 'ended', reason: 'removed' });
  return undefined;
});

void t.test('a session lasts as long as the key that opened it would open another', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', { addPartners: ['UMHS'] });
  const { member } = await here.members.put('alice', { projectIds: [project.id], key: key('a') });
  await here.members.put('alice', { key: key('b') });
  const members = [
    await there.accounts.findByKey('alice', blob('a'), home),
    await there.accounts.findByKey('alice', blob('b'), home),
  ];
  await here.partners.accept('UMHS', key('r'), 'cli');
  await here.partners.accept('UMHS', key('s'), 'cli');
  const partner = await there.accounts.findByKey('UMHS', blob('r'), home);
  const now = async () =>
    Promise.all(
      [...members, partner].map(async (one) => {
        const found =
          one === undefined || one.kind === 'ended' ? one : await there.accounts.current(one, home);
        return found?.kind === 'ended' ? found.reason : found?.kind;
      }),
    );
  t.same(await now(), ['member', 'member', 'partner']);
  await here.members.put('alice', { key: { ...key('a'), sources: ['198.51.100.0/24'] } });
  await here.partners.accept('UMHS', { ...key('r'), sources: ['198.51.100.0/24'] }, 'cli');
  t.same(await now(), ['network', 'member', 'network'], 'its networks were narrowed');
  await here.members.put('alice', { key: { ...key('a'), sources: [] } });
  await here.partners.accept('UMHS', { ...key('r'), sources: [] }, 'cli');
  t.same(await now(), ['member', 'member', 'partner']);
  await here.members.removeKey(member.id, 'SHA256:a');
  t.same(await now(), ['key', 'member', 'partner'], 'one key was taken away');
});

void t.test('an account and a key may be bound to networks, and a live session too', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const passwordHash = await argonPasswords.hash('right');
  const bound = { ...key('bound'), sources: ['192.0.2.0/24'] };
  await here.members.put('alice', { projectIds: [project.id], passwordHash, key: key('free') });
  await here.members.put('alice', { key: bound });
  const ways = {
    password: (from: string) => there.accounts.verifyPassword('alice', 'right', from),
    free: (from: string) => there.accounts.findByKey('alice', blob('free'), from),
    bound: (from: string) => there.accounts.findByKey('alice', blob('bound'), from),
  };
  const opens = async (from: string): Promise<string[]> => {
    const names = Object.keys(ways) as (keyof typeof ways)[];
    const got = await Promise.all(names.map(async (name) => (await ways[name](from)) && name));
    return got.filter((name) => name !== undefined);
  };
  t.same(await opens('192.0.2.7'), ['password', 'free', 'bound']);
  t.same(await opens('::ffff:192.0.2.7'), ['password', 'free', 'bound'], 'on a double socket');
  t.same(await opens('198.51.100.1'), ['password', 'free'], 'the key alone is bound');
  const principal = await ways.password('198.51.100.1');
  if (principal === undefined || principal.kind === 'ended') return t.fail();
  await here.members.put('alice', { sources: ['10.0.0.0/8', '2001:db8::/32'] });
  t.same(await opens('198.51.100.1'), []);
  t.same(await opens('10.1.2.3'), ['password', 'free']);
  t.same(await opens('2001:db8::7'), ['password', 'free']);
  const now = await there.accounts.current(principal, '198.51.100.1');
  t.same(now, { kind: 'ended', reason: 'network' }, 'a live session');
  t.match(await there.accounts.current(principal, '10.1.2.3'), { kind: 'member' });
  await here.members.put('alice', { sources: [], key: key('bound') });
  t.same(await opens('198.51.100.1'), ['password', 'free'], 'given again, it stays bound');
  await here.members.put('alice', { key: { ...bound, sources: [] } });
  t.same(await opens('198.51.100.1'), ['password', 'free', 'bound'], 'from anywhere again');
  return undefined;
});

const refusals: readonly { name: string; says: string; given?: 'penalty'; before?: object }[] = [
  { name: 'nobody', says: 'unknown-user' },
  { name: 'alice', says: 'wrong-password' },
  { name: 'alice', says: 'penalty', given: 'penalty' },
  { name: 'alice', says: 'network', before: { sources: ['10.0.0.0/8'] } },
  { name: 'alice', says: 'expired', before: { expiresAt: 1 } },
  { name: 'alice', says: 'disabled', before: { state: 'disabled' } },
  { name: 'UMHS', says: 'unknown-key' },
];

void t.test('the audit says why a login was refused, and one entry tells of many', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  await here.members.put('alice', { projectIds: [project.id] });
  await here.partners.accept('UMHS', { ...key('u'), sources: ['10.0.0.0/8'] }, 'cli');
  await here.partners.accept('UMHS', key('u'), 'cli');
  t.equal(await there.accounts.findByKey('UMHS', blob('u'), home), undefined, 'still bound');
  t.ok(await there.accounts.findByKey('UMHS', blob('u'), '10.0.0.1'));
  for (const { name, says, given, before } of refusals) {
    if (before !== undefined) await here.members.put('alice', before);
    const method = name === 'UMHS' ? 'publickey' : 'password';
    const entry = { name, source: home, address: home, method, accepted: false } as const;
    await there.accounts.recordLogin(given === undefined ? entry : { ...entry, refusal: given });
    const [row] = (await here.audit.list(here.db)).slice(-1);
    t.match(row, { action: 'login.refused', detail: { reason: says } }, says);
  }
  const many = { kind: 'startups', count: 900, sources: 3, most: home } as const;
  await there.accounts.recordRefusals(many);
  const [row] = (await here.audit.list(here.db)).slice(-1);
  t.match(row, { action: 'connection.refused', object: 'startups', detail: { count: 900 } });
});

void t.test('a key opens the account that has it and no other', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const alice = await here.members.put('alice', { projectIds: [project.id], key: key('a') });
  await here.members.put('bob', { projectIds: [project.id], key: key('b') });
  t.match(await there.accounts.findByKey('alice', blob('a'), home), { id: alice.member.id });
  t.equal(await there.accounts.findByKey('alice', blob('b'), home), undefined);
  t.equal(await there.accounts.findByKey('carol', blob('a'), home), undefined);
  t.ok(await here.members.removeKey(alice.member.id, 'SHA256:a'));
  t.notOk(await here.members.removeKey(alice.member.id, 'SHA256:a'));
  t.equal(await there.accounts.findByKey('alice', blob('a'), home), undefined);
});

void t.test('a partner logs in under its code and sees the projects that name it', async (t) => {
  const { here, there } = await instance(t);
  await here.projects.put('brain', { addPartners: ['UMHS'] });
  await here.projects.put('heart', { addPartners: ['OSLO'] });
  t.equal(await there.accounts.findByKey('UMHS', blob('r'), home), undefined);
  await here.partners.accept('UMHS', key('r'), 'cli');
  const principal = await there.accounts.findByKey('UMHS', blob('r'), home);
  t.match(principal, { kind: 'partner', name: 'UMHS' });
  t.equal(await there.accounts.findByKey('UMHS', blob('x'), home), undefined);
  t.equal(await there.accounts.verifyPassword('UMHS', 'r', home), undefined, 'never by a password');
  if (principal === undefined || principal.kind === 'ended') return t.fail();
  const projects = async () => {
    const now = await there.accounts.current(principal, home);
    return now.kind === 'ended' ? now.reason : now.projects.map((one) => one.name);
  };
  t.same(await projects(), ['brain']);
  await here.projects.put('heart', { addPartners: ['UMHS'] });
  t.same(await projects(), ['brain', 'heart']);
  await here.projects.put('brain', { state: 'archived' });
  t.same(await projects(), ['heart'], 'an archived project is gone');
  await here.partners.remove('UMHS', 'cli');
  t.equal(await projects(), 'removed');
  t.equal(await there.accounts.findByKey('UMHS', blob('r'), home), undefined);
  return undefined;
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
  const session = await there.accounts.findByKey('alice', blob('k'), home);
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
  if (session === undefined || session.kind === 'ended') return t.fail();
  const gone = { kind: 'ended', reason: 'removed' };
  t.same(await there.accounts.current(session, home), gone, 'the session ends');
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
  t.equal(await there.accounts.findByKey('alice', blob('k'), home), undefined);
  t.equal(await there.accounts.verifyPassword('alice', 'old', home), undefined);
  t.same(await there.accounts.current(session, home), gone, 'nor the old session');
  t.ok((await actions()).includes('member.removed'));
  const ofJob = await here.audit.list(here.db, { object: 'j-u1' });
  t.match(ofJob, [{ action: 'job.withdrawn', detail: { from: 'settling' } }], 'each job by itself');
  return undefined;
});

void t.test('logins are audited without the name of nobody', async (t) => {
  const { here, there } = await instance(t);
  const { project } = await here.projects.put('brain', {});
  const { member } = await here.members.put('alice', { projectIds: [project.id] });
  const entry = { source: home, address: home, method: 'password' } as const;
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

void t.test(
  'who was forgiven is told for as long as it is asked for, and has no lock',
  async (t) => {
    const { here, time } = await instance(t);
    const clock: Clock = { now: () => time.now, sleep: () => Promise.resolve() };
    const store = createPenaltyStore({ db: here.db, clock, key: randomBytes(32) });
    const who = store.who('alice');
    const lock = {
      source: '192.0.2.7',
      who,
      failures: 3,
      endsAt: time.now + 15_000,
      enforced: true,
    };
    await store.save([lock], [], 0);
    t.match(await store.of('alice', time.now), [lock]);
    await store.forget('alice');
    await store.forget('alice');
    t.same(await store.of('alice', 0), []);
    t.same(await store.load(0), []);
    t.same(await store.forgiven(time.now - 1), [{ who, at: time.now }]);
    t.same(await store.forgiven(time.now), []);
    await store.save([], [], time.now + 1);
    t.same(await store.forgiven(0), [], 'it goes with what it was about');
  },
);
