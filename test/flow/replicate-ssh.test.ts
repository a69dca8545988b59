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
