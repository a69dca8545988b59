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
import t from 'tap';
import { zips } from '../../src/adapters/zip/zips.ts';
import { AppError } from '../../src/core/errors.ts';
import { ZipRefusal } from '../../src/core/zip-refusal.ts';
import type { ProcessLimits } from '../../src/flow/ports/processing.ts';
import type { ZipMember } from '../../src/flow/ports/zip.ts';
import { endRecord, localHeader, zipBytes, type MadeEntry } from '../support/zip.ts';

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

const text = 'made-up bytes '.repeat(50);
const one: MadeEntry = { name: 'a.txt', content: text };
const two: MadeEntry = { name: 'b/c.txt', content: 'short', method: 0 };

void t.test('what a zip may be', async (t) => {
  const cases: { name: string; bytes: Uint8Array; found: Record<string, string> }[] = [
    {
      name: 'stored and deflated entries',
      bytes: zipBytes([one, two]),
      found: { 'a.txt': text, 'b/c.txt': 'short' },
    },
    { name: 'no entry at all', bytes: zipBytes([]), found: {} },
    {
      name: 'empty entries and folders, which are skipped',
      bytes: zipBytes([
        { name: 'd/', content: '', method: 0 },
        { name: 'd/empty', content: '', method: 0 },
      ]),
      found: { 'd/empty': '' },
    },
    {
      name: 'data descriptors with and without signature',
      bytes: zipBytes([
        { ...one, descriptor: 16 },
        { ...two, descriptor: 12 },
        { name: 'x', content: text, descriptor: 24 },
      ]),
      found: { 'a.txt': text, 'b/c.txt': 'short', x: text },
    },
    {
      name: 'data that holds the signatures of records',
      bytes: zipBytes([
        {
          name: 'pk',
          content: 'PK\x01\x02PK\x03\x04PK\x07\x08PK\x05\x06',
          method: 0,
          descriptor: 16,
        },
      ]),
      found: { pk: 'PK\x01\x02PK\x03\x04PK\x07\x08PK\x05\x06' },
    },
    {
      name: 'an archive comment and comments of entries',
      bytes: zipBytes([{ ...one, comment: 'Lin, Mei' }], { comment: 'of Lin Mei '.repeat(100) }),
      found: { 'a.txt': text },
    },
    {
      name: 'zip64 records',
      bytes: zipBytes([one, two], { zip64: true }),
      found: { 'a.txt': text, 'b/c.txt': 'short' },
    },
    {
      name: 'a name in UTF-8 by the flag',
      bytes: zipBytes([{ name: Buffer.from('林美.dcm'), content: 'x', flags: 0x800 }]),
      found: { '林美.dcm': 'x' },
    },
    {
      name: 'a name in GBK, one with 0x5C as second byte among them',
      bytes: zipBytes([{ name: Buffer.from([0xc1, 0xd6, 0xc3, 0xc0, 0x81, 0x5c]), content: 'x' }]),
      found: {
        [new TextDecoder('gb18030').decode(Buffer.from([0xc1, 0xd6, 0xc3, 0xc0, 0x81, 0x5c]))]: 'x',
      },
    },
    {
      name: 'a Unicode path field',
      bytes: zipBytes([{ name: 'q.dcm', content: 'x', unicodePath: '林.dcm' }]),
      found: { '林.dcm': 'x' },
    },
  ];
  for (const { name, bytes, found } of cases) {
    t.same(await outcome(bytes), found, name);
  }
});

