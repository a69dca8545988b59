// Bad input, as people and machines really bring it: each gets one clear message, and nothing is lost or half done.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ctSlice } from '../support/dicom.ts';
import { filesBelow, introduce, makeExchange, type Exchange } from '../support/exchange.ts';
import { KeyRing } from '../support/people.ts';
import { missing, run, searchPath, until } from '../support/programs.ts';
import { runCommandsHere, Site } from '../support/site.ts';

const patient = { patientName: 'LIWEISHENG^DAHAI', patientID: 'PUMC-0047112' };
const published = 'data/home/ji_brain/club_house/From_PUHSC_To_UMHS';
const inbox = published;
const raw = 'data/home/ji_brain/alice/gpg';

const timeout = 300_000;
t.setTimeout(2 * timeout);
runCommandsHere();

void t.test('logins', { skip: missing('sftp', 'sshpass', 'ssh-keygen'), timeout }, async (t) => {
  const site = await Site.make('PUHSC', 'workers: 1');
  t.teardown(() => site.remove());
  await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
  await site.run(['user', 'add', 'carol', '--project', 'brain', '--password-stdin'], {
    input: 'correct horse battery\n',
  });
  await site.start();
  const before = await filesBelow(join(site.home, 'data/home'));

  const login = (user: string, password: string, command: string) =>
    run(
      'sshpass',
      [
        ...['-p', password, 'sftp', '-q', '-P', String(site.port)],
        ...[
          '-o',
          'PubkeyAuthentication=no',
          '-o',
          'NumberOfPasswordPrompts=1',
          '-o',
          'StrictHostKeyChecking=no',
        ],
        ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR', `${user}@127.0.0.1`],
      ],
      { input: `${command}\n` },
    );

  t.equal((await login('carol', 'correct horse battery', 'ls -la')).code, 0, 'the right password');
  const wrong = await login('carol', 'wrong', 'put /etc/hostname gpg/x');
  const unknown = await login('nobody', 'wrong', 'put /etc/hostname gpg/x');
  t.not(wrong.code, 0);
  t.not(unknown.code, 0);
  t.equal(
    wrong.stderr.replaceAll('carol', 'USER'),
    unknown.stderr.replaceAll('nobody', 'USER'),
    'an unknown user and a wrong password look the same',
  );
  await site.run(['user', 'disable', 'carol']);
  t.not((await login('carol', 'correct horse battery', 'ls')).code, 0, 'a disabled account');
  t.same(await filesBelow(join(site.home, 'data/home')), before, 'nothing was written');
});

