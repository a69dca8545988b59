// A site that burns down while it works, and comes back out of its last backup: made beside the running server under load,
// decrypted by the administrator's own gpg.

import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ctSlice } from '../support/dicom.ts';
import { addRecipient, filesBelow, makeExchange, searchBytes } from '../support/exchange.ts';
import { KeyRing } from '../support/people.ts';
import { missing } from '../support/programs.ts';
import { runCommandsHere, Site } from '../support/site.ts';

runCommandsHere();
const timeout = 300_000;
t.setTimeout(2 * timeout);
const patient = { patientName: 'RESTORED^ROLAND', patientID: 'PUMC-5551234' };
const shared = 'data/home/ji_brain/club_house/From_PUHSC_To_UMHS';

void t.test(
  'a backup under load, a disaster, a restore: nothing is lost, nothing is sent twice',
  { skip: missing('sftp', 'ssh-keygen', 'gpg'), timeout },
  async (t) => {
    const exchange = await makeExchange();
    const { peking, michigan, alice, bobsKeys } = exchange;
    const ring = await KeyRing.make();
    const folder = await mkdtemp(join(tmpdir(), 'clubhouse-backup-'));
    const home = await mkdtemp(join(tmpdir(), 'clubhouse-restored-'));
    t.teardown(async () => {
      await exchange.end();
      await ring.remove();
      for (const one of [folder, home]) await rm(one, { recursive: true, force: true });
    });
    const key = await ring.generate('IT Department <it@puhsc.example.org>', 'future-default');
    await peking.run(['project', 'add', 'slow', '--partner', 'UMHS']);
    await michigan.run(['project', 'add', 'slow', '--partner', 'PUHSC']);
    await peking.run(['user', 'add', 'alice', '--project', 'slow']);
    await Promise.all([peking.start(), michigan.start()]);
    let made = 0;
    const send = async (name: string, to = '/home/ji_brain/alice/gpg'): Promise<void> => {
      made += 1;
      await alice.file(name, ctSlice({ ...patient, instanceNumber: made }));
      await alice.does(peking, [`put ${name} ${to}/${name}`]);
    };

    for (const name of ['first.dcm', 'second.dcm']) await send(name);
    await peking.settled(['delivered'], 2);
    await send('waiting.dcm', '/home/ji_slow/alice/gpg');
    await alice.file('own.txt', 'kept for myself');
    await alice.does(peking, ['put own.txt /home/ji_brain/alice/own.txt']);
    await michigan.stop();
    await send('owed.dcm');
    await peking.settled(['published'], 1, (job) => job.upload.endsWith('/owed.dcm'));
    const before = await arrived(michigan);
    t.equal(before.size, 2);

    const promised = ['first.dcm', 'second.dcm', 'waiting.dcm', 'owed.dcm'];
    const promise = async (name: string): Promise<void> => {
      await send(name);
      promised.push(name);
    };
    for (let i = 0; i < 3; i += 1) await promise(`queued-${i}.dcm`);
    const over = new AbortController();
    const load = (async (): Promise<void> => {
      for (let i = 0; !over.signal.aborted; i += 1) await send(`late-${i}.dcm`);
    })();
    const told = await peking.run(['backup', folder, '--encrypt-to', key.file]);
    t.match(told.stdout.toString(), /^Backed up to clubhouse-PUHSC-\d{8}T\d{6}Z\.tar\.gpg: .*\n$/);
    over.abort();
    await load;
    await peking.stop('SIGKILL');

    await t.test('what lies there is encrypted, and for our own account alone', async (t) => {
      t.same(await searchBytes(folder, ['ROLAND', '5551234', 'own.txt', 'owed', 'ji_brain']), []);
      const names = await readdir(folder);
      t.equal(names.length, 2, names.join(' '));
      for (const name of names) t.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
      const archive = names.find((name) => name.endsWith('.gpg')) ?? '';
      const tar = await ring.decrypt(await readFile(join(folder, archive)));
      t.ok(tar.includes('keys/master.key'));
    });

    process.env['GNUPGHOME'] = ring.home;
    const restored = Site.at('PUHSC', join(home, 'site'), peking.port);
    const line = await restored.run(['restore', folder]);
    t.match(line.stdout.toString(), /^Restored PUHSC of 20.*SHA256:/);
    t.equal((await restored.run(['audit', 'verify'])).code, 0);
    await restored.run(['doctor']);
    t.equal(
      await readFile(join(restored.home, 'data/home/ji_brain/alice/own.txt'), 'utf8'),
      'kept for myself',
    );

    await Promise.all([restored.start(), michigan.start()]);
    t.teardown(() => restored.stop('SIGKILL'));
    await addRecipient(restored, 'UMHS', bobsKeys, 'Bob <bob@umhs.example.org>', 'slow');
    await restored.settled(['delivered'], promised.length, (job) =>
      promised.some((name) => job.upload.endsWith(`/${name}`)),
    );
    await restored.settled(['delivered', 'withdrawn'], promised.length, () => true);

    const after = await arrived(michigan);
    for (const [name, facts] of before) t.equal(after.get(name), facts, 'was not sent again');
    const jobs = (await restored.jobs()).filter((job) => job.state === 'delivered');
    const outputs = new Set(jobs.map((job) => job.output));
    t.equal(outputs.size, jobs.length, 'each under a name of its own');
    const everywhere = await filesBelow(join(michigan.home, 'data/home'));
    t.equal(everywhere.filter((name) => name.endsWith('.gpg')).length, jobs.length);
    await restored.run(['audit', 'verify']);
    await restored.run(['doctor']);
  },
);

/** Of the partner's files: inode and time, which change when one is sent again. */
async function arrived(site: Site): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const name of await filesBelow(join(site.home, shared))) {
    const { ino, ctimeMs } = await stat(join(site.home, shared, name));
    found.set(name, `${ino} ${ctimeMs}`);
  }
  return found;
}
