// Replication against a partner in memory that breaks where the test wants it, over a real database and real files.

import t, { type Test } from 'tap';
import { rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deliveryOf } from '../../src/adapters/sql/delivery-of.ts';
import { recordPending } from '../../src/adapters/sql/record-pending.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { AppError } from '../../src/core/errors.ts';
import { testPartner } from '../../src/flow/partner-test.ts';
import { temporaryName } from '../../src/flow/push-arrival.ts';
import type { Remotes } from '../../src/flow/ports/replication.ts';
import {
  createReplicator,
  type Replicator,
  type ReplicatorParts,
} from '../../src/flow/replicate.ts';
import { openForMinutes, readWindow } from '../../src/core/send-window.ts';
import { createThrottle } from '../../src/flow/throttle.ts';
import { nextPassAt } from '../../src/flow/replication-loop.ts';
import { FakePartner, digest } from '../support/fake-remote.ts';
import { SendingSite, address, everyMs, outgoing, projectId } from '../support/replication.ts';

const never = new AbortController().signal;
const sealed = 'gpg-alice/JI-1/CT_1_1_aaaa.dcm.gpg';
const there = (path: string): string => `/home/${outgoing}/${path}`;
const one = Buffer.from('a sealed file, the first generation of it');
const two = Buffer.from('a sealed file, the second generation');

interface Scene {
  readonly site: SendingSite;
  readonly partner: FakePartner;
  readonly replicator: Replicator;
  /** One pass; its figures and the code of its error. */
  readonly pass: () => Promise<{ delivered?: number; failed?: number; code?: string | undefined }>;
}

async function scene(t: Test): Promise<Scene> {
  const partner = new FakePartner();
  const site = await SendingSite.make(t.testdir(), partner);
  t.teardown(() => site.close());
  const replicator = createReplicator(site.parts);
  const pass: Scene['pass'] = async () => {
    const result = await replicator.pass('UMHS', never);
    if (result === undefined) return {};
    return { delivered: result.delivered, failed: result.failed, code: result.error?.code };
  };
  return { site, partner, replicator, pass };
}

void t.test('a published file arrives, and everything says so once', async (t) => {
  const { site, partner, pass } = await scene(t);
  const job = await site.publish(sealed, one);
  await utimes(site.at(sealed), 1_600_000_000, 1_600_000_000);
  t.same(await pass(), { delivered: 1, failed: 0, code: undefined });
  t.ok(partner.files.get(there(sealed))?.bytes.equals(one));
  t.equal(partner.files.get(there(sealed))?.modifiedMs, 1_600_000_000_000);
  t.same(partner.temporaryFiles(), []);
  t.match(await site.delivery(sealed), { state: 'delivered', evidence: 'check-file' });
  t.match(await site.job(job), { state: 'delivered', receiptDue: 1, deliveredAt: Number });
  t.same(await site.actions(), ['file.delivered']);
  const calls = partner.calls.length;
  t.same(await pass(), { delivered: 0, failed: 0, code: undefined });
  t.equal(partner.calls.length, calls, 'a pass with nothing due does not even connect');
});

void t.test(
  'cut at any call, a file is delivered exactly once and leaves nothing behind',
  async (t) => {
    for (const breaks of ['before', 'after'] as const) {
      for (const proof of ['receipt', 'check-file', 'read-back'] as const) {
        await t.test(`${breaks} the effect, proven by ${proof}`, async (t) => {
          const { site, partner, pass } = await scene(t);
          partner.hashes = proof !== 'read-back';
          partner.signs = proof === 'receipt';
          partner.breaks = breaks;
          let tries = 0;
          for (let at = 1; ; at += 1) {
            const path = `gpg-alice/${at}.gpg`;
            const bytes = Buffer.from(`file number ${at}, long enough to be cut in two`);
            await site.publish(path, bytes);
            partner.breakAt = at;
            const first = await pass();
            const wasCut = partner.breakAt === undefined;
            partner.breakAt = undefined;
            if (wasCut) {
              t.match(first, { delivered: 0, code: 'REMOTE_UNREACHABLE' }, `cut at call ${at}`);
              t.match(await site.delivery(path), { state: 'pending', attempts: 0 });
              t.match(await pass(), { delivered: 1, failed: 0, code: undefined });
            }
            t.ok(partner.files.get(there(path))?.bytes.equals(bytes));
            t.match(await site.delivery(path), { state: 'delivered', evidence: proof });
            tries += 1;
            if (!wasCut) break;
          }
          t.ok(tries > 5, `${tries} places to be cut at`);
          t.same(partner.temporaryFiles(), []);
          t.equal((await site.actions()).filter((a) => a === 'file.delivered').length, tries);
        });
      }
    }
  },
);

