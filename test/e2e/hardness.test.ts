// One site under attack and in need, as its administrator and its users meet it: quotas, networks, penalties over a restart,
// an account that goes while it uploads, a disk that is full.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { Person } from '../support/people.ts';
import { missing, run, searchPath, until } from '../support/programs.ts';
import { connectSsh } from '../support/sftp-client.ts';
import { runCommandsHere, Site } from '../support/site.ts';

const timeout = 240_000;
t.setTimeout(2 * timeout);
runCommandsHere();
const skip = missing('sftp', 'sshpass', 'ssh-keygen');
const MB = 1 << 20;
const unsure = [
  ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
  ...['-o', 'LogLevel=ERROR'],
];

/** A small disk of its own where this process may mount one; else an ordinary folder. */
async function smallDisk(): Promise<{ folder: string; isSmall: boolean; end(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-disk-'));
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'none', folder]).catch(
    () => undefined,
  );
  const isSmall = mounted?.code === 0;
  const end = async (): Promise<void> => {
    if (isSmall) await run('umount', ['-l', folder]);
    await rm(folder, { recursive: true, force: true });
  };
  return { folder, isSmall, end };
}

async function people(site: Site, names: readonly string[]): Promise<Person[]> {
  await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
  return Promise.all(
    names.map(async (name) => {
      const person = await Person.make(name);
      t.teardown(() => person.remove());
      return person;
    }),
  );
}

/** Sends slowly, and gives what became of it when it ended. It looks at answers when so many requests are on their way. */
function slowly(site: Site, person: Person, file: string): { done: Promise<string> } {
  const child = spawn(
    'sftp',
    [
      ...[
        '-q',
        '-b',
        '-',
        '-l',
        '8000',
        '-B',
        '32768',
        '-R',
        '8',
        '-P',
        String(site.port),
        '-i',
        person.key,
        ...unsure,
      ],
      `${person.name}@127.0.0.1`,
    ],
    { cwd: person.folder, env: { ...process.env, PATH: searchPath } },
  );
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stdin.end(`put ${file} gpg/\n`);
  return { done: once(child, 'close').then(([code]) => `${String(code)} ${text}`) };
}

const password = (site: Site, name: string, secret: string) =>
  run(
    'sshpass',
    [
      ...['-p', secret, 'sftp', '-q', '-P', String(site.port), '-o', 'PubkeyAuthentication=no'],
      ...['-o', 'NumberOfPasswordPrompts=1', ...unsure, `${name}@127.0.0.1`],
    ],
    { input: 'ls\n' },
  );

/** By ten minutes, while no server runs; answers how many there are that hold. */
function lengthenPenalties(home: string): number {
  const db = new Database(join(home, 'data/state/clubhouse.db'));
  const sql = 'update login_penalty set "endsAt" = "endsAt" + 600000 where enforced = 1';
  const { changes } = db.prepare(sql).run();
  db.close();
  return changes;
}

