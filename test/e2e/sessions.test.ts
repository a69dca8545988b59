// A session lasts as long as what opened it would open another one: whatever an administrator takes back while somebody
// uploads, the client hears why, nothing more is written, and the connection ends.

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { connectSsh, openSftp, until, type RawClient } from '../support/sftp-client.ts';
import { makeKey } from '../support/sftp-server.ts';
import { runCommandsHere, Site } from '../support/site.ts';

t.setTimeout(180_000);
runCommandsHere();
const site = await Site.make('PUHSC', 'workers: 1\nintake: { settle: 300ms }');
t.teardown(() => site.remove());
await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
await site.run(['project', 'add', 'heart']);
await site.start();

const secret = 'correct horse battery';
const disk = (path: string): string => join(site.home, 'data', path);

interface Visitor {
  readonly name: string;
  readonly fingerprint: string;
  /** The public key's file. */
  readonly keyFile: string;
  login(): Promise<RawClient>;
}

async function visitor(name: string, withPassword = false): Promise<Visitor> {
  const key = makeKey();
  const digest = createHash('sha256').update(key.blob).digest('base64').replace(/=+$/, '');
  const keyFile = join(site.home, `${digest.replaceAll(/\W/g, '')}.pub`);
  await writeFile(keyFile, `${key.publicLine}\n`);
  const how = withPassword ? { password: secret } : { privateKey: key.privateKey };
  return {
    name,
    keyFile,
    fingerprint: `SHA256:${digest}`,
    login: async () => openSftp(await connectSsh({ port: site.port, username: name, ...how })),
  };
}

async function member(name: string, withPassword = false): Promise<Visitor> {
  const one = await visitor(name, withPassword);
  const projects = ['--project', 'brain', '--project', 'heart'];
  await site.run(['user', 'add', name, ...projects, '--key', one.keyFile]);
  if (withPassword) {
    await site.run(['user', 'passwd', name, '--password-stdin'], { input: `${secret}\n` });
  }
  return one;
}

interface Case {
  readonly what: string;
  readonly name: string;
  readonly byPassword?: true;
  readonly command: (who: Visitor) => readonly string[];
  readonly input?: string;
  /** What the client hears. */
  readonly says: RegExp;
}

const cases: readonly Case[] = [
  {
    what: 'a disabled account',
    name: 'dora',
    command: ({ name }) => ['user', 'disable', name],
    says: /This login does not hold any more.*\(the account is disabled\)/,
  },
  {
    what: 'a removed account',
    name: 'rosa',
    command: ({ name }) => ['user', 'remove', name],
    says: /\(the account was removed\)/,
  },
  {
    what: 'an end that is moved into the past',
    name: 'eva',
    command: ({ name }) => ['user', 'set', name, '--expires', '2020-01-31'],
    says: /This account has ended.*\(account expired on 2020-01-31\)/,
  },
  {
    what: 'an account that is bound to other networks',
    name: 'nina',
    command: ({ name }) => ['user', 'set', name, '--from', '192.0.2.0/24'],
    says: /\(it may not be used from this network\)/,
  },
  {
    what: 'a key that is bound to other networks',
    name: 'klara',
    command: ({ name, keyFile }) => {
      return ['user', 'key', 'add', name, '--key', keyFile, '--from', '192.0.2.0/24'];
    },
    says: /\(it may not be used from this network\)/,
  },
  {
    what: 'a key that is taken away',
    name: 'kim',
    command: ({ name, fingerprint }) => {
      return ['user', 'key', 'remove', name, '--fingerprint', fingerprint];
    },
    says: /\(its key was taken away\)/,
  },
  {
    what: 'a password that is changed',
    name: 'paul',
    byPassword: true,
    command: ({ name }) => ['user', 'passwd', name, '--password-stdin'],
    input: 'another horse battery\n',
    says: /\(its password was changed\)/,
  },
];

interface Told {
  readonly begun: string;
  /** Answers to what was asked after that, by request. */
  readonly answers: Readonly<Record<string, string>>;
  readonly kept: string;
  readonly isSecondThere: boolean;
}

