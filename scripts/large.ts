// `npm run large [-- entries|entry|archive|dicom] [--count 100000] [--keep]`: what is too large for the tests, through the whole
// processing: a zip of 100,000 images, an entry beyond 4 GiB, an archive beyond 4 GiB, a DICOM file beyond 4 GiB. Each runs in a
// process of its own; says how much memory it took over the idle one, and what other programs make of the output. Exit 1
// where anything is not as it must be. Needs up to 10 GB of disk for a moment.

import { execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { walk } from '../src/core/dicom/walk.ts';
import { repeated, slices, stored, writeLargeDicom, writeLargeZip, zeros } from './large/files.ts';
import type { LargeOrder, LargeResult } from './large/process.ts';
import { ctSlice } from '../test/support/dicom.ts';

const gigabyte = 2 ** 30;
/** Of memory beyond the idle process. */
const mostBytes = 400 * 2 ** 20;

interface Case {
  readonly make: (path: string) => void;
  /** What the output must be. Throws where it is not. */
  readonly check: (output: string, result: LargeResult) => Promise<void>;
}

function must(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what);
}

/** Info-ZIP, Python and 7-Zip, where they are installed. */
function readByOthers(path: string): void {
  const readers: readonly (readonly string[])[] = [
    ['unzip', '-tqq', path],
    [
      'python3',
      '-c',
      `import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None`,
      path,
    ],
    ['7z', 't', '-bso0', path],
  ];
  for (const [program = '', ...args] of readers) {
    const isThere = spawnable(program);
    if (isThere) execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    process.stdout.write(`  ${program}: ${isThere ? 'reads it' : 'is not installed'}\n`);
  }
}

function spawnable(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function pixelsOf(path: string): Promise<{ readonly bytes: number; readonly hash: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  const limits = { headerBytes: 1 << 26, inflatedBytes: 1 << 30 };
  for await (const event of walk(createReadStream(path, { highWaterMark: 1 << 20 }), limits)) {
    if (event.kind !== 'bulk') continue;
    bytes += event.bytes.length;
    hash.update(event.bytes);
  }
  return { bytes, hash: hash.digest('hex') };
}

/** Half zeros, half noise, so that it is no bomb. */
function piece(): Buffer {
  const bytes = Buffer.alloc(2 ** 20);
  for (let i = 0; i < bytes.length; i += 64) bytes.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
  return bytes;
}

const casesFor = (count: number, source: string): Readonly<Record<string, Case>> => ({
  entries: {
    make: (path) => void writeLargeZip(path, slices(count)),
    check: async (output, { files }) => {
      must(files === count, `${files} of ${count} files`);
      readByOthers(output);
    },
  },
  entry: {
    make: (path) => void writeLargeZip(path, [repeated('large.bin', piece(), 4200), image()]),
    check: async (output, { files }) => {
      must(files === 2, `${files} of 2 files`);
      readByOthers(output);
    },
  },
  archive: {
    make: (path) => {
      const large = Array.from({ length: 5 }, (_, i) => zeros(`${i}.bin`, 900));
      writeLargeZip(path, [...large, image()]);
    },
    check: async (output, { files }) => {
      must(files === 6, `${files} of 6 files`);
      must((await stat(output)).size > 4 * gigabyte, 'the archive is short');
      readByOthers(output);
    },
  },
  dicom: {
    make: (path) => void writeLargeDicom(path, 1200, 4 * 2 ** 20),
    check: async (output) => {
      const [before, after] = [await pixelsOf(source), await pixelsOf(output)];
      must(before.bytes > 4 * gigabyte, 'the file is short');
      must(before.bytes === after.bytes && before.hash === after.hash, 'other pixels');
    },
  },
});

const image = (): ReturnType<typeof stored> => stored('image.dcm', ctSlice());

async function processed(order: LargeOrder): Promise<LargeResult> {
  const child = fork(fileURLToPath(new URL('large/process.js', import.meta.url)));
  return new Promise((resolve, reject) => {
    child.once('message', (result) => resolve(result as LargeResult));
    child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
    child.send(order);
  });
}

async function run(name: string, count: number, keep: boolean): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-large-'));
  const source = join(folder, 'source');
  const output = join(folder, 'output');
  try {
    const one = casesFor(count, source)[name];
    if (one === undefined) throw new Error(`there is no ${name}`);
    one.make(source);
    const result = await processed({ source, output, scratch: join(folder, 'scratch') });
    const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);
    process.stdout.write(
      `${name}: ${megabytes((await stat(source)).size)} MB, ${result.outcome}, ${result.files} files, ` +
        `${result.cpuSeconds.toFixed(1)} s of CPU, ${megabytes(result.peakBytes - result.idleBytes)} MB over an idle ${megabytes(result.idleBytes)}\n`,
    );
    must(result.outcome === 'sealed', result.outcome);
    await one.check(output, result);
    must(result.peakBytes - result.idleBytes < mostBytes, 'too much memory');
    return true;
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : 'failed'}\n`);
    return false;
  } finally {
    if (!keep) await rm(folder, { recursive: true, force: true });
    else process.stdout.write(`  kept: ${folder}\n`);
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '100000' },
    keep: { type: 'boolean', default: false },
  },
});
const wanted = positionals.length > 0 ? positionals : ['entries', 'entry', 'archive', 'dicom'];
for (const name of wanted) {
  if (!(await run(name, Number(values.count), values.keep))) process.exitCode = 1;
}
