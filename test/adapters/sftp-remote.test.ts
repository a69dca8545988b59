// The partner's side as it really is: a plain OpenSSH server, started for this test.

import t, { type Test } from 'tap';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { FrameReader, packet, uint32 } from '../../src/adapters/sftp-remote/wire.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Remote, RemoteSource } from '../../src/flow/ports/replication.ts';
import { sourceOf } from '../support/fake-remote.ts';
import { missing } from '../support/programs.ts';
import { startServer } from '../support/sftp-server.ts';
import { freePort, makeKey, startSshd } from '../support/sshd.ts';

const never = new AbortController().signal;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const codeOf = (work: Promise<unknown>): Promise<{ code: string; detail: string }> =>
  work.then(
    () => ({ code: 'none', detail: '' }),
    (error: unknown) =>
      error instanceof AppError
        ? { code: error.code, detail: error.detail ?? '' }
        : { code: String(error), detail: '' },
  );

void t.test('frames are the same whole, split at random and byte by byte', async (t) => {
  const bodies = [Buffer.from('a'), randomBytes(300), Buffer.alloc(0), randomBytes(70_000)];
  const all = Buffer.concat(bodies.map((body, index) => packet(100 + index, [uint32(7), body])));
  const read = (pieces: readonly Buffer[]): readonly string[] => {
    const reader = new FrameReader();
    return pieces
      .flatMap((piece) => reader.push(piece))
      .map(({ type, body, rest }) => `${type} ${sha256(Buffer.concat([body, ...rest]))}`);
  };
  const whole = read([all]);
  t.equal(whole.length, bodies.length);
  t.same(read(Array.from(all.subarray(0, all.length), (byte) => Buffer.of(byte))), whole);
  fc.assert(
    fc.property(fc.array(fc.nat(all.length), { maxLength: 20 }), (cuts) => {
      const at = [0, ...cuts.sort((a, b) => a - b), all.length];
      const pieces = at.slice(1).map((end, index) => all.subarray(at[index] ?? 0, end));
      return JSON.stringify(read(pieces)) === JSON.stringify(whole);
    }),
  );
  for (const length of [0, 0xffffffff]) {
    t.throws(() => new FrameReader().push(uint32(length)), { code: 'REMOTE_REFUSED' });
  }
});

interface Place {
  readonly remote: Remote;
  /** A folder at the partner, and the same one on the disk. */
  readonly root: string;
  readonly disk: string;
  readonly by: 'check-file' | 'read-back';
}