/** Opens an upload, lets `take` take something back, and gives what the client and the disk have of it. */
async function uploadUntil(
  client: RawClient,
  [path, file]: readonly [string, string],
  { says, take }: { readonly says: RegExp; readonly take: () => Promise<unknown> },
): Promise<Told> {
  const handle = await client.open(path, 0x1a);
  const begun = await client.write(handle, 0, Buffer.from('first'));
  await take();
  let stat = '';
  await until(async () => says.test((stat = await asked(client, fxp.STAT, '.'))));
  const write = await asked(client, fxp.WRITE, handle, 5n, Buffer.from('later'));
  const open = await asked(client, fxp.OPEN, `${path}-2`, 0x1a, 0);
  const read = await asked(client, fxp.READ, handle, 0n, 5);
  const again = await openSftp(client.ssh).catch(() => undefined);
  const opendir = again === undefined ? {} : { opendir: await asked(again, fxp.OPENDIR, '/home') };
  await client.gone;
  const kept = await readFile(file, 'utf8');
  const isSecondThere = await readFile(`${file}-2`).then(
    () => true,
    () => false,
  );
  return { begun, answers: { stat, write, open, read, ...opendir }, kept, isSecondThere };
}

function expectEnd(t: Test, { begun, answers, kept, isSecondThere }: Told, says: RegExp): void {
  t.equal(begun, 'OK');
  for (const [request, answer] of Object.entries(answers)) t.match(answer, says, request);
  t.equal(kept, 'first', 'what was sent before is kept, and no more');
  t.notOk(isSecondThere);
}

const asked = (client: RawClient, ...request: Parameters<RawClient['status']>): Promise<string> =>
  client.status(...request).catch((error: Error) => error.message);

const somebody = await member('sam');

interface Ended extends Told {
  readonly getsInAgain: boolean;
  /** What became of somebody else's upload afterwards. */
  readonly others: string;
}

async function ended({ what, name, byPassword, command, input, says }: Case): Promise<Ended> {
  const who = await member(name, byPassword);
  const client = await who.login();
  const { id } = await site.json<{ id: string }>(['user', 'show', name]);
  const at = what.includes('removed')
    ? `removed/${id}/ji_brain/gpg/up.dcm`
    : `home/ji_brain/${name}/gpg/up.dcm`;
  const told = await uploadUntil(client, [`/home/ji_brain/${name}/gpg/up.dcm`, disk(at)], {
    says,
    take: () => site.run(command(who), input === undefined ? {} : { input }),
  });
  const getsInAgain = await who.login().then(
    () => true,
    () => false,
  );
  const sam = await somebody.login();
  const others = await sam.put(`/home/ji_brain/sam/gpg/after-${name}`, 'fine');
  sam.end();
  return { ...told, getsInAgain, others };
}

// Each waits two seconds for the goodbye, so they wait together. Nothing is printed meanwhile: commands run here (see `here`).
const ends = await Promise.all(cases.map(ended));
for (const [index, { what, says }] of cases.entries()) {
  await t.test(`${what} ends its session with a sentence`, async (t) => {
    const end = ends[index] as Ended;
    expectEnd(t, end, says);
    t.notOk(end.getsInAgain);
    t.equal(end.others, 'OK', 'somebody else uploads');
  });
}

await t.test("what a partner's key loses ends the replicator's session", async (t) => {
  const incoming = '/home/ji_brain/club_house/From_UMHS_To_PUHSC';
  const [first, second] = [await visitor('UMHS'), await visitor('UMHS')];
  for (const { keyFile, says, take, who } of [
    {
      who: first,
      keyFile: first.keyFile,
      says: /\(it may not be used from this network\)/,
      take: ['partner', 'accept', 'UMHS', '--key', first.keyFile, '--from', '192.0.2.0/24'],
    },
    {
      who: second,
      keyFile: second.keyFile,
      says: /\(the account was removed\)/,
      take: ['partner', 'remove', 'UMHS'],
    },
  ]) {
    await site.run(['partner', 'accept', 'UMHS', '--key', keyFile]);
    const client = await who.login();
    const path = `${incoming}/${who.fingerprint.replaceAll(/\W/g, '')}`;
    const told = await uploadUntil(client, [path, disk(path)], {
      says,
      take: () => site.run(take),
    });
    expectEnd(t, told, says);
    await t.rejects(who.login());
  }
});

await t.test("a partner's key that is taken back ends its own sessions alone", async (t) => {
  const incoming = '/home/ji_brain/club_house/From_UMHS_To_PUHSC';
  const [old, renewed] = [await visitor('UMHS'), await visitor('UMHS')];
  for (const { keyFile } of [old, renewed]) {
    await site.run(['partner', 'accept', 'UMHS', '--key', keyFile]);
  }
  const stays = await renewed.login();
  const handle = await stays.open(`${incoming}/stays`, 0x1a);
  const path = `${incoming}/goes`;
  const says = /\(its key was taken away\)/;
  const take = () => site.run(['partner', 'accept', 'UMHS', '--remove', old.fingerprint]);
  expectEnd(t, await uploadUntil(await old.login(), [path, disk(path)], { says, take }), says);
  await t.rejects(old.login());
  t.equal(await stays.write(handle, 0, Buffer.from('fine')), 'OK');
  t.equal(await stays.close(handle), 'OK');
  stays.end();
});