void t.test('uploads', { skip: missing('sftp', 'gpg'), timeout }, async (t) => {
  const exchange = await makeExchange();
  t.teardown(() => exchange.end());
  const { peking, michigan, alice } = exchange;
  await peking.start();
  await michigan.start();
  const whole = ctSlice({ ...patient, size: 512 });

  await t.test('what is no image or not whole is kept, told, and not passed on', async (t) => {
    await alice.file('note.dcm', 'This is no DICOM file, whatever its name says.\n');
    await alice.file('cut.dcm', whole.subarray(0, whole.length - 1000));
    await alice.file('empty.dcm', '');
    await alice.does(peking, ['put note.dcm gpg/', 'put cut.dcm gpg/', 'put empty.dcm gpg/']);
    const jobs = await peking.settled(['held', 'partial'], 3);
    const outcome = Object.fromEntries(
      jobs.map((job) => [job.upload.split('/').at(-1), `${job.state} ${job.reason ?? ''}`]),
    );
    t.same(outcome, {
      'note.dcm': 'held other-file',
      'cut.dcm': 'partial truncated',
      'empty.dcm': 'partial empty',
    });
    t.same(await filesBelow(join(peking.home, published)), [], 'nothing was published');
    t.equal(
      (await stat(join(peking.home, raw, 'cut.dcm'))).size,
      whole.length - 1000,
      'nothing was lost',
    );
    // A receipt is written soon after the state it tells.
    const folder = join(peking.home, 'data/home/ji_brain/alice/receipts');
    const receipts = await until('a receipt for each', async () => {
      const found = await filesBelow(folder);
      return found.length >= 3 ? found : undefined;
    });
    t.equal(receipts.length, 3, 'each has its receipt');
  });

  await t.test('a truncated file goes on when it is resumed', async (t) => {
    await alice.file('cut.dcm', whole);
    await alice.does(peking, ['reput cut.dcm gpg/cut.dcm']);
    const [job] = await peking.settled(['delivered'], 1, (job) => job.upload.endsWith('cut.dcm'));
    t.ok(job?.output?.endsWith('.dcm.gpg'));
    t.equal((await filesBelow(join(michigan.home, inbox))).length, 1, 'one file, once');
  });

  await t.test('a broken line leaves a partial, and its resume completes it', async (t) => {
    const big = ctSlice({ ...patient, size: 3000, instanceNumber: 77 });
    await alice.file('big.dcm', big);
    await interrupted(exchange, 'put big.dcm gpg/big.dcm', join(peking.home, raw, 'big.dcm'));
    await peking.settled(['partial'], 1, (job) => job.upload.endsWith('big.dcm'));
    t.ok((await stat(join(peking.home, raw, 'big.dcm'))).size < big.length, 'it was cut short');
    await alice.does(peking, ['reput big.dcm gpg/big.dcm']);
    await peking.settled(['delivered'], 1, (job) => job.upload.endsWith('big.dcm'));
  });

  await t.test('paths outside lead nowhere', async (t) => {
    const outside = [
      'put note.dcm ../../../../etc/clubhouse-planted',
      'put note.dcm /etc/clubhouse-planted',
      'get /etc/passwd stolen',
      'get ../../../../../../etc/passwd stolen',
      'put note.dcm /home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice/x.gpg',
      'mkdir /home/ji_brain/club_house/From_PUHSC_To_UMHS/GPG-evil',
      'put note.dcm /home/ji_brain/club_house/From_UMHS_To_PUHSC/x',
      'ln -s /etc/passwd gpg/link',
    ];
    for (const command of outside) {
      const done = await alice.sftp(peking, [command]);
      t.not(done.code, 0, `${command} is refused`);
      t.notMatch(done.stderr, /data\/home|clubhouse-puhsc/, 'no path of the server is told');
    }
    await t.rejects(stat('/etc/clubhouse-planted'));
    await t.rejects(stat(join(alice.folder, 'stolen')));
    const tree = await filesBelow(join(peking.home, 'data/home'));
    t.notOk(
      tree.some((path) => /evil|x\.gpg$|link$|planted/.test(path)),
      'nothing of it is on disk',
    );
  });

  await t.test('DICOM in the shared folder by mistake stays there, unseen', async (t) => {
    await alice.file('slip.bin', ctSlice({ ...patient, instanceNumber: 5 }));
    await alice.does(peking, [
      `put slip.bin /home/ji_brain/club_house/From_PUHSC_To_UMHS/slip.bin`,
    ]);
    const [job] = await peking.settled(['held'], 1, (job) => job.upload.endsWith('slip.bin'));
    t.equal(job?.reason, 'slip');
    await peking.run(['replicate', 'now']);
    t.notOk(
      (await filesBelow(join(michigan.home, inbox))).includes('slip.bin'),
      'it did not leave',
    );
  });
});

void t.test(
  'keys that cannot be used are refused when they are added',
  { skip: missing('gpg'), timeout },
  async (t) => {
    const site = await Site.make('PUHSC', 'workers: 1');
    const keys = await KeyRing.make();
    t.teardown(() => Promise.all([site.remove(), keys.remove()]));
    await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
    const good = await keys.generate('Good <good@umhs.example.org>');
    const expired = await keys.generate('Old <old@umhs.example.org>', undefined, 'seconds=1');
    const signing = await keys.generate('Sign <sign@umhs.example.org>', 'ed25519');
    const revoked = await keys.generate('Revoked <revoked@umhs.example.org>');
    await revoke(keys, revoked.fingerprint);
    const secret = join(keys.home, 'secret.asc');
    const exported = await keys.gpg(['--armor', '--export-secret-keys', good.fingerprint]);
    await writeFile(secret, exported.stdout);
    await until('the key to expire', async () => {
      const listed = await keys.gpg(['--with-colons', '--list-keys', expired.fingerprint]);
      return listed.stdout.toString().includes('pub:e:') ? true : undefined;
    });
    const cases = [
      {
        what: 'an expired key',
        file: expired.file,
        fingerprint: expired.fingerprint,
        says: /expired/i,
      },
      {
        what: 'a revoked key',
        file: await keys.exportPublic(revoked.fingerprint),
        fingerprint: revoked.fingerprint,
        says: /revoked/i,
      },
      { what: 'a private key', file: secret, fingerprint: good.fingerprint, says: /private/i },
      {
        what: 'a key that only signs',
        file: signing.file,
        fingerprint: signing.fingerprint,
        says: /encrypt/i,
      },
    ];
    const add = (file: string, fingerprint: string | undefined, code: number) =>
      site.run(
        [
          ...['recipient', 'add', '--project', 'brain', '--partner', 'UMHS', '--key', file],
          ...(fingerprint === undefined ? [] : ['--fingerprint', fingerprint]),
        ],
        { code },
      );
    for (const { what, file, fingerprint, says } of cases) {
      const done = await add(file, fingerprint, 1);
      t.match(done.stderr, says, what);
      t.equal(done.stderr.trim().split('\n').length, 1, 'in one line');
      t.notMatch(done.stderr, /BEGIN PGP/, 'without the key');
    }
    await add(good.file, undefined, 2);
    await add(
      good.file,
      good.fingerprint.replace(/^./, (c) => (c === '0' ? '1' : '0')),
      1,
    );
    t.same(await site.json(['recipient', 'list']), [], 'none of them was taken');
    await add(good.file, good.fingerprint, 0);
    t.equal((await site.json<unknown[]>(['recipient', 'list'])).length, 1, 'a good one is');
  },
);

