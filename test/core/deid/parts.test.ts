// The single parts of the de-identification: dates, UIDs, texts, subjects, codes, pixels.

import fc from 'fast-check';
import t from 'tap';
import { judgeImage } from '../../../src/core/deid/burned-in.ts';
import { cleanText } from '../../../src/core/deid/clean-text.ts';
import {
  capAge,
  isTime,
  shiftDate,
  shiftDateTime,
  shiftTemporal,
} from '../../../src/core/deid/dates.ts';
import { dummyValue, encodeText } from '../../../src/core/deid/encode-value.ts';
import { createPolicy } from '../../../src/core/deid/policy.ts';
import {
  hmacCode,
  isSubjectCode,
  randomCode,
  sequentialCode,
} from '../../../src/core/deid/subject-code.ts';
import { identityKey, isJunkID, readIdentity } from '../../../src/core/deid/subject.ts';
import { hashUID, hashUIDs } from '../../../src/core/deid/uid.ts';
import type { VR } from '../../../src/core/dicom/dataset.ts';
import { profileOf, uidKey, walked } from '../../support/deid.ts';
import { ctSlice, el, gb18030, type CtSlice } from '../../support/dicom.ts';

const shifts: readonly [vr: 'DA' | 'DT' | 'TM', days: number, from: string, to: string][] = [
  ['DA', 1, '20240228', '20240229'],
  ['DA', 1, '20230228', '20230301'],
  ['DA', -365, '20240101', '20230101'],
  ['DA', -1, '19000101', '18991231'],
  ['DA', 7, '1999.12.31', '20000107'],
  ['DA', 7, '20240228 ', '20240306'],
  ['DA', 7, '20240228\\20240229', '20240306\\20240307'],
  ['DA', 7, '20240230', ''],
  ['DA', 7, '20240101-20240201', ''],
  ['DA', 7, '2024-01-01', ''],
  ['DA', 7, '202401', ''],
  ['DA', 7, '00000101', ''],
  ['DA', 7, '99991231', ''],
  ['DA', 7, 'born 1961', ''],
  ['DA', 7, '', ''],
  ['DT', 7, '20240228101112.123456+0800', '20240306101112.123456+0800'],
  ['DT', 7, '20240228', '20240306'],
  ['DT', 7, '2024022810', '2024030610'],
  ['DT', 40, '202401', '202402'],
  ['DT', -365, '2024', '2023'],
  ['DT', 7, '20240228-0500', '20240306-0500'],
  ['DT', 7, '2024022825', ''],
  ['DT', 7, '20240228101112 noon', ''],
  ['TM', 7, '101112.5', '101112.5'],
  ['TM', 7, '10:11:12', '10:11:12'],
  ['TM', 7, '101112-111213', ''],
  ['TM', 7, 'at ten', ''],
];

void t.test('dates move by whole days, what is no date becomes empty', async (t) => {
  for (const [vr, days, from, to] of shifts) {
    t.equal(shiftTemporal(from, vr, days), to, `${vr} ${from} by ${days}`);
  }
  t.ok(isTime('2359'));
  t.notOk(isTime('2400'));
  t.equal(capAge('1100M'), undefined);
});

void t.test('intervals stay exact, and moving back gives the original', async () => {
  const day = fc.date({
    min: new Date('1900-01-01'),
    max: new Date('2100-01-01'),
    noInvalidDate: true,
  });
  const text = (date: Date): string => date.toISOString().slice(0, 10).replaceAll('-', '');
  const offset = fc.integer({ min: -3650, max: 3650 });
  fc.assert(
    fc.property(day, offset, (date, days) => {
      const moved = shiftDate(text(date), days) ?? '';
      const time = shiftDateTime(`${text(date)}101112.5`, days);
      return shiftDate(moved, -days) === text(date) && time === `${moved}101112.5`;
    }),
  );
});