await t.test(
  'who is taken out of one project loses that one alone, and nothing sent',
  async (t) => {
    const lea = await member('lea');
    const client = await lea.login();
    const folder = '/home/ji_brain/lea/gpg';
    t.equal(await client.put(`${folder}/sent.txt`, 'whole'), 'OK');
    const [lost, kept] = [`${folder}/up.dcm`, '/home/ji_heart/lea/up.txt'];
    const [losing, keeping] = [await client.open(lost, 0x1a), await client.open(kept, 0x1a)];
    t.equal(await client.write(losing, 0, Buffer.from('first')), 'OK');
    await site.run(['user', 'set', 'lea', '--remove-project', 'brain']);
    t.ok(await until(async () => (await client.list('/home')).join() === 'ji_heart'));
    t.match(await client.status(fxp.STAT, `${folder}/sent.txt`), /^NO_SUCH_FILE/);
    t.match(await client.write(losing, 5, Buffer.from('later')), /^FAILURE: The file handle/);
    t.match(await client.status(fxp.OPEN, `${lost}-2`, 0x1a, 0), /^NO_SUCH_FILE/);
    t.equal(await client.write(keeping, 0, Buffer.from('fine')), 'OK');
    t.equal(await client.close(keeping), 'OK');
    t.equal(await readFile(disk(lost.slice(1)), 'utf8'), 'first', 'no more than came before');

    // What was answered with OK is taken as ever; here it waits for a recipient's key.
    const states = async (): Promise<Record<string, string>> => {
      const jobs = await site.json<{ upload: string; state: string }[]>([
        ...['job', 'list', '--member', 'lea', '--project', 'brain'],
      ]);
      return Object.fromEntries(jobs.map(({ upload, state }) => [upload, state]));
    };
    t.ok(
      await until(async () => (await states())[`${folder}/sent.txt`] === 'waiting', 60_000),
      JSON.stringify(await states()),
    );
    t.equal((await states())[lost], 'partial');

    await site.run(['user', 'add', 'lea', '--project', 'brain']);
    t.ok(await until(async () => (await client.list('/home')).length === 2));
    t.equal((await client.list(folder)).sort().join(), 'sent.txt,up.dcm', 'its own folder again');
    client.end();
  },
);

await t.test('an archived project goes out of a live session, the others stay', async (t) => {
  const client = await somebody.login();
  const [gone, stays] = ['/home/ji_heart/sam/gpg/up.dcm', '/home/ji_brain/sam/gpg/up.dcm'];
  const [lost, kept] = [await client.open(gone, 0x1a), await client.open(stays, 0x1a)];
  t.equal(await client.write(lost, 0, Buffer.from('first')), 'OK');
  await site.run(['project', 'archive', 'heart']);
  t.ok(await until(async () => (await client.list('/home')).join() === 'ji_brain'));
  t.match(await client.status(fxp.STAT, gone), /^NO_SUCH_FILE/);
  t.match(await client.write(lost, 5, Buffer.from('later')), /^FAILURE: The file handle/);
  t.match(await client.status(fxp.OPEN, `${gone}-2`, 0x1a, 0), /^NO_SUCH_FILE/);
  t.equal(await client.write(kept, 0, Buffer.from('fine')), 'OK');
  t.equal(await client.close(kept), 'OK');
  client.end();
  t.equal(await readFile(disk(gone.slice(1)), 'utf8'), 'first');
  await t.rejects(readFile(disk(`${gone.slice(1)}-2`)));
});

await t.test('an end that comes by itself is told as well', async (t) => {
  const client = await somebody.login();
  const soon = new Date(Date.now() + 1500).toISOString();
  const file = ['/home/ji_brain/sam/gpg/last.dcm', disk('home/ji_brain/sam/gpg/last.dcm')] as const;
  await site.run(['user', 'set', 'sam', '--expires', soon]);
  const says = /This account has ended.*\(account expired on \d{4}-\d{2}-\d{2}\)/;
  expectEnd(t, await uploadUntil(client, file, { says, take: async () => undefined }), says);
});
