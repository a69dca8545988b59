// Whole datasets through the de-identification: every action, every option, every depth, every encoding.

import fc from 'fast-check';
import t from 'tap';
import { confidentialityTable } from '../../../src/core/deid/confidentiality-table.ts';
import { allOptions, type Option } from '../../../src/core/deid/options.ts';
import { findElement, firstValue, valuesOf } from '../../../src/core/deid/reading.ts';
import { preview } from '../../../src/core/deid/preview.ts';
import type { DataSet, Element, SequenceElement } from '../../../src/core/dicom/dataset.ts';
import { lookup, tagOfKeyword } from '../../../src/core/dicom/dictionary.ts';
import { clean, walked } from '../../support/deid.ts';
import {
  ctElements,
  ctSlice,
  dicomFile,
  el,
  gb18030,
  padded,
  sorted,
  syntaxes,
  type TestElement,
  type TestValue,
} from '../../support/dicom.ts';

const tagFor = (keyword: string): number => tagOfKeyword(keyword) ?? 0;
const get = (dataset: DataSet, keyword: string): string =>
  valuesOf(dataset, tagFor(keyword)).join('\\');
const has = (dataset: DataSet, keyword: string): boolean =>
  findElement(dataset, tagFor(keyword)) !== undefined;
const items = (element: Element | undefined): readonly DataSet[] =>
  (element as SequenceElement | undefined)?.items ?? [];
/** The items of a sequence at the top level, and one of them. */
const itemsAt = (dataset: DataSet, tag: number): readonly DataSet[] =>
  items(findElement(dataset, tag));
const itemAt = (dataset: DataSet, tag: number, index = 0): DataSet =>
  itemsAt(dataset, tag)[index] ?? { elements: [] };

void t.test('the Basic Profile does to a CT slice what Table E.1-1 says', async (t) => {
  const { dataset, sopInstanceUID, sopClassUID, hold, actions } = await clean(ctSlice());
  t.equal(hold, undefined);
  t.equal(sopClassUID, '1.2.840.10008.5.1.4.1.1.2');
  t.match(sopInstanceUID, /^2\.25\.\d{30,39}$/);
  const expected: Record<string, string> = {
    ImageType: 'ORIGINAL\\PRIMARY\\AXIAL',
    SOPInstanceUID: sopInstanceUID,
    StudyDate: '',
    AccessionNumber: '',
    Modality: 'CT',
    Manufacturer: 'Example Imaging',
    InstitutionName: 'ANONYMIZED',
    ReferringPhysicianName: '',
    PatientName: 'JI-7K3M9',
    PatientID: 'JI-7K3M9',
    PatientBirthDate: '',
    PatientSex: '',
    SliceThickness: '1.25',
    StudyID: '',
    InstanceNumber: '1',
    PatientIdentityRemoved: 'YES',
    LongitudinalTemporalInformationModified: 'REMOVED',
  };
  for (const [keyword, value] of Object.entries(expected)) {
    t.ok(has(dataset, keyword), `${keyword} is there`);
    t.equal(get(dataset, keyword), value, keyword);
  }
  for (const gone of ['StudyDescription', 'PatientAge', 'PatientComments']) {
    t.notOk(has(dataset, gone), `${gone} is gone`);
  }
  t.notOk(
    dataset.elements.some(({ tag }) => (tag >>> 16) & 1),
    'no private attribute',
  );
  t.same(actions['(0010,4000)'], { remove: 1 });
  t.same(actions['(0010,0010)'], { pseudonym: 1 });
  const reference = itemAt(dataset, 0x00081140);
  t.equal(get(reference, 'ReferencedSOPClassUID'), '1.2.840.10008.5.1.4.1.1.2');
  t.match(get(reference, 'ReferencedSOPInstanceUID'), /^2\.25\./);
});