void t.test('what holds the whole zip, each with its reason', async (t) => {
  const good = zipBytes([one, two]);
  const late = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
    const copy = Buffer.from(bytes);
    copy[at < 0 ? copy.length + at : at] = value;
    return copy;
  };
  const cases: { name: string; bytes: Uint8Array; reason: string; how?: Partial<ProcessLimits> }[] =
    [
      { name: 'a wrong checksum', bytes: zipBytes([{ ...one, crc: 1 }]), reason: 'zip-crc' },
      {
        name: 'a wrong checksum, stored',
        bytes: zipBytes([{ ...two, crc: 1 }]),
        reason: 'zip-crc',
      },
      { name: 'a password', bytes: zipBytes([{ ...one, flags: 1 }]), reason: 'zip-encrypted' },
      { name: 'AES', bytes: zipBytes([{ ...one, methodCode: 99 }]), reason: 'zip-encrypted' },
      {
        name: 'an unknown method',
        bytes: zipBytes([{ ...one, methodCode: 14 }]),
        reason: 'zip-broken',
      },
      ...['../x', 'a/../../x', '/etc/x', 'C:/x', 'c:x', '..\\x', 'a\\b', 'a\0b', 'a\nb', '..'].map(
        (name) => ({
          name: `the path ${JSON.stringify(name)}`,
          bytes: zipBytes([{ name, content: 'x' }]),
          reason: 'zip-path',
        }),
      ),
      {
        name: 'a Unicode path that leads out',
        bytes: zipBytes([{ name: 'x', content: 'x', unicodePath: '../x' }]),
        reason: 'zip-path',
      },
      {
        name: 'a symbolic link',
        bytes: zipBytes([{ ...one, mode: 0o120777 }]),
        reason: 'zip-link',
      },
      { name: 'a device', bytes: zipBytes([{ ...one, mode: 0o020666 }]), reason: 'zip-link' },
      { name: 'the same name twice', bytes: zipBytes([one, one]), reason: 'zip-broken' },
      {
        name: 'bytes in front',
        bytes: Buffer.concat([Buffer.from('MZ'), good]),
        reason: 'zip-broken',
      },
      {
        name: 'bytes in front that the offsets know of',
        bytes: zipBytes([one], { prefix: Buffer.from('#!/bin/sh\n') }),
        reason: 'zip-broken',
      },
      {
        name: 'bytes behind',
        bytes: Buffer.concat([good, Buffer.from('x')]),
        reason: 'zip-broken',
      },
      {
        name: 'bytes between entries',
        bytes: zipBytes([one, { ...two, gapBefore: Buffer.from('hidden') }]),
        reason: 'zip-broken',
      },
      {
        name: 'an entry that the directory does not list',
        bytes: zipBytes([one, { ...two, gapBefore: localHeader({ name: 'h', content: 'x' }) }]),
        reason: 'zip-broken',
      },
      {
        name: 'a local header with another name',
        bytes: zipBytes([{ ...one, localName: 'z.txt' }]),
        reason: 'zip-broken',
      },
      {
        name: 'two entries over the same bytes',
        bytes: zipBytes([one, { ...one, name: 'b.txt', localName: 'a.txt', sharesPrevious: true }]),
        reason: 'zip-overlap',
      },
      {
        name: 'more bytes than declared',
        bytes: zipBytes([{ ...one, declaredSize: 10 }]),
        reason: 'zip-bomb',
      },
      {
        name: 'fewer bytes than declared',
        bytes: zipBytes([{ ...one, declaredSize: 5000 }]),
        reason: 'zip-broken',
      },
      {
        name: 'rubbish for deflated data',
        bytes: zipBytes([{ ...one, raw: Buffer.from('\xff\xff\xff', 'latin1') }]),
        reason: 'zip-broken',
      },
      {
        name: 'too many entries',
        bytes: good,
        reason: 'zip-entries',
        how: { zipEntries: 1 },
      },
      {
        name: 'too many bytes by declaration',
        bytes: good,
        reason: 'zip-bomb',
        how: { inflatedBytes: 100 },
      },
      {
        name: 'a ratio beyond the limit',
        bytes: zipBytes([{ name: 'zeros', content: Buffer.alloc(70 << 20) }]),
        reason: 'zip-bomb',
      },
      {
        name: 'a folder with bytes',
        bytes: zipBytes([{ name: 'd/', content: 'x' }]),
        reason: 'zip-broken',
      },
      {
        name: 'a directory that is not one',
        bytes: late(good, good.length - 22 - 60, 0x51),
        reason: 'zip-broken',
      },
      { name: 'several disks', bytes: late(good, -22 + 4, 1), reason: 'zip-broken' },
      {
        name: 'another count',
        bytes: late(late(good, -22 + 8, 1), -22 + 10, 1),
        reason: 'zip-broken',
      },
      {
        name: 'two end records that fit',
        bytes: zipBytes([one], { comment: endRecord(0, 0, 0, '').toString('latin1') }),
        reason: 'zip-broken',
      },
      {
        name: 'no end record, and rubbish among the entries',
        bytes: Buffer.concat([good.subarray(0, good.length - 22 - 51 - 53), Buffer.alloc(200, 7)]),
        reason: 'zip-broken',
      },
    ];
  for (const { name, bytes, reason, how } of cases) {
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