void t.test('UIDs are hashed with the key, the standard’s own stay', async (t) => {
  const hashed = hashUID('1.2.3', uidKey);
  t.match(hashed, /^2\.25\.[1-9]\d{0,38}$/);
  t.equal(hashUIDs('1.2.3\0', uidKey), hashed);
  t.equal(hashUIDs(' 1.2.3 ', uidKey), hashed);
  t.equal(hashUIDs('1.2.3\\1.2.4', uidKey), `${hashed}\\${hashUID('1.2.4', uidKey)}`);
  t.equal(hashUIDs('1.2.840.10008.5.1.4.1.1.2', uidKey), '1.2.840.10008.5.1.4.1.1.2');
  t.equal(hashUIDs('', uidKey), '');
  t.not(hashUID('1.2.3', Buffer.alloc(32, 8)), hashed);
  fc.assert(fc.property(fc.string(), (s) => hashUID(s, uidKey).length <= 64));
});

const texts: readonly [from: string, to: string | undefined][] = [
  ['CT THORAX', 'CT THORAX'],
  ['Brain w/o contrast', 'Brain w/o contrast'],
  ['t1_mprage_sag', 't1_mprage_sag'],
  ['T1 mprage sag 1.5mm', 'T1 mprage sag 1.5mm'],
  ['Thorax Dr. Weisskopf', 'Thorax XXX'],
  ['Head 2024-01-05', 'Head XXX'],
  ['Head 05/03/87', 'Head XXX'],
  ['Head 1987年3月5日', 'Head XXX'],
  ['Head 13800138000', 'Head XXX'],
  ['Head 010-8888', 'Head XXX'],
  ['王小东 head', 'XXX head'],
  ['ＨＥＡＤ', 'HEAD'],
  ['头颅平扫', '头颅平扫'],
  ['胸部CT平扫+增强', '胸部CT平扫+增强'],
  ['T1加权 矢状位', 'T1加权 矢状位'],
  ['左膝关节（增强）', '左膝关节(增强)'],
  ['上腹部动脉期及延迟期', '上腹部动脉期及延迟期'],
  ['王小东头颅平扫', 'XXX头颅平扫'],
  ['头颅平扫 李医生', '头颅平扫 XXX'],
  ['左思平 胸部', 'XXX 胸部'],
  ['胸', undefined],
  ['左平', undefined],
  ['山田花子の頭部', undefined],
  ['平扫 2024年3月5日', '平扫 XXX'],
  ['JPEG 2000 reversible (lossless)', 'JPEG 2000 reversible (lossless)'],
  ['Weisskopf', undefined],
  ['123', undefined],
  ['', undefined],
];

void t.test('cleaning keeps clinical words and small measures alone', async (t) => {
  for (const [from, to] of texts) {
    t.equal(cleanText(from, new Set()), to, from);
  }
  t.equal(cleanText('Head of Foot', new Set(['foot'])), 'Head of XXX');
  t.equal(cleanText('正常胸部平扫', new Set(['正常'])), 'XXX胸部平扫', 'a name of this file');
});

void t.test(
  'values that we make are valid, of even length, in the byte order asked for',
  async (t) => {
    t.same(encodeText('US', '1\\258', false), Uint8Array.of(1, 0, 2, 1));
    t.same(encodeText('US', '1\\258', true), Uint8Array.of(0, 1, 1, 2));
    t.same(encodeText('AT', '(0010,0020)', true), Uint8Array.of(0, 0x10, 0, 0x20));
    t.equal(encodeText('FD', '-1.5e3', false)?.length, 8);
    t.equal(encodeText('US', '65536', false), undefined);
    t.equal(encodeText('US', 'x', false), undefined);
    t.equal(encodeText('CS', 'lower', false), undefined);
    t.equal(encodeText('SQ', 'x', false), undefined);
    t.same(encodeText('UI', '1.2', false), Buffer.from('1.2\0'));
    const vrs =
      'AE AS AT CS DA DS DT FD FL IS LO LT OB OW PN SH SL SS ST SV TM UC UI UL UN UR US UT UV';
    for (const vr of vrs.split(' ')) {
      const { length } = dummyValue(vr as VR);
      t.ok(length > 0 && length % 2 === 0, vr);
    }
  },
);

const identityOf = async (slice: CtSlice, yaml = '') => {
  const { header } = await walked(ctSlice(slice));
  const answer = readIdentity(header, profileOf(yaml), uidKey);
  return answer.kind === 'identity' ? answer.identity : answer.reason;
};
const keyOf = async (slice: CtSlice, yaml = ''): Promise<string> => {
  const identity = await identityOf(slice, yaml);
  return typeof identity === 'string' ? identity : identity.key;
};

