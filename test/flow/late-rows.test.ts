// When the row of a new file in the intake is written: with its CLOSE, a moment after its OPEN, or as soon as somebody changes
// its path; whatever comes first. And what is known of it when the server dies before.

import t from 'tap';
import { makeRig, openFor, place, remove, rename, upload, type Rig } from '../support/fakes.ts';

const trunc = { truncate: true };

const actions = async (rig: Rig): Promise<readonly string[]> =>
  (await rig.audit.list(rig.db)).map(({ action }) => action);

/** What runs beside the test may take a moment. */
async function eventually(rig: Rig, expected: Record<string, string>): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (JSON.stringify(await rig.states()) === JSON.stringify(expected)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

void t.test('a small file takes one entry, and one transaction', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const handle = await openFor(rig, 'a.dcm', trunc);
  await handle.write(0, 'abc');
  t.strictSame(await rig.states(), {});
  await handle.end('close');
  t.strictSame(await rig.states(), { 'a.dcm': 'settling' });
  t.strictSame(await actions(rig), ['upload.begun']);
  const [entry] = await rig.audit.list(rig.db);
  t.match(entry?.detail, { generation: 1, kind: 'intake', state: 'settling' });
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});

void t.test('an upload that goes on shows after a moment', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const handle = await openFor(rig, 'a.dcm', trunc);
  await handle.write(0, 'abc');
  rig.clock.advance(200);
  await eventually(rig, { 'a.dcm': 'uploading' });
  t.strictSame(await rig.states(), { 'a.dcm': 'uploading' });
  t.match(await rig.desk.list(), [{ bytes: 3 }]);
  await handle.write(3, 'def');
  await handle.end('close');
  t.strictSame(await actions(rig), ['upload.begun', 'job.settling']);
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});

void t.test(
  'a row is there before OPEN is answered where it says more than the file',
  async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    const declared = await openFor(rig, 'a.dcm', { ...trunc, declared: 9 });
    const shared = await openFor(rig, '>b.txt', trunc);
    t.strictSame(await rig.states(), { 'a.dcm': 'uploading', 'b.txt': 'uploading' });
    await declared.end('lost');
    await shared.end('lost');
  },
);

void t.test('what a client gives up is told as ever', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  for (const [name, bytes, how] of [
    ['lost.dcm', 'abc', 'lost'],
    ['empty.dcm', '', 'close'],
    ['hole.dcm', 'abc', 'close'],
  ] as const) {
    const handle = await openFor(rig, name, trunc);
    if (bytes !== '') await handle.write(name === 'hole.dcm' ? 5 : 0, bytes);
    await handle.end(how);
  }
  t.strictSame(await rig.states(), {
    'lost.dcm': 'partial disconnected',
    'empty.dcm': 'partial empty',
    'hole.dcm': 'partial gap',
  });
});

void t.test('two handles of a file share its row', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  const one = await openFor(rig, 'a.dcm', trunc);
  const two = await openFor(rig, 'a.dcm');
  await one.write(0, 'abc');
  await one.end('close');
  t.strictSame(await rig.states(), { 'a.dcm': 'uploading' }, 'CLOSE is answered with a row');
  await two.write(3, 'def');
  await two.end('close');
  t.strictSame(await rig.states(), { 'a.dcm': 'settling' });
});

void t.test('a rename or a removal finds the row of what is open', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  await rig.storage.makeFolder('ji_brain/alice/gpg/sub');
  const renamed = await openFor(rig, 'a.part', trunc);
  const below = await openFor(rig, 'sub/b.dcm', trunc);
  const removed = await openFor(rig, 'c.dcm', trunc);
  const leaves = await openFor(rig, 'd.dcm', trunc);
  for (const handle of [renamed, below, removed, leaves]) await handle.write(0, 'abc');
  await rename(rig, 'a.part', 'a.dcm');
  await rename(rig, 'sub', 'moved', true);
  await remove(rig, 'c.dcm');
  await rename(rig, 'd.dcm', '/d.dcm');
  const during = { 'a.dcm': 'uploading', 'b.dcm': 'uploading' };
  t.match(await rig.states(), { ...during, 'c.dcm': 'withdrawn', 'd.dcm': 'withdrawn' });
  for (const handle of [renamed, below, removed, leaves]) await handle.end('close');
  await rig.settle();
  const after = { 'a.dcm': 'published', 'b.dcm': 'published' };
  t.match(await rig.states(), { ...after, 'c.dcm': 'withdrawn', 'd.dcm': 'withdrawn' });
  t.match(await rig.desk.list(), [{ upload: /gpg\/a\.dcm$/ }, { upload: /gpg\/moved\/b\.dcm$/ }]);
});

void t.test(
  'a crash before the row leaves an interrupted upload that can be resumed',
  async (t) => {
    const rig = await makeRig();
    t.teardown(() => rig.close());
    const handle = await openFor(rig, 'a.dcm', trunc);
    await handle.write(0, 'abc');
    await rig.restart();
    await rig.settle();
    t.strictSame(await rig.states(), { 'a.dcm': 'partial disconnected' });
    const resumed = await openFor(rig, 'a.dcm');
    await resumed.write(3, 'def');
    await resumed.end('close');
    await rig.settle();
    t.strictSame(await rig.states(), { 'a.dcm': 'published' });
    t.equal(await rig.read(place('a.dcm').path), 'abcdef');
  },
);

void t.test('a name that was used before keeps its row from the first byte on', async (t) => {
  const rig = await makeRig();
  t.teardown(() => rig.close());
  await upload(rig, 'a.dcm', 'abc');
  const again = await openFor(rig, 'a.dcm', trunc);
  t.strictSame(await rig.states(), { 'a.dcm': 'uploading' });
  await again.write(0, 'xyz');
  await again.end('close');
  await rig.settle();
  t.strictSame(await rig.states(), { 'a.dcm': 'published' });
});
