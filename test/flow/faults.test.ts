// The n-th call of every port fails, for every n, before or after its effect: each acknowledged upload is still published and
// delivered once, its job goes through legal states alone, and nothing is left behind.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { isLegalMove, type UploadState } from '../../src/core/upload.ts';
import { createReplicator } from '../../src/flow/replicate.ts';
import { FakePartner } from '../support/fake-remote.ts';
import {
  FakeProcessor,
  makeRig,
  openFor,
  place,
  remove,
  seal,
  sha256,
  upload,
  type Rig,
} from '../support/fakes.ts';
import { faultsIn, type Faults } from '../support/faults.ts';
import { SendingSite, outgoing } from '../support/replication.ts';

const sealedFolder = 'ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice/JI-1';

/** What a server asks that has nothing to do; once through them, and there is nothing new to fail. */
const idleCalls: readonly string[] = ['uploads.dueSettling', 'receipts.due', 'jobs.nextDue'];

function faultsOf(rig: Rig): Faults {
  const { storage, uploads, jobs, receipts, facts } = rig.parts;
  // A class keeps its methods on its prototype, where they are not seen.
  const processor = rig.processor as { run: FakeProcessor['run'] };
  processor.run = FakeProcessor.prototype.run.bind(rig.processor);
  return faultsIn({ storage, uploads, jobs, receipts, facts, processor });
}

/** A client that does not give up: overwrites until its CLOSE was answered. */
async function sendUntilAnswered(rig: Rig, name: string, text: string): Promise<void> {
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      await upload(rig, name, text);
      return;
    } catch {
      // The handle ends with the connection.
      const group = rig.parts.gate.writers.get(place(name).path);
      for (const file of group?.open ?? []) await file.close().catch(() => undefined);
      if (group !== undefined) rig.parts.gate.writers.delete(place(name).path);
    }
  }
  throw new Error('the client was never answered');
}

/** Long enough for every back-off, lease and sweep, unless the file is published earlier and its receipt written. */
async function goOn(rig: Rig, name: string): Promise<void> {
  let quiet = 0;
  for (let round = 0; round < 40 && quiet < 1; round += 1) {
    const hasMoved = await rig.worker.turn().catch(() => true);
    await rig.worker.idle();
    // What moves now may go on now; what does not, waits for time.
    rig.clock.advance(hasMoved ? 500 : round < 6 ? 6_000 : 31_000);
    quiet = !hasMoved && (await isPublished(rig, name)) ? quiet + 1 : 0;
  }
}

async function isPublished(rig: Rig, name: string): Promise<boolean> {
  const open = await rig.db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select('job.id')
    .where('upload.path', '=', place(name).path)
    .where((where) =>
      where.or([
        where('job.state', 'not in', ['published', 'superseded']),
        where('upload.receiptDue', '=', 1),
      ]),
    )
    .executeTakeFirst();
  return open === undefined;
}

const jobsOf = (rig: Rig, name: string) =>
  rig.db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.state', 'upload.sha256'])
    .where('upload.path', '=', place(name).path)
    .orderBy('upload.generation')
    .execute();

async function isLegal(t: Test, rig: Rig): Promise<void> {
  const last = new Map<string, string>();
  for (const { action, object, detail } of await rig.audit.list(rig.db)) {
    const to = /^job\.(\w+)$/.exec(action)?.[1] as UploadState | undefined;
    if (to === undefined) continue;
    const from = detail['from'] as UploadState;
    if (from !== to && !isLegalMove(from, to)) t.fail(`${from} to ${to}`);
    if (last.has(object) && last.get(object) !== from) t.fail(`${object}: a gap before ${to}`);
    last.set(object, to);
  }
  t.equal(await rig.audit.firstFault(rig.db), undefined);
}

for (const moment of ['before', 'after'] as const) {
  for (const after of ['goes on', 'starts anew'] as const) {
    void t.test(`a call that fails ${moment} its effect, and the server ${after}`, async (t) => {
      const rig = await makeRig({ width: 1, isFast: true });
      t.teardown(() => rig.close());
      let struck: string | undefined = 'none yet';
      let faults = faultsOf(rig);
      let n = 0;
      let idle = 0;
      while (struck !== undefined && idle < idleCalls.length * 2) {
        n += 1;
        const name = `${n}.dcm`;
        faults.arm(n, moment);
        await sendUntilAnswered(rig, name, `content ${n}`);
        if (after === 'starts anew') {
          rig.clock.advance(6_000);
          await rig.worker.turn().catch(() => undefined);
          await rig.worker.idle();
          struck = faults.disarm();
          await rig.restart();
          faults = faultsOf(rig);
        }
        await goOn(rig, name);
        if (after === 'goes on') struck = faults.disarm();
        idle = idleCalls.includes(struck ?? '') ? idle + 1 : 0;
        const rows = await jobsOf(rig, name);
        const live = rows.filter((row) => row.state !== 'superseded');
        const states = live.map((row) => row.state).join();
        if (states !== 'published') t.fail(`call ${n}, ${struck}: ${states || 'lost'}`);
        const found = rows.at(-1)?.sha256;
        if (found !== sha256(`content ${n}`)) t.fail(`call ${n}, ${struck}: another content`);
      }
      t.ok(n > 15, `${n} calls`);
      rig.clock.advance(31_000);
      await rig.worker.turn();
      await nothingIsLeft(t, rig, n);
      await isLegal(t, rig);
    });
  }
}

