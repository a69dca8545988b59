// Zips as hostile input and as what the partner gets: every refusal with its reason, what real programs write, and what
// real programs make of our output.

import { execFileSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { crc32, deflateRawSync } from 'node:zlib';
import archiver from 'archiver';
import t from 'tap';
import { calmFinish } from '../../src/adapters/zip/calm-finish.ts';
import { zips } from '../../src/adapters/zip/zips.ts';
import { AppError } from '../../src/core/errors.ts';
import { ZipRefusal } from '../../src/core/zip-refusal.ts';
import type { ProcessLimits } from '../../src/flow/ports/processing.ts';
import type { ZipMember } from '../../src/flow/ports/zip.ts';
import { zipBytes } from '../support/zip.ts';
import { one, readable, refused, text, two } from './zip-cases.ts';

const limits: ProcessLimits = {
  headerBytes: 1 << 26,
  inflatedBytes: 1e9,
  inflateRatio: 200,
  zipEntries: 200_000,
  zipDepth: 3,
};

const folder = await mkdtemp(join(tmpdir(), 'clubhouse-zip-'));
t.teardown(() => rm(folder, { recursive: true, force: true }));
const noSignal = new AbortController().signal;

let counter = 0;
async function onDisk(bytes: Uint8Array): Promise<string> {
  const path = join(folder, `${counter++}.zip`);
  await writeFile(path, bytes);
  return path;
}

/** Everything in it, or the reason it was refused with. */
async function outcome(
  bytes: Uint8Array,
  how: Partial<ProcessLimits> = {},
): Promise<Readonly<Record<string, string>> | string> {
  const path = await onDisk(bytes);
  try {
    const source = await zips.open(path, { ...limits, ...how });
    try {
      const found: Record<string, string> = {};
      for (const entry of source.entries) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of source.read(entry)) chunks.push(chunk);
        found[entry.name] = Buffer.concat(chunks).toString('latin1');
      }
      return found;
    } finally {
      await source.close();
    }
  } catch (error) {
    if (error instanceof ZipRefusal) return error.reason;
    if (error instanceof AppError) return error.code;
    throw error;
  } finally {
    await rm(path);
  }
}

void t.test('what a zip may be', async (t) => {
  for (const { name, bytes, found } of readable) {
    t.same(await outcome(bytes), found, name);
  }
});

void t.test('what holds the whole zip, each with its reason', async (t) => {
  for (const { name, bytes, reason, how } of refused) {
    t.equal(await outcome(bytes, how), reason, name);
  }
});

void t.test('a zip that was cut anywhere is truncated, so that the upload can go on', async (t) => {
  const whole = zipBytes([one, two, { name: 'd', content: text, descriptor: 16 }]);
  for (let length = 4; length < whole.length; length += 3) {
    const answer = await outcome(whole.subarray(0, length));
    if (answer !== 'ZIP_TRUNCATED') t.fail(`cut at ${length}: ${JSON.stringify(answer)}`);
  }
  t.pass('cut at every third byte');
});

void t.test(
  'any changed byte gives the same entries, a refusal or a truncation, never a crash',
  async (t) => {
    const whole = Buffer.from(zipBytes([one, { ...two, descriptor: 16 }]));
    for (let at = 0; at < whole.length; at += 2) {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
      await outcome(copy);
    }
    t.pass('no exception but AppError');
  },
);

void t.test('zips by Info-ZIP are read, from a stream too', async (t) => {
  const dir = await mkdtemp(join(folder, 'real-'));
  await writeFile(join(dir, 'one.txt'), text);
  await writeFile(join(dir, 'two.bin'), Buffer.alloc(300_000, 3));
  execFileSync('zip', ['-q', '-r', 'by-zip.zip', 'one.txt', 'two.bin'], { cwd: dir });
  execFileSync('sh', ['-c', 'zip -q - one.txt two.bin | cat > by-stream.zip'], { cwd: dir });
  for (const [name, entries] of [
    ['by-zip.zip', ['one.txt', 'two.bin']],
    ['by-stream.zip', ['one.txt', 'two.bin']],
  ] as const) {
    const found = await outcome(await readFile(join(dir, name)));
    t.same(Object.keys(found), entries, name);
  }
});

void t.test('reading can stop early, and goes on with another entry', async (t) => {
  const path = await onDisk(zipBytes([{ name: 'big', content: Buffer.alloc(8 << 20, 1) }, two]));
  const source = await zips.open(path, limits);
  const [big, small] = source.entries;
  if (big === undefined || small === undefined) throw new Error('two entries');
  for await (const chunk of source.read(big)) {
    t.ok(chunk.length > 0);
    break;
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.read(small)) chunks.push(chunk);
  t.equal(Buffer.concat(chunks).toString(), 'short');
  const aborted = new AbortController();
  await t.rejects(async () => {
    for await (const _ of source.read(big, aborted.signal)) aborted.abort(new Error('enough'));
  }, /enough/);
  await source.close();
});

