// De-identification beside gdcmanon, dcmodify and cp: 500 CT slices of 512 KB, and one multi-frame file of 1 GB. All in turn on
// the same files, on a memory disk, so that the disk is not what is measured.
// `--large 4095`: a length has 32 bits, so that this is the largest.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateKey } from 'openpgp';
import type { InferredOptionTypes } from 'yargs';
import { makeMultiFrame, makeSlices } from './support/images.ts';
import { measureProgram, WarmProcess, type Usage } from './support/measure.ts';
import type { WarmRequest } from './support/process-warm.ts';
import {
  interleaved,
  isInstalled,
  printTable,
  writeJson,
  type Contender,
  type Result,
} from './support/report.ts';

interface Places {
  readonly folder: string;
  readonly input: string;
  readonly sources: readonly string[];
  readonly recipients: readonly string[];
  readonly against: string | undefined;
}

export const about =
  'De-identification beside gdcmanon, dcmodify and cp: CT slices, and one large multi-frame file';

export const options = {
  rounds: {
    type: 'number',
    default: 5,
    requiresArg: true,
    describe: 'How often each takes its turn',
  },
  slices: { type: 'number', default: 500, requiresArg: true, describe: 'CT slices of 512 KB' },
  megabytes: {
    type: 'number',
    default: 1024,
    requiresArg: true,
    describe: 'Size of the large file',
  },
  only: {
    type: 'string',
    requiresArg: true,
    choices: ['slices', 'large'],
    describe: 'One of the two alone',
  },
  large: {
    type: 'number',
    default: 0,
    requiresArg: true,
    describe: 'Only one file of so many MB in a fresh worker thread, for its memory',
  },
  against: {
    type: 'string',
    requiresArg: true,
    describe: 'Folder of another build (`npx tsc -p . --outDir DIR`), whose rows stand beside ours',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = await mkdtemp(join(base, 'clubhouse-bench-'));
  const { rounds, large: alone, slices: count, megabytes: large, only } = args;
  const key = await generateKey({ userIDs: [{ name: 'Bench' }], format: 'armored' });
  const shared = { folder, recipients: [key.publicKey], against: args.against };
  const facts: Record<string, readonly Result[]> = {};
  try {
    if (alone > 0) {
      await measureMemory({ ...shared, input: folder, sources: [] }, alone);
      return;
    }
    if (only !== 'large') {
      const input = join(folder, 'slices');
      const sources = await makeSlices(input, count);
      facts['slices'] = await measure({ ...shared, input, sources }, rounds);
      const title = `${count} CT slices of 512 KB, ${rounds} rounds`;
      printTable(title, facts['slices'], { base: 'gdcmanon', count, unit: 'files' });
      await rm(input, { recursive: true });
    }
    if (only !== 'slices') {
      const input = join(folder, 'large');
      await mkdir(input);
      const source = join(input, 'large.dcm');
      await makeMultiFrame(source, large * 2 ** 20);
      facts['large'] = await measure({ ...shared, input, sources: [source] }, rounds);
      const title = `One multi-frame file of ${large} MB, ${rounds} rounds`;
      printTable(title, facts['large'], { base: 'gdcmanon', count: large, unit: 'MB' });
    }
    writeJson('deid', { rounds, ...facts });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(places: Places, rounds: number): Promise<readonly Result[]> {
  const ours = await ourContenders(places);
  try {
    return await interleaved([...ours.contenders, ...peers(places)], rounds);
  } finally {
    ours.stop();
  }
}

async function ourContenders(
  places: Places,
): Promise<{ contenders: Contender[]; stop: () => void }> {
  const output = join(places.folder, 'ours');
  const here = fileURLToPath(new URL('support/process-warm.js', import.meta.url));
  const builds: [string, string][] = [['clubhouse', here]];
  if (places.against !== undefined) {
    const there = join(resolve(places.against), 'scripts/bench/support/process-warm.js');
    builds.push(['the other build', there]);
  }
  const { sources, recipients } = places;
  const processes: WarmProcess<WarmRequest>[] = [];
  const contenders: Contender[] = [];
  for (const [name, module] of builds) {
    for (const [how, what] of ways) {
      const warm = new WarmProcess<WarmRequest>(module);
      processes.push(warm);
      const ask = async (some: readonly string[]) =>
        warm.ask({ how, sources: some, output, recipients });
      const before = async (): Promise<void> => void (await mkdir(output, { recursive: true }));
      const after = async (): Promise<void> => rm(output, { recursive: true });
      await before();
      // warm, as a server is: the compiler needs some thousand slices until it has done what it can
      for (let n = 0; n < (sources.length > 1 ? warmRounds : 1); n += 1) {
        await ask(sources);
        await after();
        await before();
      }
      await after();
      // and again right before it counts: while it waited for the others its memory was put aside
      const run = async (): Promise<Usage> => {
        if (sources.length > 1) {
          await ask(sources);
          await after();
          await before();
        }
        return ask(sources);
      };
      contenders.push({ name: `${name}, ${what}`, run, before, after });
    }
  }
  return { contenders, stop: () => processes.forEach((one) => one.stop()) };
}

/** How far the memory of a worker thread grows above what it holds after a small file. */
async function measureMemory(places: Places, megabytes: number): Promise<void> {
  const { folder, recipients } = places;
  const output = join(folder, 'ours');
  await mkdir(output);
  const [small = ''] = await makeSlices(join(folder, 'small'), 1);
  const large = join(folder, 'large.dcm');
  await makeMultiFrame(large, megabytes * 2 ** 20, 'sparse');
  const warm = new WarmProcess<WarmRequest>(
    fileURLToPath(new URL('support/process-warm.js', import.meta.url)),
  );
  try {
    await warm.ask({ how: 'pool', sources: [small], output, recipients });
    const usage = await warm.ask({ how: 'pool', sources: [large], output, recipients });
    const title = `One multi-frame file of ${megabytes} MB in a worker thread, sealed`;
    const results = [{ name: 'clubhouse', rounds: [usage] }];
    printTable(title, results, { base: 'clubhouse', count: megabytes, unit: 'MB' });
    writeJson('deid-large', { megabytes, usage });
  } finally {
    warm.stop();
  }
}

const warmRounds = 4;

const ways = [
  ['bare', 'de-identified and checked'],
  ['plain', 'with SHA-256 of input and output'],
  ['sealed', 'to the sealed file'],
  ['pool', 'the same in a worker thread'],
] as const;

function peers({ folder, input, sources }: Places): Contender[] {
  const output = join(folder, 'peer');
  const after = async (): Promise<void> => rm(output, { recursive: true, force: true });
  const found: Contender[] = [];
  if (isInstalled('gdcmanon', 'libgdcm-tools')) {
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=bench'].concat([
        ...['-keyout', key],
        ...['-out', certificate],
      ]),
      { stdio: 'ignore' },
    );
    const args = ['--de-identify', '-c', certificate, '-r', '-i', input, '-o', output];
    const run = async () => measureProgram('gdcmanon', args);
    const before = async (): Promise<void> => mkdir(output);
    found.push({ name: 'gdcmanon', run, before, after });
  }
  if (isInstalled('dcmodify', 'dcmtk')) {
    const files = sources.map((path) => path.replace(input, output));
    found.push({
      name: 'dcmodify, four attributes in place',
      run: async () => measureProgram('dcmodify', [...modifications, ...files]),
      before: async () => cp(input, output, { recursive: true }),
      after,
    });
  }
  const copy = ['-r', '--sparse=never', '--reflink=never', input, output];
  found.push({ name: 'cp', run: async () => measureProgram('cp', copy), after });
  return found;
}

const modifications = [
  ...['--no-backup', '--ignore-missing-tags'],
  ...['-m', 'PatientName=JI-7K3M9', '-m', 'PatientID=JI-7K3M9'],
  ...['-ea', 'PatientBirthDate', '-ea', 'InstitutionName'],
];