async function nothingIsLeft(t: Test, rig: Rig, files: number): Promise<void> {
  t.equal((await readdir(join(rig.folder, 'home', sealedFolder))).length, files, 'once each');
  const rows = await rig.db.selectFrom('delivery').selectAll().execute();
  const owed = rows.filter((row) => row.state === 'pending');
  t.equal(owed.length, files, 'a delivery each');
  for (const { path, sha256: digest } of owed) {
    const bytes = await rig.read(`ji_brain/club_house/From_PUHSC_To_UMHS/${path}`);
    if (sha256(bytes) !== digest) t.fail('the delivery speaks of other bytes');
  }
  for (const area of ['claims', 'outputs', 'scratch'] as const) {
    t.strictSame(await rig.storage.listSpool(area), [], area);
  }
  const receipts = await readdir(join(rig.folder, 'home/ji_brain/alice/receipts'));
  t.equal(receipts.length, files, 'a receipt each');
}

const second: Readonly<
  Record<
    string,
    { readonly act: (rig: Rig, name: string) => Promise<void>; readonly wanted: string }
  >
> = {
  overwrite: { act: (rig, name) => sendUntilAnswered(rig, name, 'newer'), wanted: 'newer' },
  remove: { act: (rig, name) => remove(rig, name).catch(() => undefined), wanted: 'old' },
  resume: { act: resume, wanted: 'old and more' },
};
for (const [what, { act, wanted }] of Object.entries(second)) {
  void t.test(`a published file, and each call fails of a client’s ${what}`, async (t) => {
    const rig = await makeRig({ width: 1, isFast: true });
    t.teardown(() => rig.close());
    const most = 45;
    for (let n = 1; n <= most; n += 1) await upload(rig, `${n}.dcm`, 'old');
    await goOn(rig, `${most}.dcm`);
    const faults = faultsOf(rig);
    let struck: string | undefined = 'none yet';
    let idle = 0;
    for (let n = 1; struck !== undefined && idle < idleCalls.length * 2; n += 1) {
      const name = `${n}.dcm`;
      faults.arm(n, n % 2 === 0 ? 'before' : 'after');
      await act(rig, name);
      await goOn(rig, name);
      struck = faults.disarm();
      idle = idleCalls.includes(struck ?? '') ? idle + 1 : 0;
      const rows = await jobsOf(rig, name);
      const live = rows.filter((row) => row.state === 'published');
      const states = rows.map((row) => row.state).join();
      if (live.length !== 1) t.fail(`call ${n}, ${struck}: ${states}`);
      const found = live[0]?.sha256;
      if (found !== sha256(wanted)) t.fail(`call ${n}, ${struck}: another content, ${states}`);
    }
    await isLegal(t, rig);
  });
}

/** Goes on behind what is there; where that was not answered, sends the whole file. */
async function resume(rig: Rig, name: string): Promise<void> {
  try {
    const handle = await openFor(rig, name, { create: false });
    await handle.write(3, ' and more');
    await handle.end('close');
  } catch {
    rig.parts.gate.writers.delete(place(name).path);
    await sendUntilAnswered(rig, name, 'old and more');
  }
}

