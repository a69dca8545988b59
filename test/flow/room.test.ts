// Quotas and the free-space floor over a real storage: what counts is what lies on the disk.

import { mkdir, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createStorage } from '../../src/adapters/storage.ts';
import { createRoom } from '../../src/flow/room.ts';
import type { Principal } from '../../src/flow/ports/accounts.ts';
import type { WritePlace } from '../../src/flow/ports/intake.ts';
import type { OpenFile } from '../../src/flow/ports/storage.ts';
import { fakeLog } from '../support/sftp-server.ts';

const MB = 1 << 20;
const place = (path: string): WritePlace => ({
  path,
  projectId: 'p',
  area: path.includes('club_house') ? 'direct' : 'intake',
  partner: undefined,
});
const member = (quotaBytes: number | null, projectQuota: number | null = null): Principal => ({
  kind: 'member',
  id: 'm-alice',
  name: 'alice',
  quotaBytes,
  projects: [{ id: 'p', name: 'brain', partners: ['UMHS'], quotaBytes: projectQuota }],
});

async function rig(t: Test, keepFreeBytes = 0, free?: { bytes?: number; files?: number }) {
  const root = await mkdtemp(join(tmpdir(), 'clubhouse-room-'));
  const storage = await createStorage({ home: join(root, 'home'), spool: join(root, 'spool') });
  const at = (path: string): string => join(root, 'home', path);
  await mkdir(at('ji_brain/alice/gpg'), { recursive: true });
  await mkdir(at('ji_brain/club_house/x'), { recursive: true });
  t.teardown(async () => {
    await storage.close();
    await rm(root, { recursive: true });
  });
  const time = { now: 1_000_000 };
  const log = fakeLog();
  const clock = { now: () => time.now, sleep: async () => undefined };
  const space = async () => ({
    blockBytes: 1,
    totalBlocks: 1000 * MB,
    freeBlocks: (free?.bytes ?? 900 * MB) - (await sizeOf(at('ji_brain/alice/gpg/a'))),
    totalFiles: free?.files === undefined ? 0 : 1_000_000,
    freeFiles: free?.files ?? 0,
  });
  const room = createRoom({
    storage: { list: (path) => storage.list(path), space },
    clock,
    log,
    keepFreeBytes,
  });
  const open = async (who: Principal, path: string, isNew = true): Promise<OpenFile> => {
    await room.enter(who, place(path), 0);
    const how = { read: true, write: true, create: isNew, exclusive: false, truncate: isNew };
    const file = await storage.open(path, { ...how, freshInode: false });
    return room.watch(who, place(path), file, await file.facts());
  };
  return { room, open, at, time, log };
}

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'OK',
    (error: { code?: string }) => error.code ?? 'thrown',
  );
const bytes = (count: number): Buffer => Buffer.alloc(count, 7);

/** Writes pieces one behind the other until one is refused; gives how many bytes were taken, and why no more. */
async function fill(file: OpenFile, most: number, from = 0): Promise<[number, string]> {
  const piece = 256 * 1024;
  for (let at = from; at < most; at += piece) {
    const answer = await code(file.write(at, [bytes(piece)]));
    if (answer !== 'OK') return [at, answer];
  }
  return [most, 'OK'];
}

void t.test('a member is stopped at the quota, and what is there stays', async (t) => {
  const { open, at, room, time } = await rig(t);
  const alice = member(4 * MB);
  await writeFile(at('ji_brain/alice/gpg/old'), bytes(MB));
  const file = await open(alice, 'ji_brain/alice/gpg/new');
  const [taken, why] = await fill(file, 10 * MB);
  t.equal(why, 'QUOTA_REACHED');
  t.equal(taken, 3 * MB, 'what was there counts');
  t.equal((await stat(at('ji_brain/alice/gpg/new'))).size, 3 * MB);
  t.equal(
    await code(file.write(0, [bytes(MB)])),
    'OK',
    'bytes that are there may be written again',
  );
  await file.close();
  const refused = await room
    .enter(alice, place('ji_brain/alice/gpg/more'), 0)
    .catch((e: unknown) => e);
  t.match(refused, { code: 'QUOTA_REACHED', detail: 'quota of 4 MB reached' });
  t.equal(
    await code(open(alice, 'ji_brain/club_house/x/direct')),
    'OK',
    'shared folders are the project’s',
  );
  await rm(at('ji_brain/alice/gpg/old'));
  time.now += 3_000;
  const again = await open(alice, 'ji_brain/alice/gpg/new', false);
  t.same(await fill(again, 4 * MB, 3 * MB), [4 * MB, 'OK'], 'room that was made is used');
  t.equal((await fill(again, 5 * MB, 4 * MB))[1], 'QUOTA_REACHED');
  await again.close();
});