void t.test(
  'the output is in ascending order and ours comes once, also over earlier marks',
  async (t) => {
    const marked = ctSlice({
      extra: [
        el(0x00120062, 'CS', 'NO'),
        el(0x00120063, 'LO', 'some other tool\\for TEST^ANNA'),
        el(0x00120064, 'SQ', { items: [[el(0x00080104, 'LO', 'other')], []] }),
        el(0x00280303, 'CS', 'UNMODIFIED'),
      ],
    });
    const { dataset } = await clean(marked);
    const tags = dataset.elements.map(({ tag }) => tag);
    t.same(
      tags,
      [...new Set(tags)].sort((a, b) => a - b),
    );
    t.equal(get(dataset, 'PatientIdentityRemoved'), 'YES');
    t.match(
      get(dataset, 'DeidentificationMethod'),
      /^Clubhouse; PS3.15 2026d .*profile [0-9a-f]{12}$/,
    );
    t.same(
      itemsAt(dataset, 0x00120064).map((item) => get(item, 'CodeValue')),
      ['113100'],
    );
  },
);

const optionCases: readonly {
  option: string;
  code: string;
  dates?: string;
  extra?: readonly TestElement[];
  want: Record<string, string | undefined>;
}[] = [
  {
    option: 'retain-uids',
    code: '113110',
    want: {
      SOPInstanceUID: '1.2.826.0.1.3680043.99.1.1.1',
      StudyInstanceUID: '1.2.826.0.1.3680043.99.1',
    },
  },
  {
    option: 'retain-device-identity',
    code: '113109',
    extra: [el(0x00081010, 'SH', 'STATION9'), el(0x00080055, 'AE', 'AETITLE9')],
    want: { StationName: 'STATION9', StationAETitle: undefined },
  },
  {
    option: 'retain-institution-identity',
    code: '113112',
    want: { InstitutionName: 'Peking Example Hospital' },
  },
  {
    option: 'retain-patient-characteristics',
    code: '113108',
    extra: [el(0x00102110, 'LO', 'contrast\\Dr Weisskopf')],
    want: { PatientSex: 'F', PatientAge: '062Y', PatientBirthDate: '', Allergies: 'contrast\\' },
  },
  {
    option: 'retain-longitudinal-full-dates',
    code: '113106',
    dates: 'UNMODIFIED',
    want: { StudyDate: '20240229', StudyTime: '101530', PatientBirthDate: '' },
  },
  {
    option: 'retain-longitudinal-modified-dates',
    code: '113107',
    dates: 'MODIFIED',
    extra: [el(0x0008002a, 'DT', '20240229101530.25+0800'), el(0x00080022, 'DA', 'Feb 2024')],
    want: {
      StudyDate: '20240125',
      StudyTime: '101530',
      AcquisitionDateTime: '20240125101530.25+0800',
      AcquisitionDate: '',
      PatientBirthDate: '',
    },
  },
  {
    option: 'clean-descriptors',
    code: '113105',
    extra: [el(0x0008103e, 'LO', 'Wei Zhang 13800138000'), el(0x00181030, 'LO', 'Anna thorax 5mm')],
    want: {
      StudyDescription: 'CT THORAX',
      // nothing is left, so the Basic Profile decides
      SeriesDescription: undefined,
      // the word is a name in this file
      ProtocolName: 'XXX thorax 5mm',
    },
  },
];

for (const { option, code, dates, extra, want } of optionCases) {
  void t.test(`the option ${option} keeps what it says and is marked`, async (t) => {
    const file = ctSlice(extra === undefined ? {} : { extra });
    const { dataset } = await clean(file, `extends: basic\noptions: [${option}]`);
    for (const [keyword, value] of Object.entries(want)) {
      t.equal(has(dataset, keyword) ? get(dataset, keyword) : undefined, value, keyword);
    }
    const codes = itemsAt(dataset, 0x00120064).map((i) => get(i, 'CodeValue'));
    t.same(codes, ['113100', code]);
    t.equal(get(dataset, 'LongitudinalTemporalInformationModified'), dates ?? 'REMOVED');
    t.equal(get(dataset, 'PatientName'), 'JI-7K3M9');
  });
}

void t.test('ages over 89 become 090Y, what is no age becomes empty', async (t) => {
  for (const [age, want] of [
    ['089Y', '089Y'],
    ['090Y', '090Y'],
    ['103Y', '090Y'],
    ['036M', '036M'],
    ['999M', '999M'],
    ['born 1930', ''],
  ] as const) {
    const file = ctSlice({ extra: [el(0x00101010, 'AS', age)] });
    const yaml = 'extends: basic\nrules: [{ tag: PatientAge, action: keep }]';
    t.equal(get((await clean(file, yaml)).dataset, 'PatientAge'), want, age);
  }
});

