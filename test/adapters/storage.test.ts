// The file storage on a real disk, by both ways of naming files: through folder handles (/proc) and by looking at each part.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { calls } from '../../src/adapters/storage-calls.ts';
import { createStorage } from '../../src/adapters/storage.ts';
import { AppError } from '../../src/core/errors.ts';
import type { OpenHow, Storage } from '../../src/flow/ports/storage.ts';

const how = (some: Partial<OpenHow>): OpenHow => ({
  read: false,
  write: false,
  create: false,
  exclusive: false,
  truncate: false,
  freshInode: false,
  ...some,
});
const forWriting = how({ read: true, write: true, create: true });
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function put(storage: Storage, path: string, text: string): Promise<void> {
  const file = await storage.open(path, { ...forWriting, truncate: true });
  await file.write(0, [Buffer.from(text)]);
  await file.sync();
  await file.close();
}

async function codeOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'OK';
  } catch (error) {
    if (!(error instanceof AppError)) return `not an AppError: ${String(error)}`;
    return error.message.includes('/') || error.cause !== undefined ? 'host path' : error.code;
  }
}

for (const hasProc of [true, false]) {
  void t.test(hasProc ? 'by folder handles' : 'by looking at each part', async (t) => {
    const root = mkdtempSync(join(tmpdir(), 'clubhouse-storage-'));
    const home = join(root, 'home');
    const spool = join(root, 'spool');
    const storage = await createStorage({ home, spool }, hasProc);
    t.teardown(async () => {
      await storage.close();
      rmSync(root, { recursive: true });
    });
    const read = (path: string): string => readFileSync(join(home, path), 'utf8');
    await storage.ensureFolder('p/a');

    void t.test('files and folders are made private, read and listed', async (t) => {
      await put(storage, 'p/a/f', 'hello');
      t.equal(read('p/a/f'), 'hello');
      t.equal(statSync(join(home, 'p/a/f')).mode & 0o777, 0o600);
      t.equal(statSync(join(home, 'p/a')).mode & 0o777, 0o700);
      t.equal((await storage.facts('p/a/f'))?.sizeBytes, 5);
      t.equal(await storage.facts('p/a/none'), undefined);
      t.equal(await storage.facts('p/none/none'), undefined);
      t.equal(await storage.facts('p/a/f/none'), undefined);
      t.equal(await storage.sha256('p/a/f'), sha256('hello'));
      const names: string[] = [];
      for await (const some of storage.list('p/a')) names.push(...some.map(({ name }) => name));
      t.same(names, ['f']);
      await storage.setTimes('p/a/f', 1000, 2000);
      t.equal((await storage.facts('p/a/f'))?.modifiedMs, 2000);
    });

    void t.test('many chunks are written one behind the other', async (t) => {
      const file = await storage.open('p/a/chunks', forWriting);
      const chunks = Array.from({ length: 3000 }, (_, index) => Buffer.from(`${index},`));
      await file.write(3, chunks);
      const expected = `\0\0\0${chunks.join('')}`;
      t.equal(read('p/a/chunks'), expected);
      t.equal((await file.read(0, 1 << 20)).length, expected.length);
      t.equal((await file.read(expected.length, 10)).length, 0);
      await file.close();
    });

    void t.test('a rename overwrites only when it may', async (t) => {
      await put(storage, 'p/a/from', 'from');
      await put(storage, 'p/a/to', 'to');
      t.equal(await codeOf(() => storage.rename('p/a/from', 'p/a/to', false)), 'ALREADY_EXISTS');
      t.equal(read('p/a/to'), 'to');
      await storage.rename('p/a/from', 'p/a/to', true);
      t.equal(read('p/a/to'), 'from');
      const results = await Promise.all(
        ['x', 'y', 'z'].map(async (name) => {
          await put(storage, `p/a/${name}`, name);
          return codeOf(() => storage.rename(`p/a/${name}`, 'p/a/one', false));
        }),
      );
      t.same(
        results.sort(),
        ['ALREADY_EXISTS', 'ALREADY_EXISTS', 'OK'],
        'racing renames: one wins',
      );
    });

    void t.test('links, FIFOs and what lies behind them do not exist', async (t) => {
      const outside = join(root, 'outside');
      mkdirSync(outside, { recursive: true });
      writeFileSync(join(outside, 'secret'), 'secret');
      symlinkSync(outside, join(home, 'p/dir'));
      symlinkSync(join(outside, 'secret'), join(home, 'p/a/link'));
      symlinkSync(join(outside, 'new'), join(home, 'p/a/dangling'));
      execFileSync('mkfifo', [join(home, 'p/a/fifo')]);
      for (const path of ['p/dir/secret', 'p/a/link', 'p/a/fifo', 'p/a/dangling']) {
        t.equal(await storage.facts(path), undefined, path);
        const runs = [
          () => storage.open(path, how({ read: true })),
          () => storage.open(path, { ...forWriting, truncate: true }),
          () => storage.open(path, { ...forWriting, freshInode: true }),
          () => storage.removeFile(path),
          () => storage.truncate(path, 0),
          () => storage.setTimes(path, 0, 0),
          () => storage.rename(path, 'p/a/moved', true),
          () => storage.sha256(path),
        ];
        for (const run of runs) t.equal(await codeOf(run), 'NO_SUCH_FILE', path);
        const claim = { device: '1', inode: '1', sizeBytes: 6 };
        t.match(await codeOf(() => storage.claim(path, 'c', claim)), /SOURCE_CHANGED|NO_SUCH_FILE/);
      }
      t.match(await codeOf(() => put(storage, 'p/dir/new', 'x')), /NO_SUCH_FILE|NOT_A_DIRECTORY/);
      t.match(await codeOf(() => storage.ensureFolder('p/dir/x')), /NO_SUCH_FILE|NOT_A_DIRECTORY/);
      for (const path of ['../outside/secret', 'p/../../outside/secret', '', '/p', 'p//a']) {
        t.equal(await codeOf(() => storage.open(path, how({ read: true }))), 'NO_SUCH_FILE', path);
      }
      t.same(readdirSync(outside), ['secret']);
      t.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    });

    void t.test('a folder that is swapped for a link after use is noticed', async (t) => {
      await storage.ensureFolder('p/swap');
      await put(storage, 'p/swap/f', 'mine');
      renameSync(join(home, 'p/swap'), join(home, 'p/away'));
      const elsewhere = join(root, 'elsewhere');
      mkdirSync(elsewhere, { recursive: true });
      symlinkSync(elsewhere, join(home, 'p/swap'));
      t.match(await codeOf(() => put(storage, 'p/swap/g', 'x')), /NO_SUCH_FILE|NOT_A_DIRECTORY/);
      t.same(readdirSync(elsewhere), []);
      t.same(readdirSync(join(home, 'p/away')), ['f']);
    });

    void t.test('a claim holds its bytes when the first write goes to a fresh inode', async (t) => {
      await put(storage, 'p/a/claimed', 'first');
      const facts = await storage.facts('p/a/claimed');
      if (facts === undefined) return t.fail();
      const claimed = await storage.claim('p/a/claimed', 'job1', facts);
      t.equal(await storage.claim('p/a/claimed', 'job1', facts), claimed, 'again is the same');
      t.same(await storage.listSpool('claims'), ['job1']);
      const file = await storage.open('p/a/claimed', { ...forWriting, freshInode: true });
      t.equal((await file.read(0, 10)).toString(), 'first', 'the copy begins with the old bytes');
      await file.write(0, [Buffer.from('SECOND')]);
      await file.sync();
      await file.close();
      t.equal(readFileSync(claimed, 'utf8'), 'first');
      t.equal(read('p/a/claimed'), 'SECOND');
      t.same(await storage.listSpool('scratch'), []);
      t.equal(await codeOf(() => storage.claim('p/a/claimed', 'job2', facts)), 'SOURCE_CHANGED');
      t.same(await storage.listSpool('claims'), ['job1']);
      await storage.dropSpool('claims', 'job1');
      await storage.dropSpool('claims', 'job1');
      t.same(await storage.listSpool('claims'), []);
      return undefined;
    });

    void t.test('publishing is all or nothing and may be repeated', async (t) => {
      const output = (name: string, text: string): string => {
        const path = storage.spoolPath('outputs', name);
        writeFileSync(path, text);
        return path;
      };
      const path = 'p/club_house/From_A_To_B/gpg-a/1.gpg';
      const request = {
        output: output('o1', 'v1'),
        path,
        sha256: sha256('v1'),
        replaces: undefined,
        isInDoubt: false,
      };
      await storage.publish(request);
      t.equal(read(path), 'v1');
      t.notOk(existsSync(request.output));
      await storage.publish(request);
      t.equal(read(path), 'v1', 'repeated after a crash: adopted');
      const other = { ...request, output: output('o2', 'v2'), sha256: sha256('v2') };
      t.equal(await codeOf(() => storage.publish(other)), 'OUTBOX_CONFLICT');
      t.equal(read(path), 'v1');
      await storage.publish({ ...other, replaces: sha256('v1') });
      t.equal(read(path), 'v2');
      const lost = { ...other, output: output('o3', 'v'), path: `${path}x`, isInDoubt: true };
      t.equal(await codeOf(() => storage.publish(lost)), 'STORAGE_FAILED');
      t.notOk(existsSync(join(home, `${path}x`)), 'a crash took its last bytes');
      const gone = { ...other, path: `${path}x`, sha256: sha256('v3') };
      t.equal(await codeOf(() => storage.publish(gone)), 'STORAGE_FAILED');
      t.notOk(existsSync(join(home, `${path}x`)));
    });

    void t.test('a small file is written whole, over its predecessor', async (t) => {
      await storage.writeWhole('p/a/receipts/r.txt', 'one');
      await storage.writeWhole('p/a/receipts/r.txt', 'two');
      t.equal(read('p/a/receipts/r.txt'), 'two');
      t.same(readdirSync(join(home, 'p/a/receipts')), ['r.txt']);
    });

    void t.test('folders, exclusive creation and names of the spool', async (t) => {
      await storage.makeFolder('p/new');
      t.equal(await codeOf(() => storage.makeFolder('p/new')), 'ALREADY_EXISTS');
      await put(storage, 'p/new/f', 'x');
      const exclusive = { ...forWriting, exclusive: true };
      t.equal(await codeOf(() => storage.open('p/new/f', exclusive)), 'ALREADY_EXISTS');
      t.equal(await codeOf(() => storage.removeFolder('p/new')), 'NOT_EMPTY');
      t.equal(await codeOf(() => storage.removeFile('p/new')), 'IS_A_DIRECTORY');
      t.equal(await codeOf(() => storage.open('p/new', forWriting)), 'IS_A_DIRECTORY');
      await storage.removeFile('p/new/f');
      await storage.removeFolder('p/new');
      t.notOk(existsSync(join(home, 'p/new')));
      for (const name of ['../x', '', '.', '..', 'a/b']) {
        t.throws(() => storage.spoolPath('claims', name), { code: 'BAD_NAME' });
      }
      t.ok((await storage.space()).freeBlocks > 0);
    });

    void t.test('a disk that fills in the middle of a write says how much is there', async (t) => {
      const file = await storage.open('p/full', { ...forWriting, truncate: true });
      const { writev } = calls;
      let room = 5;
      calls.writev = (async (
        fd: number,
        buffers: readonly NodeJS.ArrayBufferView[],
        at: number,
      ) => {
        if (room === 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        const piece = Buffer.from(buffers[0] as Uint8Array).subarray(0, room);
        room -= piece.length;
        return writev(fd, [piece], at);
      }) as typeof writev;
      const full = file.write(0, [Buffer.from('abc'), Buffer.from('defg')]);
      await t.rejects(full, { code: 'DISK_FULL', at: 5 });
      calls.writev = writev;
      await file.close();
      t.equal((await storage.facts('p/full'))?.sizeBytes, 5);
    });

    void t.test('a second name that is not ours does not open, a claim is ours', async (t) => {
      await put(storage, 'p/a/h1', 'x');
      linkSync(join(home, 'p/a/h1'), join(root, 'h2'));
      const runs = [
        () => storage.open('p/a/h1', how({ read: true })),
        () => storage.open('p/a/h1', { ...forWriting, truncate: true }),
        () => storage.open('p/a/h1', { ...forWriting, freshInode: true }),
        () => storage.truncate('p/a/h1', 0),
        () => storage.setTimes('p/a/h1', 0, 0),
      ];
      for (const run of runs) t.equal(await codeOf(run), 'NO_SUCH_FILE');
      t.equal(readFileSync(join(root, 'h2'), 'utf8'), 'x');
      rmSync(join(root, 'h2'));
      const { device, inode, sizeBytes } = (await storage.facts('p/a/h1')) ?? {};
      const expect = { device: device ?? '', inode: inode ?? '', sizeBytes: sizeBytes ?? 0 };
      const opens = async (): Promise<void> => {
        const file = await storage.open('p/a/h1', how({ read: true }));
        t.equal(Buffer.from(await file.read(0, 9)).toString(), 'x');
        await file.close();
      };
      const many = Promise.all(Array.from({ length: 20 }, opens));
      await storage.claim('p/a/h1', 'h1', expect);
      await Promise.all(Array.from({ length: 20 }, opens));
      await storage.dropSpool('claims', 'h1');
      await many;
      await opens();
    });
  });
}
