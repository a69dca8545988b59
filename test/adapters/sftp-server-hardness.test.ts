// What a port on the internet must stand, as real programs see it: ssh-audit's verdict, new keys in the middle of a transfer,
// OpenSSH's client with every switch for what is not offered, the other way of asking for a password, penalties that a
// restart does not forgive, refusals that are counted.

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { createPenalties } from '../../src/adapters/sftp-server/penalties.ts';
import { createRefusals } from '../../src/adapters/sftp-server/refusals.ts';
import type { Penalty, PenaltyStore } from '../../src/flow/ports/penalties.ts';
import { missing, run } from '../support/programs.ts';
import { connect, connectSsh, openSftp, until } from '../support/sftp-client.ts';
import { fakeAccounts, fakeLog, makeUsers, startServer } from '../support/sftp-server.ts';
import { attacker, servesOthers } from '../support/ssh-messages.ts';

const server = await startServer({ rekeyBytes: 4 << 20, refusalMs: 20 });
t.teardown(() => server.close());
const { users, accounts, log } = server;
const port = String(server.port);
const keyFile = await server.keyFile('alice');
const work = join(server.root, 'work');
mkdirSync(work);
const own = join(server.home, 'ji_brain/alice');
const options = [
  ...['-o', 'StrictHostKeyChecking=no', '-o', `UserKnownHostsFile=${join(work, 'known')}`],
  ...['-o', 'IdentitiesOnly=yes', '-i', keyFile],
];

interface Audit {
  readonly recommendations?: Readonly<Record<string, unknown>>;
  readonly cves?: readonly unknown[];
  readonly kex: readonly { readonly algorithm: string }[];
}

void t.test(
  'ssh-audit finds nothing that could be better',
  { skip: missing('ssh-audit') },
  async (t) => {
    const json = await run('ssh-audit', ['-j', '-p', port, '127.0.0.1'], { timeoutMs: 120_000 });
    const audit = JSON.parse(json.stdout.toString()) as Audit;
    t.same(audit.cves ?? [], []);
    const { critical, warning } = audit.recommendations ?? {};
    t.same([critical, warning], [undefined, undefined]);
    t.ok(audit.kex.some(({ algorithm }) => algorithm === 'kex-strict-s-v00@openssh.com'));
    const text = await run('ssh-audit', ['-n', '-l', 'warn', '-p', port, '127.0.0.1'], {
      timeoutMs: 120_000,
    });
    // Debian 12's does not know the name by which a server says that it is strict.
    const found = text.stdout.toString().split('\n');
    const lines = found.filter(
      (line) => /\[(fail|warn)\]/.test(line) && !/kex-strict-s/.test(line),
    );
    t.same(lines, []);
  },
);

const needsSftp = missing('sftp', 'ssh');

void t.test(
  'new keys are agreed on in the middle of a transfer, by bytes',
  { skip: needsSftp },
  async (t) => {
    const bytes = randomBytes(24 << 20);
    writeFileSync(join(work, 'big'), bytes);
    for (const cipher of ['aes128-gcm@openssh.com', 'aes256-ctr']) {
      const done = await run(
        'sftp',
        ['-v', '-b', '-', '-c', cipher, '-P', port, ...options, 'alice@127.0.0.1'],
        { cwd: work, input: 'put big gpg/big\nget gpg/big back\n' },
      );
      t.equal(done.code, 0, done.stderr);
      const exchanges = done.stderr.split('SSH2_MSG_NEWKEYS received').length - 1;
      t.ok(exchanges > 5, `${cipher}: ${exchanges} exchanges`);
      t.ok(readFileSync(join(own, 'gpg/big')).equals(bytes), 'the upload is whole');
      t.ok(readFileSync(join(work, 'back')).equals(bytes), 'the download is whole');
    }
  },
);

