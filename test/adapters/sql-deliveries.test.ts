// The rows behind replication: partners as the command line edits them, deliveries, leases between two processes.

import t from 'tap';
import { join } from 'node:path';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { createLeases } from '../../src/adapters/sql/leases.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { commandOwner, endDeadHolders } from '../../src/flow/dead-holders.ts';
import { FakePartner, digest } from '../support/fake-remote.ts';
import { SendingSite, address } from '../support/replication.ts';

const one = Buffer.from('one');
const two = Buffer.from('two');

const siteOf = async (t: { testdir(): string; teardown(run: () => Promise<void>): void }) => {
  const site = await SendingSite.make(t.testdir(), new FakePartner());
  t.teardown(() => site.close());
  return site;
};

void t.test('a partner may be accepted before it is added, and added twice', async (t) => {
  const { parts } = await siteOf(t);
  const { partners } = parts;
  const key = { fingerprint: 'SHA256:k', algorithm: 'ssh-ed25519', blob: 'AAAA' };
  t.equal(await partners.accept('MAYO', key, 'cli'), 'added');
  t.equal(await partners.accept('MAYO', { ...key, blob: 'BBBB' }, 'cli'), 'updated');
  t.match(await partners.acceptedKeys('MAYO'), [{ ...key, blob: 'BBBB' }]);
  t.match(await partners.find('MAYO'), { code: 'MAYO', address: undefined, verify: 'hash' });
  t.equal(await partners.add({ code: 'MAYO', address, verify: 'size' }, 'cli'), 'added');
  t.equal(await partners.add({ code: 'MAYO', address, verify: undefined }, 'cli'), 'updated');
  t.match(await partners.find('MAYO'), { address, verify: 'size', failures: 0 });
  t.same(
    (await partners.list()).map(({ code }) => code),
    ['MAYO', 'UMHS'],
  );
});

void t.test('a partner that was removed and is made again inherits nothing', async (t) => {
  const { parts } = await siteOf(t);
  const { partners } = parts;
  const key = { fingerprint: 'SHA256:k', algorithm: 'ssh-ed25519', blob: 'AAAA' };
  await partners.accept('UMHS', key, 'cli');
  await partners.remove('UMHS', 'cli');
  t.equal(await partners.find('UMHS'), undefined);
  t.same(await partners.list(), []);
  t.same(await partners.acceptedKeys('UMHS'), []);
  await t.rejects(partners.remove('UMHS', 'cli'), { code: 'NOT_FOUND' });
  t.equal(await partners.add({ code: 'UMHS', address, verify: undefined }, 'cli'), 'added');
  t.match(await partners.find('UMHS'), { address, verify: 'hash', lastSuccessAt: undefined });
});

void t.test('every change of a partner is in the audit, and the chain holds', async (t) => {
  const { parts, database, clock } = await siteOf(t);
  const key = { fingerprint: 'SHA256:k', algorithm: 'ssh-ed25519', blob: 'AAAA' };
  await parts.partners.accept('UMHS', key, 'cli');
  await parts.partners.tellStrangers('UMHS', '2 files');
  await parts.partners.tellStrangers('UMHS', '2 files');
  await parts.partners.remove('UMHS', 'cli');
  const audit = new AuditLog(new Uint8Array(32), clock);
  const actions = (await audit.list(database.db)).map(({ action }) => action);
  t.same(actions, ['partner.added', 'partner.accepted', 'partner.alarm', 'partner.removed']);
  t.equal(await audit.firstFault(database.db), undefined);
});

void t.test('a changed file is owed again and remembers what came before it', async (t) => {
  const site = await siteOf(t);
  await site.write('notes.txt', one);
  await site.owe('notes.txt', one, null);
  await site.database.db.updateTable('delivery').set({ state: 'delivered', dueAt: null }).execute();
  await site.owe('notes.txt', one, null);
  t.equal((await site.delivery('notes.txt')).state, 'delivered', 'the same content is not');
  await site.owe('notes.txt', two, null);
  t.match(await site.delivery('notes.txt'), { state: 'pending', previousSha256: digest(one) });
  await site.owe('notes.txt', one, null);
  t.match(await site.delivery('notes.txt'), { sha256: digest(one), previousSha256: digest(two) });
  const due = await site.parts.deliveries.due('UMHS', site.clock.now(), 10);
  t.match(due, [{ project: 'brain', path: 'notes.txt', previousSha256: [digest(two)] }]);
});