void t.test('a send goes on behind a true prefix, and only behind a true one', async (t) => {
  const holed = Buffer.concat([one.subarray(0, 7), Buffer.alloc(2), one.subarray(9, 10)]);
  const cases = [
    { name: 'true prefix', there: one.subarray(0, 10), offset: 10 },
    { name: 'whole', there: one, offset: one.length },
    { name: 'false prefix', there: Buffer.from('something else'), offset: 0 },
    { name: 'longer', there: Buffer.concat([one, one]), offset: 0 },
    { name: 'true but for holes at its end', there: holed, ragged: 4, offset: 6 },
    { name: 'too short to have no holes', there: one.subarray(0, 4), ragged: 4, offset: 0 },
  ];
  for (const each of cases) {
    await t.test(each.name, async (t) => {
      const { site, partner, pass } = await scene(t);
      await site.publish(sealed, one);
      const temporary = there(`gpg-alice/JI-1/${temporaryName(sealed, digest(one))}`);
      partner.files.set(temporary, { bytes: each.there, modifiedMs: 0 });
      partner.raggedBytes = each.ragged ?? 0;
      t.match(await pass(), { delivered: 1 });
      t.same(partner.offsets, [each.offset]);
      t.ok(partner.files.get(there(sealed))?.bytes.equals(one));
    });
  }
});

void t.test('what a killed send left beside a file that had arrived already goes', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish(sealed, one);
  // The first send came through, its note did not; the second was killed before its rename.
  partner.files.set(there(sealed), { bytes: one, modifiedMs: 0 });
  const left = there(`gpg-alice/JI-1/${temporaryName(sealed, digest(one))}`);
  partner.files.set(left, { bytes: one, modifiedMs: 0 });
  t.match(await pass(), { delivered: 1, failed: 0 });
  t.match(await site.delivery(sealed), { state: 'delivered' });
  t.same(partner.temporaryFiles(), []);
});

void t.test("a stranger's file under the name stops that file alone", async (t) => {
  const { site, partner, replicator, pass } = await scene(t);
  const theirs = Buffer.from('not ours, of whatever length it may be');
  partner.files.set(there(sealed), { bytes: theirs, modifiedMs: 0 });
  const job = await site.publish(sealed, one);
  await site.publish('gpg-alice/other.gpg', two);
  t.match(await pass(), { delivered: 1, failed: 1, code: undefined });
  t.ok(partner.files.get(there(sealed))?.bytes.equals(theirs), 'it was not overwritten');
  t.match(await site.delivery(sealed), { state: 'conflict', reason: 'REMOTE_CONFLICT' });
  t.match(await site.job(job), { state: 'published', receiptDue: 1 });
  t.match(await pass(), { delivered: 0, failed: 0 }, 'and it is not tried at every pass');
  partner.files.delete(there(sealed));
  t.match(await replicator.replicateNow(['UMHS'], never), [{ delivered: 1, failed: 0 }]);
  t.equal((await site.job(job)).state, 'delivered');
});

void t.test('a newer generation takes its predecessor’s place', async (t) => {
  for (const wasNoted of [true, false]) {
    await t.test(wasNoted ? 'that was delivered' : 'whose delivery was never noted', async (t) => {
      const { site, partner, pass } = await scene(t);
      await site.publish(sealed, one);
      if (wasNoted) await pass();
      else partner.files.set(there(sealed), { bytes: one, modifiedMs: 0 });
      const job = await site.publish(sealed, two);
      t.match(await pass(), { delivered: 1, failed: 0 });
      t.ok(partner.files.get(there(sealed))?.bytes.equals(two));
      t.equal((await site.job(job)).state, 'delivered');
    });
  }
});

void t.test('a file that became newer during the send is still owed', async (t) => {
  const { site, partner, pass } = await scene(t);
  const first = await site.publish(sealed, one);
  let second = '';
  partner.duringPut = async () => {
    partner.duringPut = () => Promise.resolve();
    await rm(site.at(sealed)); // Publishing renames over the name; the open file stays what it was.
    second = await site.publish(sealed, two);
  };
  t.match(await pass(), { delivered: 1, failed: 0 });
  t.ok(partner.files.get(there(sealed))?.bytes.equals(two));
  t.equal((await site.job(first)).state, 'published');
  t.equal((await site.job(second)).state, 'delivered');
  t.same(partner.temporaryFiles(), []);
});

