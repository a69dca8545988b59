// The walker's promises: the same events however the bytes come, and no byte that was not understood.

import { isDeepStrictEqual } from 'node:util';
import { gzipSync, inflateRawSync } from 'node:zlib';
import t from 'tap';
import type { DataSet, Element, WalkerEvent } from '../../../src/core/dicom/dataset.ts';
import { openHiddenSequence } from '../../../src/core/dicom/dataset-reader.ts';
import { OffsetTables } from '../../../src/core/dicom/offset-tables.ts';
import { walk } from '../../../src/core/dicom/walk.ts';
import { createWalker } from '../../../src/core/dicom/walker.ts';
import {
  ctElements,
  ctSlice,
  dicomFile,
  el,
  fragmentBytes,
  sorted,
  syntaxes,
  type TestFile,
} from '../../support/dicom.ts';
import {
  cut,
  gather,
  limits,
  outcome,
  plain,
  split,
  threeWays,
  walkAll,
  whole,
} from '../../support/walk.ts';
import { corpusFiles } from './corpus.ts';

const item = [el(0x00080100, 'SH', 'T-1'), el(0x00080104, 'LO', 'Thorax')];
const icon = [el(0x00280010, 'US', 2), el(0x7fe00010, 'OW', Buffer.from('icon'))];

const find = (dataset: DataSet, tag: number): Element => {
  const element = dataset.elements.find((one) => one.tag === tag);
  if (element === undefined) throw new Error('no such element');
  return element;
};
const valueOf = (dataset: DataSet, tag: number): string => {
  const element = find(dataset, tag);
  if (element.kind !== 'value') throw new Error('no value');
  return Buffer.from(element.value).toString('latin1');
};

const rich = sorted([
  ...ctElements(),
  el(0x0008002a, 'DT', '20240229101530.5'),
  el(0x00081032, 'SQ', { items: [item, item] }, { undefinedLength: true }),
  el(0x00082112, 'SQ', { items: [[el(0x0040a170, 'SQ', { items: [item, []] })]] }),
  el(0x00089215, 'SQ', { items: [] }),
  el(0x00880200, 'SQ', { items: [icon] }),
  el(0x00291010, 'OB', [1, 2, 3, 4]),
  el(0x00290010, 'LO', 'EXAMPLE'),
]);