void t.test('the ID decides who it is, whatever the name and its charset', async (t) => {
  const key = await keyOf({ patientID: 'MRN0012345' });
  t.match(key, /^[0-9a-f]{64}$/);
  const same: readonly CtSlice[] = [
    { patientID: ' MRN0012345 ', patientName: 'TEST^ANN' },
    { patientID: 'MRN0012345', charset: 'GB18030', patientName: gb18030('王^小东') },
    { patientID: 'ＭＲＮ0012345', charset: 'ISO_IR 192' },
  ];
  for (const slice of same) t.equal(await keyOf(slice), key);
  const other: readonly CtSlice[] = [
    { patientID: 'mrn0012345' },
    { patientID: 'MRN12345' },
    { patientID: 'MRN0012345', extra: [el(0x00100021, 'LO', 'PUHSC')] },
  ];
  for (const slice of other) t.not(await keyOf(slice), key);
  t.equal(
    await keyOf({ extra: [el(0x00100021, 'LO', 'PUHSC')] }),
    await keyOf({}, 'subject: { issuer: PUHSC }'),
    'the default issuer stands in where the file names none',
  );
  t.equal(key, identityKey('MRN0012345', '', uidKey));
  t.match(await identityOf({}), { patientName: 'TEST^ANNA', birthDate: '19610704', sex: 'F' });
});

void t.test('junk IDs are no IDs', async (t) => {
  for (const junk of [
    '',
    '0',
    '0000',
    '1',
    '  ',
    'Unknown',
    'ANONYMOUS',
    'no-id',
    'N/A',
    '99999',
    '-',
    'xxx',
    '未知',
  ]) {
    t.ok(isJunkID(junk), junk);
  }
  for (const id of [
    '17',
    '2',
    '001',
    '123-45-6789',
    'MRN1',
    '0012345',
    '1234567891',
    'TEST-0815',
    'A1',
  ])
    t.notOk(isJunkID(id), id);
});

void t.test(
  'without a usable ID the file is held, or the study stands for the patient',
  async (t) => {
    const slice = { patientID: 'UNKNOWN' };
    t.equal(await keyOf(slice), 'no-patient-id');
    const study = 'noPatientId: study';
    const key = await keyOf(slice, study);
    t.match(key, /^[0-9a-f]{64}$/);
    t.equal(await keyOf({ ...slice, instanceNumber: 9, birthDate: '19000101' }, study), key);
    t.not(await keyOf({ ...slice, studyUID: '1.2.3.4' }, study), key);
    const narrower = await keyOf({ ...slice, omit: [0x0020000d] }, study);
    t.match(narrower, /^[0-9a-f]{64}$/, 'its series stands for the study that is not named');
    t.not(narrower, key);
    const nothing = [0x0020000d, 0x0020000e, 0x00080018];
    t.equal(await keyOf({ ...slice, omit: nothing }, study), 'no-patient-id');
  },
);

void t.test(
  'codes are readable, grow when they are taken, and come out again from the same key',
  async (t) => {
    const random = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
    t.equal(randomCode('JI-', random, 0), 'JI-01234');
    t.equal(randomCode('JI-', random, 4).length, 9);
    t.equal(sequentialCode('JI-', 1), 'JI-0001');
    t.equal(sequentialCode('', 12345), '12345');
    t.equal(hmacCode('P', 'ab', uidKey, 0), hmacCode('P', 'ab', uidKey, 0));
    t.not(hmacCode('P', 'ab', uidKey, 0), hmacCode('P', 'ab', uidKey, 1));
    t.not(hmacCode('P', 'ab', uidKey, 0), hmacCode('P', 'ac', uidKey, 0));
    t.ok(isSubjectCode('JI-7K3M9'));
    for (const bad of ['', '../x', 'a b', 'a^b', '-x']) t.notOk(isSubjectCode(bad), bad);
  },
);

