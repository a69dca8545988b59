// Breaks files at random, the same way for the same seed, and says whether what came of them is allowed: a clean file, a
// typed refusal, nothing else. Used by `npm run fuzz` for as long as one likes, and by a test for a moment.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zips } from '../../src/adapters/zip/zips.ts';
import { asSealed } from '../../src/core/bytes.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Crosswalk, Encryptor } from '../../src/flow/ports/processing.ts';
import { processUpload } from '../../src/flow/process.ts';
import { corpusFiles } from '../core/dicom/corpus.ts';
import { profileOf } from './deid.ts';
import { ctSlice, el, syntaxes } from './dicom.ts';
import { planted, wrongWith } from './fuzz-outputs.ts';
import { outcome, whole } from './walk.ts';
import { zipBytes } from './zip.ts';

export const targets = ['dicom', 'zip', 'deid'] as const;
export type Target = (typeof targets)[number];

/** Numbers from 0 to below 1; the same for the same seed (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const slices = (): Buffer[] =>
  Object.values(syntaxes).map((transferSyntax, i) =>
    ctSlice({
      transferSyntax,
      patientName: `${planted}^ANNA`,
      instanceNumber: i,
      size: 4,
      extra: [
        el(0x00081140, 'SQ', { items: [[el(0x00100010, 'PN', planted)]] }),
        el(0x00400275, 'SQ', { items: [[]] }, { undefinedLength: true }),
        el(0x00291002, 'UN', { items: [[el(0x00104000, 'LT', planted)]] }),
      ],
      trailing: [el(0xfffcfffc, 'OB', Buffer.from(planted))],
    }),
  );

const archives = (files: readonly Uint8Array[]): Buffer[] => {
  const [one = Buffer.alloc(0), two = Buffer.alloc(0)] = files;
  const plain = [
    { name: `${planted}/1.dcm`, content: one },
    { name: '2.dcm', content: two, method: 0 as const, descriptor: 16 as const },
    { name: '王.txt', content: 'text', comment: planted, unicodePath: `${planted}.txt` },
  ];
  const inner = zipBytes(plain.slice(0, 2));
  return [
    zipBytes(plain, { comment: planted }),
    zipBytes(plain, { zip64: true }),
    zipBytes([{ name: 'in.zip', content: inner }, ...plain]),
  ];
};

/** Small ones only: a broken large file says no more than a broken small one. */
const corpus = (): Uint8Array[] =>
  corpusFiles()
    .map(({ bytes }) => bytes)
    .filter(({ length }) => length < 300_000);

export function seedsFor(target: Target, withCorpus: boolean): readonly Uint8Array[] {
  const own = slices();
  if (target === 'zip') return archives(own);
  return withCorpus ? [...own, ...corpus()] : own;
}

const lengths = [
  0, 1, 2, 7, 8, 0xff, 0xfffe, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];

/** One to a few changes; most of them near the beginning, where the structure is. */
export function mutate(seeds: readonly Uint8Array[], random: () => number): Buffer {
  const pick = (below: number): number => Math.floor(random() * below);
  let bytes: Buffer = Buffer.from(seeds[pick(seeds.length)] ?? Buffer.alloc(0));
  for (let n = 1 + pick(4); n > 0 && bytes.length > 4; n -= 1) {
    const reach = random() < 0.7 ? Math.min(bytes.length, 4096) : bytes.length;
    bytes = change(bytes, pick(reach), pick, seeds);
  }
  return bytes;
}

const vrs =
  'AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV'.split(
    ' ',
  );
/** Delimiters, escape sequences, signatures and charsets, at places where they must not be. */
const texts = [
  '\xfe\xff\0\xe0\0\0\0\0',
  '\xfe\xff\x0d\xe0\0\0\0\0',
  '\xfe\xff\xdd\xe0\0\0\0\0',
  '\x1b$B',
  '\x1b$)C',
  'PK\x05\x06',
  'PK\x01\x02',
  'DICM',
  'GB18030',
  'ISO_IR 192',
];

