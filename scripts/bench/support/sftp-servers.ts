// The two servers that the SFTP bench sets side by side: OpenSSH's sshd with internal-sftp, and the real `serve` process with
// intake, rights, audit and durable CLOSE. Each tells the CPU seconds that it took so far.

import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { userInfo } from 'node:os';
import { freePort, Site } from '../../../test/support/site.ts';

export interface Target {
  readonly name: string;
  readonly port: number;
  readonly user: string;
  readonly keyFile: string;
  /** Where clients put files: a path on the server for each place, and the same folder on the disk. */
  readonly places: Readonly<Record<'own' | 'gpg', Place>>;
  /** User and system seconds so far, of all processes and threads; those of sessions that have ended too. */
  cpuSeconds(): Promise<number>;
  stop(): Promise<void>;
}

export interface Place {
  readonly remote: string;
  readonly disk: string;
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** utime, stime and what reaped children took (proc(5)), in ticks. */
function ticksOf(pid: number): { readonly ticks: number; readonly parent: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const at = (index: number): number => Number(fields[index - 3]);
  return { ticks: at(14) + at(15) + at(16) + at(17), parent: at(4) };
}

/** Of a process with all that descend from it now. */
function tree(root: number): { readonly ticks: number; readonly children: number } {
  const all = new Map<number, { readonly ticks: number; readonly parent: number }>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      all.set(Number(name), ticksOf(Number(name)));
    } catch {
      // It has ended meanwhile.
    }
  }
  const mine = new Set([root]);
  for (let before = 0; before < mine.size;) {
    before = mine.size;
    for (const [pid, { parent }] of all) if (mine.has(parent)) mine.add(pid);
  }
  const ticks = [...mine].reduce((sum, pid) => sum + (all.get(pid)?.ticks ?? 0), 0);
  return { ticks, children: mine.size - 1 };
}

/** A session's process is counted when it was reaped; until then it might still work. */
async function sshdSeconds(pid: number): Promise<number> {
  for (let tries = 0; tries < 100 && tree(pid).children > 0; tries += 1) await sleep(20);
  return tree(pid).ticks / ticksPerSecond;
}

export function makeClientKey(folder: string): string {
  const path = join(folder, 'client');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  return path;
}

export async function startOpenSsh(folder: string, keyFile: string): Promise<Target> {
  const base = await mkdtemp(join(folder, 'sshd-'));
  const [own, gpg] = [join(base, 'files'), join(base, 'files/gpg')];
  await mkdir(gpg, { recursive: true });
  const hostKey = join(base, 'host');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  writeFileSync(join(base, 'authorized'), readFileSync(`${keyFile}.pub`), { mode: 0o600 });
  const port = await freePort();
  const config = [
    'ListenAddress 127.0.0.1',
    `Port ${port}`,
    `HostKey ${hostKey}`,
    `AuthorizedKeysFile ${join(base, 'authorized')}`,
    `PidFile ${join(base, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 200',
    'MaxSessions 100',
    'LogLevel QUIET',
    'Subsystem sftp internal-sftp',
    '',
  ].join('\n');
  await writeFile(join(base, 'config'), config);
  // As root, sshd wants the folder for its privilege separation, which only its start script makes.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn('/usr/sbin/sshd', ['-f', join(base, 'config'), '-D', '-e'], {
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const pid = child.pid ?? 0;
  return {
    name: 'sshd',
    port,
    user: userInfo().username,
    keyFile,
    places: { own: { remote: own, disk: own }, gpg: { remote: gpg, disk: gpg } },
    cpuSeconds: () => sshdSeconds(pid),
    stop: async () => {
      child.kill();
      await ended;
      await rm(base, { recursive: true, force: true });
    },
  };
}

export interface ClubhouseTarget extends Target {
  readonly site: Site;
  readonly pid: number;
}

/** `settle`: how soon uploads to gpg/ are taken; `imports`: modules that the server loads first (a slow disk, say). */
export async function startClubhouse(
  folder: string,
  keyFile: string,
  how: { readonly settle: string; readonly workers?: number; readonly imports?: string },
): Promise<ClubhouseTarget> {
  const settings = `workers: ${how.workers ?? 2}\nintake: { settle: ${how.settle} }\nlog: { level: warn }`;
  const site = await Site.make('PUHSC', settings, folder);
  await site.run(['project', 'add', 'bench', '--partner', 'UMHS']);
  await site.run(['user', 'add', 'alice', '--project', 'bench', '--key', `${keyFile}.pub`]);
  await site.start(how.imports === undefined ? {} : { NODE_OPTIONS: `--import ${how.imports}` });
  const disk = join(site.home, 'data/home/ji_bench/alice');
  const remote = '/home/ji_bench/alice';
  const pid = site.pid ?? 0;
  return {
    name: 'clubhouse',
    site,
    pid,
    port: site.port,
    user: 'alice',
    keyFile,
    places: {
      own: { remote, disk },
      gpg: { remote: `${remote}/gpg`, disk: join(disk, 'gpg') },
    },
    cpuSeconds: async () => tree(pid).ticks / ticksPerSecond,
    stop: () => site.remove(),
  };
}