void t.test('status counts by partner and lists what is in trouble', async (t) => {
  const site = await siteOf(t);
  const { deliveries, leases } = site.parts;
  for (const name of ['a', 'b', 'c', 'd']) await site.publish(`gpg-alice/${name}.gpg`, one);
  const lease = await leases.acquire('replicate:UMHS', 'me', 30_000);
  const due = await deliveries.due('UMHS', site.clock.now(), 10);
  const of = (name: string) => due.find(({ path }) => path === `gpg-alice/${name}.gpg`);
  const [a, b, c] = [of('a'), of('b'), of('c')];
  if (lease === undefined || a === undefined || b === undefined || c === undefined) {
    throw new Error('nothing due');
  }
  t.equal(await deliveries.delivered(a, { evidence: 'check-file' }, lease), true);
  await deliveries.failed(b, 'REMOTE_REFUSED', site.clock.now() + 5, lease);
  await deliveries.conflict(c, site.clock.now() + 5, lease);
  t.same(await deliveries.counts(), [
    {
      partner: 'UMHS',
      pending: 1,
      delivered: 1,
      failed: 1,
      conflict: 1,
      gone: 0,
      oldestPendingAt: site.clock.now(),
    },
  ]);
  const troubles = await deliveries.troubles(10);
  t.same(troubles.map(({ state, reason }) => `${state} ${reason}`).sort(), [
    'conflict REMOTE_CONFLICT',
    'failed REMOTE_REFUSED',
  ]);
  t.equal((await deliveries.due('UMHS', site.clock.now(), 10)).length, 1);
  await deliveries.hasten('UMHS', site.clock.now());
  t.equal((await deliveries.due('UMHS', site.clock.now(), 10)).length, 3);
});

void t.test('the same trouble once more is no further line in the audit', async (t) => {
  const site = await siteOf(t);
  const { deliveries, leases } = site.parts;
  await site.publish('gpg-alice/a.gpg', one);
  const lease = await leases.acquire('replicate:UMHS', 'me', 30_000);
  for (const code of ['REMOTE_REFUSED', 'REMOTE_REFUSED', 'REMOTE_MISMATCH'] as const) {
    const [delivery] = await deliveries.due('UMHS', site.clock.now(), 10);
    if (lease === undefined || delivery === undefined) throw new Error('nothing due');
    await deliveries.failed(delivery, code, site.clock.now(), lease);
  }
  t.same(await site.actions(), ['file.delivery-failed', 'file.delivery-failed']);
  t.equal((await site.delivery('gpg-alice/a.gpg')).attempts, 3);
});

void t.test('the history of passes holds those that had something to do', async (t) => {
  const site = await siteOf(t);
  const { deliveries, partners } = site.parts;
  const pass = { partner: 'UMHS', delivered: 0, failed: 0, error: undefined, alarm: undefined };
  await deliveries.passEnded({ ...pass, startedAt: 1, connected: false });
  await deliveries.passEnded({ ...pass, startedAt: 2, delivered: 7, connected: true });
  const error = 'REMOTE_AUTH' as const;
  const alarm = { code: error, detail: '' };
  await deliveries.passEnded({ ...pass, startedAt: 3, error, alarm, connected: true });
  t.match(await deliveries.passes('UMHS', 10), [
    { startedAt: 3, error: 'REMOTE_AUTH' },
    { startedAt: 2, delivered: 7, error: undefined },
  ]);
  t.match(await partners.find('UMHS'), {
    failures: 1,
    lastPassAt: 3,
    alarm: { code: 'REMOTE_AUTH' },
  });
  await deliveries.passEnded({ ...pass, startedAt: 4, connected: false });
  t.match(await partners.find('UMHS'), { failures: 1, alarm: { code: 'REMOTE_AUTH' } });
});

void t.test('a lease has one holder, whichever process asks', async (t) => {
  const site = await siteOf(t);
  const second = await openSqlite(join(site.folder, 'clubhouse.db'));
  t.teardown(() => second.close());
  const here = site.parts.leases;
  const there = createLeases(second.db, site.clock);
  const asked = await Promise.all([
    here.acquire('x', 'here', 1000),
    there.acquire('x', 'there', 1000),
    here.acquire('x', 'here', 1000),
  ]);
  const [first, ...others] = asked.filter((lease) => lease !== undefined);
  if (first === undefined) throw new Error('nobody got it');
  t.same(others, []);
  t.equal(await there.renew({ ...first, fence: first.fence + 1 }, 1000), false);
  t.equal(await there.renew(first, 1000), true);
  await here.release({ ...first, owner: 'somebody else' });
  t.equal(await here.acquire('x', 'here', 1000), undefined);
  await there.release(first);
  t.match(await here.acquire('x', 'here', 1000), { fence: first.fence + 1 });
  site.clock.at += 1000;
  t.match(await there.acquire('x', 'there', 1000), { fence: first.fence + 2 });
});

