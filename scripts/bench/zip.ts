// A zip of CT slices, and one of very many small images, through the processing, beside plain `unzip` and `zip`, which is the
// least that a new zip costs. The encryption is left out: it is the same for every file (bench encrypt).

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { InferredOptionTypes } from 'yargs';
import { ctSlice } from '../../test/support/dicom.ts';
import { makeSlices } from './support/images.ts';
import { measureProgram, WarmProcess } from './support/measure.ts';
import type { WarmRequest } from './support/process-warm.ts';
import {
  interleaved,
  isInstalled,
  printTable,
  writeJson,
  type Contender,
  type Result,
} from './support/report.ts';

const floor = 'unzip and zip';

export const about = 'A zip of CT slices and one of very many small images, beside unzip and zip';

export const options = {
  rounds: {
    type: 'number',
    default: 3,
    requiresArg: true,
    describe: 'How often each takes its turn',
  },
  slices: { type: 'number', default: 2000, requiresArg: true, describe: 'CT slices of 512 KB' },
  entries: { type: 'number', default: 100000, requiresArg: true, describe: 'Small images' },
  patients: {
    type: 'number',
    default: 2000,
    requiresArg: true,
    describe: 'Whom the small images are of',
  },
  names: {
    type: 'string',
    default: 'code',
    requiresArg: true,
    choices: ['code', 'scrub', 'keep'],
    describe: 'As in a profile',
  },
  only: {
    type: 'string',
    requiresArg: true,
    choices: ['slices', 'small'],
    describe: 'One of the two alone',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  if (!isInstalled('zip', 'zip') || !isInstalled('unzip', 'unzip')) return;
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const { rounds, slices, entries: small, patients, names, only } = args;
  const facts: Record<string, readonly Result[]> = {};
  const measured = async (
    kind: 'slices' | 'small',
    count: number,
    make: (folder: string) => Promise<unknown>,
  ): Promise<void> => {
    if (only !== undefined && only !== kind) return;
    const folder = await mkdtemp(join(base, 'clubhouse-bench-'));
    try {
      const images = join(folder, 'images');
      await make(images);
      execFileSync('zip', ['-q', '-r', join(folder, 'in.zip'), '.'], { cwd: images });
      await rm(images, { recursive: true });
      facts[kind] = await interleaved(contenders(folder, names), rounds);
      const title = `A zip of ${count} ${kind === 'slices' ? 'CT slices of 512 KB' : `small images of ${patients} patients`}, names: ${names}, ${rounds} rounds`;
      printTable(title, facts[kind], { base: floor, count, unit: 'entries' });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  await measured('slices', slices, async (folder) => makeSlices(folder, slices));
  await measured('small', small, async (folder) => makeSmall(folder, small, patients));
  writeJson('zip', { rounds, names, patients, ...facts });
}

/** 32 × 32 pixels each, a folder for each patient. */
async function makeSmall(folder: string, count: number, patients: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const patient = n % patients;
    const place = join(folder, `P${patient}`);
    if (n < patients) await mkdir(place, { recursive: true });
    const file = ctSlice({
      patientName: `PERSON${letters(patient)}^GIVEN${letters(patient * 7 + 3)}`,
      patientID: `MRN${String(patient).padStart(8, '0')}`,
      studyUID: `1.2.826.0.1.3680043.99.${patient}`,
      instanceNumber: n,
      size: 32,
    });
    await writeFile(join(place, `IM${n}.dcm`), file);
  }
}

const letters = (n: number): string =>
  Array.from(String(n).padStart(6, '0'), (digit) => 'ABCDEFGHIK'.charAt(Number(digit))).join('');

function contenders(folder: string, names: string): Contender[] {
  const source = join(folder, 'in.zip');
  const output = join(folder, 'ours');
  const module = fileURLToPath(new URL('support/process-warm.js', import.meta.url));
  const unpacked = join(folder, 'unpacked');
  const script = 'unzip -q "$0" -d "$1" && cd "$1" && zip -q -r ../out.zip .';
  return [
    {
      name: 'clubhouse, without encryption',
      before: async () => mkdir(output),
      run: async () => {
        // a new process each time, so that its memory is this zip's
        const warm = new WarmProcess<WarmRequest>(module);
        const profile = `extends: basic\nnames: ${names}\n`;
        try {
          return await warm.ask({
            how: 'plain',
            sources: [source],
            output,
            recipients: [],
            profile,
          });
        } finally {
          warm.stop();
        }
      },
      after: async () => rm(output, { recursive: true }),
    },
    {
      name: floor,
      run: async () => measureProgram('bash', ['-c', script, source, unpacked]),
      after: async () => {
        await rm(unpacked, { recursive: true, force: true });
        await rm(join(folder, 'out.zip'), { force: true });
      },
    },
  ];
}
