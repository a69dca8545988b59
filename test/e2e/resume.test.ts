// Uploads that a crash of the server cut in half, resumed by every kind of client after it is back: the bytes are whole, and
// each was worked on once. And what clients with the server's own words say when it refuses.

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openFlag, packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { corePrograms, type Login, type Op } from '../support/client-programs.ts';
import { filesBelow } from '../support/exchange.ts';
import { KeyRing, Person } from '../support/people.ts';
import { missing } from '../support/programs.ts';
import { connectSsh, openSftp, type RawClient } from '../support/sftp-client.ts';
import { runCommandsHere, Site } from '../support/site.ts';

const timeout = 240_000;
t.setTimeout(2 * timeout);
runCommandsHere();
const skip = missing('sftp', 'ssh-keygen', 'gpg');
const gpg = '/home/ji_brain/alice/gpg';
const op = (what: Op['do'], from: string, to: string): Op => ({ do: what, from, to });
/** Those that show what a server says; curl of Debian 12 and sshfs show nothing of it. */
const speaking = corePrograms.filter(
  (program) => program.name !== 'curl' && program.missing() === false,
);

interface ByHand {
  /** Behind the name while it uploads. */
  readonly suffix: string;
  resume(t: Test, client: RawClient, path: string, whole: Uint8Array, from: number): Promise<void>;
}

/** What the programs with windows send when a person asks them to resume. */
const byHand: Readonly<Record<string, ByHand>> = {
  FileZilla: {
    suffix: '',
    resume: async (t, client, path, whole, from) => {
      t.equal(await client.size(path), from);
      await sendRest(t, client, path, whole, from);
      t.equal(await client.status(fxp.SETSTAT, path, 8, 1000, 2000), 'OK');
    },
  },
  WinSCP: {
    suffix: '.filepart',
    resume: async (t, client, path, whole, from) => {
      t.match(await client.status(fxp.STAT, path), /^NO_SUCH_FILE/);
      t.equal(await client.size(`${path}.filepart`), from);
      await sendRest(t, client, `${path}.filepart`, whole, from);
      t.equal(await client.status(fxp.RENAME, `${path}.filepart`, path), 'OK');
      t.equal(await client.status(fxp.SETSTAT, path, 8, 1000, 2000), 'OK');
    },
  },
};

/** Neither TRUNC nor CREAT: from the offset on. */
async function sendRest(
  t: Test,
  client: RawClient,
  path: string,
  whole: Uint8Array,
  from: number,
): Promise<void> {
  const handle = await client.open(path, openFlag.WRITE);
  for (let at = from; at < whole.length; at += 200_000) {
    t.equal(await client.write(handle, at, Buffer.from(whole.subarray(at, at + 200_000))), 'OK');
  }
  t.equal(await client.close(handle), 'OK');
}

