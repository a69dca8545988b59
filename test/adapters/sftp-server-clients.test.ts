// The programs that senders use, against the server: a table of clients times a table of actions (test/support/client-*.ts),
// small. `npm run clients` does the same with all programs, large files and many. Then what one program alone says.

import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { actionsOf, clientActions, faultsOf, furnish, opsAt } from '../support/client-actions.ts';
import { corePrograms, type Login } from '../support/client-programs.ts';
import { missing, run, type Finished } from '../support/programs.ts';
import { connect } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';

t.setTimeout(300_000);
const timeout = 120_000;
const server = await startServer();
t.teardown(() => server.close());
const keyFile = await server.keyFile('alice');
const own = join(server.home, 'ji_brain/alice');
const loginAt = (work: string): Login => ({
  host: '127.0.0.1',
  port: server.port,
  user: 'alice',
  keyFile,
  work,
});

for (const program of corePrograms) {
  void t.test(program.name, { skip: program.missing(), timeout }, async (t) => {
    const login = loginAt(await mkdtemp(join(server.root, 'work-')));
    const actions = actionsOf(program, clientActions(1_500_000, 40));
    await furnish(login, program, actions);
    const place = program.name.replaceAll(' ', '-');
    mkdirSync(join(own, 'gpg', place), { recursive: true });
    const ops = actions.flatMap((action) => opsAt(action.ops, `/home/ji_brain/alice/gpg/${place}`));
    const done = await program.run(login, ops);
    const printed = done.stdout.toString();
    t.equal(done.code, 0, done.code === 0 ? 'it is content' : `${done.stderr}${printed}`);
    for (const action of actions) {
      t.same(await faultsOf(action, login, join(own, 'gpg', place), printed), [], action.name);
    }
  });
}

const work = await mkdtemp(join(server.root, 'work-'));
const ssh = [
  ...['-q', '-P', String(server.port), '-i', keyFile, '-o', 'StrictHostKeyChecking=no'],
  ...['-o', `UserKnownHostsFile=${join(work, 'known')}`],
];
const batch = (...lines: readonly string[]): Promise<Finished> =>
  run('sftp', ['-b', '-', ...ssh, 'alice@127.0.0.1'], {
    input: `${lines.join('\n')}\n`,
    cwd: work,
    env: { LC_ALL: 'C.UTF-8' },
  });
writeFileSync(join(work, 'small.dcm'), 'small');

void t.test('OpenSSH sftp: where it is, long listings, times, modes, room', async (t) => {
  utimesSync(join(work, 'small.dcm'), 1_000_000_000, 1_000_000_001);
  const done = await batch(
    'pwd',
    'cd gpg',
    'put -p small.dcm kept.dcm',
    'chmod 644 kept.dcm',
    'ls -la',
    'df .',
    'rm kept.dcm',
    'put -p small.dcm kept.dcm',
  );
  t.equal(done.code, 0, done.stderr);
  const out = done.stdout.toString();
  t.match(out, /Remote working directory: \/home\/ji_brain\/alice/);
  t.match(out, /-rw------- +\S+ clubhouse +clubhouse +5 Sep +9 +2001 \S*kept\.dcm/);
  const { mode, mtimeMs } = statSync(join(own, 'gpg/kept.dcm'));
  t.equal(mode & 0o777, 0o600);
  t.equal(mtimeMs, 1_000_000_001_000);
});

