// `clubhouse serve` as a process: what it says, how it ends, and that commands beside it take effect at once.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import ssh2 from 'ssh2';
import t, { type Test } from 'tap';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
t.setTimeout(110_000);

interface Process {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function begin(home: string, args: readonly string[], input = ''): Process {
  const child = spawn(process.execPath, [main, ...args, '--home', home]);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, out: () => out, err: () => err, ended };
}

async function run(home: string, args: readonly string[], input = ''): Promise<Process> {
  const process = begin(home, args, input);
  await process.ended;
  return process;
}

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

const lines = (process: Process): Line[] =>
  process
    .out()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

const listening = (process: Process): Line | undefined =>
  lines(process).find((line) => line.msg.startsWith('listening on'));

async function instance(t: Test, settings = ''): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'clubhouse-serve-'));
  t.teardown(() => rm(home, { recursive: true, force: true }));
  await run(home, ['init']);
  const text = `site: PUHSC\nlisten: { host: 127.0.0.1, port: 0 }\nworkers: 1\n${settings}`;
  await writeFile(join(home, 'config/clubhouse.yaml'), text);
  return home;
}

async function start(t: Test, home: string): Promise<Process & { readonly port: number }> {
  const process = begin(home, ['serve']);
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
  const home = await instance(t, 'replicaton:\n  every: 5m\n');
  const done = await run(home, ['serve']);
  t.equal(await done.ended, 1);
  t.match(done.err(), /config\/clubhouse\.yaml:4: unknown key "replicaton"; did you mean/);
  t.equal(done.out(), '');
});

void t.test('it serves once, beside commands, and ends cleanly on SIGTERM', async (t) => {
  const home = await instance(t);
  const server = await start(t, home);
  t.match(listening(server)?.hostKeys, [/^host_ed25519 SHA256:/, /^host_rsa SHA256:/]);

  await t.test('a second one is refused, and the first goes on', async (t) => {
    const second = await run(home, ['serve']);
    t.equal(await second.ended, 1);
    t.match(second.err(), /another clubhouse serve runs/);
    t.match(JSON.parse((await run(home, ['status', '--json'])).out()), { serving: true });
  });

  await t.test('a user that was added logs in at once, and leaves when disabled', async (t) => {
    await run(home, ['project', 'add', 'brain', '--partner', 'UMHS']);
    const add = ['user', 'add', 'alice', '--project', 'brain', '--password-stdin'];
    t.equal(await (await run(home, add, 'correct horse battery\n')).ended, 0);
    t.notOk(await logIn(server.port, 'alice', 'wrong').ready);
    t.notOk(await logIn(server.port, 'nobody', 'correct horse battery').ready);
    const alice = logIn(server.port, 'alice', 'correct horse battery');
    t.teardown(() => alice.client.end());
    t.ok(await alice.ready);
    await run(home, ['user', 'disable', 'alice']);
    await alice.closed;
    t.notOk(await logIn(server.port, 'alice', 'correct horse battery').ready);
  });

  await t.test('a partner may be accepted before it is added', async (t) => {
    const key = ssh2.utils.generateKeyPairSync('ed25519').public;
    const accepted = await run(home, ['partner', 'accept', 'UMHS', '--key', '-'], key);
    t.equal(await accepted.ended, 0, accepted.err());
    t.match(JSON.parse((await run(home, ['partner', 'list', '--json'])).out()), [
      { code: 'UMHS', host: null, projects: ['brain'], acceptedKeys: [{}] },
    ]);
    const print = `SHA256:${'A'.repeat(43)}`;
    const add = ['partner', 'add', 'UMHS', '--host', '127.0.0.1', '--port', '1'];
    t.equal(await (await run(home, [...add, '--host-key', print])).ended, 0);
    const pass = await run(home, ['replicate', 'now']);
    t.equal(await pass.ended, 0, pass.err());
    t.match(pass.out(), /partner UMHS: 0 delivered, 0 failed/, 'nothing was owed');
  });

  server.child.kill('SIGTERM');
  t.equal(await server.ended, 0);
  t.match(lines(server).at(-1), { msg: 'stopped' });
  t.equal(server.err(), '');
  t.notMatch(server.out(), /correct horse|alice/, 'no secret and no name in the log');
  t.match(JSON.parse((await run(home, ['status', '--json'])).out()), { serving: false });
});

void t.test('a killed server leaves no lock behind', async (t) => {
  const home = await instance(t);
  const first = await start(t, home);
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await start(t, home);
  second.child.kill('SIGINT');
  t.equal(await second.ended, 0);
});