void t.test('partners', { skip: missing('sftp', 'gpg'), timeout }, async (t) => {
  const exchange = await makeExchange();
  t.teardown(() => exchange.end());
  const { peking, michigan, alice } = exchange;
  await peking.start();

  await t.test('a partner that is down gets everything when it is back', async (t) => {
    await alice.file('one.dcm', ctSlice(patient));
    await alice.does(peking, ['put one.dcm gpg/one.dcm']);
    await peking.settled(['published'], 1);
    t.match((await peking.run(['replicate', 'now'], { code: 1 })).stderr, /does not answer/i);
    await michigan.start();
    await peking.settled(['delivered'], 1);
    t.equal((await filesBelow(join(michigan.home, inbox))).length, 1);
  });

  await t.test('a partner with another host key gets nothing until it is confirmed', async (t) => {
    await michigan.stop();
    await rm(join(michigan.home, 'keys', 'host_ed25519'));
    await makeHostKey(join(michigan.home, 'keys', 'host_ed25519'));
    await michigan.start();
    await alice.file('two.dcm', ctSlice({ ...patient, instanceNumber: 2 }));
    await alice.does(peking, ['put two.dcm gpg/two.dcm']);
    await peking.settled(['published'], 1, (job) => job.upload.endsWith('two.dcm'));
    const refused = await peking.run(['replicate', 'now'], { code: 1 });
    t.match(refused.stderr, /host key/i);
    t.equal((await filesBelow(join(michigan.home, inbox))).length, 1, 'nothing was sent');
    t.match(
      (await peking.run(['status'])).stdout.toString(),
      /REMOTE_HOST_KEY|host key/i,
      'status raises the alarm',
    );
    await introduce(peking, michigan);
    await peking.run(['replicate', 'now']);
    await peking.settled(['delivered'], 2);
    t.equal((await filesBelow(join(michigan.home, inbox))).length, 2);
  });
});

void t.test('a configuration with an unknown key names its line', async (t) => {
  const site = await Site.make('PUHSC', 'replicaton: { every: 5s }');
  t.teardown(() => site.remove());
  const done = await site.run(['serve'], { code: 1 });
  t.match(done.stderr, /clubhouse\.yaml.*3/, 'file and line');
  t.match(done.stderr, /replicaton/);
  t.notMatch(done.stderr, /^\s+at /m, 'no stack');
});

/** Starts an upload, kills the client in the middle (SIGKILL, so no CLOSE is sent). */
async function interrupted(exchange: Exchange, command: string, target: string): Promise<void> {
  const { alice, peking } = exchange;
  const child = spawn(
    'sftp',
    [
      ...[
        '-q',
        '-l',
        '20000',
        '-P',
        String(peking.port),
        '-i',
        alice.key,
        '-o',
        'IdentitiesOnly=yes',
      ],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-b', '-'],
      'alice@127.0.0.1',
    ],
    {
      cwd: alice.folder,
      env: { ...process.env, PATH: searchPath },
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  );
  const ended = once(child, 'exit');
  child.stdin.end(`${command}\n`);
  await until('some bytes', async () => ((await size(target)) > 100_000 ? true : undefined));
  // sftp runs ssh as its child: the whole group must go
  if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  await ended;
}

const size = async (path: string): Promise<number> =>
  (await stat(path).catch(() => undefined))?.size ?? 0;

async function revoke(keys: KeyRing, fingerprint: string): Promise<void> {
  const file = join(keys.home, 'openpgp-revocs.d', `${fingerprint}.rev`);
  const text = (await readFile(file, 'utf8')).replace(':-----BEGIN', '-----BEGIN');
  await writeFile(file, text);
  const done = await keys.gpg(['--import', file]);
  if (done.code !== 0) throw new Error(`gpg ended with ${done.code}: ${done.stderr}`);
}

async function makeHostKey(path: string): Promise<void> {
  await rm(`${path}.pub`, { force: true });
  const done = await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  if (done.code !== 0) throw new Error(`ssh-keygen ended with ${done.code}`);
}