/** One private element of each VR (PS3.5 §6.2), with some bytes of value that it may have. */
const everyVR = [
  ...['AE', 'AS', 'CS', 'DA', 'DS', 'DT', 'IS', 'LO', 'LT', 'PN', 'SH', 'ST', 'TM', 'UI'],
  ...['AT', 'FD', 'FL', 'SL', 'SS', 'UL', 'US', 'SQ'],
  ...['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'SV', 'UC', 'UN', 'UR', 'UT', 'UV'],
].map((vr, i) =>
  vr === 'SQ'
    ? el(0x00291100 + i, vr, { items: [item] })
    : el(0x00291100 + i, vr, Buffer.from('20240229')),
);
const behind = [
  el(0x7fe10010, 'LO', 'MAKER'),
  el(0x7fe11001, 'SQ', { items: [icon, []] }, { undefinedLength: true }),
  el(0x7fe11002, 'UN', { items: [item] }, { undefinedLength: true }),
  el(0xfffafffa, 'SQ', { items: [[el(0x04000005, 'US', 1)]] }),
  el(0xfffcfffc, 'OB', Buffer.alloc(64)),
];

const good: Record<string, TestFile> = {
  'every VR, and private elements and signatures behind the pixels': {
    elements: sorted([...rich, ...everyVR]),
    pixels: Buffer.alloc(20),
    trailing: behind,
  },
  'every VR, big endian': {
    transferSyntax: syntaxes.bigEndian,
    elements: sorted([...rich, ...everyVR]),
    pixels: Buffer.alloc(20),
    trailing: behind,
  },
  'float pixels': {
    elements: [...rich, el(0x7fe00008, 'OF', Buffer.alloc(40, 5))],
    trailing: behind,
  },
  'double float pixels': {
    transferSyntax: syntaxes.implicit,
    elements: [...rich, el(0x7fe00009, 'OD', Buffer.alloc(40, 5))],
    trailing: behind,
  },
  'explicit little endian': { elements: rich, pixels: Buffer.alloc(300, 7) },
  'implicit little endian': {
    transferSyntax: syntaxes.implicit,
    elements: rich,
    pixels: Buffer.alloc(300, 7),
  },
  'explicit big endian': {
    transferSyntax: syntaxes.bigEndian,
    elements: rich,
    pixels: Buffer.alloc(300, 7),
  },
  deflated: { transferSyntax: syntaxes.deflated, elements: rich, pixels: Buffer.alloc(3000, 7) },
  encapsulated: {
    transferSyntax: syntaxes.jpegBaseline,
    elements: [
      ...rich.filter((one) => one.tag !== 0x00880200),
      el(0x00880200, 'SQ', {
        items: [[el(0x7fe00010, 'OB', { fragments: [Buffer.alloc(0), Buffer.alloc(6, 1)] })]],
      }),
    ],
    // the bytes of a delimiter within a fragment do not end anything
    pixels: {
      fragments: [Buffer.alloc(4), Buffer.from('feffdde000000000', 'hex'), Buffer.alloc(10)],
    },
  },
  'without preamble, implicit': {
    transferSyntax: syntaxes.implicit,
    elements: rich,
    preamble: false,
  },
  'without preamble, explicit': { elements: rich, preamble: false },
  'without preamble, big endian': {
    transferSyntax: syntaxes.bigEndian,
    elements: rich,
    preamble: false,
  },
  'elements behind the pixels': {
    elements: rich,
    pixels: Buffer.alloc(20),
    trailing: [el(0xfffcfffc, 'OB', Buffer.alloc(64))],
  },
  'all VRs with a length of 32 bits': {
    elements: sorted([
      ...ctElements(),
      el(0x00720082, 'SV', Buffer.alloc(8, 1)),
      el(0x00720083, 'UV', Buffer.alloc(8, 2)),
      el(0x00720081, 'OV', Buffer.alloc(8, 3)),
      el(0x00080119, 'UC', 'long'),
      el(0x00080120, 'UR', 'http://x'),
      el(0x00720070, 'UT', 'text'),
    ]),
  },
};

void t.test('the events are the same however the bytes come', async (t) => {
  for (const [name, file] of Object.entries(good)) {
    const bytes = dicomFile(file);
    const expected = plain(await walkAll(whole(bytes)));
    for (const [way, pieces] of Object.entries(threeWays)) {
      t.same(await outcome(pieces(bytes)), expected, `${name}, ${way}`);
    }
    t.same(await outcome(cut(7)(bytes)), expected, `${name}, sevens`);
  }
});

void t.test('every encoding gives the same elements and the same pixels', async (t) => {
  const shape = (dataset: DataSet): unknown =>
    dataset.elements.map((element) =>
      element.kind === 'sequence'
        ? [element.tag, element.items.map(shape)]
        : [element.tag, element.kind],
    );
  const expected = await walkAll(
    whole(dicomFile(good['explicit little endian'] ?? { elements: [] })),
  );
  for (const name of ['implicit little endian', 'explicit big endian', 'deflated']) {
    const walked = await walkAll(whole(dicomFile(good[name] ?? { elements: [] })));
    t.same(shape(walked.header), shape(expected.header), name);
    t.equal(valueOf(walked.header, 0x00100010), 'TEST^ANNA ', name);
    t.equal(walked.bulks.length, 1, name);
    t.equal(walked.bulks[0]?.bulk.tag, 0x7fe00010, name);
  }
});

void t.test('every VR is read as what it is, and pixels of any kind as pixels', async (t) => {
  for (const [name, tag] of [
    ['every VR, and private elements and signatures behind the pixels', 0x7fe00010],
    ['every VR, big endian', 0x7fe00010],
    ['float pixels', 0x7fe00008],
    ['double float pixels', 0x7fe00009],
  ] as const) {
    const { header, bulks, trailer } = await walkAll(whole(dicomFile(good[name]!)));
    t.same(
      bulks.map(({ bulk }) => bulk.tag),
      [tag],
      name,
    );
    t.same(
      trailer.elements.map((one) => one.tag),
      behind.map((one) => one.tag),
      name,
    );
    if (!name.startsWith('every')) continue;
    for (const { tag, vr } of everyVR) {
      const element = find(header, tag);
      t.equal(element.vr, vr, `${vr}, ${name}`);
      if (vr !== 'SQ') t.equal(valueOf(header, tag), '20240229');
    }
  }
});

void t.test('a nested 7FE0,0010 is a value and does not end the header', async (t) => {
  const { header, bulks } = await walkAll(whole(dicomFile(good['explicit little endian']!)));
  const sequence = find(header, 0x00880200);
  t.equal(sequence.kind, 'sequence');
  if (sequence.kind === 'sequence') {
    t.equal(valueOf(sequence.items[0]!, 0x7fe00010), 'icon');
  }
  t.equal(bulks[0]?.bytes.length, 300);
});

void t.test(
  'encapsulated pixels come as they stand, with item headers and delimiter',
  async (t) => {
    const file = good['encapsulated']!;
    const { bulks, header } = await walkAll(whole(dicomFile(file)));
    const { fragments } = file.pixels as { fragments: Uint8Array[] };
    t.same(bulks[0]?.bytes, fragmentBytes(fragments));
    t.equal(bulks[0]?.bulk.length, undefined);
    const nested = find(header, 0x00880200);
    if (nested.kind !== 'sequence') throw new Error('no sequence');
    const pixels = find(nested.items[0]!, 0x7fe00010);
    t.equal(pixels.kind === 'fragments' && pixels.fragments.length, 2);
  },
);

void t.test('UN that holds a sequence is read as one, and else stays bytes', async (t) => {
  const inner = { items: [item] };
  const cases = {
    'undefined length': el(0x00081032, 'UN', inner, { undefinedLength: true }),
    'defined length, known as a sequence': el(0x00081032, 'UN', inner),
    'private, undefined length': el(0x00091001, 'UN', inner, { undefinedLength: true }),
  };
  for (const [name, element] of Object.entries(cases)) {
    const elements = sorted([...ctElements(), element]);
    for (const transferSyntax of [syntaxes.explicit, syntaxes.bigEndian]) {
      const bytes = dicomFile({ elements, transferSyntax });
      const { header } = await walkAll(whole(bytes));
      const found = find(header, element.tag);
      t.match(found, { kind: 'sequence', vr: 'UN', encoding: { explicitVR: false } }, name);
      if (found.kind === 'sequence') t.equal(valueOf(found.items[0]!, 0x00080104), 'Thorax');
    }
  }
  const opaque = [
    el(0x00081032, 'UN', Buffer.from('this is not a sequence')),
    el(0x00091001, 'UN', inner),
  ];
  for (const element of opaque) {
    const { header } = await walkAll(
      whole(dicomFile({ elements: sorted([...ctElements(), element]) })),
    );
    t.match(find(header, element.tag), { kind: 'value', vr: 'UN' });
  }
  const hidden = (value: Uint8Array): unknown =>
    openHiddenSequence({ kind: 'value', tag: 0x00091001, vr: 'UN', value, offset: 0 });
  const implicitItem = Buffer.from('feff00e00a000000080000010200000041 42'.replace(' ', ''), 'hex');
  t.match(hidden(implicitItem), { kind: 'sequence', items: [{ elements: [{ vr: 'SH' }] }] });
  t.equal(hidden(Buffer.concat([implicitItem, Buffer.alloc(2)])), undefined);
  t.match(hidden(Buffer.alloc(0)), { items: [] });
});

void t.test('in implicit VR a private element of undefined length is a sequence', async (t) => {
  const elements = sorted([
    ...ctElements(),
    el(0x00091001, 'SQ', { items: [item] }, { undefinedLength: true }),
  ]);
  const { header } = await walkAll(
    whole(dicomFile({ elements, transferSyntax: syntaxes.implicit })),
  );
  t.match(find(header, 0x00091001), { kind: 'sequence' });
});

void t.test(
  'a wrong length of the file meta is no reason to refuse, the group ends where it ends',
  async (t) => {
    const bytes = ctSlice();
    bytes.writeUInt32LE(9999, 140);
    t.match(await outcome(whole(bytes)), { head: { hasPreamble: true } });
    const deflated = ctSlice({ transferSyntax: syntaxes.deflated });
    deflated.writeUInt32LE(4, 140);
    t.match(await outcome(whole(deflated)), { head: { deflated: true } });
  },
);

void t.test('file meta without a preamble is read', async (t) => {
  for (const transferSyntax of [syntaxes.implicit, syntaxes.explicit, syntaxes.bigEndian]) {
    const bytes = ctSlice({ transferSyntax }).subarray(132);
    const expected = { head: { hasPreamble: false, transferSyntaxUID: transferSyntax } };
    for (const pieces of Object.values(threeWays)) t.match(await outcome(pieces(bytes)), expected);
  }
});

// --- refusals ------------------------------------------------------------------------------------------------

const base = ctElements();
const first = base.slice(0, 3);
const withRaw = (hex: string): Buffer =>
  Buffer.concat([dicomFile({ elements: first }), Buffer.from(hex, 'hex')]);
const big = { headerBytes: 2000, inflatedBytes: 1 << 20 };
const implicit = (elements: TestFile['elements']): Buffer =>
  dicomFile({ transferSyntax: syntaxes.implicit, elements });

const refused: Record<string, [code: string, bytes: Uint8Array, limits?: typeof limits]> = {
  'an empty file': ['DICOM_NOT_DICOM', Buffer.alloc(0)],
  'a text': ['DICOM_NOT_DICOM', Buffer.from('PatientName: somebody\n'.repeat(40))],
  'a short text': ['DICOM_NOT_DICOM', Buffer.from('hello')],
  zeros: ['DICOM_NOT_DICOM', Buffer.alloc(1000)],
  'a zip': ['DICOM_NOT_DICOM', Buffer.from(`504b0304${'14'.repeat(200)}`, 'hex')],
  'the preamble alone': ['DICOM_TRUNCATED', ctSlice().subarray(0, 132)],
  'half a preamble': ['DICOM_NOT_DICOM', ctSlice().subarray(0, 90)],
  'no dataset behind the file meta': ['DICOM_TRUNCATED', dicomFile({ elements: [] })],
  'rubbish behind DICM': [
    'DICOM_MALFORMED',
    Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), Buffer.alloc(64, 0xa5)]),
  ],
  'no transfer syntax': [
    'DICOM_MALFORMED',
    dicomFile({ elements: first, meta: [el(0x00020010, 'UI', '')] }),
  ],
  'an unknown transfer syntax': [
    'DICOM_UNSUPPORTED',
    dicomFile({ elements: first, transferSyntax: '1.2.840.113619.5.2' }),
  ],
  'a tag twice': ['DICOM_MALFORMED', dicomFile({ elements: [...first, first[2]!] })],
  'tags that descend': ['DICOM_MALFORMED', dicomFile({ elements: [base[5]!, base[4]!] })],
  'tags that descend in an item': [
    'DICOM_MALFORMED',
    dicomFile({ elements: [...first, el(0x00081032, 'SQ', { items: [[item[1]!, item[0]!]] })] }),
  ],
  'group 0002 in the dataset': ['DICOM_MALFORMED', withRaw('02001000554904003100320a')],
  'an item outside a sequence': ['DICOM_MALFORMED', withRaw('feff00e000000000')],
  'a delimiter outside a sequence': ['DICOM_MALFORMED', withRaw('feffdde000000000')],
  'an unknown VR': ['DICOM_MALFORMED', withRaw('100010005858040041424344')],
  'an odd length': ['DICOM_MALFORMED', withRaw('10001000504e0300414243')],
  'a text of undefined length': [
    'DICOM_MALFORMED',
    withRaw('100010005554 0000ffffffff'.replace(' ', '')),
  ],
  'OB of undefined length in a native file': [
    'DICOM_MALFORMED',
    withRaw('100010004f420000fffffffffeffdde000000000'),
  ],
  'zeros behind the dataset': ['DICOM_MALFORMED', withRaw('00'.repeat(16))],
  'few zeros behind the dataset': ['DICOM_MALFORMED', withRaw('0000')],
  'zeros behind the pixels': ['DICOM_MALFORMED', Buffer.concat([ctSlice(), Buffer.alloc(1)])],
  'a second file behind the first': ['DICOM_MALFORMED', Buffer.concat([ctSlice(), ctSlice()])],
  'an item that is longer than its sequence': [
    'DICOM_MALFORMED',
    withRaw('100010005351000008000000feff00e010000000'),
  ],
  'a sequence that ends within an item header': [
    'DICOM_MALFORMED',
    withRaw('100010005351000004000000feff00e000000000'),
  ],
  'an element that is longer than its item': [
    'DICOM_MALFORMED',
    withRaw(
      '1000100053510000 12000000 feff00e0 0a000000 08000001 5348 0400 4142'.replaceAll(' ', ''),
    ),
  ],
  'a delimiter with a length': [
    'DICOM_MALFORMED',
    withRaw('1000100053510000fffffffffeffdde002000000'),
  ],
  'native pixels in an encapsulated file': [
    'DICOM_MALFORMED',
    dicomFile({ elements: base, transferSyntax: syntaxes.rle, pixels: Buffer.alloc(8) }),
  ],
  'fragments in a native file': [
    'DICOM_MALFORMED',
    dicomFile({ elements: base, pixels: { fragments: [Buffer.alloc(0), Buffer.alloc(8)] } }),
  ],
  'a fragment of odd length': [
    'DICOM_MALFORMED',
    dicomFile({
      elements: base,
      transferSyntax: syntaxes.rle,
      pixels: { fragments: [Buffer.alloc(0), Buffer.alloc(7)] },
    }),
  ],
  'no offset table': [
    'DICOM_MALFORMED',
    dicomFile({ elements: base, transferSyntax: syntaxes.rle, pixels: { fragments: [] } }),
  ],
  'pixels without their last byte': ['DICOM_TRUNCATED', ctSlice().subarray(0, -1)],
  'fragments without their delimiter': [
    'DICOM_TRUNCATED',
    ctSlice({ transferSyntax: syntaxes.rle }).subarray(0, -8),
  ],
  'a header that is cut behind a group length': [
    'DICOM_TRUNCATED',
    dicomFile({ elements: [el(0x00080000, 'UL', 100)] }),
  ],
  'a header that is cut': ['DICOM_TRUNCATED', ctSlice().subarray(0, 500)],
  'a deflated stream that is cut': [
    'DICOM_TRUNCATED',
    ctSlice({ transferSyntax: syntaxes.deflated }).subarray(0, -40),
  ],
  'a deflated stream that is broken': [
    'DICOM_MALFORMED',
    (() => {
      const bytes = ctSlice({ transferSyntax: syntaxes.deflated });
      bytes.fill(0xff, bytes.length - 200, bytes.length - 150);
      return bytes;
    })(),
  ],
  'bytes behind the deflated stream': [
    'DICOM_MALFORMED',
    Buffer.concat([ctSlice({ transferSyntax: syntaxes.deflated }), Buffer.from('PATIENT')]),
  ],
  "gzip's trailer behind the deflated stream, but wrong": [
    'DICOM_MALFORMED',
    Buffer.concat([ctSlice({ transferSyntax: syntaxes.deflated }), Buffer.alloc(8, 1)]),
  ],
  'a deflated stream that grows beyond the limit': [
    'DICOM_TOO_LARGE',
    dicomFile({ elements: base, transferSyntax: syntaxes.deflated, pixels: Buffer.alloc(2 << 20) }),
    { headerBytes: 1 << 20, inflatedBytes: 1 << 20 },
  ],
  'a header beyond the limit': [
    'DICOM_TOO_LARGE',
    dicomFile({ elements: [...first, el(0x00420011, 'OB', Buffer.alloc(3000))] }),
    big,
  ],
  'many small elements beyond the limit': [
    'DICOM_TOO_LARGE',
    dicomFile({
      elements: [
        ...first,
        el(0x00081032, 'SQ', { items: Array.from({ length: 200 }, () => item) }),
      ],
    }),
    big,
  ],
  'a trailer beyond the limit': [
    'DICOM_TOO_LARGE',
    dicomFile({
      elements: first,
      pixels: Buffer.alloc(9000),
      trailing: [el(0xfffcfffc, 'OB', Buffer.alloc(3000))],
    }),
    big,
  ],
  'sequences nested too deeply': [
    'DICOM_MALFORMED',
    implicit([
      ...first,
      Array.from({ length: 80 }).reduce<ReturnType<typeof el>>(
        (inner) => el(0x0040a730, 'SQ', { items: [[inner]] }, { undefinedLength: true }),
        item[0]!,
      ),
    ]),
  ],
};