void t.test(
  'safe private attributes stay with their creator, matched by creator and not by block',
  async (t) => {
    const file = ctSlice({
      extra: [
        el(0x00190011, 'LO', 'GEMS_ACQU_01'),
        el(0x00190012, 'LO', 'SOMEBODY ELSE'),
        el(0x00191123, 'DS', '1.5'), // safe under its creator, in a block that is not the usual one
        el(0x00191124, 'DS', '2.5'),
        el(0x00191125, 'LO', 'unsafe'),
        el(0x00191223, 'DS', '3.5'), // the same number under another creator
        el(0x00191199, 'LO', 'unsafe'),
      ],
    });
    const { dataset } = await clean(file, 'extends: basic\noptions: [retain-safe-private]');
    const kept = dataset.elements.filter(({ tag }) => (tag >>> 16) & 1).map(({ tag }) => tag);
    t.same(kept, [0x00190011, 0x00191123, 0x00191124]);
    t.equal((await clean(file)).dataset.elements.filter(({ tag }) => (tag >>> 16) & 1).length, 0);
  },
);

void t.test('a safe private attribute with a VR that cannot be believed goes', async (t) => {
  const file = ctSlice({
    extra: [el(0x00190010, 'LO', 'GEMS_ACQU_01'), el(0x00191023, 'LT', 'TEST^ANNA of Peking')],
  });
  const { dataset } = await clean(file, 'extends: basic\noptions: [retain-safe-private]');
  t.notOk(
    dataset.elements.some(({ tag }) => (tag >>> 16) & 1),
    'its creator goes with it',
  );
});

const ruleCases: readonly {
  name: string;
  rule: string;
  extra?: TestElement[];
  tag: number;
  want: string | undefined;
}[] = [
  {
    name: 'keep',
    rule: '{ tag: StudyDescription, action: keep }',
    tag: 0x00081030,
    want: 'CT THORAX',
  },
  {
    name: 'remove',
    rule: '{ tag: SliceThickness, action: remove }',
    tag: 0x00180050,
    want: undefined,
  },
  { name: 'empty', rule: '{ keyword: Manufacturer, action: empty }', tag: 0x00080070, want: '' },
  {
    name: 'replace',
    rule: '{ tag: "(0008,1030)", action: replace, value: CHEST STUDY }',
    tag: 0x00081030,
    want: 'CHEST STUDY',
  },
  {
    name: 'replace when',
    rule: '{ tag: "(0008,1030)", action: replace, value: A, when: "Modality = CT and PatientSex exists" }',
    tag: 0x00081030,
    want: 'A',
  },
  {
    name: 'replace not when',
    rule: '{ tag: "(0008,1030)", action: replace, value: A, when: "Modality = MR" }',
    tag: 0x00081030,
    want: undefined,
  },
  {
    name: 'replace with a dummy',
    rule: '{ tag: Manufacturer, action: replace }',
    tag: 0x00080070,
    want: 'ANONYMIZED',
  },
  {
    name: 'pseudonym',
    rule: '{ tag: AccessionNumber, action: pseudonym }',
    tag: 0x00080050,
    want: 'JI-7K3M9',
  },
  {
    name: 'shift-date',
    rule: '{ tag: StudyDate, action: shift-date }',
    tag: 0x00080020,
    want: '20240125',
  },
  {
    name: 'clean',
    rule: '{ tag: StudyDescription, action: clean }',
    tag: 0x00081030,
    want: 'CT THORAX',
  },
  { name: 'by VR', rule: '{ vr: DA, action: shift-date }', tag: 0x00080021, want: '20240125' },
  { name: 'by group', rule: '{ group: "0018", action: remove }', tag: 0x00180050, want: undefined },
  {
    name: 'by private creator',
    rule: '{ creator: EXAMPLE PRIVATE, tag: "(0009,xx01)", action: keep }',
    tag: 0x00091001,
    want: 'private TEST^ANNA',
  },
  {
    name: 'by another creator',
    rule: '{ creator: EXAMPLE, tag: "(0009,xx01)", action: keep }',
    tag: 0x00091001,
    want: undefined,
  },
  {
    name: 'by a path that is not this one',
    rule: '{ path: SourceImageSequence/ReferencedSOPInstanceUID, action: keep }',
    tag: 0x00080018,
    want: 'hashed',
  },
];

