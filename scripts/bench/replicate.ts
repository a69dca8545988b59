// Replication beside rclone, sftp and rsync: many small files and one large file to a local sshd (internal-sftp), over the
// loopback and over a line of 40 ms there and back. All in turn on the same files, on a memory disk.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InferredOptionTypes } from 'yargs';
import { measureProgram, WarmProcess, type Usage } from './support/measure.ts';
import type { ReplicateRequest } from './support/replicate-warm.ts';
import {
  interleaved,
  isInstalled,
  spreadOf,
  writeJson,
  type Contender,
  type Result,
} from './support/report.ts';
import { say } from './support/measure.ts';
import { makeClientKey, startOpenSsh, type Target } from './support/sftp-servers.ts';
import { openSlowLine } from './support/slow-line.ts';
import { Site } from '../../test/support/site.ts';

const outgoing = 'ji_bench/club_house/From_PUHSC_To_UMHS';
const module = fileURLToPath(new URL('support/replicate-warm.js', import.meta.url));

interface Scene {
  readonly folder: string;
  readonly server: Target;
  readonly hostKey: string;
  readonly ours: WarmProcess<ReplicateRequest>;
  readonly files: number;
  /** Another Clubhouse as the partner, over a line of the same length. */
  readonly pair: Pair | undefined;
}

interface Pair {
  readonly port: number;
  readonly hostKey: string;
  /** Where files from us arrive. */
  readonly incoming: string;
  close(): Promise<void>;
}

export const about =
  'Replication beside rclone, sftp and rsync: many small files and one large, near and far';

