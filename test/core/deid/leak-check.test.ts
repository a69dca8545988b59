// The leak check must find what remains of a person, in every form and charset, and must let pass what only looks like it.

import fc from 'fast-check';
import t from 'tap';
import { findLeaks, findLeaksInName } from '../../../src/core/deid/leak-check.ts';
import { collectTerms, mergeTerms, noTerms } from '../../../src/core/deid/leak-terms.ts';
import { fold, datesIn, nationalIdsIn } from '../../../src/core/deid/leak-terms-text.ts';
import type { DataSet } from '../../../src/core/dicom/dataset.ts';
import { createWalker } from '../../../src/core/dicom/walker.ts';
import {
  dicomFile,
  el,
  gb18030,
  padded,
  sorted,
  syntaxes,
  type TestElement,
} from '../../support/dicom.ts';

/** The header as the product's walker gives it. */
function headerOf(elements: readonly TestElement[], transferSyntax: string): DataSet {
  const walker = createWalker({ headerBytes: 1 << 24 });
  const file = dicomFile({ elements: sorted(elements), transferSyntax });
  for (const event of [...walker.push(file), ...walker.end()]) {
    if (event.kind === 'header') return event.dataset;
  }
  throw new Error('no header');
}

const idsWith = (uid: string): readonly TestElement[] => [
  el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'),
  el(0x00080018, 'UI', uid),
  el(0x00080060, 'CS', 'CT'),
];
const before = idsWith('1.2.826.0.1.3680043.99.77.1');
const ids = idsWith('2.25.123456789');
const code = 'JI-7K3M9';
/** Bytes of all values but letters and digits, with something in between. */
const largeWith = (bytes: Uint8Array): Buffer =>
  padded(
    Buffer.concat([Buffer.alloc(60_000, 0xfe), Buffer.from([0, 0]), bytes, Buffer.alloc(40_000)]),
  );
const utf8 = (value: string): Buffer => padded(Buffer.from(value));

interface Case {
  readonly name: string;
  readonly original: readonly TestElement[];
  readonly written: readonly TestElement[];
  readonly found: readonly string[];
  readonly syntax?: string;
}

function leaksOf({ original, written, syntax = syntaxes.explicit }: Case): readonly string[] {
  const terms = collectTerms(headerOf([...before, ...original], syntaxes.explicit));
  const file = dicomFile({ elements: sorted([...ids, ...written]), transferSyntax: syntax });
  return findLeaks(file, terms, { subjectCodes: [code] }).map(({ tag, kind }) => `${tag} ${kind}`);
}

const text = (value: string | Uint8Array): TestElement => el(0x00081030, 'LO', value);
const comment = (value: string): TestElement => el(0x00204000, 'LT', value);
const person = (value: string | Uint8Array): TestElement => el(0x00100010, 'PN', value);
const found = (kind: string, tag = '(0008,1030)'): readonly string[] => [`${tag} ${kind}`];

const anna = [person('Testperson^Annamaria')];
const wang = [person('WANG^XIAODONG')];
const hanName = [el(0x00080005, 'CS', 'GB18030'), person(gb18030('王^小东'))];
const id = (value: string): readonly TestElement[] => [el(0x00100020, 'LO', value)];

