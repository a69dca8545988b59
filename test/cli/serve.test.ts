// `clubhouse serve` as a process: what it says, how it ends, and that commands beside it take effect at once.

import { chmod, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import t, { type Test } from 'tap';
import { begin, here, run, type Ended, type Running } from '../support/command-line.ts';

t.setTimeout(110_000);

async function until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  const last = Date.now() + 30_000;
  while (!(await look())) {
    if (Date.now() > last) throw new Error(`waited in vain for ${what}`);
    await sleep(50);
  }
}

interface Line {
  readonly msg: string;
  readonly port?: number;
  readonly hostKeys?: readonly string[];
}

const lines = (process: Running): Line[] =>
  process
    .out()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

const listening = (process: Running): Line | undefined =>
  lines(process).find((line) => line.msg.startsWith('listening on'));

/** One instance for all: making keys takes longer than any of the tests. */
const home = await mkdtemp(join(tmpdir(), 'clubhouse-serve-'));
t.teardown(() => rm(home, { recursive: true, force: true }));
await here(['init', '--home', home]);
const configure = (settings: string): Promise<void> =>
  writeFile(
    join(home, 'config/clubhouse.yaml'),
    `site: PUHSC\nlisten: { host: 127.0.0.1, port: 0 }\nworkers: 1\n${settings}`,
  );
await configure('');

const clubhouse = (...args: readonly string[]): Promise<Ended> => here([...args, '--home', home]);
const json = async (...args: readonly string[]): Promise<unknown> =>
  JSON.parse((await clubhouse(...args, '--json')).out);
const serveToEnd = (): Promise<Ended> => run(['serve', '--home', home]);

async function start(t: Test): Promise<Running & { readonly port: number }> {
  const process = begin(['serve', '--home', home]);
  t.teardown(() => process.child.kill('SIGKILL'));
  await until('the server', () => {
    if (process.child.exitCode !== null) throw new Error(`serve ended: ${process.err()}`);
    return listening(process) !== undefined;
  });
  return { ...process, port: listening(process)?.port ?? 0 };
}

/** Logs in; resolves with the client or the reason. `closed` resolves when the server ended it. */
function logIn(port: number, username: string, password: string) {
  const client = new ssh2.Client();
  const closed = new Promise<void>((resolve) => client.on('close', resolve));
  const ready = new Promise<boolean>((resolve) => {
    client.on('ready', () => resolve(true));
    client.on('error', () => resolve(false));
  });
  client.connect({ host: '127.0.0.1', port, username, password });
  return { client, closed, ready };
}

void t.test('a mistake in the configuration is told at once with its line', async (t) => {
  await configure('replicaton:\n  every: 5m\n');
  const done = await serveToEnd();
  await configure('');
  t.match(done, { code: 1, out: '' });
  t.match(done.err, /config\/clubhouse\.yaml:4: unknown key "replicaton"; did you mean/);
});

const faults: readonly { readonly name: string; readonly does: string; readonly says: RegExp }[] = [
  { name: 'is missing', does: 'missing', says: /keys\/replicator_ed25519 is missing/ },
  { name: 'can be read by others', does: 'open', says: /others can read keys\/replicator_ed25519/ },
  { name: 'is no key', does: 'garbage', says: /keys\/replicator_ed25519 is not an SSH key/ },
];

for (const { name, does, says } of faults) {
  void t.test(`it does not start when a key ${name}, and says which`, async (t) => {
    const key = join(home, 'keys/replicator_ed25519');
    const was = await readFile(key);
    if (does === 'missing') await rm(key);
    if (does === 'open') await chmod(key, 0o644);
    if (does === 'garbage') await writeFile(key, 'garbage\n');
    const done = await clubhouse('serve');
    await rm(key, { force: true });
    await writeFile(key, was, { mode: 0o600 });
    t.match(done, { code: 1, out: '', err: says });
  });
}

void t.test("it does not start with another instance's master key", async (t) => {
  await clubhouse('project', 'add', 'brain', '--partner', 'UMHS');
  const key = join(home, 'keys/master.key');
  const was = await readFile(key);
  await writeFile(key, `${'5a'.repeat(32)}\n`);
  const done = await clubhouse('serve');
  await writeFile(key, was);
  t.match(done, { code: 1, out: '', err: /master\.key is not the key that .* was written with/ });
});