for (const { name, rule, tag, want } of ruleCases) {
  void t.test(`a project's rule: ${name}`, async (t) => {
    const { dataset } = await clean(ctSlice(), `extends: basic\nrules:\n  - ${rule}`);
    const found = findElement(dataset, tag);
    const value =
      found?.kind === 'value'
        ? Buffer.from(found.value)
            .toString()
            .replace(/[ \0]+$/, '')
        : undefined;
    if (want === 'hashed') t.match(value, /^2\.25\./);
    else t.equal(value, want);
  });
}

void t.test('a rule by path reaches only what stands there', async (t) => {
  const file = ctSlice({
    extra: [
      el(0x00400275, 'SQ', {
        items: [[el(0x00321060, 'LO', 'inside'), el(0x00400007, 'LO', 'step')]],
      }),
      el(0x00321060, 'LO', 'outside'),
    ],
  });
  const rules = [
    '{ tag: RequestAttributesSequence, action: keep }',
    '{ path: RequestAttributesSequence/RequestedProcedureDescription, action: keep }',
  ];
  const { dataset } = await clean(file, `rules:\n${rules.map((r) => `  - ${r}`).join('\n')}`);
  t.equal(get(dataset, 'RequestedProcedureDescription'), '');
  const item = itemAt(dataset, 0x00400275);
  t.equal(get(item, 'RequestedProcedureDescription'), 'inside');
  t.notOk(has(item, 'ScheduledProcedureStepDescription'));
});

void t.test('a broad rule does not bring back what nobody knows, but may hold it', async (t) => {
  const file = ctSlice({
    extra: [el(0x00109999, 'LO', 'unknown'), el(0x00190010, 'LO', 'GEMS_ACQU_01')].concat(
      el(0x00191023, 'DS', '1.5'),
      el(0x00191099, 'LO', 'unsafe'),
    ),
  });
  const broad = ['{ vr: LO, action: keep }', '{ group: "0010", action: keep }'];
  for (const rule of [...broad, '{ tag: "(xxxx,xxxx)", action: keep }']) {
    const { dataset } = await clean(file, `rules: [${rule}]`);
    t.equal(findElement(dataset, 0x00109999), undefined, rule);
    t.notOk(
      dataset.elements.some(({ tag }) => (tag >>> 16) & 1),
      `${rule}, private`,
    );
  }
  const safe = 'options: [retain-safe-private]\nrules: [{ vr: DS, action: empty }]';
  t.equal(firstValue((await clean(file, safe)).dataset, 0x00191023), '', 'a safe one is known');
  const hold = 'rules: [{ group: "0019", action: hold }]';
  t.match((await clean(file, hold)).hold, { reason: 'rule', tag: 0x00191023 });
});

void t.test('the marks name each option by its code of PS3.16 CID 7050', async (t) => {
  const codes: Record<Option, string> = {
    'clean-graphics': '113103 Clean Graphics Option',
    'clean-structured-content': '113104 Clean Structured Content Option',
    'clean-descriptors': '113105 Clean Descriptors Option',
    'retain-longitudinal-full-dates':
      '113106 Retain Longitudinal Temporal Information Full Dates Option',
    'retain-longitudinal-modified-dates':
      '113107 Retain Longitudinal Temporal Information Modified Dates Option',
    'retain-patient-characteristics': '113108 Retain Patient Characteristics Option',
    'retain-device-identity': '113109 Retain Device Identity Option',
    'retain-uids': '113110 Retain UIDs Option',
    'retain-safe-private': '113111 Retain Safe Private Option',
    'retain-institution-identity': '113112 Retain Institution Identity Option',
  };
  const full = 'retain-longitudinal-full-dates';
  const modified = 'retain-longitudinal-modified-dates';
  for (const [not, dates] of [
    [full, 'MODIFIED'],
    [modified, 'UNMODIFIED'],
  ]) {
    const options = allOptions.filter((option) => option !== not);
    const { dataset } = await clean(ctSlice(), `options: [${options.join(', ')}]`);
    const marked = itemsAt(dataset, 0x00120064).map(
      (item) => `${get(item, 'CodeValue')} ${get(item, 'CodeMeaning')}`,
    );
    const want = options.map((option) => codes[option]);
    t.same(
      marked.sort(),
      ['113100 Basic Application Confidentiality Profile', ...want].sort(),
      `all but ${not}`,
    );
    t.equal(get(dataset, 'LongitudinalTemporalInformationModified'), dates);
  }
});