const mustFind: readonly Case[] = [
  {
    name: 'a name as it was',
    original: anna,
    written: [text('Testperson^Annamaria')],
    found: found('name'),
  },
  ...[
    'TESTPERSON',
    'of annamaria.',
    'Scan(Testperson)',
    'x_testperson_y',
    'Annamaria, Testperson',
    'Ｔｅｓｔｐｅｒｓｏｎ2',
  ].map((value) => ({
    name: `a part of a name in ${JSON.stringify(value)}`,
    original: anna,
    written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8(value))],
    found: found('name'),
  })),
  ...['xiaodong wang', 'Wang Xiao Dong', 'XIAODONGWANG', 'wang,xiao-dong', 'WangXiaodong 3rd'].map(
    (value) => ({
      name: `Pinyin as ${JSON.stringify(value)}`,
      original: wang,
      written: [text(value)],
      found: found('name'),
    }),
  ),
  ...['Na Li', 'LI^NA', 'lina', 'Li, Na'].map((value) => ({
    name: `a name of two short parts as ${JSON.stringify(value)}`,
    original: [person('Li^Na')],
    written: [text(value)],
    found: found('name'),
  })),
  {
    name: 'a Chinese name inside running text',
    original: hanName,
    written: [el(0x00080005, 'CS', 'GB18030'), text(gb18030('患者王小东检查'))],
    found: found('name'),
  },
  {
    name: 'a Chinese name in UTF-8',
    original: hanName,
    written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8('王小东 '))],
    found: found('name'),
  },
  {
    name: 'a Chinese name under a charset that lies',
    original: [el(0x00080005, 'CS', 'ISO_IR 100'), person(gb18030('王^小东'))],
    written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8('王小东 '))],
    found: found('name'),
  },
  {
    name: 'GB18030 bytes under no charset',
    original: hanName,
    written: [text(gb18030('王小东'))],
    found: found('name'),
  },
  {
    name: 'one name of three component groups',
    original: [el(0x00080005, 'CS', 'ISO_IR 192'), person(utf8('Wang^Xiaodong=王^小东'))],
    written: [text('Xiaodong')],
    found: found('name'),
  },
  {
    name: 'an umlaut written without it',
    original: [
      el(0x00080005, 'CS', 'ISO_IR 100'),
      person(padded(Buffer.from('M\xfcllermann^Kurt', 'latin1'))),
    ],
    written: [text('Mullermann')],
    found: found('name'),
  },
  {
    name: 'the name of a physician',
    original: [el(0x00080090, 'PN', 'Referrer^Quentin')],
    written: [comment('seen by Dr. Referrer')],
    found: found('name', '(0020,4000)'),
  },
  {
    name: 'a name that was nested',
    original: [el(0x00400275, 'SQ', { items: [[el(0x00321032, 'PN', 'Requester^Xenia')]] })],
    written: [text('for Requester')],
    found: found('name'),
  },
  {
    name: 'a name in a nested item of the output',
    original: anna,
    written: [el(0x00400275, 'SQ', { items: [[el(0x00400007, 'LO', 'Testperson')]] })],
    found: found('name', '(0040,0007)'),
  },
  {
    name: 'a short name as a whole value',
    original: [person('Ng^Bo')],
    written: [text('NG')],
    found: found('name'),
  },
  {
    name: 'a common word as a whole value',
    original: [person('Head')],
    written: [text('head')],
    found: found('name'),
  },
  {
    name: 'an ID in text',
    original: id('MRN0012345'),
    written: [text('of MRN0012345')],
    found: found('id'),
  },
  {
    name: 'the number of an ID between letters',
    original: id('MRN0012345'),
    written: [text('pat0012345x')],
    found: found('id'),
  },
  {
    name: 'an ID with other delimiters',
    original: id('AB-1234/5'),
    written: [text('ab12345')],
    found: found('id'),
  },
  {
    name: 'an ID with more zeros in front',
    original: id('771234'),
    written: [text('no. 00771234')],
    found: found('id'),
  },
  {
    name: 'an ID in other patient IDs',
    original: [el(0x00101002, 'SQ', { items: [[el(0x00100020, 'LO', 'ZX99871')]] })],
    written: [text('ZX99871')],
    found: found('id'),
  },
  {
    name: 'a short ID as a whole value',
    original: id('A1'),
    written: [text('a1')],
    found: found('id'),
  },
  {
    name: 'an accession number',
    original: [el(0x00080050, 'SH', 'ACC778899')],
    written: [text('order ACC778899')],
    found: found('id'),
  },
  {
    name: 'a phone number, written otherwise',
    original: [el(0x00102154, 'SH', '+86 139-5550-1234')],
    written: [text('tel 13955501234')],
    found: found('phone'),
  },
  {
    name: 'an address',
    original: [el(0x00101040, 'LO', '12 Made-Up Lane')],
    written: [text('lives: 12 made up lane')],
    found: found('address'),
  },
  {
    name: 'a Chinese identity number, found in a comment',
    original: [comment('id 11010519491231002X')],
    written: [text('11010519491231002x')],
    found: found('national-id'),
  },
  ...[
    '19870305',
    '1987-03-05',
    '1987/3/5',
    '05.03.1987',
    '03/05/1987',
    '5 Mar 1987',
    '5-MAR-1987',
    'March 5, 1987',
    '19870305113000',
    'DOB_19870305',
  ].map((value) => ({
    name: `a birth date as ${value}`,
    original: [el(0x00100030, 'DA', '19870305')],
    written: [text(value)],
    found: found('date'),
  })),
  {
    name: 'a Chinese date',
    original: [el(0x00100030, 'DA', '19870305')],
    written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8('1987年3月5日'))],
    found: found('date'),
  },
  {
    name: 'the day of a time stamp',
    original: [el(0x0008002a, 'DT', '20210607101112')],
    written: [text('on 2021-06-07')],
    found: found('date'),
  },
  {
    name: 'an original UID',
    original: [el(0x0020000d, 'UI', '1.2.826.0.1.3680043.99.1')],
    written: [el(0x00081155, 'UI', '1.2.826.0.1.3680043.99.1')],
    found: found('uid', '(0008,1155)'),
  },
  {
    name: 'an original UID in text',
    original: [el(0x0020000d, 'UI', '1.2.826.0.1.3680043.99.1')],
    written: [text('see 1.2.826.0.1.3680043.99.1')],
    found: found('uid'),
  },
  {
    name: 'bytes of unknown meaning',
    original: anna,
    written: [el(0x00091001, 'OB', padded(Buffer.from('\0\x01\xffTestperson\0\0\x02', 'latin1')))],
    found: found('name', '(0009,1001)'),
  },
  {
    name: 'UTF-16 in bytes of unknown meaning',
    original: hanName,
    written: [
      el(
        0x00091001,
        'UN',
        Buffer.concat([Buffer.from([1]), Buffer.from('王小东', 'utf16le'), Buffer.from([2])]),
      ),
    ],
    found: found('name', '(0009,1001)'),
  },
  ...['latin1', 'utf16le'].map((encoding) => ({
    name: `large bytes of unknown meaning, ${encoding}`,
    original: anna,
    written: [
      el(0x00091001, 'OB', largeWith(Buffer.from('\0Testperson\0', encoding as BufferEncoding))),
    ],
    found: found('name', '(0009,1001)'),
  })),
  ...[Buffer.from('王小东'), Buffer.from('王小东', 'utf16le'), gb18030('王小东')].map(
    (bytes, i) => ({
      name: `a Chinese name in large bytes of unknown meaning, ${i}`,
      original: hanName,
      written: [el(0x00091001, 'OB', largeWith(bytes))],
      found: found('name', '(0009,1001)'),
    }),
  ),
  {
    name: 'text that only claims to be a number',
    original: anna,
    written: [el(0x00200011, 'IS', 'Testperson')],
    found: found('name', '(0020,0011)'),
  },
  {
    name: 'a code string that is none',
    original: anna,
    written: [el(0x00180015, 'CS', 'Testperson')],
    found: found('name', '(0018,0015)'),
  },
  {
    name: 'a full name in a code string',
    original: anna,
    written: [el(0x00180015, 'CS', 'TESTPERSON ANNAM')],
    found: [],
  },
  {
    name: 'a full name of few letters in a code string',
    original: [person('Doe^Janette')],
    written: [el(0x00180015, 'CS', 'DOE JANETTE')],
    found: found('name', '(0018,0015)'),
  },
  {
    name: 'a code meaning without a coding scheme',
    original: anna,
    written: [el(0x00081140, 'SQ', { items: [[el(0x00080104, 'LO', 'Testperson')]] })],
    found: found('name', '(0008,0104)'),
  },
  {
    name: 'the second of several values',
    original: anna,
    written: [text('MR\\Testperson')],
    found: found('name'),
  },
];

