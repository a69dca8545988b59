// Made-up files for the score: each says by itself which words of free text are research's and must stay, and which name
// somebody and must go, since no table can know that.

import { ctSlice, el, gb18030, padded, syntaxes, type TestElement } from './dicom.ts';

export interface PlantedFile {
  readonly name: string;
  readonly bytes: Buffer;
  /** Top-level text attributes that must read so under `research-ct-mr`. */
  readonly keep: readonly (readonly [tag: number, text: string])[];
  /** Bytes that must be nowhere in the output. */
  readonly gone: readonly Uint8Array[];
}

const gone = (...texts: readonly string[]): Buffer[] => texts.map((text) => Buffer.from(text));

const nested = (depth: number, inner: readonly TestElement[]): TestElement =>
  el(0x00400275, 'SQ', {
    items: [depth === 0 ? inner : [el(0x00400007, 'LO', 'Head'), nested(depth - 1, inner)]],
  });

/** Dates and times in every form, of one examination. */
const times: readonly TestElement[] = [
  el(0x0008002a, 'DT', '20240229101530.250000+0800'),
  el(0x00080012, 'DA', '20240301'),
  el(0x00080013, 'TM', '235959.999999'),
  el(0x00080023, 'DA', '20240229'),
  el(0x00080033, 'TM', '101531'),
  el(0x00080201, 'SH', '+0800'),
];

const acquisition: readonly TestElement[] = [
  el(0x00180060, 'DS', '120'),
  el(0x00180015, 'CS', 'CHEST'),
  el(0x00180088, 'DS', '1.25'),
  el(0x00181210, 'SH', 'FC08'),
  el(0x00200032, 'DS', '-100.5\\-20\\30.25'),
  el(0x00200037, 'DS', '1\\0\\0\\0\\1\\0'),
  el(0x00280030, 'DS', '0.7\\0.7'),
  el(0x00281052, 'DS', '-1024'),
];

/** Private attributes of a maker that are on the standard's list, and one that is not. */
const privates: readonly TestElement[] = [
  el(0x00190010, 'LO', 'GEMS_ACQU_01'),
  el(0x00191023, 'DS', '1.5'),
  el(0x00191024, 'DS', '2.5'),
  el(0x001910ee, 'LO', 'ZQPRIVATE'),
];

export const plantedFiles = (): readonly PlantedFile[] => [
  {
    name: 'planted: descriptions',
    bytes: ctSlice({
      patientName: 'ZQFAMILY^ZQGIVEN',
      patientID: 'ZQ0012345',
      extra: [
        ...acquisition,
        ...times,
        ...privates,
        el(0x00081030, 'LO', 'CT Thorax with contrast'),
        el(0x0008103e, 'LO', 'Lung 1.25mm for Zqfamily'),
        el(0x00181030, 'LO', 'Chest routine'),
        el(0x00104000, 'LT', 'ZQCOMMENT called 13800138000'),
        el(0x001021b0, 'LT', 'follow up of lung nodule'),
        el(0x00101010, 'AS', '094Y'),
        el(0x00081070, 'PN', 'ZQOPERATOR^O'),
      ],
    }),
    keep: [
      [0x00081030, 'CT Thorax with contrast'],
      [0x0008103e, 'Lung 1.25mm for XXX'],
      [0x00181030, 'Chest routine'],
      [0x001021b0, 'follow up of lung nodule'],
      [0x00101010, '090Y'],
      [0x00080201, '+0800'],
    ],
    gone: gone('ZQ', 'Zqfamily', '13800138000', '094Y'),
  },
  {
    name: 'planted: Chinese',
    bytes: ctSlice({
      charset: 'GB18030',
      modality: 'MR',
      sopClass: '1.2.840.10008.5.1.4.1.1.4',
      patientName: gb18030('WANG^XIAODONG=王^小东'),
      patientID: 'ZQ0098765',
      transferSyntax: syntaxes.implicit,
      extra: [
        ...acquisition,
        el(0x00081030, 'LO', padded(gb18030('头颅平扫'))),
        el(0x0008103e, 'LO', padded(gb18030('T1加权矢状位'))),
        el(0x00181030, 'LO', padded(gb18030('王小东胸部增强'))),
        el(0x00081010, 'SH', padded(gb18030('二号机房'))),
      ],
    }),
    keep: [
      [0x00081030, '头颅平扫'],
      [0x0008103e, 'T1加权矢状位'],
      [0x00181030, 'XXX胸部增强'],
    ],
    gone: [...gone('ZQ', 'XIAODONG'), ...['小东', '王小东', '机房'].map((text) => gb18030(text))],
  },
  {
    name: 'planted: deep',
    bytes: ctSlice({
      patientID: 'ZQ0012345',
      transferSyntax: syntaxes.bigEndian,
      extra: [
        nested(3, [el(0x00100010, 'PN', 'ZQNESTED^A'), el(0x00400009, 'SH', 'ZQ0012345')]),
        el(0x00081110, 'SQ', { items: [[el(0x00081155, 'UI', '1.2.826.0.1.3680043.99.1.77')]] }),
      ],
      trailing: [el(0xfffcfffc, 'OB', Buffer.from('ZQTRAILING'))],
    }),
    keep: [],
    gone: gone('ZQ', '.99.1.77'),
  },
];
