// What the leak check must find and what it must let pass, as data: an original, what was written of it, what is found.

import { el, gb18030, padded, type TestElement } from '../../support/dicom.ts';

export const idsWith = (uid: string): readonly TestElement[] => [
  el(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'),
  el(0x00080018, 'UI', uid),
  el(0x00080060, 'CS', 'CT'),
];
export const before = idsWith('1.2.826.0.1.3680043.99.77.1');
export const ids = idsWith('2.25.123456789');
export const code = 'JI-7K3M9';
/** Bytes of all values but letters and digits, with something in between. */
const largeWith = (bytes: Uint8Array): Buffer =>
  padded(
    Buffer.concat([Buffer.alloc(60_000, 0xfe), Buffer.from([0, 0]), bytes, Buffer.alloc(40_000)]),
  );
const utf8 = (value: string): Buffer => padded(Buffer.from(value));

export interface Case {
  readonly name: string;
  readonly original: readonly TestElement[];
  readonly written: readonly TestElement[];
  readonly found: readonly string[];
  readonly syntax?: string;
}

export const text = (value: string | Uint8Array): TestElement => el(0x00081030, 'LO', value);
export const comment = (value: string): TestElement => el(0x00204000, 'LT', value);
export const person = (value: string | Uint8Array): TestElement => el(0x00100010, 'PN', value);
const found = (kind: string, tag = '(0008,1030)'): readonly string[] => [`${tag} ${kind}`];

export const anna = [person('Testperson^Annamaria')];
const wang = [person('WANG^XIAODONG')];
export const hanName = [el(0x00080005, 'CS', 'GB18030'), person(gb18030('王^小东'))];
export const id = (value: string): readonly TestElement[] => [el(0x00100020, 'LO', value)];

export const mustFind: readonly Case[] = [
  ...[
    el(0x00281201, 'OW', Buffer.from('\0\x01Testperson Annamaria\xff\xff', 'latin1')),
    el(0x00283006, 'OW', Buffer.from('TESTPERSON', 'utf16le')),
    el(0x54001010, 'OB', Buffer.from('~~annamaria!!')),
  ].map((element) => ({
    name: `a name in numbers ${element.tag.toString(16)}`,
    original: anna,
    written: [element],
    found: [
      `(${element.tag
        .toString(16)
        .padStart(8, '0')
        .replace(/(....)/, '$1,')
        .toUpperCase()}) name`,
    ],
  })),
  {
    name: 'a name in what calls itself our mark',
    original: anna,
    written: [el(0x00120063, 'LO', 'Clubhouse of Testperson')],
    found: ['(0012,0063) name'],
  },
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
    name: 'a mobile number that stood in a comment',
    original: [comment('call 139 5550 1234 for results')],
    written: [text('tel. +86-139-5550-1234')],
    found: found('phone'),
  },
  {
    name: 'a mail address',
    original: [el(0x00102155, 'UT', 'mailto:a.winter@example.org')],
    written: [text('A.Winter@Example.org')],
    found: found('address'),
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
  {
    name: 'a Chinese identity number in groups',
    original: [comment('id 110105 19491231 002X')],
    written: [text('110105-19491231-002x')],
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
    '1987.03.05',
    '1987 03 05',
    'Mar 5 1987',
    '5-Mar-87',
    '05/03/87',
    '5. Maerz 1987',
  ].map((value) => ({
    name: `a birth date as ${value}`,
    original: [el(0x00100030, 'DA', '19870305')],
    written: [text(value)],
    found: found('date'),
  })),
  ...[
    '1987年3月5日',
    '87年3月5日',
    '１９８７年０３月０５日',
    '一九八七年三月五日',
    '1987년 3월 5일',
    '5. März 1987',
    '5 mars 1987',
  ].map((value) => ({
    name: `a date as ${value}`,
    original: [el(0x00100030, 'DA', '19870305')],
    written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8(value))],
    found: found('date'),
  })),
  ...['15. Dezember 1987', '15 dic 1987', '15 déc. 1987', '一九八七年十二月十五日'].map(
    (value) => ({
      name: `a date in another language as ${value}`,
      original: [el(0x00100030, 'DA', '19871215')],
      written: [el(0x00080005, 'CS', 'ISO_IR 192'), text(utf8(value))],
      found: found('date'),
    }),
  ),
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
    name: 'a family name in a code string',
    original: anna,
    written: [el(0x00180015, 'CS', 'TESTPERSON ANNAM')],
    found: found('name', '(0018,0015)'),
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
