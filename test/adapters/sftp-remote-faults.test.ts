// A partner in trouble, as the sender's connection sees it: a full disk, and a server that falls silent.

import t, { type Test } from 'tap';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { SftpChannel } from '../../src/adapters/sftp-remote/channel.ts';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { packet, packetTypes, string, uint32 } from '../../src/adapters/sftp-remote/wire.ts';
import { sourceOf } from '../support/fake-remote.ts';
import { missing } from '../support/programs.ts';
import { startSshd } from '../support/sshd.ts';

const run = promisify(execFile);
const never = new AbortController().signal;

void t.test(
  'a full disk at a plain OpenSSH is told apart',
  { skip: missing('sshd') },
  async (t) => {
    const server = await startSshd();
    t.teardown(() => server.close());
    const disk = join(server.folder, 'small');
    await mkdir(disk);
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', disk]).then(
      () => true,
      () => false,
    );
    if (!mounted)
      return t.pass('no disk of its own can be mounted here; replicate.test.ts has a fake');
    t.teardown(() => run('umount', [disk]));
    const remotes = createRemotes({ keyPath: server.keyPath, timeoutMs: 5_000 });
    const remote = await remotes.connect(server.address, never);
    t.teardown(() => remote.close());
    await writeFile(join(disk, 'filler'), Buffer.alloc(1_500_000));
    const large = randomBytes(1_200_000);
    const how = { offset: 0, sizeBytes: large.length, modifiedMs: 0 };
    const at = join(disk, 'large');
    const put = () => remote.put(sourceOf(large), at, how, never);
    await t.rejects(put(), { code: 'REMOTE_FULL' }, 'a large file');
    const small = { bytes: randomBytes(400_000), modifiedMs: 0 };
    await writeFile(join(disk, 'more'), Buffer.alloc(400_000)).catch(() => undefined);
    await t.rejects(remote.putNew(small, join(disk, 'little'), 'hash'), { code: 'REMOTE_FULL' });
    // Somebody makes room; the connection is the same.
    for (const name of ['filler', 'more', 'little']) await rm(join(disk, name), { force: true });
    t.equal(await put(), large.length);
    const sha256 = createHash('sha256')
      .update(await readFile(at))
      .digest('hex');
    t.equal((await remote.sha256(at, large.length, never)).sha256, sha256);
    t.ok(large.equals(await readFile(at)));
    return undefined;
  },
);

/** A channel to a server that answers INIT and then what `answer` says. */
async function channelTo(
  answer: (send: (frame: Buffer) => void) => void,
): Promise<{ readonly channel: SftpChannel; readonly stream: PassThrough }> {
  const stream = new PassThrough();
  // What is written is lost; what the server says is pushed.
  stream._transform = (_chunk, _encoding, done) => done();
  const channel = new SftpChannel(stream);
  const started = channel.start();
  stream.push(packet(packetTypes.VERSION, [uint32(3)]));
  await started;
  answer((frame) => stream.push(frame));
  return { channel, stream };
}

/** The channel's own watch keeps no process alive. */
function stayAlive(t: Test): void {
  const timer = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(timer));
}

void t.test('a server that owes an answer and is silent ends the connection', async (t) => {
  stayAlive(t);
  const { channel } = await channelTo(() => undefined);
  const asked = channel.request('STAT', [string('/x')], 'ATTRS', 20);
  const also = channel.request('REMOVE', [string('/x')], 'STATUS');
  await t.rejects(asked, { code: 'REMOTE_UNREACHABLE', detail: 'no reply to STAT' });
  await t.rejects(also, { code: 'REMOTE_UNREACHABLE' }, 'nobody waits any longer');
  await t.rejects(channel.request('STAT', [string('/x')], 'ATTRS'), { code: 'REMOTE_UNREACHABLE' });
});

void t.test('a slow one that says something in between is waited for', async (t) => {
  stayAlive(t);
  const { channel, stream } = await channelTo((send) => {
    // Half an answer now and then is a sign of life.
    const whole = packet(packetTypes.STATUS, [uint32(1), uint32(0)]);
    const pieces = Array.from(whole.subarray(0, -1), (byte) => Buffer.of(byte));
    const speaking = setInterval(() => {
      const next = pieces.shift();
      if (next !== undefined) send(next);
      else {
        clearInterval(speaking);
        send(whole.subarray(-1));
      }
    }, 200);
  });
  await t.resolves(channel.request('REMOVE', [string('/x')], 'STATUS', 1_500));
  stream.push(packet(packetTypes.STATUS, [uint32(99), uint32(0)]));
  const after = channel.request('REMOVE', [string('/x')], 'STATUS');
  await t.rejects(after, { code: 'REMOTE_UNREACHABLE' }, 'an answer that nobody asked for');
});
