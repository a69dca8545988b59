// A name outlives in bytes that another charset, or none, is declared for: the same name in the bytes that programs of East
// Asia, Russia and Central Europe write, at places where nobody says what they are. The bytes were made with Python's codecs.

import { el, padded, type TestElement } from '../../support/dicom.ts';
import { comment, person, text, type Case } from './leak-cases.ts';

const utf8 = (value: string): Buffer => padded(Buffer.from(value));
const hex = (value: string): Buffer => Buffer.from(value, 'hex');
const unicode = el(0x00080005, 'CS', 'ISO_IR 192');
const named = (name: string): readonly TestElement[] => [unicode, person(utf8(name))];

/** `whole`: family and given name without anything in between. */
interface Sample {
  readonly name: string;
  readonly whole: Readonly<Record<string, string>>;
}

const samples: readonly Sample[] = [
  {
    name: 'Yamada^Tarou=山田^太郎=やまだ^たろう',
    whole: {
      Shift_JIS: '8e52936391be9859',
      'EUC-JP': 'bbb3c5c4c2c0cfba',
      'ISO 2022 IR 87': '1b24423b33454442404f3a1b2842',
      'the old escape of JIS C 6226': '1b24403b33454442404f3a1b2842',
      GB18030: Buffer.from('c9bdccefccabc0c9', 'hex').toString('hex'),
      'kana in Shift_JIS': '82e282dc82be',
      'kana in EUC-JP': 'a4e4a4dea4c0',
    },
  },
  {
    name: 'Kim^Huijung=김^희중',
    whole: {
      'EUC-KR': 'b1e8c8f1c1df',
      'ISO 2022 IR 149': '1b242943b1e8c8f1c1df',
      'ISO 2022 IR 149, each part by itself': '1b242943b1e85e1b242943c8f1c1df',
      'UTF-8': 'eab980ed9daceca491',
    },
  },
  {
    name: 'Wang^Xiaodong=王^小東',
    whole: {
      Big5: 'a4fda470aa46',
      'Big5 with a caret': 'a4fd5ea470aa46',
      Shift_JIS: '89a48fac938c',
      'EUC-JP': 'b2a6beaec5ec',
      'EUC-KR': 'e8dde1b3d4d4',
      GB18030: 'cdf5d0a1967c',
      'UTF-16': '8b730f5c7167',
    },
  },
  { name: 'Wang^Jishan=王^𠮷山', whole: { 'four bytes of GB18030': 'cdf59534b235c9bd' } },
  { name: 'Li^Na=李^娜', whole: { GB18030: 'c0eec4c8', Big5: 'a7f5ae52' } },
  {
    name: 'Иванцов^Борис',
    whole: {
      'ISO 8859-5': 'b8d2d0dde6ded2',
      'Windows-1251': 'c8e2e0edf6eee2',
      'KOI8-R': 'e9d7c1cec3cfd7',
      'KOI8-R in capitals': 'e9f7e1eee3eff7',
    },
  },
  { name: 'Dvořáček^Jan', whole: { 'ISO 8859-2': '44766ff8e1e8656b' } },
  {
    name: 'Testperson^Annamaria',
    whole: {
      'full-width letters in Shift_JIS': '8273826482728273826f826482718272826e826d',
      'full-width letters in EUC-KR': 'a3d4a3e5a3f3a3f4a3f0a3e5a3f2a3f3a3efa3ee',
      'full-width letters in Big5': 'a2e2a2d3a2e1a2e2a2dea2d3a2e0a2e1a2dda2dc',
    },
  },
];

/** Where the bytes stand: what is written, and where it is found. */
const places: Readonly<Record<string, (bytes: Buffer) => [TestElement[], string]>> = {
  'a text without a charset': (bytes) => [[text(padded(bytes))], '(0008,1030)'],
  'a text that says UTF-8': (bytes) => [[unicode, text(padded(bytes))], '(0008,1030)'],
  'a text that says Latin-1, behind other words': (bytes) => [
    [
      el(0x00080005, 'CS', 'ISO_IR 100'),
      el(0x00204000, 'LT', padded(Buffer.concat([Buffer.from('caf\xe9 ', 'latin1'), bytes]))),
    ],
    '(0020,4000)',
  ],
  'a text that says GB18030': (bytes) => [
    [el(0x00080005, 'CS', 'GB18030'), text(padded(bytes))],
    '(0008,1030)',
  ],
  'bytes of unknown meaning, behind half a character': (bytes) => [
    [el(0x00091001, 'UN', padded(Buffer.concat([hex('0102ff81'), bytes, Buffer.from([0, 3])])))],
    '(0009,1001)',
  ],
};

export const foreignCases: readonly Case[] = samples.flatMap(({ name, whole }) =>
  Object.entries(whole).flatMap(([charset, bytes]) =>
    Object.entries(places).map(([place, put]) => {
      const [written, tag] = put(hex(bytes));
      return {
        name: `${name} in ${charset} as ${place}`,
        original: named(name),
        written,
        found: [`${tag} name`],
      };
    }),
  ),
);

const latin1 = el(0x00080005, 'CS', 'ISO_IR 100');

/** The original itself does not say what its bytes are. */
export const lyingCases: readonly Case[] = [
  {
    name: 'a name in Shift_JIS that says Latin-1, as UTF-8 in the output',
    original: [latin1, person(padded(hex('8e5293635e91be9859')))],
    written: [unicode, text(utf8('山田太郎'))],
    found: ['(0008,1030) name'],
  },
  {
    name: 'a name in EUC-KR without a charset, as UTF-8 in the output',
    original: [person(padded(hex('b1e85ec8f1c1df')))],
    written: [unicode, text(utf8('희중 '))],
    found: ['(0008,1030) name'],
  },
  {
    name: 'a name in a charset that nobody knows, as the same bytes',
    original: [person(padded(hex('e9d7c1cec3cfd75ee2cfd2c9d3')))],
    written: [unicode, el(0x00204000, 'LT', padded(hex(`c3a420e9d7c1cec3cfd7`)))],
    found: ['(0020,4000) name'],
  },
  {
    name: 'a name in an element that calls itself bytes',
    original: [el(0x00100010, 'OB', padded(Buffer.from('Testperson^Annamaria')))],
    written: [text('Annamaria')],
    found: ['(0008,1030) name'],
  },
  {
    name: 'a name and a date in elements of VR UN',
    original: [
      el(0x00100010, 'UN', padded(Buffer.from('Testperson^Annamaria'))),
      el(0x00100030, 'UN', Buffer.from('19870305')),
    ],
    written: [comment('Annamaria, born 1987-03-05')],
    found: ['(0020,4000) date', '(0020,4000) name'],
  },
  {
    name: 'a name in an element of VR UN that is not among the listed ones',
    original: [el(0x0040a075, 'UN', padded(Buffer.from('Observer^Ottilie')))],
    written: [text('by Ottilie')],
    found: ['(0008,1030) name'],
  },
];

/** Other text in these charsets is no alarm. */
export const foreignPasses: readonly Case[] = [
  {
    name: 'a name inside a longer Russian word',
    original: named('Иванцов^Борис'),
    written: [unicode, text(utf8('Иванцовский'))],
    found: [],
  },
  {
    name: 'a name inside a longer Russian word in another charset than declared',
    original: named('Иванцов^Борис'),
    written: [text(padded(hex('b8d2d0dde6ded2e1dad8d9')))],
    found: [],
  },
  {
    name: 'another Chinese text in other charsets',
    original: named('Wang^Xiaodong=王^小東'),
    written: [text(padded(hex('a4fda46aaa46'))), comment('CT of the chest')],
    found: [],
  },
];
