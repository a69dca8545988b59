// The programs that senders use, against the server: upload, download, resume, rename, listing, odd names. OpenSSH's sftp
// must be there; the others are tried where they are installed, and CLUBHOUSE_REQUIRE_CLIENTS=1 makes them a must.

import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { startServer } from '../support/sftp-server.ts';

const server = await startServer();
t.teardown(() => server.close());
const keyFile = await server.keyFile('alice');
const work = join(server.root, 'work');
mkdirSync(work);
const port = String(server.port);
const intake = join(server.home, 'ji_brain/alice/gpg');

interface Outcome {
  readonly code: number;
  readonly out: string;
}

async function run(program: string, args: readonly string[], input = ''): Promise<Outcome> {
  const child = promisify(execFile)(program, args, {
    cwd: work,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, HOME: work, LC_ALL: 'C.UTF-8' },
  });
  child.child.stdin?.end(input);
  try {
    const { stdout, stderr } = await child;
    return { code: 0, out: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: code ?? 1, out: `${stdout ?? ''}${stderr ?? ''}` };
  }
}

const isThere = (program: string): boolean => spawnSync('which', [program]).status === 0;
const ssh = ['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(work, 'known')}`];
const sftp = (batch: string): Promise<Outcome> =>
  run(
    'sftp',
    ['-q', '-b', '-', '-P', port, '-i', keyFile, ...ssh, 'alice@127.0.0.1'],
    `${batch}\n`,
  );

const big = randomBytes(3_000_000);
writeFileSync(join(work, 'big.dcm'), big);
writeFileSync(join(work, 'small.dcm'), 'small');
writeFileSync(join(work, 'empty.dcm'), '');
writeFileSync(join(work, '王 小东.dcm'), 'name');
mkdirSync(join(work, 'series/sub'), { recursive: true });
for (const name of ['1.dcm', '2.dcm', 'sub/3.dcm']) writeFileSync(join(work, 'series', name), name);
const onDisk = (path: string): Buffer => readFileSync(join(intake, path));
const fetched = (path: string): Buffer => readFileSync(join(work, path));

void t.test('OpenSSH sftp: put, get, folders, times, rename, resume, remove', async (t) => {
  const first = await sftp(
    [
      'pwd',
      'cd gpg',
      'put big.dcm',
      'put -p small.dcm',
      'put empty.dcm',
      'put "王 小东.dcm"',
      'put -r series',
      'get big.dcm big.back',
      'rename small.dcm renamed.dcm',
      'ls -la',
      'ls -l series/sub',
      'df .',
      'chmod 644 renamed.dcm',
    ].join('\n'),
  );
  t.equal(first.code, 0, first.out);
  t.match(first.out, /Remote working directory: \/home\/ji_brain\/alice/);
  t.match(first.out, /-rw-------.* 3000000 .*big\.dcm/);
  t.ok(onDisk('big.dcm').equals(big));
  t.ok(fetched('big.back').equals(big));
  t.equal(onDisk('renamed.dcm').toString(), 'small');
  t.equal(onDisk('王 小东.dcm').toString(), 'name');
  t.equal(onDisk('series/sub/3.dcm').toString(), 'sub/3.dcm');
  t.equal(statSync(join(intake, 'renamed.dcm')).mode & 0o777, 0o600);
  t.equal(
    Math.floor(statSync(join(intake, 'renamed.dcm')).mtimeMs / 1000),
    Math.floor(statSync(join(work, 'small.dcm')).mtimeMs / 1000),
  );
  writeFileSync(join(intake, 'part.dcm'), big.subarray(0, 1_000_000));
  writeFileSync(join(work, 'part.dcm'), big);
  writeFileSync(join(work, 'part.back'), big.subarray(0, 500_000));
  const second = await sftp(
    'cd gpg\nreput part.dcm\nreget big.dcm part.back\nrm empty.dcm\nrm series/1.dcm',
  );
  t.equal(second.code, 0, second.out);
  t.ok(onDisk('part.dcm').equals(big), 'resumed upload');
  t.ok(fetched('part.back').equals(big), 'resumed download');
  t.notOk(readdirSync(intake).includes('empty.dcm'));
});

void t.test('OpenSSH sftp: what is not allowed fails with a sentence', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['ls /etc', /not found|No such file/i],
    ['get /etc/passwd', /not found/i],
    ['put small.dcm /home/ji_brain/bob/x', /No such file/i],
    ['put small.dcm /home/ji_brain/club_house/From_UMHS_To_PUHSC/x', /Permission denied/i],
    ['mkdir /home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-x', /Permission denied|Failure/i],
    ['ln -s /etc/passwd gpg/x', /not offered|Operation unsupported/i],
    ['ln gpg/big.dcm gpg/hard', /not offered|Operation unsupported|not support/i],
    ['rmdir gpg', /Permission denied|Failure/i],
  ];
  for (const [line, expected] of cases) {
    const { code, out } = await sftp(line);
    t.equal(code, 1, line);
    t.match(out, expected, line);
  }
});