const mustPass: readonly Case[] = [
  ...['1', '12', 'G'].map((value) => ({
    name: `the ID ${value} in text and numbers`,
    original: id(value),
    written: [text(`Series ${value} of 3 G`), el(0x00200011, 'IS', value)],
    found: [],
  })),
  { name: 'the ID 1 as a whole value', original: id('1'), written: [text('1')], found: [] },
  ...['CT', 'Test', 'G', 'Head', 'Chest^Routine', 'Brain^Head'].map((value) => ({
    name: `the name ${value}`,
    original: [person(value)],
    written: [text('CT Test of Head and Chest, G'), el(0x00080070, 'LO', 'CT Maker')],
    found: [],
  })),
  {
    name: 'a common word that is a part of a name, as a whole value',
    original: [person('Test^Physician')],
    written: [text('test')],
    found: [],
  },
  {
    name: 'the name of a program in place of a patient',
    original: [person('dicom2nifti'), ...id('dicom2nifti')],
    written: [text('dicom2nifti')],
    found: [],
  },
  {
    name: 'a six-digit ID inside a UID',
    original: id('123456'),
    written: [el(0x0020000d, 'UI', '2.25.99.123456.1'), text('2.25.99.123456.1.7.8')],
    found: [],
  },
  {
    name: 'an ID inside a longer number',
    original: id('12345'),
    written: [text('9123456')],
    found: [],
  },
  {
    name: 'an ID made of a version number',
    original: id('1234'),
    written: [text('1.2.3.4')],
    found: [],
  },
  {
    name: 'an ID that is a number of the image',
    original: id('2048'),
    written: [el(0x00280010, 'US', [2048]), el(0x00280030, 'DS', '2048\\1')],
    found: [],
  },
  {
    name: 'a name inside a longer word',
    original: anna,
    written: [text('Testpersonality')],
    found: [],
  },
  {
    name: 'a name that is a coded term',
    original: [person('Thorax^Annamaria')],
    written: [el(0x00180015, 'CS', 'THORAX')],
    found: [],
  },
  {
    name: 'a name that is a code meaning',
    original: [person('Weissman^Annamaria')],
    written: [
      el(0x00082218, 'SQ', {
        items: [
          [
            el(0x00080100, 'SH', 'T-1'),
            el(0x00080102, 'SH', 'SRT'),
            el(0x00080104, 'LO', 'Weissman'),
          ],
        ],
      }),
    ],
    found: [],
  },
  {
    name: 'the subject code',
    original: id(code),
    written: [el(0x00100010, 'PN', code), el(0x00100020, 'LO', code)],
    found: [],
  },
  {
    name: 'our own marks',
    original: [person('Profile^Annamaria')],
    written: [el(0x00120062, 'CS', 'YES'), el(0x00120063, 'LO', 'Clubhouse; Profile basic')],
    found: [],
  },
  {
    name: 'a shifted date that was another date before',
    original: [el(0x00100030, 'DA', '19870305')],
    written: [el(0x00080020, 'DA', '19870305')],
    found: [],
  },
  {
    name: 'another date in text',
    original: [el(0x00100030, 'DA', '19870305')],
    written: [text('1987-03-06 protocol')],
    found: [],
  },
  {
    name: 'standard UIDs',
    original: [el(0x00081155, 'UI', '1.2.840.10008.5.1.4.1.1.2')],
    written: [],
    found: [],
  },
];

