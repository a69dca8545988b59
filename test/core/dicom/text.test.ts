// Character sets, person names, and the tables of tags and transfer syntaxes.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { VR } from '../../../src/core/dicom/dataset.ts';
import {
  entryOfKeyword,
  implicitVR,
  keywordOf,
  lookup,
  tagOfKeyword,
} from '../../../src/core/dicom/dictionary.ts';
import { dictionaryTable } from '../../../src/core/dicom/dictionary-table.ts';
import {
  decodeText,
  decodeValues,
  isKnownCharset,
  splitPersonName,
} from '../../../src/core/dicom/text.ts';
import { transferSyntax, transferSyntaxUIDs } from '../../../src/core/dicom/transfer-syntax.ts';
import { packageRoot } from '../../../src/package-root.ts';
import { makeDictionaryTable } from '../../../scripts/gen-dictionary.ts';
import { gb18030 } from '../../support/dicom.ts';

type Row = [name: string, charsets: string[], hex: string, expected: string, vr?: VR];

// the examples of PS3.5 annexes H to K, and one for each other set
const rows: Row[] = [
  ['ASCII', [], '544553545e414e4e4120', 'TEST^ANNA'],
  ['no set named, high bytes', [], '4ae972f46d65', 'Jérôme'],
  ['Latin-1', ['ISO_IR 100'], '4275635e4ae972f46d65', 'Buc^Jérôme'],
  ['Latin-1, control range', ['ISO_IR 100'], '4181', 'A\x81'],
  ['Latin-2', ['ISO_IR 101'], 'c86170656b5ea3', 'Čapek^Ł'],
  ['Latin-3', ['ISO_IR 109'], 'c6755ede69', 'Ĉu^Ŝi'],
  ['Latin-4', ['ISO_IR 110'], 'ab697274735ed369', 'Ģirts^Ķi'],
  ['Cyrillic', ['ISO_IR 144'], 'bbeeda6365dcd17970d3', 'Люкceмбypг'],
  ['Arabic', ['ISO_IR 127'], 'e2c8c7e6ea5ee4e6d2c7d1', 'قباني^لنزار'],
  ['Greek', ['ISO_IR 126'], 'c4e9efedf5f3e9eff2', 'Διονυσιος'],
  ['Hebrew', ['ISO_IR 138'], 'f9f8e5ef5ee3e1e5f8e4', 'שרון^דבורה'],
  ['Turkish', ['ISO_IR 148'], '49fefd6b', 'Işık'],
  ['Latin-9', ['ISO_IR 203'], '5a6feb5ebc7566', 'Zoë^Œuf'],
  ['Thai', ['ISO_IR 166'], 'cac1aad2c2', 'สมชาย'],
  ['Katakana', ['ISO_IR 13'], 'd4cfc0de5ec0dbb3', 'ﾔﾏﾀﾞ^ﾀﾛｳ'],
  ['UTF-8', ['ISO_IR 192'], '57616e673de78e8b5ee5b08fe4b89c', 'Wang=王^小东'],
  [
    'GB18030',
    ['GB18030'],
    '57616e675e5869616f446f6e673dcdf55ed0a1b6ab3d',
    'Wang^XiaoDong=王^小东=',
  ],
  ['GBK', ['GBK'], 'cdf55ed0a1b6ab', '王^小东'],
  [
    'Japanese (H.3.1)',
    ['', 'ISO 2022 IR 87'],
    '59616d6164615e5461726f753d1b24423b3345441b28425e1b244242404f3a1b28423d1b24422464245e24401b28425e1b2442243f246d24261b2842',
    'Yamada^Tarou=山田^太郎=やまだ^たろう',
  ],
  [
    'Japanese with katakana (H.3.2)',
    ['ISO 2022 IR 13', 'ISO 2022 IR 87'],
    'd4cfc0de5ec0dbb33d1b24423b3345441b284a5e1b244242404f3a1b284a3d1b24422464245e24401b284a5e1b2442243f246d24261b284a',
    'ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう',
  ],
  ['JIS X 0212', ['', 'ISO 2022 IR 159'], '1b242844303b1b2842', '乹'],
  [
    'Korean (I.2)',
    ['', 'ISO 2022 IR 149'],
    '486f6e675e47696c646f6e673d1b242943fbf35e1b242943d1ced4d73d1b242943c8ab5e1b242943b1e6b5bf',
    'Hong^Gildong=洪^吉洞=홍^길동',
  ],
  [
    'Chinese by code extension (K.2)',
    ['', 'ISO 2022 IR 58'],
    '5a68616e675e5869616f446f6e673d1b242941d5c55e1b242941d0a1b6ab3d',
    'Zhang^XiaoDong=张^小东=',
  ],
  [
    'two sets in one text, with a line end between',
    ['', 'ISO 2022 IR 149', 'ISO 2022 IR 126'],
    '1b242943c8ab0d0a1b2d46c4e9410d0a1b242943b1e6',
    '홍\r\nΔιA\r\n길',
    'LT',
  ],
  ['a delimiter ends a set', ['', 'ISO 2022 IR 126'], '1b2d46c45ce9', 'Δ\\é', 'LO'],
  ['a caret ends a set only in names', ['', 'ISO 2022 IR 126'], '1b2d46c45ec4', 'Δ^Δ', 'LO'],
  ['an unknown set', ['ISO_IR 999'], '4ae9', 'Jé'],
  ['an escape that nobody knows', [], '411b2a5a42', 'A\x1b*ZB'],
  ['a set cut in the middle of a character', ['', 'ISO 2022 IR 87'], '1b24423b', '\ufffd'],
];

