// The encryption alone, over 1 GiB in pieces as the processing gives them, beside gpg.

import { execFileSync } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { generateKey } from 'openpgp';
import type { InferredOptionTypes } from 'yargs';
import type { SealRequest } from './support/seal-warm.ts';
import { measureProgram, WarmProcess } from './support/measure.ts';
import {
  interleaved,
  isInstalled,
  printTable,
  writeJson,
  type Contender,
} from './support/report.ts';

export const about = 'The encryption alone beside gpg';

export const options = {
  rounds: {
    type: 'number',
    default: 5,
    requiresArg: true,
    describe: 'How often each takes its turn',
  },
  megabytes: { type: 'number', default: 1024, requiresArg: true, describe: 'Size of the file' },
  against: {
    type: 'string',
    requiresArg: true,
    describe: 'Folder of another build (`npx tsc -p . --outDir DIR`), whose rows stand beside ours',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = await mkdtemp(join(base, 'clubhouse-bench-'));
  const { rounds, megabytes } = args;
  const key = await generateKey({ userIDs: [{ name: 'Bench' }], format: 'armored' });
  const source = join(folder, 'noise');
  await makeNoise(source, megabytes);
  const output = join(folder, 'sealed');
  const after = async (): Promise<void> => rm(output, { force: true });
  const contenders: Contender[] = [];
  const stops: (() => void)[] = [];
  try {
    for (const [name, build] of buildsOf(args.against)) {
      const warm = new WarmProcess<SealRequest>(join(build, 'seal-warm.js'));
      stops.push(() => warm.stop());
      const ask = async (bytes: number) =>
        warm.ask({ source, bytes, output, recipients: [key.publicKey] });
      await ask(32 << 20);
      await after();
      contenders.push({ name, run: async () => ask(megabytes * 2 ** 20), after });
    }
    if (isInstalled('gpg', 'gnupg')) {
      contenders.push(await gpgContender(folder, key.publicKey, source, output, after));
      stops.push(() => stopAgent(folder));
    }
    const results = await interleaved(contenders, rounds);
    const title = `Encryption of ${megabytes} MB to one recipient, ${rounds} rounds`;
    printTable(title, results, { base: gpgName, count: megabytes, unit: 'MB' });
    writeJson('encrypt', { rounds, megabytes, results });
  } finally {
    for (const stop of stops) stop();
    await rm(folder, { recursive: true, force: true });
  }
}

const gpgName = 'gpg -e -z 0';

function buildsOf(against: string | undefined): [string, string][] {
  const here = fileURLToPath(new URL('support', import.meta.url));
  if (against === undefined) return [['clubhouse', here]];
  const there = join(resolve(against), 'scripts/bench/support');
  return [
    ['clubhouse', here],
    ['the other build', there],
  ];
}

async function gpgContender(
  folder: string,
  publicKey: string,
  source: string,
  output: string,
  after: () => Promise<void>,
): Promise<Contender> {
  const home = join(folder, 'gpg');
  await mkdir(home, { mode: 0o700 });
  await writeFile(join(folder, 'key.asc'), publicKey);
  const gpg = ['--homedir', home, '--batch', '--quiet', '--trust-model', 'always'];
  execFileSync('gpg', [...gpg, '--import', join(folder, 'key.asc')], { stdio: 'ignore' });
  const args = [...gpg, '-r', 'Bench', '-z', '0', '-o', output, '-e', source];
  return { name: gpgName, run: async () => measureProgram('gpg', args), after };
}

function stopAgent(folder: string): void {
  try {
    execFileSync('gpgconf', ['--homedir', join(folder, 'gpg'), '--kill', 'all']);
  } catch {
    // none was started
  }
}

async function makeNoise(path: string, megabytes: number): Promise<void> {
  const noise = function* (): Generator<Buffer> {
    for (let n = 0; n < megabytes; n += 1) yield randomBytes(2 ** 20);
  };
  await pipeline(Readable.from(noise()), createWriteStream(path));
}
