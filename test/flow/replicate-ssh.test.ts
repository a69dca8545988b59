// Replication with all real parts: database, files, our SFTP client, and an OpenSSH server whose line is cut.

import t from 'tap';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { createReplicator } from '../../src/flow/replicate.ts';
import { below } from '../support/below.ts';
import { missing } from '../support/programs.ts';
import { SendingSite, outgoing } from '../support/replication.ts';
import { startSshd } from '../support/sshd.ts';

const never = new AbortController().signal;
const sealed = 'gpg-alice/JI-1/big.dcm.gpg';

void t.test('a cut line costs nothing but time', { skip: missing('sshd') }, async (t) => {
  const server = await startSshd();
  t.teardown(() => server.close());
  const starts: number[] = [];
  let cutAt: number | undefined = 6_000_000;
  const remotes = below(
    server.folder,
    createRemotes({ keyPath: server.keyPath, timeoutMs: 5_000 }),
    async (offset) => {
      starts.push(offset);
      if (cutAt !== undefined && offset >= cutAt) {
        cutAt = undefined;
        await server.stop();
      }
    },
  );
  const site = await SendingSite.make(t.testdir(), remotes);
  t.teardown(() => site.close());
  const { partners, deliveries } = site.parts;
  await partners.add({ code: 'UMHS', address: server.address, verify: undefined }, 'cli');
  const replicator = createReplicator(site.parts);
  const arrived = join(server.folder, outgoing, sealed);
  const bytes = randomBytes(9_000_000);
  const job = await site.publish(sealed, bytes);

  const cut = await replicator.pass('UMHS', never);
  t.match(cut, { delivered: 0, failed: 0, error: { code: 'REMOTE_UNREACHABLE' } });
  t.notOk(existsSync(arrived), 'nothing half done has the final name');
  t.match(await replicator.pass('UMHS', never), { error: { code: 'REMOTE_UNREACHABLE' } });
  t.match(await site.delivery(sealed), { state: 'pending', attempts: 0 });

  await server.start();
  starts.length = 0;
  t.match(await replicator.pass('UMHS', never), { delivered: 1, failed: 0, error: undefined });
  t.ok((starts[0] ?? 0) > 0, 'it went on from what had arrived');
  t.ok(bytes.equals(await readFile(arrived)));
  t.equal(
    Math.floor((await stat(arrived)).mtimeMs / 1000),
    Math.floor((await stat(site.at(sealed))).mtimeMs / 1000),
  );
  t.same(await readdir(join(server.folder, outgoing, 'gpg-alice/JI-1')), ['big.dcm.gpg']);
  t.match(await site.delivery(sealed), { state: 'delivered', evidence: 'read-back' });
  t.equal((await site.job(job)).state, 'delivered');

  // Many small ones, and a stop of the server's loop between them.
  for (let index = 0; index < 60; index += 1) {
    await site.publish(`gpg-alice/${index}.gpg`, randomBytes(5_000));
  }
  t.match(await replicator.replicateNow(undefined, never), [{ delivered: 60, failed: 0 }]);
  t.match(await deliveries.counts(), [{ delivered: 61, pending: 0, failed: 0 }]);
});

void t.test('cut at any byte, nothing half has its name', { skip: missing('sshd') }, async (t) => {
  const server = await startSshd();
  t.teardown(() => server.close());
  const remotes = createRemotes({ keyPath: server.keyPath, timeoutMs: 5_000 });
  const site = await SendingSite.make(t.testdir(), below(server.folder, remotes));
  t.teardown(() => site.close());
  await site.parts.partners.add({ code: 'UMHS', address: server.address, verify: 'hash' }, 'cli');
  const replicator = createReplicator(site.parts);
  const files = [1_400_000, 300_000, 700_000, 40_000].map((size, index) => ({
    path: `gpg-alice/JI-${index % 2}/CT_${index}.dcm.gpg`,
    bytes: randomBytes(size),
  }));
  for (const { path, bytes } of files) await site.publish(path, bytes);
  const at = (path: string): string => join(server.folder, outgoing, path);
  // From within the login on; a pass goes on behind the one before, so that later ones are cut later.
  const cuts = [10, 1_500, 2_500, 3_300, 4_000, 9_000, 50_000, 300_001, 500_000, 900_000];
  for (const cut of cuts) {
    server.cutAfter(cut);
    const { error } = (await replicator.pass('UMHS', never)) ?? {};
    for (const { path, bytes } of files) {
      if (!existsSync(at(path))) continue;
      t.ok(bytes.equals(await readFile(at(path))), `${path} is whole, cut after ${cut} bytes`);
    }
    t.ok(error === undefined || error.code === 'REMOTE_UNREACHABLE', String(error?.code));
  }
  server.cutAfter(Number.POSITIVE_INFINITY);
  await replicator.replicateNow(undefined, never);
  for (const { path, bytes } of files) t.ok(bytes.equals(await readFile(at(path))), path);
  const names = await readdir(join(server.folder, outgoing), { recursive: true });
  t.notOk(
    names.some((name) => name.includes('.clubhouse-')),
    'no temporary file is left',
  );
  t.match(await site.parts.deliveries.counts(), [{ delivered: files.length, failed: 0 }]);
});