void t.test('text is read in every character set of the standard', (t) => {
  for (const [name, charsets, hex, expected, vr] of rows) {
    t.equal(decodeText(Buffer.from(hex, 'hex'), charsets, vr ?? 'PN'), expected, name);
  }
  t.end();
});

void t.test('values are split after decoding, since 0x5C may be half a character', (t) => {
  // 乗 is 81 5C, 乛 is 81 5E
  const bytes = Buffer.from('815c5c815e5e41', 'hex');
  const [first, second] = [0x815c, 0x815e].map((code) =>
    new TextDecoder('gb18030').decode(Uint8Array.of(code >> 8, code & 0xff)),
  );
  t.same(decodeValues(bytes, ['GB18030'], 'PN'), [first, `${second}^A`]);
  t.same(decodeValues(gb18030('王^小东'), ['GB18030'], 'PN'), ['王^小东']);
  t.same(decodeValues(Buffer.from('A \\ B'), [], 'LO'), ['A', 'B']);
  t.same(decodeValues(Buffer.from('A\\B '), [], 'LT'), ['A\\B']);
  t.same(decodeValues(Buffer.alloc(0), [], 'LO'), []);
  t.end();
});

void t.test('character sets that the standard does not have are known as such', (t) => {
  t.ok(isKnownCharset([]));
  t.ok(isKnownCharset(['', 'ISO 2022 IR 87', 'ISO_IR 100']));
  t.ok(isKnownCharset(['iso-ir 192 ']));
  t.notOk(isKnownCharset(['BIG5']));
  t.notOk(isKnownCharset(['ISO_IR 999']));
  t.notOk(isKnownCharset(['constructor']));
  t.end();
});

void t.test('a person name falls into its component groups', (t) => {
  const [alphabetic, ideographic, phonetic] = splitPersonName('Wang^Xiao Dong^M^Dr^PhD=王^小东=');
  t.match(alphabetic, {
    family: 'Wang',
    given: 'Xiao Dong',
    middle: 'M',
    prefix: 'Dr',
    suffix: 'PhD',
  });
  t.match(ideographic, { family: '王', given: '小东', whole: '王^小东' });
  t.match(phonetic, { family: '', whole: '' });
  t.match(splitPersonName('A^B^C^D^E^F')[0], { suffix: 'E F' });
  t.end();
});

void t.test('tags and keywords are looked up, repeating groups too', (t) => {
  t.match(lookup(0x00100010), { keyword: 'PatientName', vrs: ['PN'], vm: '1' });
  t.match(lookup(0x60023000), { keyword: 'OverlayData', vrs: ['OB', 'OW'] });
  t.match(lookup(0x50042500), { keyword: 'CurveLabel' });
  t.match(lookup(0x00203102), { keyword: 'SourceImageIDs' });
  t.equal(lookup(0x60013000), undefined, 'odd groups are private');
  t.equal(lookup(0x00100019), undefined);
  t.equal(keywordOf(0x7fe00010), 'PixelData');
  t.equal(tagOfKeyword('StudyInstanceUID'), 0x0020000d);
  t.equal(tagOfKeyword('OverlayData'), undefined);
  t.match(entryOfKeyword('OverlayData'), { tag: 0x60003000, mask: 0xff00ffff });
  t.equal(tagOfKeyword('NoSuchThing'), undefined);
  t.end();
});

void t.test('implicit VR gives each tag one VR', (t) => {
  const cases: [number, VR][] = [
    [0x7fe00010, 'OW'],
    [0x00280106, 'US'],
    [0x00283006, 'OW'],
    [0x60003000, 'OW'],
    [0x00080000, 'UL'],
    [0x00090010, 'LO'],
    [0x000900ff, 'LO'],
    [0x00091001, 'UN'],
    [0x00100019, 'UN'],
    [0x00081140, 'SQ'],
  ];
  for (const [tag, vr] of cases) t.equal(implicitVR(tag), vr, tag.toString(16));
  t.end();
});

void t.test('transfer syntaxes are a closed list', (t) => {
  const row = '1.2.840.10008.1.2';
  t.match(transferSyntax(row), { encoding: { explicitVR: false }, encapsulated: false });
  t.match(transferSyntax(`${row}.2`), { encoding: { bigEndian: true } });
  t.match(transferSyntax(`${row}.1.99`), { deflated: true, encapsulated: false });
  t.match(transferSyntax(`${row}.4.95`), { deflated: true, encapsulated: false });
  for (const end of [
    '4.50',
    '4.57',
    '4.70',
    '4.80',
    '4.90',
    '4.93',
    '4.102.1',
    '4.107',
    '4.110',
    '4.203',
    '5',
    '1.98',
    '8.1',
  ]) {
    t.match(transferSyntax(`${row}.${end}`), { encapsulated: true, deflated: false }, end);
  }
  t.equal(new Set(transferSyntaxUIDs).size, transferSyntaxUIDs.length);
  for (const uid of ['', '1.2.840.113619.5.2', '1.2.840.10008.1.2.4.999']) {
    t.throws(() => transferSyntax(uid), { code: 'DICOM_UNSUPPORTED' });
  }
  t.end();
});

const shared = process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared');
const hasStandard = existsSync(join(shared, 'standard', 'dictionary.json'));

void t.test('the generated dictionary is what gen makes', { skip: !hasStandard }, async (t) => {
  const file = join(packageRoot, 'src', 'core', 'dicom', 'dictionary-table.ts');
  t.ok((await makeDictionaryTable(shared)) === readFileSync(file, 'utf8'));
  t.ok(dictionaryTable.split('\n').length > 5000);
});