export const options = {
  rounds: {
    type: 'number',
    default: 3,
    requiresArg: true,
    describe: 'How often each takes its turn',
  },
  files: { type: 'number', default: 10000, requiresArg: true, describe: 'Small files' },
  size: { type: 'number', default: 50000, requiresArg: true, describe: 'Bytes of a small file' },
  megabytes: {
    type: 'number',
    default: 2048,
    requiresArg: true,
    describe: 'Size of the large file',
  },
  rtt: {
    type: 'string',
    default: '0,40',
    requiresArg: true,
    describe: 'Milliseconds there and back',
  },
  rows: {
    type: 'string',
    default: 'small,large,idle',
    requiresArg: true,
    describe: 'What to measure',
  },
  clients: {
    type: 'string',
    default: 'clubhouse,clubhouse-size,clubhouse-pair,rclone,sftp,rsync',
    requiresArg: true,
    describe: 'Who takes part',
  },
  unchanged: {
    type: 'number',
    default: 100000,
    requiresArg: true,
    describe: 'Files of the pass that finds nothing to do (row idle)',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = await mkdtemp(join(base, 'clubhouse-bench-'));
  const { rounds } = args;
  const rows = args.rows.split(',');
  const clients = args.clients.split(',');
  const sizes = {
    small: [args.files, args.size],
    large: [1, args.megabytes * 2 ** 20],
  } as const;
  const facts: Record<string, readonly Result[]> = {};
  try {
    const keyFile = makeClientKey(folder);
    for (const kind of ['small', 'large'] as const) {
      if (!rows.includes(kind)) continue;
      const [files, bytes] = sizes[kind];
      for (const rtt of args.rtt.split(',').map(Number)) {
        const results = await measure({ folder, keyFile, clients, rounds, files, bytes, rtt });
        const title = `${files} × ${bytes} bytes, ${rtt} ms round trip, ${rounds} rounds`;
        facts[`${kind}-${rtt}ms`] = results;
        printRows(title, results, (files * bytes) / 1e6);
      }
    }
    if (rows.includes('idle')) {
      facts['unchanged'] = await measureIdle(folder, args.unchanged);
    }
    writeJson('replicate', { rounds, ...facts });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(how: {
  readonly folder: string;
  readonly keyFile: string;
  readonly clients: readonly string[];
  readonly rounds: number;
  readonly files: number;
  readonly bytes: number;
  readonly rtt: number;
}): Promise<readonly Result[]> {
  const folder = await mkdtemp(join(how.folder, 'site-'));
  const direct = await startOpenSsh(folder, how.keyFile);
  const line = how.rtt > 0 ? await openSlowLine(direct.port, how.rtt / 2) : undefined;
  const server = { ...direct, port: line?.port ?? direct.port };
  const isPaired = how.clients.includes('clubhouse-pair');
  const pair = isPaired ? await startPair(folder, how.keyFile, how.rtt) : undefined;
  const ours = new WarmProcess<ReplicateRequest>(module, [folder, how.keyFile]);
  try {
    await ours.ask({ ask: 'prepare', files: how.files, bytes: how.bytes });
    const hostKey = await fingerprint(server);
    const scene: Scene = { folder, server, hostKey, ours, files: how.files, pair };
    return await interleaved(contenders(scene, how.clients), how.rounds);
  } finally {
    ours.stop();
    await line?.close();
    await pair?.close();
    await direct.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function startPair(folder: string, keyFile: string, rtt: number): Promise<Pair> {
  const site = await Site.make('UMHS', 'log: { level: warn }', folder);
  await site.run(['project', 'add', 'bench', '--partner', 'PUHSC']);
  await site.run(['partner', 'accept', 'PUHSC', '--key', `${keyFile}.pub`]);
  await site.start();
  const line = rtt > 0 ? await openSlowLine(site.port, rtt / 2) : undefined;
  return {
    port: line?.port ?? site.port,
    hostKey: await site.hostKey(),
    incoming: join(site.home, 'data/home', outgoing),
    close: async () => {
      await line?.close();
      await site.remove();
    },
  };
}

/** `SHA256:…` of the server's host key: startOpenSsh keeps it beside the folder of the files. */
async function fingerprint({ places }: Target): Promise<string> {
  const line = await readFile(join(places.own.disk, '../host.pub'), 'utf8');
  const blob = Buffer.from(line.split(' ')[1] ?? '', 'base64');
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

function contenders(scene: Scene, wanted: readonly string[]): Contender[] {
  const { folder, server, hostKey, ours, files, pair } = scene;
  const there = server.places.own.disk;
  const from = join(folder, 'home', outgoing);
  const to = join(there, outgoing);
  const address = { host: '127.0.0.1', port: server.port, user: server.user, hostKey };
  const ssh = [
    ...[
      '-o',
      'StrictHostKeyChecking=no',
      '-o',
      'UserKnownHostsFile=/dev/null',
      '-o',
      'LogLevel=ERROR',
    ],
    ...['-o', 'IdentitiesOnly=yes', '-F', '/dev/null', '-i', server.keyFile],
    ...['-c', 'aes128-gcm@openssh.com'],
  ];
  const at = `${server.user}@127.0.0.1`;
  const empty = async (): Promise<void> => {
    await rm(join(there, 'ji_bench'), { recursive: true, force: true });
    await mkdir(to, { recursive: true });
  };
  const our = (name: string, verify: 'hash' | 'size'): Contender => ({
    name,
    before: async () => {
      await empty();
      await ours.ask({ ask: 'owe', all: true });
    },
    run: () => ours.ask({ ask: 'pass', address, root: there, verify, expect: files }),
  });
  const program = (name: string, command: string, args: readonly string[]): Contender => ({
    name,
    before: empty,
    run: () => measureProgram(command, args),
  });
  const ourPair = (): Contender | undefined =>
    pair && {
      name: 'Clubhouse to Clubhouse, check-file and signed receipts',
      before: async () => {
        await rm(join(pair.incoming, 'gpg-alice'), { recursive: true, force: true });
        await ours.ask({ ask: 'owe', all: true });
      },
      run: () => {
        const { port, hostKey } = pair;
        const at = { host: '127.0.0.1', port, user: 'PUHSC', hostKey };
        return ours.ask({ ask: 'pass', address: at, verify: 'hash', expect: files });
      },
    };
  const all: Record<string, () => Contender | undefined> = {
    clubhouse: () => our('Clubhouse, synced and proven by reading back', 'hash'),
    'clubhouse-pair': ourPair,
    'clubhouse-size': () => our('Clubhouse, synced and proven by size', 'size'),
    rclone: () =>
      program('rclone copy --transfers 8', 'rclone', [
        ...['copy', from, `:sftp:${to}`, '--transfers', '8', '--config', '/dev/null'],
        ...['--sftp-host', '127.0.0.1', '--sftp-port', String(server.port)],
        ...['--sftp-user', server.user, '--sftp-key-file', server.keyFile],
        // An internal-sftp alone has no shell, so rclone compares sizes and times there.
        ...['--sftp-shell-type', 'none', '--sftp-disable-hashcheck'],
      ]),
    sftp: () =>
      program('sftp, put -r', 'bash', [
        '-c',
        sftpLine,
        'sftp',
        from,
        to,
        at,
        String(server.port),
        ...ssh,
      ]),
    rsync: () =>
      program('rsync -a -e ssh', 'rsync', [
        ...['-a', '-e', `ssh -p ${server.port} ${ssh.join(' ')}`, `${from}/`, `${at}:${to}/`],
      ]),
  };
  const packages: Record<string, string> = {
    rclone: 'rclone',
    sftp: 'openssh-client',
    rsync: 'rsync',
  };
  return wanted
    .filter((name) => packages[name] === undefined || isInstalled(name, packages[name]))
    .flatMap((name) => all[name]?.() ?? []);
}

const sftpLine =
  'from=$1 to=$2 at=$3 port=$4; shift 4; echo "put -r $from/gpg-alice $to/" | sftp -q -b - -P "$port" "$@" "$at"';

/** Wall time counts here: who waits for a line spends no CPU. */
function printRows(title: string, results: readonly Result[], megabytes: number): void {
  const of = (key: 'wallSeconds' | 'cpuSeconds', one: Result): ReturnType<typeof spreadOf> =>
    spreadOf(one.rounds.map((round) => round[key]));
  say(
    `\n${title}\n\n| | wall s | MB/s | CPU s of the sender | peak MB |\n| --- | --- | --- | --- | --- |`,
  );
  for (const one of results) {
    const [wall, cpu] = [of('wallSeconds', one), of('cpuSeconds', one)];
    const peak = Math.max(...one.rounds.map(({ peakBytes }) => peakBytes));
    const shown = ({ median, least, most }: typeof wall): string =>
      `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
    const speed = (megabytes / wall.median).toFixed(0);
    say(`| ${one.name} | ${shown(wall)} | ${speed} | ${shown(cpu)} | ${Math.round(peak / 1e6)} |`);
  }
}

/** Passes over a tree in which nothing is owed: the first lists everything, the next ones need not. */
async function measureIdle(folder: string, files: number): Promise<readonly Result[]> {
  const site = await mkdtemp(join(folder, 'idle-'));
  const ours = new WarmProcess<ReplicateRequest>(module, [site, '/nowhere']);
  try {
    await ours.ask({ ask: 'prepare', files, bytes: 10 });
    await ours.ask({ ask: 'owe', all: false });
    const address = { host: '127.0.0.1', port: 9, user: 'nobody', hostKey: 'SHA256:none' };
    const passes: Usage[] = [];
    for (let n = 0; n < 4; n += 1) {
      passes.push(await ours.ask({ ask: 'pass', address, verify: 'hash', expect: 0 }));
    }
    const [first, ...later] = passes;
    const results = [
      {
        name: 'the first pass of a server (lists every folder)',
        rounds: first === undefined ? [] : [first],
      },
      { name: 'a pass after that', rounds: later },
    ];
    printRows(`${files} files of which none is owed; the partner is not asked`, results, 0);
    return results;
  } finally {
    ours.stop();
  }
}