const temporal: readonly [yaml: string, mark: string][] = [
  ['rules: [{ tag: StudyDate, action: keep }]', 'UNMODIFIED'],
  ['rules: [{ vr: DA, action: shift-date }]', 'MODIFIED'],
  ['rules: [{ vr: DA, action: shift-date }, { tag: StudyDate, action: keep }]', 'MODIFIED'],
  ['rules: [{ tag: StudyDate, action: keep, when: "Modality = MR" }]', 'REMOVED'],
  ['rules: [{ tag: StudyTime, action: keep }, { vr: DA, action: empty }]', 'REMOVED'],
  [
    'options: [retain-longitudinal-full-dates]\nrules: [{ tag: StudyDate, action: shift-date }]',
    'MODIFIED',
  ],
];
for (const [yaml, mark] of temporal) {
  void t.test(`the mark about dates follows the rules: ${yaml}`, async (t) => {
    const { dataset } = await clean(ctSlice(), yaml);
    t.equal(get(dataset, 'LongitudinalTemporalInformationModified'), mark);
  });
}

void t.test('a rule with hold holds the file where the attribute has a value', async (t) => {
  const yaml = 'rules: [{ tag: PatientComments, action: hold }]';
  t.match((await clean(ctSlice(), yaml)).hold, { reason: 'rule', tag: 0x00104000 });
  const without = ctSlice({ extra: [el(0x00104000, 'LT', '')] });
  t.equal((await clean(without, yaml)).hold, undefined);
});

void t.test(
  'what the dictionary does not know goes, and a text in place of a number goes',
  async (t) => {
    const file = ctSlice({
      extra: [
        el(0x00081031, 'LO', 'no such tag'),
        el(0x00180061, 'DS', 'x'.repeat(4)),
        el(0x00280120, 'LT', 'TEST^ANNA'), // PixelPaddingValue, US
        el(0x00281055, 'UN', Buffer.from('normal')), // WindowCenterWidthExplanation as UN
        el(0x00080000, 'UL', 400),
        el(0x0014_0104, 'PN', 'REVIEWER^RITA'), // a name that the table does not list
        el(0x00081190, 'UR', 'https://pacs.example/x'),
      ],
    });
    const { dataset } = await clean(file);
    for (const tag of [0x00081031, 0x00280120, 0x00080000, 0x00081190]) {
      t.equal(findElement(dataset, tag), undefined, tag.toString(16));
    }
    t.equal(firstValue(dataset, 0x00140104), '');
    t.equal(firstValue(dataset, 0x00281055), 'normal');
  },
);

const keptTexts: readonly [name: string, text: string, want: string][] = [
  ['the ID', 'MRN0012345', 'XXX'],
  ['the ID among words', 'spoiled MRN0012345 fast', 'spoiled XXX fast'],
  ['a short name and a common word', 'for Rosa, urgent', 'for XXX, urgent'],
  ['a longer part of a name', 'asked by Referrer', 'asked by XXX'],
  ['the whole name in the other order', 'Anna Test', 'XXX'],
  ['a short part as the whole text', 'ANNA', 'XXX'],
  ['a common word that is a name here', 'test of the coil', 'test of the coil'],
  ['nothing of it', 'fl3d1r', 'fl3d1r'],
];

for (const [name, text, want] of keptTexts) {
  void t.test(`text that stays is masked where it holds: ${name}`, async (t) => {
    const file = ctSlice({ extra: [el(0x00187006, 'LT', padded(Buffer.from(text)))] });
    t.equal(get((await clean(file)).dataset, 'DetectorDescription'), want);
  });
}