const clients: readonly {
  readonly program: string;
  readonly title: string;
  readonly upload: () => Promise<Outcome>;
  readonly download: () => Promise<Outcome>;
}[] = [
  {
    program: 'scp',
    title: 'OpenSSH scp',
    upload: () =>
      run('scp', [
        '-q',
        '-P',
        port,
        '-i',
        keyFile,
        ...ssh,
        'big.dcm',
        'alice@127.0.0.1:gpg/scp.dcm',
      ]),
    download: () =>
      run('scp', [
        '-q',
        '-P',
        port,
        '-i',
        keyFile,
        ...ssh,
        'alice@127.0.0.1:gpg/scp.dcm',
        'scp.back',
      ]),
  },
  {
    program: 'sshpass',
    title: 'sftp with a password',
    upload: () =>
      run(
        'sshpass',
        [
          '-p',
          'secret of alice',
          'sftp',
          '-q',
          '-P',
          port,
          ...ssh,
          '-o',
          'PubkeyAuthentication=no',
          'alice@127.0.0.1',
        ],
        'put big.dcm gpg/sshpass.dcm\n',
      ),
    download: () =>
      run(
        'sshpass',
        [
          '-p',
          'secret of alice',
          'sftp',
          '-q',
          '-P',
          port,
          ...ssh,
          '-o',
          'PubkeyAuthentication=no',
          'alice@127.0.0.1',
        ],
        'get gpg/sshpass.dcm sshpass.back\n',
      ),
  },
  {
    program: 'lftp',
    title: 'lftp',
    upload: () =>
      lftp('put big.dcm -o gpg/lftp.dcm; mirror -R --parallel=4 series gpg/lftp-series'),
    download: () => lftp('get gpg/lftp.dcm -o lftp.back'),
  },
  {
    program: 'rclone',
    title: 'rclone',
    upload: () => rclone('copyto', 'big.dcm', ':sftp:gpg/rclone.dcm'),
    download: () => rclone('copyto', ':sftp:gpg/rclone.dcm', 'rclone.back'),
  },
  {
    program: 'psftp',
    title: 'psftp',
    upload: () => psftp('put big.dcm gpg/psftp.dcm\n'),
    download: () => psftp('get gpg/psftp.dcm psftp.back\n'),
  },
];

function lftp(commands: string): Promise<Outcome> {
  const connect = `ssh -a -x -i ${keyFile} ${ssh.join(' ')}`;
  const script = `set net:max-retries 1; set sftp:connect-program "${connect}"; open -p ${port} -u alice, sftp://127.0.0.1; ${commands}; exit`;
  return run('lftp', ['-c', script]);
}

const rclone = (...args: string[]): Promise<Outcome> =>
  run('rclone', [
    '--sftp-host',
    '127.0.0.1',
    '--sftp-port',
    port,
    '--sftp-user',
    'alice',
    '--sftp-key-file',
    keyFile,
    '--retries',
    '1',
    ...args,
  ]);

async function psftp(commands: string): Promise<Outcome> {
  const scanned = await run('ssh-keyscan', ['-p', port, '-t', 'ed25519', '127.0.0.1']);
  const line = scanned.out.split('\n').find((one) => one.includes('ssh-ed25519')) ?? '';
  writeFileSync(join(work, 'host.pub'), `${line.slice(line.indexOf('ssh-ed25519'))}\n`);
  const print = (await run('ssh-keygen', ['-l', '-f', 'host.pub'])).out.split(' ')[1] ?? '';
  const login = ['-batch', '-P', port, '-pw', 'secret of alice', '-hostkey', print];
  writeFileSync(join(work, 'batch'), commands);
  return run('psftp', [...login, '-b', 'batch', 'alice@127.0.0.1']);
}

for (const { program, title, upload, download } of clients) {
  const isMust = process.env['CLUBHOUSE_REQUIRE_CLIENTS'] === '1';
  const skip = !isMust && !isThere(program) ? `${program} is not installed` : false;
  void t.test(`${title} uploads and downloads`, { skip }, async (t) => {
    const up = await upload();
    t.equal(up.code, 0, up.out);
    t.ok(onDisk(`${program}.dcm`).equals(big), 'the bytes arrived');
    const down = await download();
    t.equal(down.code, 0, down.out);
    t.ok(fetched(`${program}.back`).equals(big), 'the bytes came back');
  });
}

void t.test(
  'READs are answered in order: OpenSSH cuts the file otherwise and says nothing',
  async (t) => {
    for (let round = 0; round < 8; round += 1) {
      await run('scp', [
        '-q',
        '-P',
        port,
        '-i',
        keyFile,
        ...ssh,
        'alice@127.0.0.1:gpg/big.dcm',
        'order.back',
      ]);
      t.ok(fetched('order.back').equals(big));
    }
  },
);

void t.test('nothing of all that was an internal error', async (t) => {
  t.same(
    server.log.lines.filter((line) => line.startsWith('error')),
    [],
  );
});