for (const [title, cases] of [
  ['what remains of a person is found', mustFind],
  ['what only looks like it passes', mustPass],
] as const) {
  void t.test(title, async (t) => {
    for (const one of cases) t.same(leaksOf(one), one.found, one.name);
  });
}

void t.test('every transfer syntax is read back', async (t) => {
  for (const [name, syntax] of Object.entries(syntaxes)) {
    if (syntax === syntaxes.deflated) continue;
    const one = {
      name,
      syntax,
      original: anna,
      written: [
        text('Testperson'),
        el(
          0x00081140,
          'SQ',
          { items: [[el(0x00080104, 'LO', 'Annamaria')]] },
          { undefinedLength: true },
        ),
        el(0x0040a032, 'DT', '2020'),
      ],
      found: [],
    };
    t.same(leaksOf(one), ['(0008,1030) name', '(0008,0104) name'], name);
  }
});

void t.test('OV, SV and UV do not hide what follows', async (t) => {
  const written = [
    el(0x00091001, 'OV', Buffer.from('12345678')),
    el(0x00091002, 'UV', Buffer.alloc(8)),
    el(0x00091003, 'SV', Buffer.alloc(16)),
    comment('Testperson'),
  ];
  t.same(leaksOf({ name: '', original: anna, written, found: [] }), ['(0020,4000) name']);
});

void t.test('what cannot be read back is a leak', async (t) => {
  const file = dicomFile({ elements: sorted([...ids, text('harmless')]) });
  const unreadable = [{ tag: 'file', kind: 'unreadable' }];
  const codes = { subjectCodes: [code] };
  t.same(findLeaks(file, noTerms, codes), []);
  t.same(findLeaks(file.subarray(0, file.length - 3), noTerms, codes), unreadable);
  t.same(findLeaks(Buffer.concat([file, Buffer.alloc(6)]), noTerms, codes), unreadable);
  t.same(findLeaks(Buffer.alloc(200), noTerms, codes), unreadable);
  const twice = dicomFile({ elements: [...ids, text('one'), text('two')] });
  t.same(findLeaks(twice, noTerms, codes), unreadable, 'a tag that comes twice');
});

void t.test('what the profile keeps on purpose is no leak', async (t) => {
  const header = headerOf(
    [
      ...before,
      person('Testperson^Annamaria'),
      el(0x00080020, 'DA', '20200102'),
      el(0x00100030, 'DA', '20200102'),
      el(0x00080090, 'PN', 'Referrer^Quentin'),
    ],
    syntaxes.explicit,
  );
  const kept = new Set([0x00080020, 0x00080090]);
  const terms = collectTerms(header, { isKept: (tag) => kept.has(tag) });
  const file = dicomFile({
    elements: sorted([...ids, text('20200102 Referrer'), comment('Testperson')]),
  });
  t.same(findLeaks(file, terms, { subjectCodes: [code] }), [{ tag: '(0020,4000)', kind: 'name' }]);
});