void t.test('letters where only a number can be do not stay', async (t) => {
  const file = ctSlice({
    extra: [
      el(0x00180050, 'DS', 'WEISSKOPF'),
      el(0x00200013, 'IS', 'HANS'),
      el(0x00080016, 'UI', 'WEISSKOPF.1'),
      el(0x00201041, 'DS', '-1.5e+01'),
    ],
    meta: [el(0x00020002, 'UI', 'HANS.2')],
  });
  const { dataset, sopClassUID } = await clean(file);
  t.equal(get(dataset, 'SliceThickness'), '');
  t.equal(get(dataset, 'InstanceNumber'), '');
  t.equal(get(dataset, 'SOPClassUID'), '');
  t.equal(get(dataset, 'SliceLocation'), '-1.5e+01');
  t.equal(sopClassUID, '');
});

void t.test('a nested character set that nobody knows goes', async (t) => {
  const item = [el(0x00080005, 'CS', 'WEISSKOPF'), el(0x00080100, 'SH', '1')];
  const file = ctSlice({ extra: [el(0x00089215, 'SQ', { items: [item] })] });
  t.notMatch((await clean(file)).bytes.toString('latin1'), /WEISSKOPF/);
});

void t.test('a file without PatientName and PatientID gets both', async (t) => {
  const { dataset } = await clean(ctSlice({ omit: [0x00100010, 0x00100020] }));
  t.equal(get(dataset, 'PatientName'), 'JI-7K3M9');
  t.equal(get(dataset, 'PatientID'), 'JI-7K3M9');
});

void t.test('overlays go as a group unless a rule keeps their bitmap', async (t) => {
  const file = ctSlice({
    extra: [
      el(0x60000010, 'US', 4),
      el(0x60000022, 'LO', 'ANNA'),
      el(0x60003000, 'OW', [1, 2]),
      el(0x50003000, 'OW', [3]),
    ],
  });
  const groups = (dataset: DataSet): number[] =>
    dataset.elements
      .map(({ tag }) => tag)
      .filter((tag) => tag >>> 24 === 0x60 || tag >>> 24 === 0x50);
  t.same(groups((await clean(file)).dataset), []);
  const yaml =
    'rules: [{ tag: "(60xx,3000)", action: keep }, { tag: "(60xx,0022)", action: remove }]';
  t.same(groups((await clean(file, yaml)).dataset), [0x60000010, 0x60003000]);
  const group = 'rules: [{ group: "60xx", action: keep }]';
  t.same(groups((await clean(file, group)).dataset), [0x60000010, 0x60000022, 0x60003000]);
});

void t.test('structured content becomes dummies, or is cleaned under its option', async (t) => {
  const code = (value: string, scheme: string, meaning: string): TestElement[] => [
    el(0x00080100, 'SH', value),
    el(0x00080102, 'SH', scheme),
    el(0x00080104, 'LO', meaning),
  ];
  const file = ctSlice({
    extra: [
      el(0x0040a730, 'SQ', {
        items: [
          [
            el(0x0040a040, 'CS', 'TEXT'),
            el(0x0040a043, 'SQ', { items: [code('121106', 'DCM', 'Comment')] }),
            el(0x0040a160, 'UT', 'Nodule in left lung of Mr Weisskopf, 5mm'),
          ],
          [
            el(0x0040a040, 'CS', 'PNAME'),
            el(0x0040a043, 'SQ', { items: [code('77', '99WEISSKOPF', 'Weisskopf code')] }),
            el(0x0040a123, 'PN', 'WEISSKOPF^HANS'),
          ],
        ],
      }),
    ],
  });
  const basic = await clean(file);
  const [text, name] = itemsAt(basic.dataset, 0x0040a730);
  t.equal(text && get(text, 'TextValue'), 'ANONYMIZED');
  t.equal(text && get(itemAt(text, 0x0040a043), 'CodeMeaning'), 'Comment');
  t.equal(name && get(name, 'PersonName'), 'ANONYMIZED');
  t.notMatch(basic.bytes.toString('latin1'), /weisskopf/i);
  const cleaned = await clean(file, 'options: [clean-structured-content]');
  const [first] = itemsAt(cleaned.dataset, 0x0040a730);
  t.equal(first && get(first, 'TextValue'), 'Nodule in left lung of Mr XXX, 5mm');
  t.notMatch(cleaned.bytes.toString('latin1'), /weisskopf/i);
});