const image = '1.2.840.10008.5.1.4.1.1';
const pixels: readonly { name: string; slice: CtSlice; yaml?: string; want: string | undefined }[] =
  [
    { name: 'CT', slice: {}, want: undefined },
    { name: 'MR', slice: { modality: 'MR', sopClass: `${image}.4` }, want: undefined },
    { name: 'CR', slice: { modality: 'CR', sopClass: `${image}.1` }, want: undefined },
    {
      name: 'a segmentation',
      slice: { modality: 'SEG', sopClass: `${image}.66.4` },
      want: undefined,
    },
    {
      name: 'a dose grid',
      slice: { modality: 'RTDOSE', sopClass: `${image}.481.2` },
      want: undefined,
    },
    { name: 'burned in YES', slice: { extra: [el(0x00280301, 'CS', 'YES')] }, want: 'burned-in' },
    { name: 'burned in NO', slice: { extra: [el(0x00280301, 'CS', 'NO')] }, want: undefined },
    { name: 'ultrasound', slice: { modality: 'US', sopClass: `${image}.6.1` }, want: 'burned-in' },
    { name: 'ultrasound by its modality', slice: { modality: 'US' }, want: 'burned-in' },
    {
      name: 'ultrasound that says NO',
      slice: { modality: 'US', extra: [el(0x00280301, 'CS', 'NO')] },
      want: 'burned-in',
    },
    { name: 'ultrasound by its SOP class', slice: { sopClass: `${image}.3.1` }, want: 'burned-in' },
    { name: 'secondary capture', slice: { sopClass: `${image}.7` }, want: 'burned-in' },
    {
      name: 'secondary capture, multi-frame',
      slice: { sopClass: `${image}.7.4` },
      want: 'burned-in',
    },
    { name: 'visible light', slice: { sopClass: `${image}.77.1.4` }, want: 'burned-in' },
    { name: 'endoscopy', slice: { modality: 'ES' }, want: 'burned-in' },
    { name: 'mammography', slice: { modality: 'MG', sopClass: `${image}.1.2` }, want: undefined },
    {
      name: 'a screen shot among CT',
      slice: { extra: [el(0x00080008, 'CS', 'DERIVED\\SECONDARY\\SCREEN SAVE')] },
      want: 'burned-in',
    },
    {
      name: 'a dose report among CT',
      slice: { extra: [el(0x0008103e, 'LO', 'Dose Report')] },
      want: 'burned-in',
    },
    { name: 'a PDF', slice: { sopClass: `${image}.104.1` }, want: 'encapsulated-document' },
    {
      name: 'a PDF where all is allowed',
      slice: { sopClass: `${image}.104.1` },
      yaml: 'burnedIn: allow',
      want: 'encapsulated-document',
    },
    {
      name: 'a document in a CT',
      slice: { extra: [el(0x00420011, 'OB', [1, 2])] },
      yaml: 'burnedIn: allow',
      want: 'encapsulated-document',
    },
    {
      name: 'a character set that nobody knows',
      slice: { charset: 'KLINGON' },
      yaml: 'burnedIn: allow',
      want: 'unsupported',
    },
    { name: 'a DICOMDIR', slice: { sopClass: '1.2.840.10008.1.3.10' }, want: 'dicomdir' },
    {
      name: 'ultrasound, allowed',
      slice: { modality: 'US' },
      yaml: 'burnedIn: allow',
      want: undefined,
    },
    {
      name: 'ultrasound, allowed by a rule',
      slice: { modality: 'US' },
      yaml: 'rules: [{ tag: PixelData, action: keep, when: "Modality = US" }]',
      want: undefined,
    },
    {
      name: 'endoscopy where ultrasound is allowed',
      slice: { modality: 'ES' },
      yaml: 'rules: [{ tag: PixelData, action: keep, when: "Modality = US" }]',
      want: 'burned-in',
    },
    {
      name: 'CT, held by a rule',
      slice: {},
      yaml: 'burnedIn: allow\nrules: [{ tag: PixelData, action: hold, when: "Manufacturer contains example" }]',
      want: 'rule',
    },
  ];

for (const { name, slice, yaml, want } of pixels) {
  void t.test(`pixels: ${name} is ${want ?? 'passed'}`, async (t) => {
    const { head, header } = await walked(ctSlice(slice));
    const policy = createPolicy(profileOf(yaml ?? '')).forFile(header);
    t.equal(judgeImage(header, head, policy, false)?.reason, want);
    const released = judgeImage(header, head, policy, true)?.reason;
    t.equal(
      released,
      want === 'burned-in' ? undefined : want,
      'a release overrides that one rule alone',
    );
  });
}