void t.test('a server that starts ends what a dead one held, and nothing else', async (t) => {
  const { parts } = await siteOf(t);
  const { leases } = parts;
  const dead = await leases.acquire('replicate:UMHS', 'server:1', 30_000);
  const command = await leases.acquire('replicate:KUMC', 'cli:1', 30_000);
  if (dead === undefined || command === undefined) throw new Error('not free');
  await leases.endThoseOf('server:');
  t.equal(await leases.renew(dead, 30_000), false);
  t.equal(await leases.renew(command, 30_000), true);
  t.match(await leases.acquire('replicate:UMHS', 'server:2', 30_000), { fence: dead.fence + 1 });
});

void t.test(
  'commits that wait are made together, and a lost lease refuses its own alone',
  async (t) => {
    const site = await siteOf(t);
    const { deliveries, leases } = site.parts;
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) await site.publish(`gpg-alice/${name}.gpg`, one);
    const lease = await leases.acquire('replicate:UMHS', 'me', 30_000);
    if (lease === undefined) throw new Error('no lease');
    const due = await deliveries.due('UMHS', site.clock.now(), 10);
    const settled = await Promise.allSettled(
      due.map((delivery, index) =>
        deliveries.delivered(
          delivery,
          { evidence: 'check-file' },
          index === 2 ? { ...lease, fence: 99 } : lease,
        ),
      ),
    );
    t.same(
      settled.map(({ status }) => status),
      names.map((_, index) => (index === 2 ? 'rejected' : 'fulfilled')),
    );
    t.match(await deliveries.counts(), [{ delivered: 4, pending: 1 }]);
    t.equal((await site.actions()).length, 4);
    t.equal(
      await new AuditLog(new Uint8Array(32), site.clock).firstFault(site.database.db),
      undefined,
    );
  },
);

void t.test('a partner’s limit and hours are set, left and taken back', async (t) => {
  const { parts, database, clock } = await siteOf(t);
  const { partners } = parts;
  const pace = async () => {
    const partner = await partners.find('UMHS');
    return [partner?.limitBytes, partner?.window];
  };
  t.same(await pace(), [undefined, undefined]);
  await partners.setPace('UMHS', { limitBytes: 1000, window: '20:00-06:00' }, 'cli');
  await partners.setPace('UMHS', {}, 'cli');
  await partners.add({ code: 'UMHS', address, verify: undefined }, 'cli');
  t.same(await pace(), [1000, '20:00-06:00']);
  await partners.setPace('UMHS', { window: null }, 'cli');
  t.same(await pace(), [1000, undefined]);
  await partners.remove('UMHS', 'cli');
  await t.rejects(partners.setPace('UMHS', { limitBytes: null }, 'cli'), { code: 'NOT_FOUND' });
  await partners.add({ code: 'UMHS', address, verify: undefined }, 'cli');
  t.same(await pace(), [undefined, undefined], 'one that is made again inherits nothing');
  const audit = new AuditLog(new Uint8Array(32), clock);
  const paced = (await audit.list(database.db)).filter(({ action }) => action === 'partner.paced');
  t.equal(paced.length, 2);
});

void t.test('a dead process’s lease can be told from a living one’s', async (t) => {
  const { parts } = await siteOf(t);
  const { leases } = parts;
  const cases: readonly (readonly [string, boolean])[] = [
    ['server:1', false],
    [commandOwner('here', 1, 'x'), false],
    [commandOwner('here', 2, 'x'), true],
    [commandOwner('elsewhere', 1, 'x'), true],
    ['somebody', true],
  ];
  for (const [owner] of cases) await leases.acquire(owner, owner, 30_000);
  const isRunning = (pid: number): boolean => pid === 2;
  await endDeadHolders(leases, { isServing: true, host: 'here', isRunning });
  t.ok((await leases.holders()).includes('server:1'), 'a server that serves');
  await endDeadHolders(leases, { isServing: false, host: 'here', isRunning });
  const left = await leases.holders();
  for (const [owner, isLeft] of cases) t.equal(left.includes(owner), isLeft, owner);
});