void t.test('graphic annotations become dummies, or are cleaned under their option', async (t) => {
  const words = [el(0x00700006, 'ST', 'Nodule of Mr Weisskopf, 5mm')];
  const file = ctSlice({
    extra: [el(0x00700001, 'SQ', { items: [[el(0x00700008, 'SQ', { items: [words] })]] })],
  });
  for (const [yaml, want] of [
    ['extends: basic', 'ANONYMIZED'],
    ['options: [clean-graphics]', 'Nodule of Mr XXX, 5mm'],
  ] as const) {
    const { dataset } = await clean(file, yaml);
    const object = itemAt(itemAt(dataset, 0x00700001), 0x00700008);
    t.equal(get(object, 'UnformattedTextValue'), want);
  }
});

// --- properties ------------------------------------------------------------------------------------------

const marker = 'ZQMARKERQZ';
const binaryMarker = Buffer.from('ZQMARKERQZ');

/** A value that would be found again, for each VR. */
function planted(tag: number, vr: string): TestValue | undefined {
  switch (vr) {
    case 'DA':
      return '18470704';
    case 'DT':
      return '18470704101112';
    case 'TM':
      return '101112.184707';
    case 'UI':
      return '1.2.3.18470704';
    case 'IS':
    case 'DS':
      return '18470704';
    case 'AS':
      return '087Y';
    case 'SQ': {
      // what stands in a sequence whose references are kept has its own rules
      const kept = tag === 0x00081140 || tag === 0x00082112;
      return {
        items: [[kept ? el(0x00081155, 'UI', '1.2.3.18470704') : el(0x00080070, 'LO', marker)]],
      };
    }
    case 'US':
      return [0x4a51, 0x4b52, 0x4a51];
    case 'OB':
    case 'OW':
    case 'UN':
      return binaryMarker;
    default:
      return marker;
  }
}

const everyRow = confidentialityTable
  .filter(([tag]) => /^[0-9a-f]{8}$/.test(tag))
  .map(([tag]) => Number.parseInt(tag, 16))
  // group 0000 and 0002 cannot stand in a dataset; FFFA and FFFC come behind the pixels
  .filter((tag) => tag >>> 16 >= 8 && tag < 0x7fe00000);

const plantedElements = everyRow.flatMap((tag): TestElement[] => {
  const vr = lookup(tag)?.vrs[0];
  const value = vr === undefined ? undefined : planted(tag, vr);
  return vr === undefined || value === undefined ? [] : [el(tag, vr, value)];
});

const remains = /ZQMARKER|18470704|101112|087Y|QJRKQJ/;

for (const [name, transferSyntax] of Object.entries(syntaxes).slice(0, 3)) {
  void t.test(`no planted value of any attribute of the table is left, ${name}`, async (t) => {
    const nested = [
      el(0x00089215, 'SQ', {
        items: [
          [el(0x00089215, 'SQ', { items: [[el(0x00089215, 'SQ', { items: [plantedElements] })]] })],
        ],
      }),
    ];
    const file = dicomFile({
      transferSyntax,
      elements: sorted([...ctElements(), ...nested, ...plantedElements]),
      pixels: Buffer.alloc(8),
      trailing: [el(0xfffcfffc, 'OB', binaryMarker)],
      preamble: Buffer.alloc(128, marker),
    });
    t.match(file.toString('latin1'), remains);
    const { bytes, dataset } = await clean(file);
    t.equal(remains.exec(bytes.toString('latin1'))?.[0], undefined);
    t.ok(has(dataset, 'DerivationCodeSequence'), 'the sequences around them are still there');
    const again = await walked(bytes);
    t.equal(again.header.elements.length, dataset.elements.length, 'and the output can be read');
  });
}

void t.test(
  'names in any character set are gone, and the output stays the same each time',
  async (t) => {
    const names: readonly [string, string | Uint8Array][] = [
      ['GB18030', gb18030('Wang^XiaoDong=王^小东')],
      ['ISO_IR 192', 'Wang^XiaoDong=王^小东='],
      ['ISO_IR 100', Buffer.from('M\u00fcller^J\u00f6rge', 'latin1')],
    ];
    for (const [charset, patientName] of names) {
      const file = ctSlice({ charset, patientName });
      const { bytes } = await clean(file);
      t.notOk(bytes.includes(Buffer.from(patientName).subarray(-6)), charset);
      t.notOk(bytes.includes('Wang'));
      t.ok(bytes.equals((await clean(file)).bytes));
    }
  },
);

