// `npm run dev`: a throwaway instance for whoever works on the code. The compiler watches; after each good compile the server
// starts anew; the `sftp` line to paste is printed once. Ctrl-C ends it and removes everything.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const main = join(root, 'dist', 'src', 'cli', 'main.js');
const say = (line: string): void => void process.stdout.write(`dev: ${line}\n`);

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Runs a program that has to succeed; what it says on stderr is shown. */
function must(program: string, args: readonly string[]): void {
  const done = spawnSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (done.status !== 0) throw new Error(`${program} ended with ${done.status}`);
}

/** An instance with the project `brain`, its member `alice` and her key, and no waiting. */
async function makeInstance(home: string, port: number): Promise<string> {
  const command = (...args: readonly string[]): void =>
    must(process.execPath, [main, '--home', home, ...args]);
  const listen = `127.0.0.1:${port}`;
  command('init', '--site', 'PUHSC', '--partner', 'UMHS', '--listen', listen);
  await writeFile(
    join(home, 'config', 'clubhouse.yaml'),
    `site: PUHSC\nlisten: { host: 127.0.0.1, port: ${port} }\nintake: { settle: 1s }\nlog: { level: debug }\n`,
  );
  const key = join(home, 'alice');
  must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'alice', '-f', key]);
  command('project', 'add', 'brain', '--partner', 'UMHS');
  command('user', 'add', 'alice', '--project', 'brain', '--key', `${key}.pub`);
  const known = `-o UserKnownHostsFile=${join(home, 'known')} -o StrictHostKeyChecking=accept-new`;
  return `sftp -i ${key} ${known} -P ${port} alice@127.0.0.1`;
}

/** Ends a child, or its whole group, and waits for it. */
async function end(child: ChildProcess | undefined, isGroup = false): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  if (child.pid !== undefined) process.kill(isGroup ? -child.pid : child.pid, 'SIGTERM');
  await once(child, 'exit');
}

const home = await mkdtemp(join(tmpdir(), 'clubhouse-dev-'));
const paste = await makeInstance(home, await freePort());
let server: ChildProcess | undefined;
let isLeaving = false;

const compiler = spawn(
  process.execPath,
  [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root, '-w', '--pretty', 'false'],
  // A group of its own: the compiler's command starts another process, which would outlive it.
  { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], detached: true },
);

/** One start after the other, however fast the compiler is. */
let turn: Promise<void> = Promise.resolve();
const restart = (): void => {
  turn = turn.then(async () => {
    await end(server);
    if (isLeaving) return;
    server = spawn(process.execPath, ['--enable-source-maps', main, '--home', home, 'serve'], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    say(`serving; clubhouse commands: --home ${home}`);
    say(paste);
  });
};
createInterface({ input: compiler.stdout }).on('line', (line) => {
  if (/Found 0 errors/.test(line)) restart();
  else if (/error TS/.test(line)) say(line);
});

const leave = async (): Promise<void> => {
  if (isLeaving) return;
  isLeaving = true;
  await turn;
  await Promise.all([end(server), end(compiler, true)]);
  await rm(home, { recursive: true, force: true });
};
// A terminal and npm both pass Ctrl-C on, so it may come twice.
process.on('SIGINT', () => void leave());
process.on('SIGTERM', () => void leave());
compiler.once('exit', () => void leave());