/** What every partner must do, whatever its server. */
async function remoteContract(t: Test, { remote, root, disk, by }: Place): Promise<void> {
  const at = (name: string): string => `${root}/${name}`;
  const on = (name: string): string => join(disk, name);

  await t.test('takes a file of many requests, with its time, byte for byte', async (t) => {
    const bytes = randomBytes(9_000_001);
    const how = { offset: 0, sizeBytes: bytes.length, modifiedMs: 1_600_000_000_000 };
    await remote.ensureFolder(at('a/b/c'));
    await remote.ensureFolder(at('a/b/c'));
    t.equal(await remote.put(sourceOf(bytes), at('a/b/c/x.part'), how, never), bytes.length);
    const whole = { sha256: sha256(bytes), by };
    t.same(await remote.sha256(at('a/b/c/x.part'), bytes.length, never), whole);
    const prefix = await remote.sha256(at('a/b/c/x.part'), 1000, never);
    t.equal(prefix.sha256, sha256(bytes.subarray(0, 1000)));
    await writeFile(on('a/b/c/x'), 'an older one');
    await remote.replace(at('a/b/c/x.part'), at('a/b/c/x'));
    t.ok(bytes.equals(await readFile(on('a/b/c/x'))));
    t.equal((await stat(on('a/b/c/x'))).mtimeMs, 1_600_000_000_000);
    t.match(await remote.facts(at('a/b/c/x')), { kind: 'file', sizeBytes: bytes.length });
    t.match(await remote.facts(at('a/b')), { kind: 'folder' });
    t.equal(await remote.facts(at('a/b/c/x.part')), undefined);
  });

  await t.test('several files at once do not mix', async (t) => {
    const all = Array.from({ length: 8 }, () => randomBytes(700_001));
    const put = (bytes: Buffer, index: number): Promise<number> => {
      const how = { offset: 0, sizeBytes: bytes.length, modifiedMs: 0 };
      return remote.put(sourceOf(bytes), at(`many-${index}`), how, never);
    };
    await Promise.all(all.map(put));
    for (const [index, bytes] of all.entries()) {
      t.ok(bytes.equals(await readFile(on(`many-${index}`))));
    }
  });

  await t.test('goes on behind a prefix, and empties a file that starts anew', async (t) => {
    const bytes = randomBytes(600_000);
    await writeFile(on('prefix'), bytes.subarray(0, 250_000));
    const how = { sizeBytes: bytes.length, modifiedMs: 0 };
    await remote.put(sourceOf(bytes), at('prefix'), { ...how, offset: 250_000 }, never);
    t.ok(bytes.equals(await readFile(on('prefix'))));
    const short = { offset: 0, sizeBytes: 5, modifiedMs: 0 };
    await remote.put(sourceOf(bytes), at('prefix'), short, never);
    t.equal((await readFile(on('prefix'))).length, 5);
  });

  await t.test('a source that ends too early is told; removing twice is fine', async (t) => {
    const how = { offset: 0, sizeBytes: 100, modifiedMs: 0 };
    const put = remote.put(sourceOf(Buffer.alloc(10)), at('short'), how, never);
    t.equal((await codeOf(put)).code, 'SOURCE_CHANGED');
    await remote.remove(at('short'));
    await remote.remove(at('short'));
    t.equal(await remote.facts(at('short')), undefined);
  });

  await t.test('what it refuses is REMOTE_REFUSED, and the connection goes on', async (t) => {
    await writeFile(on('file'), '');
    t.equal((await codeOf(remote.ensureFolder(at('file/below')))).code, 'REMOTE_REFUSED');
    const how = { offset: 0, sizeBytes: 1, modifiedMs: 0 };
    const put = remote.put(sourceOf(Buffer.of(1)), at('nowhere/x'), how, never);
    t.match(await codeOf(put), { code: 'REMOTE_REFUSED', detail: /^status \d to OPEN$/ });
    t.match(await remote.facts(at('file')), { kind: 'file' });
  });
}

void t.test('another Clubhouse as the partner', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const below = 'ji_brain/club_house/From_UMHS_To_PUHSC';
  const disk = join(server.home, below);
  await mkdir(disk, { recursive: true });
  const remotes = createRemotes({ keyPath: await server.keyFile('UMHS'), timeoutMs: 5_000 });
  const address = { host: '127.0.0.1', port: server.port, user: 'UMHS' };
  const { detail } = await codeOf(remotes.connect({ ...address, hostKey: 'SHA256:x' }, never));
  const hostKey = detail.slice(detail.lastIndexOf('SHA256:'));
  const remote = await remotes.connect({ ...address, hostKey }, never);
  t.teardown(() => remote.close());
  t.ok(remote.hashes, 'it hashes its files itself');
  await remoteContract(t, { remote, root: `/home/${below}`, disk, by: 'check-file' });

  await t.test('lets the replicator nowhere else', async (t) => {
    const how = { offset: 0, sizeBytes: 1, modifiedMs: 0 };
    for (const folder of [
      'ji_brain/alice/gpg',
      'ji_brain/club_house/From_PUHSC_To_UMHS',
      'ji_other',
    ]) {
      await mkdir(join(server.home, folder), { recursive: true });
      t.equal(await remote.facts(`/home/${folder}`), undefined);
      const put = remote.put(sourceOf(Buffer.of(1)), `/home/${folder}/x`, how, never);
      t.equal((await codeOf(put)).code, 'REMOTE_REFUSED');
      t.notOk(existsSync(join(server.home, folder, 'x')));
    }
  });
});