void t.test('OpenSSH sftp: what is not allowed fails', { timeout }, async (t) => {
  const outgoing = '/home/ji_brain/club_house/From_PUHSC_To_UMHS';
  mkdirSync(join(server.home, 'ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice'), {
    recursive: true,
  });
  const cases: readonly (readonly [string, RegExp])[] = [
    ['ls /etc', /not found|No such file/i],
    ['get /etc/passwd', /not found/i],
    ['put small.dcm /home/ji_brain/bob/x', /No such file/i],
    ['put small.dcm /home/ji_brain/club_house/From_UMHS_To_PUHSC/x', /Permission denied/],
    [`put small.dcm ${outgoing}/gpg-alice/x`, /Permission denied/],
    [`mkdir ${outgoing}/gpg-x`, /Permission denied/],
    [`mkdir ${outgoing}/gpg-x`, /clubhouse: Names that start with gpg- are reserved for Clubhouse/],
    [
      `put small.dcm ${outgoing}/gpg-alice/x`,
      /clubhouse: Only Clubhouse or the partner changes what is here; put/,
    ],
    ['rename gpg/kept.dcm ../club_house/From_PUHSC_To_UMHS/x', /Permission denied/],
    ['ln -s /etc/passwd gpg/x', /Operation unsupported/],
    ['ln gpg/kept.dcm gpg/hard', /not offered|Operation unsupported|not support/i],
    ['rmdir gpg', /read only|Permission denied/i],
  ];
  for (const [line, expected] of cases) {
    const { code, stderr } = await batch(line);
    t.equal(code, 1, line);
    t.match(stderr, expected, line);
  }
  t.equal(readFileSync(join(own, 'gpg/kept.dcm'), 'utf8'), 'small');
});

void t.test(
  "OpenSSH's programs print the server's sentence, once, and files stay whole",
  async (t) => {
    const sealed = '/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice';
    const tries = Array.from({ length: 50 }, (_, index) => `-put small.dcm ${sealed}/x${index}`);
    const many = await batch(...tries, 'put small.dcm gpg/behind.dcm', 'get gpg/behind.dcm behind');
    t.equal(many.code, 0, many.stderr);
    t.equal(
      many.stderr.split('clubhouse: Only Clubhouse or the partner changes what is here').length,
      2,
      many.stderr,
    );
    t.equal(readFileSync(join(work, 'behind'), 'utf8'), 'small');
    const copied = await run('scp', [...ssh, 'small.dcm', `alice@127.0.0.1:${sealed}/y`], {
      cwd: work,
    });
    t.not(copied.code, 0);
    t.match(copied.stderr, /clubhouse: Only Clubhouse or the partner changes what is here; put/);
    t.same(readdirSync(join(server.home, 'ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice')), []);
  },
);

void t.test('others get the sentence in the answer alone', async (t) => {
  const alice = await connect(server, 'alice');
  let aloud = '';
  alice.channel.stderr.on('data', (chunk: Buffer) => (aloud += chunk.toString()));
  const at = '/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-x';
  t.match(await alice.status(fxp.MKDIR, at, 0), /^PERMISSION_DENIED: Names that start with gpg-/);
  t.same(await alice.list('receipts'), []);
  t.equal(aloud, '');
  alice.end();
});

void t.test('sftp with a password', { skip: missing('sshpass') }, async (t) => {
  const args = ['-p', 'secret of alice', 'sftp', ...ssh, '-o', 'PubkeyAuthentication=no'];
  const done = await run('sshpass', [...args, 'alice@127.0.0.1'], {
    input: 'put small.dcm gpg/password.dcm\n',
    cwd: work,
  });
  t.equal(done.code, 0, done.stderr);
  t.equal(readFileSync(join(own, 'gpg/password.dcm'), 'utf8'), 'small');
});

void t.test(
  'READs are answered in order: OpenSSH cuts the file otherwise and says nothing',
  async (t) => {
    const big = Buffer.alloc(3_000_000, 'order');
    writeFileSync(join(own, 'gpg/big.dcm'), big);
    for (let round = 0; round < 8; round += 1) {
      await run('scp', [...ssh, 'alice@127.0.0.1:gpg/big.dcm', 'order.back'], { cwd: work });
      t.ok(readFileSync(join(work, 'order.back')).equals(big));
    }
  },
);

void t.test('nothing of all that was an internal error', async (t) => {
  t.same(
    server.log.lines.filter((line) => line.startsWith('error')),
    [],
  );
});