/** What a killed server leaves: a file that is published and does not know it, renames and a removal without their rows. */
async function leaveBehind(rig: Rig, n: number): Promise<void> {
  for (const name of [`${n}.dcm.part`, `>${n}.txt.part`, `>${n}-removed.part`]) {
    await upload(rig, name, `content ${n}`);
  }
  await upload(rig, `${n}-late.dcm`, `content ${n}`);
  const jobs = rig.jobs as { finish: Rig['jobs']['finish'] };
  const finish = jobs.finish.bind(jobs);
  jobs.finish = () => Promise.reject(new Error('killed'));
  rig.clock.advance(6_000);
  for (let round = 0; round < 4; round += 1) {
    await rig.worker.turn();
    await rig.worker.idle();
  }
  jobs.finish = finish;
  await rig.storage.rename(place(`${n}.dcm.part`).path, place(`${n}.dcm`).path, false);
  await rig.storage.rename(place(`>${n}.txt.part`).path, place(`>${n}.txt`).path, false);
  await rig.storage.removeFile(place(`>${n}-removed.part`).path);
  const handle = await openFor(rig, `${n}-open.dcm`, { truncate: true });
  await handle.write(0, `content ${n}`);
  for (const file of rig.parts.gate.writers.get(place(`${n}-open.dcm`).path)?.open ?? []) {
    await file.close();
  }
  rig.parts.gate.writers.clear();
}

for (const [moment, most] of [
  ['before', 25],
  ['after', 8],
] as const) {
  void t.test(
    `a start whose n-th call fails ${moment} its effect, and the next one puts all right`,
    async (t) => {
      const rig = await makeRig({ width: 1, isFast: true });
      t.teardown(() => rig.close());
      rig.processor.answer = (task, bytes) =>
        task.kind === 'direct'
          ? Promise.resolve({ kind: 'passed', sourceSha256: sha256(bytes) })
          : seal(task, bytes);
      let struck: string | undefined = 'none yet';
      let n = 0;
      for (; struck !== undefined; n += 1) {
        await leaveBehind(rig, n);
        const faults = faultsOf(rig);
        faults.arm(n + 1, moment);
        await rig.recover().catch(() => undefined);
        struck = faults.disarm();
        await rig.restart();
        const names = [`${n}.dcm`, `>${n}.txt`, `${n}-late.dcm`];
        for (const name of names) await goOn(rig, name);
        for (const name of names) {
          const live = (await jobsOf(rig, name)).filter(({ state }) => state !== 'superseded');
          const told = live.map(({ state, sha256: digest }) => `${state} ${digest}`).join();
          if (told !== `published ${sha256(`content ${n}`)}`) {
            t.fail(`call ${n + 1}, ${struck}: ${name} is ${told || 'lost'}`);
          }
        }
        for (const name of [`${n}.dcm.part`, `>${n}.txt.part`, `>${n}-removed.part`]) {
          const rest = (await jobsOf(rig, name)).filter(({ state }) => state !== 'withdrawn');
          if (rest.length > 0) t.fail(`call ${n + 1}, ${struck}: ${name} is left`);
        }
        const [open] = await jobsOf(rig, `${n}-open.dcm`);
        if (open?.state !== 'partial') t.fail(`call ${n + 1}, ${struck}: ${open?.state ?? 'lost'}`);
        await remove(rig, `${n}-open.dcm`);
      }
      t.ok(n > most, `${n} calls`);
      for (const area of ['claims', 'outputs', 'scratch'] as const) {
        t.strictSame(await rig.storage.listSpool(area), [], area);
      }
      await isLegal(t, rig);
    },
  );
}

void t.test('a pass whose n-th local call fails still delivers once', async (t) => {
  const partner = new FakePartner();
  const site = await SendingSite.make(t.testdir(), partner);
  t.teardown(() => site.close());
  const { deliveries, partners, leases, storage, outgoing: rows } = site.parts;
  const faults = faultsIn({ deliveries, partners, leases, storage, rows });
  const replicator = createReplicator(site.parts);
  const signal = new AbortController().signal;
  for (const moment of ['before', 'after'] as const) {
    let struck: string | undefined = 'none yet';
    for (let n = 1; struck !== undefined; n += 1) {
      const path = `gpg-alice/${moment}-${n}.gpg`;
      await site.publish(path, Buffer.from(path));
      faults.arm(n, moment);
      await replicator.pass('UMHS', signal).catch(() => undefined);
      struck = faults.disarm();
      let { state } = await site.delivery(path);
      for (let round = 0; round < 4 && state !== 'delivered'; round += 1) {
        site.clock.at += 600_000;
        await replicator.pass('UMHS', signal);
        ({ state } = await site.delivery(path));
      }
      if (state !== 'delivered') t.fail(`call ${n}, ${struck}: ${state}`);
      const there = partner.files.get(`/home/${outgoing}/${path}`)?.bytes.toString();
      if (there !== path) t.fail(`call ${n}, ${struck}: not there`);
    }
  }
  t.same(partner.temporaryFiles(), []);
  const actions = await site.actions();
  const arrived = actions.filter((action) => action === 'file.delivered').length;
  t.equal(arrived, partner.files.size, 'noted once each');
});