void t.test(
  'what cannot be understood to its last byte is refused, however the bytes come',
  async (t) => {
    for (const [name, [code, bytes, some]] of Object.entries(refused)) {
      const expected = await outcome(whole(bytes), some);
      t.match(expected, new RegExp(`^${code} `), name);
      for (const [way, pieces] of Object.entries(threeWays)) {
        const got = await outcome(pieces(bytes), some);
        t.equal(String(got).split(' ')[0], code, `${name}, ${way}`);
      }
    }
  },
);

const numbers32 = (...list: number[]): Buffer => Buffer.from(Uint32Array.from(list).buffer);
const numbers64 = (...list: number[]): Buffer =>
  Buffer.from(BigUint64Array.from(list, BigInt).buffer);

/** Three fragments: the first frame has two, the second one. They begin at 0, 18 and 34. */
const framesWith = (table: Uint8Array, extra: TestFile['elements'] = []): Buffer =>
  dicomFile({
    elements: [...base, ...extra],
    transferSyntax: syntaxes.rle,
    pixels: { fragments: [table, Buffer.alloc(10, 1), Buffer.alloc(8, 2), Buffer.alloc(6, 3)] },
  });
const extended = (offsets: Buffer, lengths: Buffer, total?: Buffer): TestFile['elements'] => [
  el(0x7fe00001, 'OV', offsets),
  el(0x7fe00002, 'OV', lengths),
  ...(total === undefined ? [] : [el(0x7fe00003, 'UV', total)]),
];
const iconWith = (table: Uint8Array): Buffer =>
  framesWith(Buffer.alloc(0), [
    el(0x00880200, 'SQ', {
      items: [[el(0x7fe00010, 'OB', { fragments: [table, Buffer.alloc(6, 1)] })]],
    }),
  ]);
