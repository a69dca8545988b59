// One upload with a job for each of two partners: the jobs need not be in one state, and none keeps the others from theirs.

import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { makeRig, place, upload, type Rig } from '../support/fakes.ts';

const hour = 3_600_000;

/** KUMC has no valid key, so its job waits. */
async function rigWithOneKey(test: Pick<typeof t, 'teardown'>): Promise<Rig> {
  const rig = await makeRig({ partners: ['KUMC', 'UMHS'] });
  test.teardown(() => rig.close());
  rig.recipients.set('KUMC', []);
  return rig;
}

const states = async (rig: Rig): Promise<readonly (string | null)[][]> =>
  (await rig.desk.list()).map(({ partner, state, reason }) => [partner, state, reason]);

void t.test('each partner has a job of its own', async (t) => {
  const rig = await rigWithOneKey(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.strictSame(await states(rig), [
    ['KUMC', 'waiting', 'no-valid-key'],
    ['UMHS', 'published', null],
  ]);
  const [receipt = ''] = await readdir(join(rig.folder, 'home/ji_brain/alice/receipts'));
  const text = await rig.read(`ji_brain/alice/receipts/${receipt}`);
  t.match(text, /For KUMC\n {2}State: waiting[^]*For UMHS\n {2}State: published/);
  rig.recipients.set('KUMC', ['key']);
  rig.clock.advance(31_000);
  await rig.run();
  t.match(await rig.desk.list(), [{ state: 'published' }, { state: 'published' }]);
  const published = await readdir(
    join(rig.folder, 'home/ji_brain/club_house/From_PUHSC_To_KUMC/gpg-alice'),
    { recursive: true },
  );
  t.match(published, ['JI-1', /^JI-1\/CT_/]);
  t.strictSame(await rig.storage.listSpool('claims'), []);
});

void t.test('a truncated file is held for both after its time, and its claim goes', async (t) => {
  const rig = await rigWithOneKey(t);
  rig.processor.answer = () => Promise.resolve({ kind: 'partial', reason: 'truncated' });
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  t.strictSame(await states(rig), [
    ['KUMC', 'partial', 'truncated'],
    ['UMHS', 'partial', 'truncated'],
  ]);
  t.strictSame(await rig.storage.listSpool('claims'), []);
  rig.clock.advance(25 * hour);
  await rig.run();
  t.match(await rig.desk.list(), [{ state: 'held' }, { state: 'held' }]);
});

void t.test('jobs that an older version left in two states do not stop the sweep', async (t) => {
  const rig = await rigWithOneKey(t);
  await upload(rig, 'a.dcm', 'abc');
  await rig.settle();
  const row = { state: 'partial', reason: 'truncated' } as const;
  await rig.db.updateTable('job').set(row).where('partner', '=', 'UMHS').execute();
  rig.clock.advance(25 * hour);
  await upload(rig, 'b.dcm', 'abc');
  await rig.restart();
  await rig.settle();
  t.match(await rig.states(), { 'b.dcm': 'published' });
  t.strictSame((await states(rig)).slice(0, 2), [
    ['KUMC', 'waiting', 'no-valid-key'],
    ['UMHS', 'held', 'incomplete'],
  ]);
});

void t.test('bytes that changed after the claim are looked at anew for both', async (t) => {
  const rig = await rigWithOneKey(t);
  await upload(rig, 'a.dcm', 'abc');
  rig.clock.advance(5001);
  const { jobs } = rig.parts;
  const nextDue = jobs.nextDue.bind(jobs);
  let isFirst = true;
  jobs.nextDue = async (...args) => {
    const due = await nextDue(...args);
    if (isFirst && due?.partner === 'UMHS') {
      isFirst = false;
      await writeFile(join(rig.folder, 'home', place('a.dcm').path), 'abcdef');
    }
    return due;
  };
  await rig.run();
  await rig.settle();
  t.strictSame(await states(rig), [
    ['KUMC', 'partial', 'gap'],
    ['UMHS', 'partial', 'gap'],
  ]);
});