async function member(
  name: string,
  method: ZipMember['method'],
  bytes: Uint8Array,
): Promise<ZipMember> {
  const path = join(folder, `member-${counter++}`);
  await writeFile(path, bytes);
  return { name, method, path, sizeBytes: bytes.length, crc32: crc32(bytes) };
}

async function written(members: Iterable<ZipMember> | AsyncIterable<ZipMember>): Promise<string> {
  const path = join(folder, `out-${counter++}.zip`);
  await pipeline(Readable.from(zips.write(members, noSignal)), createWriteStream(path));
  return path;
}

void t.test('what is written holds nothing but names and bytes', async (t) => {
  const noise = deflateRawSync(Buffer.from(text.repeat(99)));
  const path = await written([
    await member('JI-7K3M9/CT_1_1_abc.dcm', 'stored', noise),
    await member('JI-7K3M9/CT_1_2_abd.dcm', 'deflated', Buffer.from(text)),
    await member('JI-7K3M9/empty.dcm', 'deflated', Buffer.alloc(0)),
    await member('JI-7K3M9/large.dcm', 'stored', Buffer.alloc(17 << 20, 5)),
  ]);
  t.match(execFileSync('unzip', ['-t', path], { encoding: 'utf8' }), /No errors detected/);
  const info = execFileSync('zipinfo', ['-v', path], { encoding: 'utf8' });
  t.equal(info.match(/1980 Jan 1 00:00:00/g)?.length, 4, 'fixed times');
  t.notMatch(info, /extended timestamp|Unix UID|subfield with ID/, 'no extra fields');
  t.equal(info.match(/length of extra field: +0 bytes/g)?.length, 4);
  t.equal(info.match(/length of file comment: +0 characters/g)?.length, 4);
  t.equal(info.match(/Unix file attributes \(100644 octal\)/g)?.length, 4, 'one mode');
  t.match(info, /There is no zipfile comment/);
  t.equal(info.match(/compression method: +none \(stored\)/g)?.length, 2);
  const source = await zips.open(path, limits);
  t.equal(source.entries.length, 4, 'our own reader accepts it');
  for (const entry of source.entries) {
    let size = 0;
    for await (const chunk of source.read(entry)) size += chunk.length;
    t.equal(size, entry.sizeBytes);
  }
  await source.close();
  const first = (await readFile(path)).readUInt16LE(6);
  t.equal(first & 8, 0, 'a stored entry has its size in front, not in a descriptor');
});

void t.test('a failing member ends the output with its error', async (t) => {
  async function* failing(): AsyncIterable<ZipMember> {
    yield await member('a', 'deflated', Buffer.from(text));
    throw new AppError('DISK_FULL');
  }
  await t.rejects(written(failing()), { code: 'DISK_FULL' });
  const missing = {
    ...(await member('a', 'deflated', Buffer.from(text))),
    path: join(folder, 'not-there'),
  };
  await t.rejects(written([missing]));
  const shorter = { ...(await member('a', 'stored', Buffer.from(text))), sizeBytes: 3 };
  await t.rejects(written([shorter]), { code: 'SOURCE_CHANGED' });
  const abort = new AbortController();
  await t.rejects(async () => {
    const big = await member('big', 'stored', Buffer.alloc(20 << 20, 1));
    for await (const _ of zips.write([big], abort.signal)) abort.abort(new Error('enough'));
  }, /enough/);
});

void t.test('many entries need little memory', async (t) => {
  const count = 20_000;
  const path = await onDisk(
    zipBytes(
      Array.from({ length: count }, (_, i) => ({ name: `s/${i}.dcm`, content: `${i}`, method: 0 })),
    ),
  );
  const before = process.memoryUsage().rss;
  const source = await zips.open(path, limits);
  t.equal(source.entries.length, count);
  for (const entry of source.entries.slice(0, 300)) {
    for await (const chunk of source.read(entry)) if (chunk.length === 0) t.fail();
  }
  await source.close();
  const grown = (process.memoryUsage().rss - before) / 1e6;
  t.ok(grown < 120, `grew by ${grown.toFixed(0)} MB`);
});

void t.test(
  'a directory is written in few large pieces, not in seventeen for each entry',
  async (t) => {
    const count = 3000;
    const archive = archiver('zip');
    calmFinish(archive);
    const pieces: Buffer[] = [];
    archive.on('data', (piece: Buffer) => pieces.push(piece));
    for (let i = 0; i < count; i++) archive.append(Buffer.from('x'), { name: `${i}`, store: true });
    await archive.finalize();
    const directory = pieces.findIndex(
      (piece) => piece.length >= 46 && piece.readUInt32LE(0) === 0x02014b50,
    );
    t.ok(pieces.length - directory < 10, `${pieces.length - directory} pieces`);
    const path = await onDisk(Buffer.concat(pieces));
    t.match(execFileSync('unzip', ['-tq', path], { encoding: 'utf8' }), /No errors detected/);
    const source = await zips.open(path, limits);
    t.equal(source.entries.length, count);
    await source.close();
  },
);
