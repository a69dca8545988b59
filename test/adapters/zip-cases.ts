// Zips as data: what may be, with what is in it, and what holds the whole zip, with the reason.

import type { ProcessLimits } from '../../src/flow/ports/processing.ts';
import { endRecord, localHeader, zipBytes, type MadeEntry } from '../support/zip.ts';

export const text = 'made-up bytes '.repeat(50);
export const one: MadeEntry = { name: 'a.txt', content: text };
export const two: MadeEntry = { name: 'b/c.txt', content: 'short', method: 0 };

export const readable: { name: string; bytes: Uint8Array; found: Record<string, string> }[] = [
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

const good = zipBytes([one, two]);
const late = (bytes: Uint8Array, at: number, value: number): Uint8Array => {
  const copy = Buffer.from(bytes);
  copy[at < 0 ? copy.length + at : at] = value;
  return copy;
};

export const refused: {
  name: string;
  bytes: Uint8Array;
  reason: string;
  how?: Partial<ProcessLimits>;
}[] = [
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