void t.test(
  'references stay whole: the same UID gives the same in every place and every file',
  async (t) => {
    const uid = '1.2.826.0.1.3680043.99.1.1.7';
    const first = await clean(ctSlice({ sopUID: uid }));
    const second = await clean(
      ctSlice({
        instanceNumber: 9,
        extra: [el(0x00082112, 'SQ', { items: [[el(0x00081155, 'UI', uid)]] })],
        transferSyntax: syntaxes.bigEndian,
      }),
    );
    t.equal(
      get(itemAt(second.dataset, 0x00082112), 'ReferencedSOPInstanceUID'),
      first.sopInstanceUID,
    );
    t.equal(get(first.dataset, 'StudyInstanceUID'), get(second.dataset, 'StudyInstanceUID'));
    t.not(first.sopInstanceUID, second.sopInstanceUID);
  },
);

void t.test(
  'random text in any attribute never throws and never leaves a removed value',
  async () => {
    const text = fc.stringMatching(/^[A-Z^=\\ ]{0,24}$/).map((s) => `QX${s}XQ`);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...plantedElements.filter(({ vr }) => vr === 'LO' || vr === 'SH')),
        text,
        async (place, value) => {
          const file = ctSlice({ extra: [el(place.tag, place.vr, value)] });
          const { bytes } = await clean(file);
          return !bytes.includes(value);
        },
      ),
      { numRuns: 40 },
    );
  },
);

void t.test('long runs of blanks, dots and digits take linear time', async (t) => {
  const started = performance.now();
  for (const [tag, vr] of [
    [0x00189917, 'UT'],
    [0x00204000, 'UT'],
    [0x0020000e, 'UN'],
  ] as const) {
    for (const run of [' ', '.', '7', '\0', '7-']) {
      const file = ctSlice({ extra: [el(tag, vr, `${run.repeat(200_000)}ab`)] });
      await clean(file, 'options: [clean-descriptors]\nrules: [{ vr: UT, action: clean }]');
    }
  }
  t.ok(performance.now() - started < 20_000);
});

void t.test('the preview shows each change side by side', async (t) => {
  const { original, dataset } = await clean(ctSlice());
  const rows = preview(original.header, dataset);
  const row = (keyword: string) => rows.find((one) => one.keyword === keyword);
  t.match(row('PatientName'), { before: 'TEST^ANNA', after: 'JI-7K3M9', change: 'changed' });
  t.match(row('PatientComments'), { before: 'Comment on Anna', after: '', change: 'removed' });
  t.match(row('PatientIdentityRemoved'), { before: '', after: 'YES', change: 'added' });
  t.match(row('Modality'), { change: 'kept' });
  t.match(row('ReferencedSOPInstanceUID'), {
    tag: '(0008,1140)[1] > (0008,1155)',
    change: 'changed',
  });
});

void t.test(
  'pixels that stand in a sequence go, but for those of an icon that is kept',
  async (t) => {
    const inner = [0x7fe00001, 0x7fe00008, 0x7fe00010].map((tag) =>
      el(tag, 'OB', Buffer.from('WINTERBERG^ANNA!')),
    );
    for (const [tag, left] of [
      [0x00409096, []],
      [0x00880200, [0x7fe00010]],
    ] as const) {
      const file = ctSlice({ extra: [el(tag, 'SQ', { items: [inner] })] });
      const rule = 'rules: [{ tag: IconImageSequence, action: keep }]';
      const { dataset } = await clean(file, `extends: basic\n${rule}\n`);
      const sequence = dataset.elements.find((element) => element.tag === tag);
      const [item] = sequence?.kind === 'sequence' ? sequence.items : [];
      t.same(
        item?.elements.map((element) => element.tag),
        left,
      );
    }
  },
);

void t.test('a date where the dictionary knows none goes', async (t) => {
  for (const [vr, value] of [
    ['DA', '19490307'],
    ['DT', '19490307112233'],
  ] as const) {
    const { bytes } = await clean(ctSlice({ extra: [el(0x00181511, vr, value)] }));
    t.notOk(bytes.includes('19490307'), vr);
  }
});