const none = Buffer.alloc(0);

void t.test('the numbers of an offset table are the places of fragments', async (t) => {
  const right: Record<string, Buffer> = {
    'no table': framesWith(none),
    'each frame': framesWith(numbers32(0, 34)),
    'each fragment': framesWith(numbers32(0, 18, 34)),
    extended: framesWith(none, extended(numbers64(0, 18, 34), numbers64(9, 8, 6))),
    'extended, with the total': framesWith(
      none,
      extended(numbers64(0, 18, 34), numbers64(10, 8, 6), numbers64(23)),
    ),
    'of an icon': iconWith(numbers32(0)),
  };
  const wrong: Record<string, Buffer> = {
    'a text': framesWith(Buffer.from('WINTERBERG^J')),
    'not from 0 on': framesWith(numbers32(18, 34)),
    'between fragments': framesWith(numbers32(0, 20)),
    'behind the end': framesWith(numbers32(0, 34, 50)),
    'twice the same': framesWith(numbers32(0, 0)),
    'in no order': framesWith(numbers32(34, 0)),
    'half a number': framesWith(Buffer.alloc(6)),
    'of an icon': iconWith(Buffer.from('ANNA')),
    'extended, a text': framesWith(
      none,
      extended(Buffer.from('WINTERBERG^ANNA!'), numbers64(1, 2)),
    ),
    'extended, too few': framesWith(none, extended(numbers64(0, 18), numbers64(10, 8))),
    'extended, too many': framesWith(
      none,
      extended(numbers64(0, 18, 34, 48), numbers64(10, 8, 6, 0)),
    ),
    'extended, other lengths': framesWith(none, extended(numbers64(0, 18, 34), numbers64(8, 8, 6))),
    'extended, no lengths': framesWith(none, [el(0x7fe00001, 'OV', numbers64(0, 18, 34))]),
    'extended, half a number': framesWith(none, extended(Buffer.alloc(12), Buffer.alloc(12))),
    'another total': framesWith(
      none,
      extended(numbers64(0, 18, 34), numbers64(10, 8, 6), numbers64(1 << 20)),
    ),
    'of no fragments': dicomFile({
      elements: [...base, ...extended(numbers64(0), numbers64(8))],
      pixels: Buffer.alloc(8),
    }),
    'of float pixels': dicomFile({
      elements: [...base, ...extended(Buffer.from('WINTERBERG^ANNA!'), numbers64(1, 2))],
      transferSyntax: syntaxes.rle,
      trailing: [el(0x7fe00008, 'OF', Buffer.alloc(8))],
    }),
    'of no pixels': dicomFile({ elements: [...base, ...extended(numbers64(0), numbers64(8))] }),
  };
  for (const [name, bytes] of Object.entries(right)) {
    for (const pieces of Object.values(threeWays)) {
      t.match(await outcome(pieces(bytes)), { trailer: {} }, name);
    }
  }
  for (const [name, bytes] of Object.entries(wrong)) {
    for (const pieces of Object.values(threeWays)) {
      t.match(await outcome(pieces(bytes)), /^DICOM_MALFORMED /, name);
    }
  }
});

