// The SFTP server beside OpenSSH's sshd: the same client program, the same files, both servers in turn, round by round. Ours
// is the real `serve` process with intake, rights, audit and durable CLOSE.
// On a memory disk what is measured is the servers; on a real one sshd gets `put -f`, since ours answers CLOSE after fsync.
// A quick look: --rounds 1 --size 100 --files 200 --media memory --places own --rows upload,small

import { randomFillSync } from 'node:crypto';
import { existsSync, openSync, writeSync, closeSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InferredOptionTypes } from 'yargs';
import { measureBusy } from './support/sftp-busy.ts';
import { measureMemory, type Memory } from './support/sftp-memory.ts';
import { emptyPlace, freshPlace, rows, type Material, type Row } from './support/sftp-rows.ts';
import {
  makeClientKey,
  startClubhouse,
  startOpenSsh,
  type Target,
} from './support/sftp-servers.ts';
import { say } from './support/measure.ts';
import { isInstalled, writeJson } from './support/report.ts';
import { printRow, tableHead, type Measured, type Once } from './support/sftp-report.ts';

export const about = 'The SFTP server beside OpenSSH sshd, with the same client program';

export const options = {
  rows: {
    type: 'string',
    requiresArg: true,
    describe: 'What to measure: upload,small,…,busy,memory; else all',
  },
  rounds: {
    type: 'number',
    default: 5,
    requiresArg: true,
    describe: 'How often each takes its turn',
  },
  size: { type: 'number', default: 1024, requiresArg: true, describe: 'MB of the large file' },
  files: { type: 'number', default: 2000, requiresArg: true, describe: 'Small files' },
  logins: { type: 'number', default: 100, requiresArg: true, describe: 'Logins' },
  media: {
    type: 'string',
    default: 'memory,disk',
    requiresArg: true,
    describe: 'Where the files are',
  },
  disk: {
    type: 'string',
    requiresArg: true,
    describe: 'Folder on the disk; else that for temporary files',
  },
  places: {
    type: 'string',
    default: 'own,gpg',
    requiresArg: true,
    describe: 'Which of the folders',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  if (!isInstalled('/usr/sbin/sshd', 'openssh-server')) return;
  const { rounds } = args;
  const wanted = args.rows?.split(',');
  const isWanted = (name: string): boolean => wanted === undefined || wanted.includes(name);
  const media = args.media.split(',');
  const places = args.places.split(',') as ('own' | 'gpg')[];
  const memoryFolder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const measured: Measured[] = [];
  let memory: Memory | undefined;
  const source = await mkdtemp(join(memoryFolder, 'clubhouse-bench-'));
  try {
    const material = await makeMaterial(source, args);
    const keyFile = makeClientKey(source);
    for (const medium of media) {
      const onDisk = medium === 'disk';
      const base = onDisk ? (args.disk ?? tmpdir()) : memoryFolder;
      const folder = await mkdtemp(join(base, 'clubhouse-bench-'));
      try {
        const plan = { rows: rows.filter(({ name }) => isWanted(name)), places, rounds, medium };
        const here = { ...material, isDurable: onDisk };
        if (plan.rows.length > 0)
          measured.push(...(await measureRows(plan, folder, keyFile, here)));
        if (!onDisk && isWanted('busy')) {
          measured.push(await measureBusy(folder, keyFile, here, rounds));
        }
        if (!onDisk && isWanted('memory')) memory = await measureMemory(folder, keyFile, here);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
  } finally {
    await rm(source, { recursive: true, force: true });
  }
  if (memory !== undefined) sayMemory(memory);
  writeJson('sftp', { rounds, rows: measured, memory });
}

interface Plan {
  readonly rows: readonly Row[];
  readonly places: readonly ('own' | 'gpg')[];
  readonly rounds: number;
  readonly medium: string;
}

async function measureRows(
  plan: Plan,
  folder: string,
  keyFile: string,
  material: Material,
): Promise<Measured[]> {
  const peer = await startOpenSsh(folder, keyFile);
  // Uploads to gpg/ are not taken while we measure: what the workers do is the row `busy`.
  const ours = await startClubhouse(folder, keyFile, { settle: '1h' });
  const found: Measured[] = [];
  say(
    `\nOn ${plan.medium === 'disk' ? 'disk, sshd with put -f' : 'a memory disk'}, ${plan.rounds} rounds\n`,
  );
  say(tableHead);
  try {
    // Warm, as a server is that runs for months.
    for (const row of rows.filter(({ name }) => warming.includes(name))) {
      for (let n = 0; n < 3; n += 1) await once(row, ours, 'gpg', material);
    }
    for (const row of plan.rows) {
      for (const place of row.writes ? plan.places : (['own'] as const)) {
        const pairs: { ours: Once; peer: Once }[] = [];
        await once(row, ours, place, material);
        for (let round = 0; round < plan.rounds; round += 1) {
          // Who goes first changes, so that neither has the warmer machine.
          const first = round % 2 === 0;
          const a = await once(row, first ? peer : ours, place, material);
          const b = await once(row, first ? ours : peer, place, material);
          pairs.push(first ? { peer: a, ours: b } : { peer: b, ours: a });
        }
        const one = { row: row.name, title: row.title(material), medium: plan.medium };
        const result = { ...one, place, target: row.target, rounds: pairs };
        printRow(result);
        found.push(result);
      }
    }
  } finally {
    await ours.stop();
    await peer.stop();
  }
  return found;
}

const warming = ['upload', 'download', 'small'];

async function once(
  row: Row,
  target: Target,
  where: 'own' | 'gpg',
  material: Material,
): Promise<Once> {
  const place = await freshPlace(target.places[where]);
  await row.before?.(target, place, material);
  const cpu = await target.cpuSeconds();
  const start = performance.now();
  await row.run(target, place, material);
  const wallSeconds = (performance.now() - start) / 1000;
  const cpuSeconds = (await target.cpuSeconds()) - cpu;
  await emptyPlace(place);
  return { wallSeconds, cpuSeconds };
}

async function makeMaterial(
  folder: string,
  args: InferredOptionTypes<typeof options>,
): Promise<Material> {
  const { size: bigMb, files: smallFiles, logins } = args;
  const big = join(folder, 'big.bin');
  writeNoise(big, bigMb);
  const quarter = join(folder, 'quarter.bin');
  writeNoise(quarter, Math.round(bigMb * 0.3));
  const small = join(folder, 'small');
  await mkdir(small);
  const noise = randomFillSync(Buffer.alloc(100_000));
  for (let n = 0; n < smallFiles; n += 1) await writeFile(join(small, `IM${n}.dat`), noise);
  const quarters = [quarter, quarter, quarter, quarter];
  return { folder, big, bigMb, small, smallFiles, quarters, logins, isDurable: false };
}

function writeNoise(path: string, megabytes: number): void {
  const piece = randomFillSync(Buffer.alloc(1 << 20));
  const fd = openSync(path, 'w');
  for (let n = 0; n < megabytes; n += 1) writeSync(fd, piece);
  closeSync(fd);
}

function sayMemory({ idleMb, uploadMb, stalledMb, stalledUploads }: Memory): void {
  const show = (mb: number): string => mb.toFixed(1);
  say('\nMemory of the server in MB\n');
  say('| | measured | target |\n| --- | --- | --- |');
  say(`| idle, two workers that have worked | ${show(idleMb)} | ≤ 150 |`);
  say(`| above it during the upload | ${show(uploadMb)} | ≤ 30 |`);
  say(`| for each of ${stalledUploads} stalled uploads | ${show(stalledMb)} | ≤ 12 |`);
}