void t.test('what is not what was published is never sent', async (t) => {
  const { site, partner, pass } = await scene(t);
  const other = Buffer.from(one).fill(65);
  const cases = [
    { path: sealed, change: other, reason: 'OUTBOX_CHANGED', isRetried: false },
    {
      path: 'gpg-alice/short.gpg',
      change: Buffer.from('x'),
      reason: 'OUTBOX_CHANGED',
      isRetried: false,
    },
    { path: 'notes.txt', change: other, reason: 'SOURCE_CHANGED', isRetried: true },
  ];
  for (const { path, change } of cases) {
    await site.publish(path, one);
    await writeFile(site.at(path), change);
  }
  t.match(await pass(), { delivered: 0, failed: 3 });
  t.equal(partner.files.size, 0);
  for (const { path, reason, isRetried } of cases) {
    const row = await site.delivery(path);
    t.match(row, { state: 'failed', reason, attempts: 1 });
    t.equal(row.dueAt !== null, isRetried, path);
  }
});

void t.test('a file that was removed here is not sent, and nothing is removed there', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish('notes.txt', one);
  await pass();
  await site.publish('later.txt', two);
  await rm(site.at('notes.txt'));
  await rm(site.at('later.txt'));
  const begun = there(temporaryName('later.txt', digest(two)));
  partner.files.set(begun, { bytes: two, modifiedMs: 0 });
  t.match(await pass(), { delivered: 0, failed: 0 });
  t.same([...partner.files.keys()], [there('notes.txt')]);
  t.equal((await site.delivery('later.txt')).state, 'gone');
  t.equal((await site.delivery('notes.txt')).state, 'delivered');
});

void t.test('a signed receipt is kept with the delivery, and its lack is told', async (t) => {
  const { site, partner, pass } = await scene(t);
  partner.signs = true;
  partner.refusals.set('receipt', 'REMOTE_RECEIPT');
  const job = await site.publish(sealed, one);
  const db = site.database.db;
  const receipts = () => db.selectFrom('delivery_receipt').selectAll().execute();
  t.match(await pass(), { delivered: 0, failed: 1, code: undefined });
  t.match(await site.delivery(sealed), { state: 'failed', reason: 'REMOTE_RECEIPT' });
  t.same(await receipts(), []);
  site.clock.at += 60_000;
  t.match(await pass(), { delivered: 1, failed: 0 }, 'it is asked again, not sent again');
  t.equal(partner.calls.filter((call) => call === 'put').length, 1);
  t.match(await receipts(), [{ sha256: digest(one), hostKey: 'SHA256:pinned' }]);
  const record = await db
    .selectFrom('job')
    .selectAll()
    .where('id', '=', job)
    .executeTakeFirstOrThrow();
  t.match(await deliveryOf(db, record), {
    state: 'delivered',
    evidence: 'receipt',
    receipt: { statement: `${there(sealed)} has arrived`, signature: /^-----BEGIN SSH SIGNATURE/ },
  });
  await site.publish(sealed, two);
  t.match(await pass(), { delivered: 1 });
  t.equal((await receipts()).length, 2, 'each generation has its own');
  t.match(await deliveryOf(db, record), {
    state: 'replaced',
    receipt: { hostKey: 'SHA256:pinned' },
  });
});

void t.test('a sealed file that vanished before it was sent is told', async (t) => {
  const { site, pass } = await scene(t);
  const { deliveries } = site.parts;
  await site.publish(sealed, one);
  await site.publish('notes.txt', two);
  await rm(site.at(sealed));
  await rm(site.at('notes.txt')); // A member's own will.
  t.match(await pass(), { delivered: 0, failed: 0 });
  t.match(await deliveries.counts(), [{ gone: 1 }]);
  t.match(await deliveries.troubles(10), [{ path: sealed, state: 'gone', reason: 'OUTBOX_GONE' }]);
});