void t.test('a table that ran over 32 bits still fits', async (t) => {
  const tables = new OffsetTables({ elements: [] });
  tables.begin(8, 0);
  tables.fill(numbers32(0, 16));
  tables.fragment(2 ** 32 + 8, 0, 0);
  tables.fragment(8, 2 ** 32 + 16, 0);
  tables.end(0);
  t.pass('no error');
});

void t.test('pixels do not count against the limit of the header', async (t) => {
  const bytes = dicomFile({ elements: first, pixels: Buffer.alloc(100_000) });
  t.match(await outcome(cut(1000)(bytes), big), { bulks: [{ bulk: { length: 100_000 } }] });
});

void t.test('a message says where, and never what', async (t) => {
  const bytes = dicomFile({ elements: [...first, el(0x00100010, 'PN', 'SECRET^ANNA'), first[0]!] });
  const message = String(await outcome(whole(bytes)));
  t.match(message, /\(0008,0008\)/);
  t.match(message, /byte \d+/);
  t.notMatch(message, /SECRET/);
});

void t.test('a cut at any place is never taken for a whole file with pixels', async (t) => {
  const bytes = ctSlice({ size: 4 });
  const walked = await walkAll(whole(bytes));
  const pixelsAt = walked.bulks[0]!.bulk.offset;
  const rowsAt = find(walked.header, 0x00280010).offset;
  for (let length = 0; length < bytes.length; length++) {
    const walker = createWalker(limits);
    try {
      walker.push(bytes.subarray(0, length));
      const events = walker.end();
      // between two elements nothing says that more should come, but within the description of pixels
      const isTold = length > rowsAt && length < pixelsAt;
      t.ok(!isTold && length <= pixelsAt && events.at(-1)?.kind === 'trailer', `cut at ${length}`);
    } catch (error) {
      t.match(error, { code: /^DICOM_(TRUNCATED|NOT_DICOM)$/ }, `cut at ${length}`);
    }
  }
});

