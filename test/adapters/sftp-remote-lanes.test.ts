// Several channels over one connection to a plain OpenSSH: every byte at its place, however many the server opens; and what a
// cut line leaves has no hole where the next try takes it for a prefix.

import { createHash, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { SftpChannel } from '../../src/adapters/sftp-remote/channel.ts';
import { asLanes, lanesFor } from '../../src/adapters/sftp-remote/lanes.ts';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { createPieces, raggedBytes, writeAll } from '../../src/adapters/sftp-remote/transfer.ts';
import { sourceOf } from '../support/fake-remote.ts';
import { missing } from '../support/programs.ts';
import { startSshd } from '../support/sshd.ts';

t.setTimeout(120_000);
const never = new AbortController().signal;

void t.test('a near partner gets one channel, a far one as many as its line needs', async (t) => {
  t.same([0, 0.3, 5, 10, 20, 40, 1000].map(lanesFor), [1, 1, 1, 2, 4, 8, 8]);
});

void t.test('a file takes the channel that carries least', async (t) => {
  const [a, b] = [{}, {}] as [SftpChannel, SftpChannel];
  const lanes = asLanes([a, b]);
  const taken: SftpChannel[] = [];
  let go = (): void => undefined;
  const held = new Promise<void>((resolve) => (go = resolve));
  const use = (bytes: number): Promise<void> =>
    lanes.use(bytes, (channel) => {
      taken.push(channel);
      return held;
    });
  const all = [use(10), use(3), use(3), use(3), use(3), use(1)];
  t.same(
    taken.map((channel) => (channel === a ? 'a' : 'b')),
    ['a', 'b', 'b', 'b', 'b', 'a'],
  );
  go();
  await Promise.all(all);
  await t.rejects(lanes.use(5, () => Promise.reject(new Error('no'))));
  await lanes.use(1, async (channel) => t.equal(channel, a, 'what has ended weighs nothing'));
});

for (const [sessions, isSeveral] of [
  [10, true],
  [3, true],
  [1, false],
] as const) {
  void t.test(
    `every byte is at its place at a server that opens ${sessions} sessions`,
    { skip: missing('sshd') },
    async (t) => {
      const server = await startSshd(['ed25519'], [`MaxSessions ${sessions}`]);
      t.teardown(() => server.close());
      const remotes = createRemotes({ keyPath: server.keyPath, lanes: 8 });
      const remote = await remotes.connect(server.address, never);
      t.teardown(() => remote.close());
      t.equal(remote.raggedBytes > 0, isSeveral);
      const bytes = randomBytes(40_000_001);
      const how = { offset: 0, sizeBytes: bytes.length, modifiedMs: 1_600_000_000_000 };
      const path = join(server.folder, 'large');
      t.equal(await remote.put(sourceOf(bytes), path, how, never), bytes.length);
      t.ok(bytes.equals(await readFile(path)));
      t.equal((await stat(path)).mtimeMs, how.modifiedMs);
      const small = Array.from({ length: 40 }, () => randomBytes(70_000));
      const proofs = await Promise.all(
        small.map((one, n) =>
          remote.putNew({ bytes: one, modifiedMs: 0 }, join(server.folder, `s${n}`), 'hash'),
        ),
      );
      for (const [n, one] of small.entries()) {
        t.equal(proofs[n]?.digest?.sha256, createHash('sha256').update(one).digest('hex'));
        t.ok(one.equals(await readFile(join(server.folder, `s${n}`))));
      }
    },
  );
}

void t.test(
  'a cut line leaves a true prefix behind which the rest is sent',
  { skip: missing('sshd') },
  async (t) => {
    const server = await startSshd(['ed25519']);
    t.teardown(() => server.close());
    const remotes = createRemotes({ keyPath: server.keyPath, lanes: 8 });
    const bytes = randomBytes(80_000_000);
    const how = { sizeBytes: bytes.length, modifiedMs: 0 };
    const path = join(server.folder, 'cut');
    for (const afterBytes of [41_234_567, 63_000_001]) {
      server.cutAfter(afterBytes);
      const broken = await remotes.connect(server.address, never);
      await t.rejects(broken.put(sourceOf(bytes), path, { ...how, offset: 0 }, never), {
        code: 'REMOTE_UNREACHABLE',
      });
      await broken.close();
      // What the server has in hand still comes to the disk.
      await new Promise((resolve) => setTimeout(resolve, 300));
      const left = await readFile(path);
      const offset = left.length - broken.raggedBytes;
      t.ok(offset > 0, 'there is something to go on from');
      t.ok(left.subarray(0, offset).equals(bytes.subarray(0, offset)), 'without a hole');
      const remote = await remotes.connect(server.address, never);
      t.equal(await remote.put(sourceOf(bytes), path, { ...how, offset }, never), bytes.length);
      await remote.close();
      t.ok(bytes.equals(await readFile(path)));
    }
  },
);

void t.test(
  'a channel that lags holds the others up before the hole is too far behind',
  async (t) => {
    let lowest = Infinity;
    let furthest = 0;
    let release = (): void => undefined;
    const lagging = new Promise<void>((resolve) => (release = resolve));
    const channel = (isLagging: boolean): SftpChannel =>
      ({
        write: async (_handle: Buffer, offset: number, memory: Buffer, taken: () => void) => {
          furthest = Math.max(furthest, offset + memory.length);
          taken();
          if (!isLagging) return;
          lowest = Math.min(lowest, offset);
          await lagging;
        },
      }) as unknown as SftpChannel;
    const handle = Buffer.from('h');
    const pieces = createPieces(255 * 1024, 16 << 20);
    const sizeBytes = 120_000_000;
    const source = {
      readInto: async (targets: readonly Uint8Array[]) =>
        targets.reduce((sum, target) => sum + target.length, 0),
    };
    const lanes = [false, false, true, false].map((isLagging) => ({
      channel: channel(isLagging),
      handle,
    }));
    const [first, ...more] = lanes as [(typeof lanes)[0], ...typeof lanes];
    const writing = writeAll([first, ...more], source, { offset: 0, sizeBytes, pieces }, never);
    await new Promise((resolve) => setTimeout(resolve, 200));
    t.ok(furthest > 4 << 20, 'the others go on for a while');
    t.ok(furthest - lowest <= raggedBytes + 4096, 'and then wait');
    release();
    await writing;
    t.ok(furthest >= sizeBytes);
  },
);

void t.test(
  'a disk that fails while the partner is slow is heard by who sends the file alone',
  async (t) => {
    let release = (): void => undefined;
    const slow = new Promise<void>((resolve) => (release = resolve));
    const write = async (_handle: Buffer, _offset: number, _memory: Buffer, taken: () => void) => {
      taken();
      await slow;
    };
    const pieces = createPieces(255 * 1024, 4 << 20);
    let readings = 0;
    const source = {
      readInto: async (targets: readonly Uint8Array[]) => {
        readings += 1;
        // By then four megabytes have no answer.
        if (readings === 6) throw new Error('no disk');
        return targets.reduce((sum, target) => sum + target.length, 0);
      },
    };
    const unheard: unknown[] = [];
    const note = (error: unknown): void => void unheard.push(error);
    process.on('unhandledRejection', note);
    t.teardown(() => process.off('unhandledRejection', note));
    const lane = { channel: { write } as unknown as SftpChannel, handle: Buffer.from('h') };
    const how = { offset: 0, sizeBytes: 100_000_000, pieces };
    const writing = writeAll([lane], source, how, never);
    await new Promise((resolve) => setTimeout(resolve, 100));
    t.equal(readings, 6);
    release();
    await t.rejects(writing, { message: 'no disk' });
    t.same(unheard, []);
  },
);
