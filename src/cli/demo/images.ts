// Made-up DICOM images for the demo: a CT series of a phantom, a patient with a Chinese name in GB18030, and a
// secondary capture that must be held. Nobody in them exists.

import dicomParser from 'dicom-parser';
import {
  dataSetOf,
  emptyElement,
  sequenceElement,
  textElement,
  uiElement,
  usElement,
} from '../../core/dicom/encode.ts';
import type { DataSet, Element, Encoding, FileHead } from '../../core/dicom/dataset.ts';
import { tagOf } from '../../core/dicom/dataset.ts';
import { writeBulkHeader, writeDataSet, writeHead } from '../../core/dicom/writer.ts';

export interface MadeUpFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const encoding: Encoding = { explicitVR: true, bigEndian: false };
const explicitLittleEndian = '1.2.840.10008.1.2.1';
const ctImage = '1.2.840.10008.5.1.4.1.1.2';
const secondaryCapture = '1.2.840.10008.5.1.4.1.1.7';
const root = '1.2.826.0.1.3680043.8.498.20260101';
const size = 128;

interface Patient {
  /** PatientName: ASCII, or bytes in the dataset's character set. */
  readonly name: string | Uint8Array;
  readonly charset: string | undefined;
  readonly id: string;
  readonly birthDate: string;
  readonly sex: string;
}

const li: Patient = {
  name: 'LI^WEISHENG',
  charset: undefined,
  id: 'PUMC-0047112',
  birthDate: '19530817',
  sex: 'M',
};

// "WANG^XIAODONG=王^小东" with the ideographs in GB18030
const wang: Patient = {
  name: Buffer.concat([
    Buffer.from('WANG^XIAODONG='),
    Buffer.from([0xcd, 0xf5, 0x5e, 0xd0, 0xa1, 0xb6, 0xab, 0x20]),
  ]),
  charset: 'GB18030',
  id: 'PUMC-0099345',
  birthDate: '19710203',
  sex: 'F',
};

/** Eight slices of one series; the first four as files, the others for a zip, all with the patient's name in their paths. */
export function ctSeries(): readonly MadeUpFile[] {
  return Array.from({ length: 8 }, (_, i) => ({
    name: `LI_WEISHENG_PUMC-0047112/IM${String(i + 1).padStart(4, '0')}.dcm`,
    bytes: image(li, { sopClass: ctImage, modality: 'CT', study: 1, number: i + 1 }),
  }));
}

export const chinesePatient = (): MadeUpFile => ({
  name: 'wang_xiaodong.dcm',
  bytes: image(wang, { sopClass: ctImage, modality: 'CT', study: 2, number: 1 }),
});

export const screenCapture = (): MadeUpFile => ({
  name: 'screenshot_li.dcm',
  bytes: image(li, { sopClass: secondaryCapture, modality: 'OT', study: 1, number: 99 }),
});

/** What names somebody in these images: none of it may arrive. */
export const secrets = [
  ...['WEISHENG', 'XIAODONG', 'PUMC-', '19530817', '19710203', 'Example Lane', '5550-1234'],
  ...['REFERRER', 'A20260118077', root],
];

/** Name and ID of the patient of an image. */
export function showPatient(bytes: Uint8Array): string {
  const image = dicomParser.parseDicom(bytes, { untilTag: 'x7fe00010' });
  const value = (tag: string): string => image.string(tag) ?? '';
  return `PatientName ${value('x00100010')}, PatientID ${value('x00100020')}`;
}

interface Kind {
  readonly sopClass: string;
  readonly modality: string;
  readonly study: number;
  readonly number: number;
}

function image(patient: Patient, kind: Kind): Uint8Array {
  const dataset = dataSetOf([...identity(patient), ...context(kind), ...pixelModule()]);
  const head: FileHead = {
    hasPreamble: true,
    meta: { elements: [] },
    transferSyntaxUID: explicitLittleEndian,
    encoding,
    deflated: false,
    encapsulated: false,
  };
  const instance = `${root}.${kind.study}.2.${kind.number}`;
  const pixels = phantom(kind.number);
  const bulk = { tag: tagOf(0x7fe0, 0x0010), vr: 'OW', length: pixels.length, offset: -1 } as const;
  return Buffer.concat([
    writeHead(head, { sopClassUID: kind.sopClass, sopInstanceUID: instance }),
    writeDataSet(dataset, encoding),
    writeBulkHeader(bulk, encoding),
    pixels,
  ]);
}