void t.test('a header without pixels is whole where nothing says that it goes on', async (t) => {
  const until = (tag: number): TestFile => ({
    elements: ctElements().filter((one) => one.tag <= tag),
  });
  const walked = async (file: TestFile): Promise<unknown> => outcome([dicomFile(file)]);
  t.match(await walked(until(0x00280004)), { bulks: [] }, 'describes no pixels');
  t.match(await walked(until(0x00280010)), /^DICOM_TRUNCATED /, 'begins to describe them');
  t.match(await walked(until(0x00280102)), /^DICOM_TRUNCATED /, 'nearly describes them');
  t.match(await walked(until(0x00280103)), { bulks: [] }, 'describes them');
  const encapsulated = await walked({ ...until(0x00280103), transferSyntax: syntaxes.rle });
  t.match(encapsulated, /^DICOM_TRUNCATED /, 'encapsulated');
});

void t.test("gzip's trailer behind a deflated dataset is checked and accepted", async (t) => {
  const file = ctSlice({ transferSyntax: syntaxes.deflated });
  const end = 144 + file.readUInt32LE(140); // behind the file meta
  const dataset = inflateRawSync(file.subarray(end));
  const zipped = gzipSync(dataset).subarray(10);
  for (const bytes of [zipped, Buffer.concat([zipped, Buffer.alloc(1)])]) {
    for (const pieces of Object.values(threeWays)) {
      const got = await outcome(pieces(Buffer.concat([file.subarray(0, end), bytes])));
      t.match(got, { head: { deflated: true } });
    }
  }
});