void t.test('names of files and entries', async (t) => {
  const header = headerOf(
    [
      ...before,
      person('Testperson^Annamaria'),
      el(0x00100020, 'LO', '1234'),
      el(0x00100030, 'DA', '19870305'),
    ],
    syntaxes.explicit,
  );
  const other = headerOf([...before, el(0x00100020, 'LO', 'ZX998877')], syntaxes.explicit);
  const terms = mergeTerms(collectTerms(header), collectTerms(other));
  const ours = { subjectCodes: [code], madeBy: 'us' } as const;
  const theirs = { subjectCodes: [code], madeBy: 'client' } as const;
  t.same(findLeaksInName(`${code}/CT_2_1234_a1b2c3d4e5.dcm.gpg`, terms, ours), []);
  t.same(findLeaksInName(`${code}/Testperson/1.dcm`, terms, theirs), [
    { tag: 'name', kind: 'name' },
  ]);
  t.same(findLeaksInName('x/1234.dcm', terms, theirs), [{ tag: 'name', kind: 'id' }]);
  t.same(findLeaksInName('ZX998877.dcm', terms, ours), [{ tag: 'name', kind: 'id' }]);
  t.same(findLeaksInName('scan_1987-03-05.zip', terms, theirs), [{ tag: 'name', kind: 'date' }]);
  t.same(findLeaksInName('series 1/image 2.dcm', terms, theirs), []);
});

void t.test('a leak never says what it found', async (t) => {
  for (const one of mustFind) {
    const said = JSON.stringify(leaksOf(one)).toLowerCase();
    t.notMatch(said, /testperson|wang|mrn|1987|2345/, one.name);
  }
});

void t.test('any name is found in any order and spelling', async () => {
  const part = fc.stringMatching(/^[A-Z][a-z]{3,9}$/);
  const gap = fc.constantFrom(' ', ', ', '^', '-', '_', '');
  fc.assert(
    fc.property(part, part, gap, fc.boolean(), (family, given, between, turned) => {
      const [a, b] = turned ? [given, family] : [family, given];
      const one = {
        name: '',
        original: [person(`${family}^${given}`)],
        written: [text(`x: ${a}${between}${b}.`)],
        found: [],
      };
      return leaksOf(one).length > 0;
    }),
    { numRuns: 60 },
  );
});

void t.test('any bytes are searched without an exception', async () => {
  const terms = collectTerms(
    headerOf([...before, ...anna, ...hanName.slice(1)].slice(0, 4), syntaxes.explicit),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const even = bytes.subarray(0, bytes.length & ~1);
      const file = dicomFile({
        elements: sorted([...ids, text(even), el(0x00091001, 'UN', even)]),
      });
      findLeaks(file, terms, { subjectCodes: [] });
      findLeaks(Buffer.concat([file.subarray(0, 200), even]), terms, { subjectCodes: [] });
    }),
    { numRuns: 100 },
  );
});

void t.test('forms of dates and identity numbers', async (t) => {
  t.ok(datesIn(fold('1.2.2003')).has('20030201'));
  t.ok(datesIn(fold('1.2.2003')).has('20030102'));
  t.equal(datesIn(fold('123 4567 89')).size, 0);
  t.same(nationalIdsIn('110105194912310020'), [], 'a wrong check digit');
  t.same(nationalIdsIn('x 11010519491231002x'), ['11010519491231002x']);
});

void t.test('a header with much text is searched in little time', async (t) => {
  const terms = collectTerms(
    headerOf(
      [...before, ...anna, ...id('MRN0012345'), el(0x00080090, 'PN', 'Referrer^Quentin')],
      syntaxes.explicit,
    ),
  );
  const file = dicomFile({
    elements: sorted([
      ...ids,
      text('CT of the chest'),
      el(0x0040a160, 'UT', 'some words of a report '.repeat(40_000)),
    ]),
  });
  const started = process.cpuUsage();
  t.same(findLeaks(file, terms, { subjectCodes: [] }), []);
  const { user } = process.cpuUsage(started);
  t.ok(user < 2_000_000, `${user} µs for ${file.length} bytes`);
  const noise = Buffer.from(
    Array.from({ length: 2 << 20 }, (_, i) => (i * 7919 + (i >> 8) * 104_729) & 255),
  );
  const blob = dicomFile({ elements: sorted([...ids, el(0x00282000, 'OB', noise)]) });
  const again = process.cpuUsage();
  t.same(findLeaks(blob, terms, { subjectCodes: [] }), []);
  const used = process.cpuUsage(again).user;
  t.ok(used < 2_000_000, `${used} µs for ${blob.length} bytes of unknown meaning`);
});