void t.test('outside its hours a partner gets nothing but what somebody asks for', async (t) => {
  const { site, partner, replicator } = await scene(t);
  const { partners } = site.parts;
  const at = (time: string): void => void (site.clock.at = Date.parse(`2026-11-22T${time}:00Z`));
  const zone = { ...site.parts, timeZone: 'Asia/Shanghai' };
  await partners.setPace('UMHS', { window: '20:00-06:00' }, 'cli');
  at('11:59'); // 19:59 there
  await site.publish(sealed, one);
  const loop = createReplicator(zone);
  loop.start();
  await sleep(50);
  t.same(partner.calls, []);
  t.equal((await partners.find('UMHS'))?.failures, 0);
  at('12:00');
  for (let tries = 0; tries < 4000; tries += 1) {
    if ((await site.delivery(sealed))?.state === 'delivered') break;
    await sleep(5);
  }
  t.same([...partner.files.keys()], [there(sealed)]);
  await loop.stop();
  at('23:00'); // 07:00 there
  await site.publish('gpg-alice/2.gpg', two);
  const asked = await createReplicator(zone).replicateNow(['UMHS'], never);
  t.match(asked, [{ delivered: 1, overridden: '20:00-06:00' }]);
  at('13:00');
  t.match(await replicator.replicateNow(['UMHS'], never), [{ overridden: '20:00-06:00' }]);
});

void t.test('hours that end stop the sending, without any trouble to tell', async (t) => {
  const { site, partner, pass } = await scene(t);
  const { partners } = site.parts;
  site.clock.at = Date.parse('2026-11-22T05:59:59Z');
  await partners.setPace('UMHS', { window: '20:00-06:00' }, 'cli');
  for (const n of [1, 2, 3]) await site.publish(`gpg-alice/${n}.gpg`, one);
  partner.duringPut = () => {
    site.clock.at += 1_000;
    return Promise.resolve();
  };
  // Each file asks before it is sent; those that asked before the end go through.
  const result = await pass();
  t.equal(result.code, undefined);
  await site.publish('gpg-alice/4.gpg', one);
  t.match(await pass(), { delivered: 0, failed: 0, code: undefined });
  t.match(await site.delivery('gpg-alice/4.gpg'), { state: 'pending', attempts: 0 });
  t.match(await partners.find('UMHS'), { failures: 0, alarm: undefined });
});

void t.test('a partner’s limit holds over all of its files together', async (t) => {
  const { site, partner, pass } = await scene(t);
  const { clock } = site;
  clock.sleep = (ms, signal) => {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    if (ms < 10_000) clock.at += ms; // The renewal of the lease has its own time.
    return sleep(1, undefined, signal === undefined ? {} : { signal });
  };
  await site.parts.partners.setPace('UMHS', { limitBytes: 1000 }, 'cli');
  for (const n of [1, 2, 3, 4]) await site.publish(`gpg-alice/${n}.gpg`, Buffer.alloc(500, n));
  const startedAt = clock.at;
  t.match(await pass(), { delivered: 4 });
  t.ok(clock.at - startedAt >= 1_700, 'two thousand bytes, less what a pause allows at once');
  t.equal(partner.files.size, 4);
});

void t.test('a throttle lets bytes go at its speed, in the order of asking', async (t) => {
  let at = 0;
  const waits: number[] = [];
  const clock = {
    now: () => at,
    sleep: (ms: number) => {
      waits.push(Math.round(ms));
      return Promise.resolve();
    },
  };
  const throttle = createThrottle(clock, 1000);
  for (const bytes of [100, 100, 100, 1000]) await throttle(bytes, never);
  t.same(waits, [50, 1050], 'a quarter of a second at once, then as the line has room');
  at = 10_000;
  await throttle(250, never);
  t.equal(waits.length, 2, 'a pause gives no more than that back');
  await throttle(1000, never);
  t.equal(waits[2], 1000);
  await createThrottle(clock, undefined)(1e9, never);
  t.equal(waits.length, 3);
});

void t.test('hours are read in the site’s time zone, over midnight too', async (t) => {
  const night = readWindow('20:00-06:00', 'Asia/Shanghai');
  const day = readWindow('08:30-17:00', 'America/Detroit');
  const open = (window: typeof night, at: string) => openForMinutes(window, Date.parse(at));
  t.equal(open(night, '2026-11-22T12:00:00Z'), 0);
  t.equal(open(night, '2026-11-22T21:59:00Z'), 599);
  t.equal(open(night, '2026-11-22T22:00:00Z'), undefined);
  t.equal(open(day, '2026-11-22T13:31:00Z'), 1);
  t.equal(open(day, '2026-07-22T13:31:00Z'), 61, 'summer time');
  t.equal(open(day, '2026-11-22T22:00:00Z'), undefined);
  for (const text of ['20-6', '24:00-06:00', '06:00-06:00', '', '20:00-06:00 ']) {
    t.throws(() => readWindow(text, 'UTC'), { code: 'BAD_INPUT' }, text);
  }
});