void t.test('limits of accounts', { skip, timeout }, async (t) => {
  const site = await Site.make('PUHSC', 'workers: 1');
  t.teardown(() => site.remove());
  const [alice, bob, dora] = (await people(site, ['alice', 'bob', 'dora'])) as [
    Person,
    Person,
    Person,
  ];
  for (const person of [alice, bob, dora]) {
    await site.run(['user', 'add', person.name, '--project', 'brain', '--key', person.publicKey]);
  }
  await site.run(['user', 'passwd', 'bob', '--password-stdin'], {
    input: 'correct horse battery\n',
  });
  await site.run(['user', 'set', 'alice', '--quota', '2MB']);
  await site.start();
  const home = (path: string): string => join(site.home, 'data/home/ji_brain', path);
  await alice.file('three', Buffer.alloc(3 * MB, 1));
  await alice.file('one', Buffer.alloc(MB, 1));

  await t.test('the quota is told in words, while writing and at OPEN', async (t) => {
    const full = await alice.sftp(site, ['put three gpg/three']);
    t.not(full.code, 0);
    t.match(full.stderr, /clubhouse: No more room here: .*\(quota of 2 MB reached\)/);
    const kept = (await stat(home('alice/gpg/three'))).size;
    t.ok(kept > MB && kept <= 2 * MB, `${kept} bytes are kept`);
    await alice.does(site, ['rm gpg/three', 'put one gpg/one']);
    await site.run(['user', 'set', 'alice', '--quota', '1MB']);
    const refused = await alice.sftp(site, ['put one gpg/two']);
    t.not(refused.code, 0);
    t.match(refused.stderr, /clubhouse: No more room here: .*\(quota of 1 MB reached\)/);
    await t.rejects(stat(home('alice/gpg/two')));
    await site.run(['user', 'set', 'alice', '--quota', 'none']);
    await site.run(['project', 'set', 'brain', '--quota', '1MB']);
    await until('the project’s quota', async () =>
      (await alice.sftp(site, ['put one gpg/two'])).code === 0 ? undefined : true,
    );
    await site.run(['project', 'set', 'brain', '--quota', 'none']);
    t.match((await site.run(['project', 'show', 'brain'])).stdout.toString(), /profile basic/);
  });

  await t.test('a login from elsewhere looks like any other failure, and is audited', async (t) => {
    await site.run(['user', 'set', 'alice', '--from', '10.0.0.0/8,2001:db8::/32']);
    const elsewhere = await alice.sftp(site, ['ls']);
    t.not(elsewhere.code, 0);
    const strange = await Person.make('alice');
    const other = await strange.sftp(site, ['ls']);
    await strange.remove();
    // OpenSSH's sftp says this or not, as its child ends before or after it looks.
    const [one, two] = [elsewhere, other].map(({ stderr }) =>
      stderr.replace(/Connection closed\s*/, ''),
    );
    t.equal(one, two, 'as with a key of somebody else');
    const audit = await site.json<{ action: string; detail: { reason?: string } }[]>([
      'audit',
      'list',
    ]);
    t.ok(
      audit.some(({ action, detail }) => action === 'login.refused' && detail.reason === 'network'),
    );
    await site.run(['user', 'set', 'alice', '--from', '127.0.0.0/8']);
    await alice.does(site, ['ls']);
    await site.run(['user', 'set', 'alice', '--from', 'any']);
    await site.run([
      'user',
      'key',
      'add',
      'alice',
      '--key',
      alice.publicKey,
      '--from',
      '192.0.2.0/24',
    ]);
    t.not((await alice.sftp(site, ['ls'])).code, 0, 'the key alone is bound');
    await site.run(['user', 'key', 'add', 'alice', '--key', alice.publicKey, '--from', 'any']);
    await alice.does(site, ['ls']);
    await site.run(['user', 'set', 'alice', '--from', '10.1.2.3/8'], { code: 2 });
    await site.run(['user', 'set', 'alice', '--quota', 'much'], { code: 2 });
    await site.run(['user', 'set', 'alice'], { code: 2 });
  });

  await t.test('penalties outlive a restart; unlock takes them back at once', async (t) => {
    const wrong = { port: site.port, username: 'bob', password: 'wrong', readyTimeout: 60_000 };
    const isUnder = async (): Promise<boolean> => {
      const audit = await site.json<{ detail: { reason?: string } }[]>(['audit', 'list']);
      return audit.some(({ detail }) => detail.reason === 'penalty');
    };
    // Three in fifteen seconds, or ten; on a slow machine they are further apart.
    await until('the penalty', async () => {
      await t.rejects(connectSsh(wrong));
      return (await isUnder()) ? true : undefined;
    });
    await site.stop();
    // While it runs no failure counts, so it ends after fifteen seconds: sooner than a busy machine starts again.
    t.equal(lengthenPenalties(site.home), 1, 'it was written down');
    await site.start();
    t.not((await password(site, 'bob', 'correct horse battery')).code, 0, 'after the restart');
    await bob.does(site, ['ls']);
    const shown = await site.json<{ locks: { source: string }[] }>(['user', 'show', 'bob']);
    t.match(shown.locks, [{ source: '127.0.0.1' }]);
    await site.run(['user', 'unlock', 'bob']);
    await until('the server to notice', async () =>
      (await password(site, 'bob', 'correct horse battery')).code === 0 ? true : undefined,
    );
  });

  await t.test(
    'an account that is disabled or removed while it uploads stops at once',
    async (t) => {
      await alice.file('slow', Buffer.alloc(20 * MB, 2));
      await dora.file('slow', Buffer.alloc(20 * MB, 2));
      const uploads = [
        {
          person: alice,
          command: ['user', 'disable', 'alice'],
          upload: slowly(site, alice, 'slow'),
        },
        { person: dora, command: ['user', 'remove', 'dora'], upload: slowly(site, dora, 'slow') },
      ];
      for (const { person, command, upload } of uploads) {
        await until('bytes to arrive', async () =>
          (await stat(home(`${person.name}/gpg/slow`)).catch(() => undefined))?.size
            ? true
            : undefined,
        );
        await site.run(command);
        t.notMatch(await upload.done, /^0 /, command.join(' '));
        t.not((await person.sftp(site, ['ls'])).code, 0);
      }
      t.ok((await stat(home('alice/gpg/slow'))).size < 20 * MB, 'what was sent stays');
      await t.rejects(stat(home('dora')), 'the removed one’s folder has moved');
      await site.run(['user', 'enable', 'alice']);
      await bob.file('after', 'fine');
      await bob.does(site, ['put after gpg/after']);
      await alice.does(site, ['ls']);
    },
  );
});

