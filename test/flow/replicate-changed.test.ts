// Files that somebody changes while they are owed or being sent: what leaves is what was published, or nothing.

import t, { type Test } from 'tap';
import { open, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createReplicator } from '../../src/flow/replicate.ts';
import { FakePartner } from '../support/fake-remote.ts';
import { SendingSite, address } from '../support/replication.ts';

const never = new AbortController().signal;
const sealed = 'gpg-alice/JI-1/XA_1_1_aaaa.dcm.gpg';
/** Too large to be sent from memory. */
const published = Buffer.alloc(2_000_000, 'sealed');
const other = Buffer.alloc(published.length, 'secret');

async function scene(t: Test, partner = new FakePartner()) {
  const site = await SendingSite.make(t.testdir(), partner);
  t.teardown(() => site.close());
  const replicator = createReplicator(site.parts);
  return { site, partner, pass: () => replicator.pass('UMHS', never) };
}

void t.test('of a file that was exchanged not a byte leaves', async (t) => {
  const { site, partner, pass } = await scene(t);
  for (const path of [sealed, 'notes.bin']) {
    await site.publish(path, published);
    await writeFile(site.at(path), other);
    await utimes(site.at(path), 1, 1);
  }
  t.match(await pass(), { delivered: 0, failed: 2 });
  t.notOk(partner.calls.includes('put'));
  t.match(await site.delivery(sealed), { reason: 'OUTBOX_CHANGED', dueAt: null });
  t.match(await site.delivery('notes.bin'), { reason: 'SOURCE_CHANGED', attempts: 1 });
});

void t.test('a change that left no trace in the folder is found by the digest', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish(sealed, published);
  const before = await stat(site.at(sealed));
  await writeFile(site.at(sealed), other);
  await utimes(site.at(sealed), before.atime, before.mtimeMs / 1000);
  t.match(await pass(), { delivered: 0, failed: 1 });
  t.match(await site.delivery(sealed), { reason: 'OUTBOX_CHANGED', dueAt: null });
  t.equal(partner.files.size, 0, 'neither under its name nor under a temporary one');
});

for (const verify of ['hash', 'size'] as const) {
  void t.test(`a write during the sending, proven by ${verify}`, async (t) => {
    const { site, partner, pass } = await scene(t);
    partner.hashes = verify === 'hash';
    await site.parts.partners.add({ code: 'UMHS', address, verify }, 'cli');
    await site.publish('notes.bin', published);
    partner.duringPut = async () => {
      partner.duringPut = () => Promise.resolve();
      const file = await open(site.at('notes.bin'), 'r+');
      await file.write(other.subarray(0, 100), 0, 100, 1_000_000);
      await file.close();
    };
    t.match(await pass(), { delivered: 0, failed: 1 });
    t.match(await site.delivery('notes.bin'), { state: 'failed', reason: 'SOURCE_CHANGED' });
    t.equal(partner.files.size, 0);
  });
}

void t.test('a touch alone changes nothing', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish(sealed, published);
  await utimes(site.at(sealed), 1000, 1000);
  t.match(await pass(), { delivered: 1, failed: 0 });
  const [arrived] = partner.files.values();
  t.ok(arrived?.bytes.equals(published));
  t.equal(arrived?.modifiedMs, 1_000_000);
});

void t.test('a file that is deleted during the sending arrives, and stays there', async (t) => {
  const { site, partner, pass } = await scene(t);
  await site.publish(sealed, published);
  partner.duringPut = () => rm(site.at(sealed), { force: true });
  t.match(await pass(), { delivered: 1, failed: 0 });
  t.match(await pass(), { delivered: 0, failed: 0 });
  const [arrived] = partner.files.values();
  t.ok(arrived?.bytes.equals(published));
});