void t.test('who stops early leaves nothing open, deflated or not', async (t) => {
  for (const transferSyntax of [syntaxes.explicit, syntaxes.deflated]) {
    const bytes = ctSlice({ transferSyntax, size: 512 });
    for (const last of ['head', 'header', 'bulk']) {
      let isClosed = false;
      const source = (function* () {
        try {
          yield* cut(1000)(bytes);
        } finally {
          isClosed = true;
        }
      })();
      for await (const event of walk(source, limits)) if (event.kind === last) break;
      t.ok(isClosed, `${transferSyntax} after ${last}`);
    }
  }
});

void t.test('a piece that is released may be written over at once', async (t) => {
  for (const [name, file] of Object.entries(good)) {
    const bytes = dicomFile(file);
    const want = plain(await walkAll(whole(bytes)));
    for (const size of [1, 3, 8, 100, 1000]) {
      const events: WalkerEvent[] = [];
      const pieces = cut(size)(Buffer.from(bytes)).map((piece) => Buffer.from(piece));
      let released = 0;
      const release = (piece: Uint8Array): void => {
        released += 1;
        piece.fill(0xee);
      };
      for await (const event of walk(pieces, limits, release)) {
        // as a writer does: pixels are used before the next event is asked for
        events.push(event.kind === 'bulk' ? { ...event, bytes: Buffer.from(event.bytes) } : event);
      }
      t.same(plain(await gather(events)), want, `${name} in pieces of ${size}`);
      t.ok(released < pieces.length, 'what holds elements stays');
    }
  }
});