void t.test(
  'new keys are agreed on after a while, and who does not answer has to go',
  async (t) => {
    const quick = await startServer({ rekeyMs: 50, loginGraceMs: 700 });
    const alice = await connect(quick, 'alice');
    let exchanges = 0;
    alice.ssh.on('handshake', () => (exchanges += 1));
    t.ok(await until(async () => typeof (await alice.size('.')) === 'number' && exchanges >= 3));
    alice.end();
    const mute = await connect(quick, 'bob');
    // ssh2's client would answer; one that drops every packet of an exchange does not.
    const inner = mute.ssh as unknown as { _protocol: { _onPayload?: unknown; parse: unknown } };
    inner._protocol.parse = () => undefined;
    const socket = (mute.ssh as unknown as { _sock: { readonly destroyed: boolean } })._sock;
    t.ok(await until(() => socket.destroyed, 10_000));
    await quick.close();
  },
);

/** Each with what the client must be told, or the same as nothing at all. */
const switches: readonly (readonly [string, readonly string[]])[] = [
  ['a command', ['id']],
  ['a shell', []],
  ['a shell with a terminal', ['-tt']],
  ['an agent', ['-A', 'id']],
  ['X11', ['-X', '-o', 'ForwardX11Timeout=0', 'id']],
  ['the environment', ['-o', 'SendEnv=CH_PROBE', '-o', 'SetEnv=CH_OTHER=1', 'id']],
  ['another subsystem', ['-s', 'netconf']],
  ['a port there', ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', '0:127.0.0.1:9']],
  ['a proxy there', ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', '0']],
  ['a socket there', ['-N', '-o', 'ExitOnForwardFailure=yes', '-R', '/tmp/ch-probe:127.0.0.1:9']],
  ['input and output to a port', ['-W', '127.0.0.1:9']],
  ['a tunnel', ['-N', '-o', 'ExitOnForwardFailure=yes', '-w', 'any']],
];

for (const [what, more] of switches) {
  void t.test(`OpenSSH's client does not get ${what}`, { skip: needsSftp }, async (t) => {
    const before = readdirSync(work).length;
    const at = more.findIndex((one) => !one.startsWith('-') && one === 'id');
    const [flags, command] = at < 0 ? [more, []] : [more.slice(0, at), more.slice(at)];
    const target = more[0] === '-s' ? ['-s', 'alice@127.0.0.1', 'netconf'] : undefined;
    const done = await run(
      'ssh',
      [
        '-b',
        attacker,
        '-p',
        port,
        ...options,
        ...(target ?? [...flags, 'alice@127.0.0.1', ...command]),
      ],
      { cwd: work, env: { CH_PROBE: '1', DISPLAY: '127.0.0.1:99' }, timeoutMs: 20_000 },
    );
    t.not(done.code, 0, done.stderr);
    t.not(done.code, -1, 'it does not hang');
    t.notMatch(done.stdout.toString(), /uid=|root|CH_/);
    t.equal(readdirSync(work).length, before);
    await servesOthers(t, server);
  });
}

void t.test('a local forwarding leads nowhere', { skip: needsSftp }, async (t) => {
  const client = await connectSsh({
    port: server.port,
    localAddress: attacker,
    username: 'alice',
    privateKey: keyOf('alice'),
  });
  const refused = await new Promise<string>((resolve) => {
    client.forwardOut('127.0.0.1', 1, '127.0.0.1', server.port, (error) => resolve(String(error)));
  });
  t.match(refused, /open failure/);
  client.end();
  await servesOthers(t, server);
});

function keyOf(name: string): string {
  return users.get(name)?.key.privateKey ?? '';
}

void t.test('a password may be asked for in the other way, with the same penalties', async (t) => {
  const port = server.port;
  const login = (username: string, answers: readonly string[]): Promise<ssh2.Client> =>
    connectSsh2(port, username, answers);
  const client = await login('bob', ['secret of bob']);
  const sftp = await openSftp(client);
  t.same(await sftp.list('.'), ['ji_brain', 'ji_heart']);
  client.end();
  await t.rejects(login('bob', ['wrong']));
  await t.rejects(login('bob', []), 'no answer');
  await t.rejects(login('bob', ['secret of bob', 'another']), 'two answers');
  await t.rejects(login('nobody', ['secret of bob']));
  await t.rejects(login('bob', ['secret of bob']), 'under a penalty now');
  await t.rejects(connectSsh({ port, username: 'bob', password: 'secret of bob' }), 'the same one');
  t.equal(accounts.logins.at(-1)?.accepted, false);
  const byKey = await connectSsh({ port, username: 'bob', privateKey: keyOf('bob') });
  byKey.end();
});

/** Logs in by keyboard-interactive alone. */
function connectSsh2(
  port: number,
  username: string,
  answers: readonly string[],
): Promise<ssh2.Client> {
  return new Promise((resolve, reject) => {
    const client = new ssh2.Client();
    client.on('ready', () => resolve(client));
    client.on('error', reject);
    let hasTried = false;
    client.connect({
      host: '127.0.0.1',
      port,
      username,
      tryKeyboard: true,
      authHandler: (_left, _partial, next) => {
        if (hasTried) return next(false as never);
        hasTried = true;
        next({
          type: 'keyboard-interactive',
          username,
          prompt: (_name, _text, _lang, _prompts, finish) => finish([...answers]),
        });
      },
    });
  });
}

void t.test(
  'a transfer so slow that one packet takes longer than the idle limit goes on',
  async (t) => {
    const strict = await startServer({ idleMs: 400, loginGraceMs: 400 });
    const alice = await connect(strict, 'alice');
    const handle = await alice.open('gpg/slow.dcm', 0x1a);
    const packet = encode(fxp.WRITE, 77, handle, 0n, Buffer.alloc(2000, 1));
    for (let at = 0; at < packet.length; at += 100) {
      alice.raw(packet.subarray(at, at + 100));
      await until(() => false, 80);
    }
    t.equal(await alice.close(handle), 'OK');
    t.equal(await alice.size('gpg/slow.dcm'), 2000);
    await alice.gone;
    t.pass('and when nothing comes any more it ends');
    await strict.close();
  },
);

void t.test('a session whose account expires hears why, and ends', async (t) => {
  const user = users.get('alice');
  if (user === undefined) return t.fail();
  const before = user.principal;
  const alice = await connect(server, 'alice');
  const handle = await alice.open('gpg/unfinished.dcm', 0x1a);
  const expiresAt = Date.UTC(2026, 0, 31, 23, 59);
  user.principal = { ...before, expiresAt } as typeof before;
  accounts.changed();
  const says = /^PERMISSION_DENIED: This account has ended.*\(account expired on 2026-01-31\)$/;
  t.ok(await until(async () => says.test(await alice.status(fxp.STAT, '.'))));
  t.match(await alice.write(handle, 0, Buffer.from('x')), says);
  user.isDisabled = true;
  accounts.changed();
  await alice.gone;
  t.equal(readFileSync(join(own, 'gpg/unfinished.dcm')).length, 0);
  user.principal = before;
  user.isDisabled = false;
  accounts.changed();
  return undefined;
});

/** Rows in memory; counts the writes. */
function memoryStore(
  now: () => number = () => 0,
): PenaltyStore & { rows: Map<string, Penalty>; writes: number } {
  const rows = new Map<string, Penalty>();
  const forgiven = new Map<string, number>();
  const store = {
    rows,
    writes: 0,
    who: (name: string) => `hash of ${name}`,
    load: async (after: number) => [...rows.values()].filter(({ endsAt }) => endsAt > after),
    save: async (
      changed: readonly Penalty[],
      over: readonly Pick<Penalty, 'source' | 'who'>[],
      before: number,
    ) => {
      store.writes += 1;
      for (const row of changed) rows.set(`${row.source} ${row.who}`, row);
      for (const { source, who } of over) rows.delete(`${source} ${who}`);
      for (const [key, { endsAt }] of rows) if (endsAt < before) rows.delete(key);
    },
    of: async () => [],
    forget: async (name: string) => {
      for (const [key, { who }] of rows) if (who === `hash of ${name}`) rows.delete(key);
      forgiven.set(`hash of ${name}`, now());
    },
    forgiven: async (after: number) =>
      [...forgiven].flatMap(([who, at]) => (at > after ? [{ who, at }] : [])),
  };
  return store;
}

void t.test('a restart does not forgive, a command does, and a storm writes little', async (t) => {
  let now = 0;
  const store = memoryStore();
  const first = createPenalties(() => now, store);
  for (let count = 0; count < 3; count += 1) first.failed('a', 'alice');
  for (let count = 0; count < 2; count += 1) first.failed('a', 'bob');
  for (let count = 0; count < 50_000; count += 1) first.failed('a', `guess ${count}`);
  for (let count = 0; count < 3; count += 1) first.failed('b', 'alice');
  await Promise.all([first.save(), first.save(), first.save()]);
  t.equal(store.writes, 1, 'only what is enforced, once');
  t.equal(store.rows.size, 1, 'the flood of names pushed out its own oldest');
  const second = createPenalties(() => now, store);
  await second.reload();
  t.ok(second.isUnder('b', 'alice'), 'after a restart');
  t.notOk(second.isUnder('b', 'bob'));
  await store.forget('alice');
  await second.reload();
  t.notOk(second.isUnder('b', 'alice'), 'user unlock');
  for (let count = 0; count < 12; count += 1) second.failed('c', 'carol');
  await second.save();
  const writes = store.writes;
  await second.save();
  t.equal(store.writes, writes, 'nothing new, no write');
  now += 300_000;
  t.notOk(second.isUnder('c', 'carol'));
  second.failed('c', 'carol');
  t.ok(second.isUnder('c', 'carol'), 'who goes on guessing is not given three more tries');
  now += 2 * 3_600_000;
  second.failed('c', 'carol');
  t.notOk(second.isUnder('c', 'carol'), 'after an hour of quiet all is forgotten');
  second.forgive('c', 'carol');
  await second.save();
  t.equal(store.rows.size, 0, 'a right login takes its row away');
});

void t.test('a command takes back what the server has not written down yet', async (t) => {
  let now = 1_000;
  const store = memoryStore(() => now);
  const penalties = createPenalties(() => now, store);
  for (let count = 0; count < 3; count += 1) penalties.failed('a', 'alice');
  for (let count = 0; count < 3; count += 1) penalties.failed('a', 'bob');
  await store.forget('alice');
  // The server writes before it notices.
  await penalties.save();
  await penalties.reload();
  t.notOk(penalties.isUnder('a', 'alice'), 'user unlock');
  t.ok(penalties.isUnder('a', 'bob'));
  await penalties.save();
  t.same([...store.rows.keys()], ['a hash of bob'], 'nothing comes back after a restart');
  now += 1;
  for (let count = 0; count < 3; count += 1) penalties.failed('a', 'alice');
  await penalties.reload();
  t.ok(penalties.isUnder('a', 'alice'), 'what came after counts');
});

void t.test('what is refused in masses is one line and one entry for each kind', async (t) => {
  const accounts = fakeAccounts(makeUsers());
  const log = fakeLog();
  const refusals = createRefusals({ accounts, log });
  for (let count = 0; count < 5000; count += 1) refusals.note('startups', `192.0.2.${count % 9}`);
  for (let count = 0; count < 3; count += 1) refusals.note('grace', '198.51.100.1');
  await refusals.tell();
  await refusals.tell();
  t.same(accounts.refusals, ['startups 5000', 'grace 3']);
  t.equal(log.lines.filter((line) => line.startsWith('warn')).length, 2);
});

void t.test('the server counts what it refuses, and does not list it', async (t) => {
  const busy = await startServer({ refusalsEveryMs: 50, channels: 1, loginGraceMs: 1500 });
  const alice = await connect(busy, 'alice');
  await t.rejects(openSftp(alice.ssh), 'a second session');
  await new Promise((resolve) => alice.ssh.exec('id', resolve));
  alice.end();
  const bob = await connect(busy, 'bob');
  bob.raw(Buffer.from('ffffffff00', 'hex'));
  await bob.gone;
  const socket = new (await import('node:net')).Socket();
  socket.on('error', () => undefined);
  socket.connect(busy.port, '127.0.0.1');
  const kinds = (): string[] => busy.accounts.refusals.map((one) => one.split(' ')[0] ?? '');
  t.ok(
    await until(() => ['channels', 'malformed', 'grace'].every((kind) => kinds().includes(kind))),
  );
  socket.destroy();
  await busy.close();
});

void t.test('nothing of all that was an internal error', async (t) => {
  t.same(
    log.lines.filter((line) => line.startsWith('error')),
    [],
  );
});