void t.test('what arrives damaged is taken away and sent again', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish(sealed, one);
  partner.corruptNextPut = true;
  t.match(await pass(), { delivered: 0, failed: 1 });
  t.equal(partner.files.size, 0);
  t.match(await site.delivery(sealed), { state: 'failed', reason: 'REMOTE_MISMATCH', attempts: 1 });
  t.match(await pass(), { delivered: 0, failed: 0 }, 'not at once');
  site.clock.at += 60_000;
  t.match(await pass(), { delivered: 1, failed: 0 });
});

void t.test(
  'a refused file does not stop the others; a full disk stops the pass and costs no try',
  async (t) => {
    const { site, partner, replicator, pass } = await scene(t);
    await site.publish('gpg-alice/1.gpg', one);
    partner.refusals.set('put', 'REMOTE_REFUSED');
    t.match(await pass(), { delivered: 0, failed: 1, code: undefined });
    await site.publish('gpg-alice/2.gpg', two);
    partner.refusals.set('put', 'REMOTE_FULL');
    t.match(await pass(), { delivered: 0, failed: 0, code: 'REMOTE_FULL' });
    t.match(await site.delivery('gpg-alice/2.gpg'), { state: 'pending', attempts: 0 });
    t.match((await site.parts.partners.find('UMHS'))?.alarm, { code: 'REMOTE_FULL' });
    t.match(await replicator.replicateNow(undefined, never), [{ delivered: 2, failed: 0 }]);
    t.equal((await site.parts.partners.find('UMHS'))?.alarm, undefined, 'success clears the alarm');
  },
);

void t.test(
  'where size is proof enough and the partner cannot hash, nothing is read back',
  async (t) => {
    const { site, partner, pass } = await scene(t);
    partner.hashes = false;
    await site.parts.partners.add({ code: 'UMHS', address, verify: 'size' }, 'cli');
    await site.publish(sealed, one);
    t.match(await pass(), { delivered: 1 });
    t.equal((await site.delivery(sealed)).evidence, 'size');
    t.notOk(partner.calls.includes('sha256'));
  },
);

void t.test(
  'an absent partner costs nothing, is told after two missed cycles, and is caught up with',
  async (t) => {
    const { site, partner, pass } = await scene(t);
    await site.publish(sealed, one);
    partner.connectError = new AppError('REMOTE_UNREACHABLE', { detail: 'ECONNREFUSED' });
    const alarms: (string | undefined)[] = [];
    for (let cycle = 0; cycle < 4; cycle += 1) {
      t.match(await pass(), { code: 'REMOTE_UNREACHABLE' });
      alarms.push((await site.parts.partners.find('UMHS'))?.alarm?.code);
      site.clock.at += everyMs;
    }
    t.same(alarms, [undefined, undefined, 'REMOTE_UNREACHABLE', 'REMOTE_UNREACHABLE']);
    t.match(await site.delivery(sealed), { state: 'pending', attempts: 0 });
    t.equal((await site.parts.partners.find('UMHS'))?.failures, 4);
    partner.connectError = undefined;
    t.match(await pass(), { delivered: 1 });
    t.match(await site.parts.partners.find('UMHS'), { alarm: undefined, failures: 0 });
    t.same(await site.actions(), ['partner.alarm', 'file.delivered', 'partner.well']);
  },
);

void t.test(
  'a partner that fails is tried again by the back-off, at the latest at its normal time',
  async (t) => {
    t.equal(nextPassAt({ lastPassAt: undefined, failures: 0 }, everyMs), 0);
    const pauses = [0, 1, 2, 3, 4, 50].map((failures) =>
      nextPassAt({ lastPassAt: 0, failures }, everyMs),
    );
    t.same(pauses, [everyMs, 5_000, 20_000, 80_000, everyMs, everyMs]);
  },
);

void t.test('another host key stops the partner until it is added again', async (t) => {
  const { site, partner, pass, replicator } = await scene(t);
  await site.publish(sealed, one);
  const detail = 'pinned SHA256:a, presented SHA256:b';
  partner.connectError = new AppError('REMOTE_HOST_KEY', { detail });
  t.match(await pass(), { code: 'REMOTE_HOST_KEY' });
  partner.connectError = undefined;
  t.match(await pass(), { code: 'REMOTE_HOST_KEY' });
  const [asked] = await replicator.replicateNow(['UMHS'], never);
  t.match(asked?.error, { code: 'REMOTE_HOST_KEY', detail });
  await site.parts.partners.tellStrangers('UMHS', '1 file');
  t.equal(partner.calls.length, 1, 'nobody connected again');
  t.match((await site.parts.partners.find('UMHS'))?.alarm, { code: 'REMOTE_HOST_KEY', detail });
  t.equal(
    await site.parts.partners.add({ code: 'UMHS', address, verify: undefined }, 'cli'),
    'updated',
  );
  t.match(await pass(), { delivered: 1 });
});