void t.test('a site with one sender', { skip, timeout }, async (t) => {
  const site = await Site.make('PUHSC', 'workers: 1\nintake: { settle: 100ms }');
  t.teardown(() => site.remove());
  const alice = await Person.make('alice');
  t.teardown(() => alice.remove());
  await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
  await site.run(['user', 'add', 'alice', '--project', 'brain', '--key', alice.publicKey]);
  const ring = await KeyRing.make();
  t.teardown(() => ring.remove());
  const { fingerprint, file } = await ring.generate('Bob <bob@umhs.example>');
  const receiver = ['--project', 'brain', '--partner', 'UMHS', '--key', file];
  await site.run(['recipient', 'add', ...receiver, '--fingerprint', fingerprint]);
  const work = await mkdtemp(join(tmpdir(), 'clubhouse-resume-'));
  t.teardown(() => rm(work, { recursive: true, force: true }));
  const host = '127.0.0.1';
  const login: Login = { host, port: site.port, user: 'alice', keyFile: alice.key, work };
  const there = (name: string): string => join(site.home, 'data/home/ji_brain/alice/gpg', name);
  const whole = randomBytes(1_200_000);
  const half = whole.subarray(0, 600_000);
  await writeFile(join(work, 'whole'), whole);
  await site.start();

  const programs = corePrograms.filter(
    (program) => program.missing() === false && program.cannot['resume put'] === undefined,
  );
  for (const [signal, what] of [
    ['SIGKILL', 'a crash'],
    ['SIGTERM', 'a restart'],
  ] as const) {
    await t.test(`each client resumes over ${what}, and each upload is one job`, async (t) => {
      const nameOf = (kind: string): string =>
        `${kind.replaceAll(' ', '-')}-${signal.toLowerCase()}.bin`;
      const kinds = [...programs.map(({ name }) => name), ...Object.keys(byHand)];
      const cutter = await connectTo(site, alice);
      for (const kind of kinds) {
        const begun = nameOf(kind) + (byHand[kind]?.suffix ?? '');
        const handle = await cutter.open(`${gpg}/${begun}`, 0x1a);
        for (let at = 0; at < half.length; at += 200_000) {
          t.equal(await cutter.write(handle, at, half.subarray(at, at + 200_000)), 'OK');
        }
      }
      await site.stop(signal);
      cutter.cut();
      await site.start();
      for (const program of programs) {
        const name = nameOf(program.name);
        t.equal((await stat(there(name))).size, half.length, `${name} is cut at half`);
        const ops = [op('resume put', 'whole', `${gpg}/${name}`)];
        if (program.cannot['resume get'] === undefined) {
          await writeFile(join(work, `${name}.back`), half);
          ops.push(op('resume get', `${gpg}/${name}`, `${name}.back`));
        }
        const done = await program.run(login, ops);
        t.equal(done.code, 0, done.code === 0 ? `${name} is resumed` : done.stderr);
        if (ops.length > 1) {
          const back = await readFile(join(work, `${name}.back`));
          t.equal(digest(back), digest(whole), `${program.name}: the download too`);
        }
      }
      const hand = await connectTo(site, alice);
      for (const [kind, one] of Object.entries(byHand)) {
        await one.resume(t, hand, `${gpg}/${nameOf(kind)}`, whole, half.length);
      }
      hand.end();
      const names = kinds.map((kind) => `${gpg}/${nameOf(kind)}`);
      const jobs = await site.settled(['held'], names.length, ({ upload }) =>
        upload.includes(signal.toLowerCase()),
      );
      t.same(jobs.map(({ upload }) => upload).sort(), names.sort(), 'each upload is one job');
      for (const kind of kinds) {
        t.equal(digest(await readFile(there(nameOf(kind)))), digest(whole), `${kind}: whole`);
      }
    });
  }

  await t.test('what is refused is told in the server’s words', async (t) => {
    const outgoing = '/home/ji_brain/club_house/From_PUHSC_To_UMHS';
    const cases: readonly (readonly [to: string, says: RegExp])[] = [
      [
        '/home/ji_brain/club_house/From_UMHS_To_PUHSC/x',
        /Only Clubhouse or the partner changes what is here/,
      ],
      [`${outgoing}/gpg-alice`, /Only Clubhouse or the partner changes what is here/],
      // Some put the file's name behind it by themselves.
      [gpg, /This is a folder; a file needs a name of its own in it|No more room/],
      [`${gpg}/more`, /No more room here: remove files .*\(.*1 ?MB.*\)/],
    ];
    await site.run(['user', 'set', 'alice', '--quota', '1MB']);
    // Receipts follow in their own time.
    const disk = async (): Promise<readonly string[]> =>
      (await filesBelow(join(site.home, 'data/home'))).filter((path) => !/\/receipts\//.test(path));
    const before = await disk();
    for (const program of speaking) {
      for (const [to, says] of cases) {
        const refused = await program.run(login, [op('put', 'whole', to)]);
        t.not(refused.code, 0, `${program.name} ${to}`);
        t.same(await disk(), before, 'the disk is as it was');
        // rclone has words of its own for all but one.
        if (program.name === 'rclone' && !says.source.startsWith('No more')) continue;
        t.match(`${refused.stderr}${refused.stdout.toString()}`, says, program.name);
      }
    }
  });

  await t.test('an account that is ended loses its session, and gets no other', async (t) => {
    const client = await connectTo(site, alice);
    await site.run(['user', 'set', 'alice', '--expires', '2026-01-01']);
    await client.gone;
    for (const program of speaking) {
      const refused = await program.run(login, [op('put', 'whole', `${gpg}/late`)]);
      t.not(refused.code, 0, program.name);
      // paramiko tells its log alone.
      if (program.name === 'paramiko') continue;
      t.match(refused.stderr, /This account has ended.*\(account expired on 2026-01-01\)/);
    }
    await t.rejects(stat(there('late')));
  });
});

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function connectTo(site: Site, { name, key }: Person): Promise<RawClient> {
  const privateKey = await readFile(key);
  return openSftp(await connectSsh({ port: site.port, username: name, privateKey }));
}