function identity(patient: Patient): readonly Element[] {
  const name: Element =
    typeof patient.name === 'string'
      ? textElement(tagOf(0x0010, 0x0010), 'PN', patient.name)
      : { kind: 'value', tag: tagOf(0x0010, 0x0010), vr: 'PN', value: patient.name, offset: -1 };
  return [
    ...(patient.charset === undefined
      ? []
      : [textElement(tagOf(0x0008, 0x0005), 'CS', patient.charset)]),
    name,
    textElement(tagOf(0x0010, 0x0020), 'LO', patient.id),
    textElement(tagOf(0x0010, 0x0030), 'DA', patient.birthDate),
    textElement(tagOf(0x0010, 0x0040), 'CS', patient.sex),
    textElement(tagOf(0x0010, 0x1010), 'AS', '072Y'),
    textElement(tagOf(0x0010, 0x1040), 'LO', '17 Example Lane, Peking'),
    textElement(tagOf(0x0010, 0x2154), 'SH', '010-5550-1234'),
  ];
}

function context({ sopClass, modality, study, number }: Kind): readonly Element[] {
  const series = `${root}.${study}.2`;
  const referenced: DataSet = dataSetOf([
    uiElement(tagOf(0x0008, 0x1150), ctImage),
    uiElement(tagOf(0x0008, 0x1155), `${series}.${number + 1}`),
  ]);
  return [
    textElement(tagOf(0x0008, 0x0008), 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'),
    uiElement(tagOf(0x0008, 0x0016), sopClass),
    uiElement(tagOf(0x0008, 0x0018), `${series}.${number}`),
    textElement(tagOf(0x0008, 0x0020), 'DA', '20260118'),
    textElement(tagOf(0x0008, 0x0030), 'TM', '101500'),
    textElement(tagOf(0x0008, 0x0050), 'SH', 'A20260118077'),
    textElement(tagOf(0x0008, 0x0060), 'CS', modality),
    textElement(tagOf(0x0008, 0x0070), 'LO', 'Example Imaging'),
    textElement(tagOf(0x0008, 0x0080), 'LO', 'Example Hospital Peking'),
    textElement(tagOf(0x0008, 0x0090), 'PN', 'REFERRER^ROSA'),
    textElement(tagOf(0x0008, 0x1030), 'LO', 'CT head'),
    sequenceElement(tagOf(0x0008, 0x1140), [referenced], encoding),
    textElement(tagOf(0x0009, 0x0010), 'LO', 'EXAMPLE PRIVATE'),
    textElement(tagOf(0x0009, 0x1001), 'LO', 'technician note'),
    textElement(tagOf(0x0018, 0x0050), 'DS', '1.25'),
    uiElement(tagOf(0x0020, 0x000d), `${root}.${study}`),
    uiElement(tagOf(0x0020, 0x000e), series),
    textElement(tagOf(0x0020, 0x0011), 'IS', '2'),
    textElement(tagOf(0x0020, 0x0013), 'IS', String(number)),
    emptyElement(tagOf(0x0020, 0x1040), 'LO'),
  ];
}

const pixelModule = (): readonly Element[] => [
  usElement(tagOf(0x0028, 0x0002), [1], encoding),
  textElement(tagOf(0x0028, 0x0004), 'CS', 'MONOCHROME2'),
  usElement(tagOf(0x0028, 0x0010), [size], encoding),
  usElement(tagOf(0x0028, 0x0011), [size], encoding),
  usElement(tagOf(0x0028, 0x0100), [16], encoding),
  usElement(tagOf(0x0028, 0x0101), [12], encoding),
  usElement(tagOf(0x0028, 0x0102), [11], encoding),
  usElement(tagOf(0x0028, 0x0103), [0], encoding),
];

/** A sphere in water, cut at this slice. */
function phantom(slice: number): Uint8Array {
  const pixels = new Uint16Array(size * size);
  const radius = Math.sqrt(Math.max(0, 45 ** 2 - (10 * (slice - 4)) ** 2));
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const distance = Math.hypot(x - size / 2, y - size / 2);
      pixels[y * size + x] = distance < radius ? 1300 : distance < 58 ? 1000 : 0;
    }
  }
  return new Uint8Array(pixels.buffer);
}