void t.test('a full disk', { skip, timeout }, async (t) => {
  const disk = await smallDisk();
  t.teardown(() => disk.end());
  if (!disk.isSmall)
    return t.pass('no disk of its own can be mounted here; room.test.ts has a fake one');
  const site = await Site.make('PUHSC', 'workers: 1', disk.folder);
  t.teardown(() => site.stop());
  const [alice, bob] = (await people(site, ['alice', 'bob'])) as [Person, Person];
  for (const person of [alice, bob]) {
    await site.run(['user', 'add', person.name, '--project', 'brain', '--key', person.publicKey]);
  }
  await site.start();
  const path = join(site.home, 'data/home/ji_brain/alice/gpg/large');
  await alice.file('large', Buffer.alloc(30 * MB, 3));
  await bob.file('small', 'fine');

  await t.test('uploads stop before it is, and everything else goes on', async (t) => {
    const stopped = await alice.sftp(site, ['put large gpg/large']);
    t.not(stopped.code, 0);
    t.match(stopped.stderr, /clubhouse: The server keeps its last free space .*; what was sent/);
    t.ok((await stat(path)).size > 5 * MB, 'the partial is kept');
    t.match(await site.log(), /uploads are refused: too little space/);
    await alice.does(site, ['ls -l gpg', 'rm gpg/large']);
    await until('room again', async () =>
      (await bob.sftp(site, ['put small gpg/small'])).code === 0 ? true : undefined,
    );
  });

  await t.test('when somebody else fills it in the middle, the server lives', async (t) => {
    const upload = slowly(site, alice, 'large');
    await until('bytes to arrive', async () =>
      (await stat(path).catch(() => undefined))?.size ? true : undefined,
    );
    const filler = join(disk.folder, 'filler');
    await run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64K']);
    const told = await upload.done;
    t.notMatch(told, /^0 /);
    t.match(told, /clubhouse: The (disk of the server is full|server keeps its last free space)/);
    t.ok((await stat(path)).size > 0, 'the partial is kept');
    await rm(filler);
    await until('the server to go on', async () =>
      (await bob.sftp(site, ['put small gpg/again'])).code === 0 ? true : undefined,
    );
    const small = await readFile(join(site.home, 'data/home/ji_brain/bob/gpg/again'));
    t.equal(small.toString(), 'fine');
  });
  return undefined;
});