void t.test('a plain OpenSSH partner', { skip: missing('sshd') }, async (t) => {
  const server = await startSshd(['ed25519', 'rsa']);
  t.teardown(() => server.close());
  const remotes = createRemotes({ keyPath: server.keyPath, timeoutMs: 5_000 });
  const remote = await remotes.connect(server.address, never);
  t.teardown(() => remote.close());
  const at = (name: string): string => join(server.folder, name);
  t.equal(remote.hostKey, server.address.hostKey);
  t.equal(remote.hashes, false, 'it cannot hash');
  await remoteContract(t, { remote, root: server.folder, disk: server.folder, by: 'read-back' });

  await t.test('a pinned key of another type than the first one shown is found', async (t) => {
    const rsa = server.hostKeys[1]?.fingerprint ?? '';
    const other = await remotes.connect({ ...server.address, hostKey: rsa }, never);
    t.equal(other.hostKey, rsa);
    await other.close();
  });

  await t.test('another host key stops before the login and shows both', async (t) => {
    const hostKey = `SHA256:${'A'.repeat(43)}`;
    const { code, detail } = await codeOf(remotes.connect({ ...server.address, hostKey }, never));
    t.equal(code, 'REMOTE_HOST_KEY');
    t.match(detail, hostKey);
    t.match(detail, server.address.hostKey);
  });

  await t.test('a key that the partner did not accept is REMOTE_AUTH', async (t) => {
    const stranger = await makeKey(join(server.folder, 'stranger'));
    const wrong = createRemotes({ keyPath: stranger.path, timeoutMs: 5_000 });
    t.equal((await codeOf(wrong.connect(server.address, never))).code, 'REMOTE_AUTH');
  });

  const hasFull = existsSync('/dev/full') ? false : 'no /dev/full here';
  await t.test(
    'a write that fails while there is room is a refusal',
    { skip: hasFull },
    async (t) => {
      const how = { offset: 0, sizeBytes: 10, modifiedMs: 0 };
      const put = remote.put(sourceOf(Buffer.alloc(10)), '/dev/full', how, never);
      t.match(await codeOf(put), { code: 'REMOTE_REFUSED', detail: /to WRITE/ });
    },
  );

  await t.test('when the line is cut, everything in flight ends', async (t) => {
    const cut = await remotes.connect(server.address, never);
    const slow: RemoteSource = {
      readInto: async (targets, offset) => {
        if (offset > 1_000_000) await server.stop();
        return targets.reduce((sum, target) => sum + target.length, 0);
      },
    };
    const how = { offset: 0, sizeBytes: 50_000_000, modifiedMs: 0 };
    t.equal((await codeOf(cut.put(slow, at('cut'), how, never))).code, 'REMOTE_UNREACHABLE');
    t.equal((await codeOf(cut.facts(at('cut')))).code, 'REMOTE_UNREACHABLE');
    t.equal((await codeOf(remotes.connect(server.address, never))).code, 'REMOTE_UNREACHABLE');
    await cut.close();
    await server.start();
    const again: Remote = await remotes.connect(server.address, never);
    await again.close();
  });

  await t.test('an abort ends the connection', async (t) => {
    const stop = new AbortController();
    const aborted = await remotes.connect(server.address, stop.signal);
    stop.abort();
    t.equal((await codeOf(aborted.facts(at('file')))).code, 'REMOTE_UNREACHABLE');
    t.equal(
      (await codeOf(remotes.connect(server.address, stop.signal))).code,
      'REMOTE_UNREACHABLE',
    );
  });
});

void t.test('a partner that is down, or that only listens, is REMOTE_UNREACHABLE', async (t) => {
  const folder = t.testdir();
  const key = await makeKey(join(folder, 'key'));
  const remotes = createRemotes({ keyPath: key.path, timeoutMs: 300 });
  const sockets: Socket[] = [];
  const mute = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  const address = mute.address();
  const mutePort = typeof address === 'object' && address !== null ? address.port : 0;
  for (const port of [await freePort(), mutePort]) {
    const at = { host: '127.0.0.1', port, user: 'PUHSC', hostKey: key.fingerprint };
    t.equal((await codeOf(remotes.connect(at, never))).code, 'REMOTE_UNREACHABLE');
  }
});