void t.test('overwriting needs no room for what it replaces', async (t) => {
  const { open } = await rig(t);
  const alice = member(4 * MB);
  const first = await open(alice, 'ji_brain/alice/gpg/a');
  t.same(await fill(first, 3 * MB), [3 * MB, 'OK']);
  await first.close();
  const second = await open(alice, 'ji_brain/alice/gpg/a');
  t.same(await fill(second, 4 * MB), [4 * MB, 'OK']);
  await second.close();
});

void t.test('holes are not stored, and filling them is counted', async (t) => {
  const { open, at } = await rig(t);
  const alice = member(4 * MB);
  await writeFile(at('ji_brain/alice/gpg/sparse'), '');
  await truncate(at('ji_brain/alice/gpg/sparse'), 1000 * MB);
  const file = await open(alice, 'ji_brain/alice/gpg/sparse', false);
  const [taken, why] = await fill(file, 10 * MB);
  t.equal(why, 'QUOTA_REACHED');
  t.ok(taken > 3 * MB && taken <= 4 * MB, `${taken}`);
  await file.close();
});

void t.test('several files at once do not get more than one', async (t) => {
  const { open, at } = await rig(t);
  const alice = member(8 * MB);
  const names = ['a', 'b', 'c', 'd'];
  const files = await Promise.all(names.map((name) => open(alice, `ji_brain/alice/gpg/${name}`)));
  const results = await Promise.all(files.map((file) => fill(file, 6 * MB)));
  t.ok(results.some(([, why]) => why === 'QUOTA_REACHED'));
  for (const file of files) await file.close();
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(at(`ji_brain/alice/gpg/${name}`))).blocks),
  );
  const stored = sizes.reduce((sum, blocks) => sum + blocks * 512, 0);
  t.ok(stored <= 8 * MB && stored > 6 * MB, `${stored}`);
});

void t.test('a project’s quota counts everything in it', async (t) => {
  const { open, at, room } = await rig(t);
  const alice = member(null, 3 * MB);
  await writeFile(at('ji_brain/club_house/x/results'), bytes(2 * MB));
  const file = await open(alice, 'ji_brain/alice/gpg/a');
  t.same(await fill(file, 5 * MB), [MB, 'QUOTA_REACHED']);
  await file.close();
  const declared = room.enter(member(null, 4 * MB), place('ji_brain/alice/gpg/b'), 2 * MB);
  t.equal(await code(declared), 'QUOTA_REACHED', 'a declared size is refused at once');
});

void t.test('uploads leave the last free space alone, and the log hears it once', async (t) => {
  const free = { bytes: 60 * MB };
  const { open, time, log, room } = await rig(t, 1000 * MB, free);
  const file = await open(member(null), 'ji_brain/alice/gpg/a');
  const [taken, why] = await fill(file, 20 * MB);
  t.same([taken, why], [10 * MB, 'LOW_SPACE'], 'a twentieth of the disk stays');
  for (let count = 0; count < 5; count += 1) {
    time.now += 1000;
    t.equal(await code(file.write(0, [bytes(20 * MB)])), 'LOW_SPACE');
  }
  free.bytes = 70 * MB;
  time.now += 1000;
  t.equal(await code(file.write(taken, [bytes(MB)])), 'OK', 'and goes on when there is more');
  t.equal(
    await code(room.enter(member(null), place('ji_brain/alice/gpg/b'), 50 * MB)),
    'LOW_SPACE',
  );
  t.equal(log.lines.length, 1, 'one line a minute');
  await file.close();
});

void t.test('folders and empty files take room as well', async (t) => {
  const free = { bytes: 102 * MB, files: 900_000 };
  const { room, open, at, time } = await rig(t, 100 * MB, free);
  const make = (): Promise<string> => code(room.enterFolder());
  t.equal(await make(), 'OK');
  free.bytes = 40 * MB;
  time.now += 1000;
  t.equal(await make(), 'LOW_SPACE');
  free.bytes = 500 * MB;
  free.files = 19_999;
  time.now += 1000;
  t.equal(await make(), 'LOW_SPACE', 'few files may still be made');
  t.equal(await code(open(member(null), 'ji_brain/alice/gpg/b')), 'LOW_SPACE');
  await t.rejects(stat(at('ji_brain/alice/gpg/b')));
  free.files = 20_001;
  time.now += 1000;
  t.equal(await make(), 'OK');
});