void t.test('an error of the source comes through as it is', async (t) => {
  const trouble = new Error('disk');
  for (const transferSyntax of [syntaxes.explicit, syntaxes.deflated]) {
    const bytes = ctSlice({ transferSyntax });
    const source = (function* () {
      yield bytes.subarray(0, 900);
      throw trouble;
    })();
    await t.rejects(async () => {
      for await (const event of walk(source, limits)) void event.kind;
    }, trouble);
  }
});

void t.test('a large value costs no more when it comes byte by byte', async (t) => {
  const value = Buffer.alloc(1 << 20, 3);
  const bytes = dicomFile({ elements: [...first, el(0x00420011, 'OB', value)] });
  const walker = createWalker(limits);
  const started = process.cpuUsage();
  for (let i = 0; i < bytes.length; i++) walker.push(bytes.subarray(i, i + 1));
  walker.end();
  const { user } = process.cpuUsage(started);
  t.ok(user < 10e6, 'a million pushes in less than ten seconds of CPU');
});

const corpus = corpusFiles();
void t.test(
  'the corpus is read or refused as its manifest says',
  { skip: corpus.length === 0 },
  async (t) => {
    for (const { name, expected, bytes } of corpus) {
      const got = await outcome(whole(bytes));
      const walked = typeof got === 'object';
      if (expected === 'deid') t.ok(walked, name, { got });
      else if (expected === 'reject') t.match(got, /^DICOM_(MALFORMED|TRUNCATED)/, name);
      else if (expected === 'nondicom') t.match(got, /^DICOM_NOT_DICOM/, name);
      const same = async (pieces: Uint8Array[], way: string): Promise<void> => {
        t.ok(isDeepStrictEqual(await outcome(pieces), got), `${name}, ${way}`);
      };
      await same(split(bytes), 'split');
      await same(cut(997)(bytes), 'in pieces');
      if (bytes.length < 20_000) await same(cut(1)(bytes), 'byte by byte');
    }
  },
);