void t.test('it does not start on a port that another program has', async (t) => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.teardown(() => other.close());
  const port = (other.address() as AddressInfo).port;
  await writeFile(
    join(home, 'config/clubhouse.yaml'),
    `site: PUHSC\nlisten: { host: 127.0.0.1, port: ${port} }\nworkers: 1\n`,
  );
  const done = await clubhouse('serve');
  await configure('');
  t.match(done, { code: 1, err: new RegExp(`another program listens on 127.0.0.1:${port}`) });
});

void t.test('it serves once, beside commands, and ends cleanly on SIGTERM', async (t) => {
  const server = await start(t);
  t.match(listening(server)?.hostKeys, [/^host_ed25519 SHA256:/, /^host_rsa SHA256:/]);

  await t.test('a second one is refused, and the first goes on', async (t) => {
    t.match(await serveToEnd(), { code: 1, err: /another clubhouse serve runs/ });
    t.match(await json('status'), { serving: true });
  });

  await t.test('a user that was added logs in at once, and leaves when disabled', async (t) => {
    const add = ['user', 'add', 'alice', '--project', 'brain', '--password-stdin'];
    const added = await run([...add, '--home', home], 'correct horse battery\n');
    t.equal(added.code, 0, added.err);
    t.notOk(await logIn(server.port, 'alice', 'wrong').ready);
    t.notOk(await logIn(server.port, 'nobody', 'correct horse battery').ready);
    const alice = logIn(server.port, 'alice', 'correct horse battery');
    t.teardown(() => alice.client.end());
    t.ok(await alice.ready);
    await clubhouse('user', 'disable', 'alice');
    await alice.closed;
    t.notOk(await logIn(server.port, 'alice', 'correct horse battery').ready);
  });

  await t.test('a partner may be accepted before it is added', async (t) => {
    const file = join(home, 'theirs.pub');
    await writeFile(file, ssh2.utils.generateKeyPairSync('ed25519').public);
    const accepted = await clubhouse('partner', 'accept', 'UMHS', '--key', file);
    t.equal(accepted.code, 0, accepted.err);
    t.match(await json('partner', 'list'), [
      { code: 'UMHS', host: null, projects: ['brain'], acceptedKeys: [{}] },
    ]);
    t.match(await json('replicate', 'status'), [
      { partner: 'UMHS', pending: 0, alarm: null, lastPassAt: null, passes: [], troubles: [] },
    ]);
    const print = `SHA256:${'A'.repeat(43)}`;
    const add = ['partner', 'add', 'UMHS', '--host', '127.0.0.1', '--port', '1'];
    t.equal((await clubhouse(...add, '--host-key', print)).code, 0);
    const pass = await clubhouse('replicate', 'now');
    t.match(pass, { code: 0, out: /partner UMHS: 0 delivered, 0 failed/ }, 'nothing was owed');
  });

  server.child.kill('SIGTERM');
  t.match(await server.ended, { code: 0, err: '' });
  t.match(lines(server).at(-1), { msg: 'stopped' });
  t.notMatch(server.out(), /correct horse|alice/, 'no secret and no name in the log');
  t.match(await json('status'), { serving: false });
});

void t.test('a killed server leaves no lock behind, and no unfinished file for ever', async (t) => {
  const first = await start(t);
  first.child.kill('SIGKILL');
  await first.ended;
  const dead = first.child.pid ?? 0;
  const left = [`keys/audit.head.${dead}.part`, `config/profiles/ours.yaml.${dead}.part`];
  const living = `keys/audit.head.${process.pid}.part`;
  const old = Date.now() / 1000 - 120;
  for (const name of [...left, living]) {
    await writeFile(join(home, name), '', { mode: 0o600 });
    await utimes(join(home, name), old, old);
  }
  const second = await start(t);
  const there = [
    ...(await readdir(join(home, 'keys'))),
    ...(await readdir(join(home, 'config/profiles'))),
  ];
  t.strictSame(
    there.filter((name) => name.endsWith('.part')),
    [`audit.head.${process.pid}.part`],
    'that of a living process stays',
  );
  await rm(join(home, living));
  second.child.kill('SIGINT');
  t.equal((await second.ended).code, 0);
});