void t.test('passes never overlap, also between processes', async (t) => {
  const { site, partner, replicator } = await scene(t);
  const second = await openSqlite(join(site.folder, 'clubhouse.db'));
  t.teardown(() => second.close());
  const other = createReplicator(site.partsOver(second, site.parts.storage, partner));
  await site.publish(sealed, one);
  let release = (): void => undefined;
  partner.duringPut = () => new Promise((resolve) => (release = resolve));
  const running = replicator.pass('UMHS', never);
  while (!partner.calls.includes('ensureFolder')) await sleep(2);
  t.equal(await other.pass('UMHS', never), undefined);
  const asked = other.replicateNow(['UMHS'], never);
  await site.publish('gpg-alice/late.gpg', two);
  partner.duringPut = () => Promise.resolve();
  release();
  const results = [await running, ...(await asked)];
  t.equal(
    results.reduce((sum, result) => sum + (result?.delivered ?? 0), 0),
    2,
  );
  t.equal((await site.actions()).filter((action) => action === 'file.delivered').length, 2);
});

void t.test(
  'the lease of a dead process ends by itself, and what it then says is refused',
  async (t) => {
    const { site, pass } = await scene(t);
    await site.publish(sealed, one);
    const { leases, deliveries } = site.parts;
    const dead = await leases.acquire('replicate:UMHS', 'dead', 30_000);
    if (dead === undefined) throw new Error('no lease');
    const [delivery] = await deliveries.due('UMHS', site.clock.now(), 1);
    if (delivery === undefined) throw new Error('nothing due');
    t.same(await pass(), {}, 'held by another one');
    site.clock.at += 30_001;
    t.match(await pass(), { delivered: 1 });
    t.equal(await leases.renew(dead, 30_000), false);
    await t.rejects(deliveries.delivered(delivery, { evidence: 'size' }, dead), {
      code: 'LEASE_LOST',
    });
    await t.rejects(deliveries.failed(delivery, 'REMOTE_REFUSED', undefined, dead), {
      code: 'LEASE_LOST',
    });
    t.match(await site.delivery(sealed), { state: 'delivered', evidence: 'check-file' });
  },
);

void t.test('the loop sends what is due at its time, and at once when eager', async (t) => {
  const { site, partner, replicator } = await scene(t);
  const until = async (path: string): Promise<void> => {
    for (let tries = 0; tries < 4000 && !partner.files.has(there(path)); tries += 1) await sleep(5);
    t.ok(partner.files.has(there(path)), path);
  };
  await site.publish('gpg-alice/1.gpg', one);
  replicator.start();
  await until('gpg-alice/1.gpg');
  // A pass takes what is published until it ends.
  const hasEnded = async () => (await site.parts.partners.find('UMHS'))?.lastPassAt !== undefined;
  for (let tries = 0; tries < 4000 && !(await hasEnded()); tries += 1) await sleep(5);
  await site.publish('gpg-alice/2.gpg', two);
  await sleep(50);
  t.notOk(partner.files.has(there('gpg-alice/2.gpg')), 'the next cycle has not come yet');
  site.clock.at += everyMs;
  await until('gpg-alice/2.gpg');
  await replicator.stop();
  const eager = createReplicator({ ...site.parts, eager: true });
  eager.start();
  await site.publish('gpg-alice/3.gpg', two);
  await until('gpg-alice/3.gpg');
  await eager.stop();
});

void t.test('a stop in the middle of a send ends it, and the next start finishes it', async (t) => {
  const { site, partner, replicator, pass } = await scene(t);
  await site.publish(sealed, one);
  let reached = (): void => undefined;
  const inPut = new Promise<void>((resolve) => (reached = resolve));
  partner.duringPut = () => {
    reached();
    return sleep(20);
  };
  replicator.start();
  await inPut;
  await replicator.stop();
  t.match(await site.delivery(sealed), { state: 'pending', attempts: 0 });
  t.equal((await site.parts.partners.find('UMHS'))?.failures, 0);
  t.match(await pass(), { delivered: 1 });
});