function change(
  bytes: Buffer,
  at: number,
  pick: (below: number) => number,
  seeds: readonly Uint8Array[],
): Buffer {
  const size = 1 + pick(64);
  const cut = (from: number, to: number): Buffer => bytes.subarray(from, to);
  switch (pick(10)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << pick(8));
      return bytes;
    case 1:
      bytes[at] = pick(256);
      return bytes;
    case 2:
      return Buffer.from(cut(0, at));
    case 3:
      return Buffer.concat([cut(0, at), cut(at + size, bytes.length)]);
    case 4:
      return Buffer.concat([cut(0, at + size), cut(at, bytes.length)]);
    case 5: {
      const value = lengths[pick(lengths.length)] ?? 0;
      if (value > 0xffff && at + 4 <= bytes.length) bytes.writeUInt32LE(value, at);
      else if (at + 2 <= bytes.length) bytes.writeUInt16LE(value & 0xffff, at);
      return bytes;
    }
    case 6: {
      const other = seeds[pick(seeds.length)] ?? bytes;
      const from = pick(other.length);
      return Buffer.concat([
        cut(0, at),
        other.subarray(from, from + size * 8),
        cut(at, bytes.length),
      ]);
    }
    case 7: {
      // another VR in the place of the next one
      const next = /[A-Z]{2}/.exec(bytes.toString('latin1', at, at + 200));
      if (next !== null) bytes.write(vrs[pick(vrs.length)] ?? 'UN', at + next.index, 'latin1');
      return bytes;
    }
    case 8: {
      const text = texts[pick(texts.length)] ?? '';
      bytes.write(text, Math.max(0, Math.min(at, bytes.length - text.length)), 'latin1');
      return bytes;
    }
    default:
      return Buffer.concat([cut(0, at), Buffer.alloc(size, pick(256)), cut(at, bytes.length)]);
  }
}

// --- what is allowed -----------------------------------------------------------------------------------------

const crosswalk: Crosswalk = {
  resolve: async () => ({ kind: 'subject', subject: { code: 'JI-FUZZ1', dateOffsetDays: 21 } }),
};

/** Lets the clean bytes be seen. */
const open: Encryptor = {
  seal: async (body) => ({
    message: (async function* () {
      for await (const chunk of body) yield asSealed(chunk);
    })(),
    fingerprints: [],
  }),
};

const limits = {
  headerBytes: 1 << 24,
  inflatedBytes: 1 << 26,
  inflateRatio: 1000,
  zipEntries: 1000,
  zipDepth: 2,
};
const profile = JSON.stringify(profileOf('extends: basic\nburnedIn: allow\nnoPatientId: study\n'));

/**
 * Do both ways of feeding agree? Of refusals the code alone counts. A deflate stream that is broken gives more or less before
 * zlib notices, and what it gave may break another rule first: then any two refusals are the same.
 */
async function agree(one: Uint8Array[], two: Uint8Array[]): Promise<boolean> {
  const found = [await outcome(one), await outcome(two)];
  const refusals = found.filter((result) => typeof result === 'string');
  if (refusals.length === 2 && refusals.some((text) => text.includes('(deflated, Z_'))) return true;
  const [first, second] = found.map((result) =>
    typeof result === 'string' ? result.split(' ')[0] : JSON.stringify(result),
  );
  return first === second;
}

/** What is wrong with what came of the bytes; undefined where it is allowed. */
export async function judge(
  target: Target,
  bytes: Buffer,
  random: () => number,
): Promise<string | undefined> {
  if (target === 'dicom') {
    const at = Math.floor(random() * (bytes.length + 1));
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)];
    const isSame = await agree(whole(bytes), pieces);
    return isSame ? undefined : `another result when it comes in two pieces (${at})`;
  }
  const folder = await mkdtemp(join(tmpdir(), 'ch-fuzz-'));
  try {
    return await processed(bytes, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function processed(bytes: Buffer, folder: string): Promise<string | undefined> {
  const source = join(folder, 'in');
  const output = join(folder, 'out');
  await writeFile(source, bytes);
  const task = {
    jobId: 'fuzz',
    projectId: 'fuzz',
    kind: 'deidentify',
    source,
    output,
    scratch: join(folder, 'scratch'),
    profile,
    keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
    uploadKey: 'm:fuzz',
    uploadName: 'fuzz',
    recipients: [],
    releases: [],
    limits,
    closedByClient: true,
  } as const;
  const signal = new AbortController().signal;
  const result = await processUpload(task, { encryptor: open, crosswalk, zips }, signal);
  if (result.kind !== 'sealed') return undefined;
  return wrongWith(await readFile(output), output, bytes, limits);
}

/** A typed error is allowed wherever it comes from, but for one that says that we are wrong. */
export const isTyped = (error: unknown): boolean =>
  error instanceof AppError && error.code !== 'INTERNAL';

export interface Failure {
  readonly seed: number;
  readonly text: string;
}

export const longestMs = 10_000;
const mostBytes = 900 * 1024 * 1024;

/** One case; undefined where all is well. */
export async function tryOne(
  target: Target,
  seeds: readonly Uint8Array[],
  seed: number,
): Promise<Failure | undefined> {
  const random = chance(seed);
  const bytes = mutate(seeds, random);
  const start = process.cpuUsage();
  let text: string | undefined;
  try {
    text = await judge(target, bytes, random);
  } catch (error) {
    if (!isTyped(error)) text = error instanceof Error ? (error.stack ?? error.message) : 'thrown';
  }
  const { user, system } = process.cpuUsage(start);
  if ((user + system) / 1000 > longestMs) text ??= `took ${(user + system) / 1000} ms`;
  if (process.memoryUsage.rss() > mostBytes) text ??= 'took too much memory';
  return text === undefined ? undefined : { seed, text };
}