void t.test(
  'trouble with our own database or disk ends neither the loop nor the sending',
  async (t) => {
    const { site, partner } = await scene(t);
    let failures = 2;
    const failing = async (): Promise<void> => {
      failures -= 1;
      if (failures >= 0) throw new AppError('STORAGE_FAILED');
    };
    const replicator = createReplicator({
      ...site.parts,
      partners: {
        ...site.parts.partners,
        list: () => failing().then(() => site.parts.partners.list()),
        projects: () => Promise.reject(new AppError('STORAGE_FAILED')),
      },
    });
    await site.publish(sealed, one);
    replicator.start();
    for (let tries = 0; tries < 4000 && !partner.files.has(there(sealed)); tries += 1) {
      await sleep(5);
    }
    await replicator.stop();
    t.ok(partner.files.has(there(sealed)));
    await site.publish('gpg-alice/2.gpg', two);
    await t.rejects(replicator.pass('UMHS', never), { code: 'STORAGE_FAILED' }, 'the scan is told');
    t.equal((await site.delivery('gpg-alice/2.gpg')).state, 'delivered', 'after the sending');
  },
);

void t.test('an archived project and an unknown partner get nothing', async (t) => {
  const { site, partner, replicator, pass } = await scene(t);
  await site.publish(sealed, one);
  await site.database.db.updateTable('project').set({ state: 'archived' }).execute();
  t.match(await pass(), { delivered: 0, failed: 0 });
  t.equal(partner.calls.length, 0);
  const [nobody] = await replicator.replicateNow(['MAYO'], never);
  t.match(nobody?.error, { code: 'NOT_FOUND' });
});

void t.test('an empty file is nobody’s until there is something in it', async (t) => {
  const { site, pass } = await scene(t);
  const long = new Date(site.clock.now() - 60_000);
  const plant = async (bytes: Buffer): Promise<void> => {
    await site.write('opened.txt', bytes);
    await utimes(site.at('opened.txt'), long, long);
  };
  const folder = site.at('opened.txt').replace(/\/[^/]*$/, '');
  // As an OPEN leaves it that a crash kept from its row: its member comes back to write it.
  await plant(Buffer.alloc(0));
  await utimes(folder, long, long);
  await pass();
  t.same(site.adopted, []);
  await plant(one);
  await utimes(folder, long, long);
  await pass();
  t.match(site.adopted, [{ path: `${outgoing}/opened.txt` }], 'though the folder did not change');
});

void t.test('the scan finds what was put there by hand', async (t) => {
  const { site, partner, pass } = await scene(t);
  const long = new Date(site.clock.now() - 60_000);
  const plant = async (path: string, isOld = true): Promise<void> => {
    await site.write(path, one);
    if (isOld) await utimes(site.at(path), long, long);
  };
  await plant('notes.txt');
  await plant('deep/er/report.pdf');
  await plant('deep/young.txt', false);
  await plant('upload.part');
  await plant('.clubhouse-x.gpg');
  await plant('gpg-alice/planted.dcm');
  const job = await site.publish('gpg-alice/missed.gpg', two, false);
  await utimes(site.at('gpg-alice/missed.gpg'), long, long);
  t.match(await pass(), { delivered: 1, failed: 0 }, 'a delivery that was missed is made up for');
  t.equal((await site.job(job)).state, 'delivered');
  t.same([...partner.files.keys()], [there('gpg-alice/missed.gpg')]);
  const adopted = (): readonly string[] => site.adopted.map((file) => file.path).sort();
  t.same(adopted(), [`${outgoing}/deep/er/report.pdf`, `${outgoing}/notes.txt`]);
  t.match((await site.parts.partners.find('UMHS'))?.alarm, { code: 'OUTBOX_STRANGER' });
  site.adopted.length = 0;
  site.clock.at += 10_000;
  await pass();
  t.ok(adopted().includes(`${outgoing}/deep/young.txt`), 'a young file is seen once it is older');
  site.adopted.length = 0;
  site.clock.at += 10_000;
  await pass();
  t.same(adopted(), [], 'folders that did not change are not listed again');
  await rm(site.at('gpg-alice/planted.dcm'));
  site.clock.at += 3_600_000;
  await pass();
  t.equal((await site.parts.partners.find('UMHS'))?.alarm, undefined, 'until the full round');
});

void t.test('a folder that cannot be read keeps nothing else from being found', async (t) => {
  const { site, pass } = await scene(t);
  const long = new Date(site.clock.now() - 60_000);
  for (const path of ['a/1.txt', 'broken/2.txt', 'broken/below/3.txt', 'z/4.txt']) {
    await site.write(path, one);
    await utimes(site.at(path), long, long);
  }
  const storage = site.parts.storage as { list: ReplicatorParts['storage']['list'] };
  const list = storage.list.bind(storage);
  storage.list = (path) => {
    if (path.endsWith('/broken')) throw new AppError('STORAGE_FAILED', { detail: 'EIO' });
    return list(path);
  };
  const adopted = (): readonly string[] => site.adopted.map((file) => file.path).sort();
  await t.rejects(pass(), { code: 'STORAGE_FAILED' }, 'it is told');
  t.same(adopted(), [`${outgoing}/a/1.txt`, `${outgoing}/z/4.txt`]);
  for (const told of ['a folder that just changed is listed again', 'as long as it stays so']) {
    site.adopted.length = 0;
    site.clock.at += 10_000;
    await t.rejects(pass(), { code: 'STORAGE_FAILED' }, told);
  }
  t.same(adopted(), [], 'and what could be read is not listed again');
  storage.list = list;
  site.clock.at += 10_000;
  await pass();
  t.same(adopted(), [`${outgoing}/broken/2.txt`, `${outgoing}/broken/below/3.txt`].sort());
});

void t.test(
  'partner test writes a small file where deliveries go, and leaves nothing',
  async (t) => {
    const { site, partner } = await scene(t);
    const { partners } = site.parts;
    const result = await testPartner({ site: 'PUHSC', partners, remotes: partner }, 'UMHS', never);
    t.same(result, { hostKey: 'SHA256:pinned', proof: 'check-file', project: 'brain' });
    t.ok(partner.calls.includes('put'));
    t.equal(partner.files.size, 0);
    await t.rejects(testPartner({ site: 'PUHSC', partners, remotes: partner }, 'MAYO', never), {
      code: 'NOT_FOUND',
    });
  },
);

void t.test('partner test says so when the partner has no such project', async (t) => {
  const { site, partner } = await scene(t);
  const { partners } = site.parts;
  const ensureFolder = () =>
    Promise.reject(new AppError('REMOTE_REFUSED', { detail: 'status 2 to MKDIR' }));
  const remotes = {
    connect: async (...args: Parameters<typeof partner.connect>) =>
      Object.assign(await partner.connect(...args), { ensureFolder }),
  };
  await t.rejects(testPartner({ site: 'PUHSC', partners, remotes }, 'UMHS', never), {
    code: 'NOT_FOUND',
    detail: /our login works, but there is no \/home\/ji_brain\/.* is there a project of this name/,
  });
});

void t.test('a partner that hangs keeps no other partner waiting', async (t) => {
  const { site, partner } = await scene(t);
  const { db } = site.database;
  await db.insertInto('project_partner').values({ projectId, partner: 'KUMC' }).execute();
  const elsewhere = { ...address, host: 'nowhere' };
  await site.parts.partners.add({ code: 'KUMC', address: elsewhere, verify: undefined }, 'cli');
  let hung = 0;
  const remotes: Remotes = {
    connect: (to, signal) => {
      if (to.host !== 'nowhere') return partner.connect(to, signal);
      hung += 1;
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new AppError('REMOTE_UNREACHABLE')));
      });
    },
  };
  const jobId = await site.publish('gpg-alice/1.gpg', one);
  const facts = { sizeBytes: one.length, modifiedMs: 0, inode: '1', sha256: digest(one) };
  const owed = { projectId, partner: 'KUMC', path: 'gpg-alice/1.gpg', jobId, ...facts };
  await db.transaction().execute((trx) => recordPending(trx, { ...owed, now: site.clock.now() }));
  const replicator = createReplicator({ ...site.parts, remotes });
  replicator.start();
  for (let cycle = 1; cycle <= 3; cycle += 1) {
    const path = `gpg-alice/${cycle}.gpg`;
    if (cycle > 1) await site.publish(path, two);
    // Time goes on while it waits: the pass before may end only after this file is there.
    for (let tries = 0; tries < 4000 && !partner.files.has(there(path)); tries += 1) {
      await sleep(5);
      site.clock.at += everyMs / 20;
    }
    t.ok(partner.files.has(there(path)), `cycle ${cycle}`);
  }
  t.ok(hung > 0, 'it did hang');
  await replicator.stop();
});
