// Builds made-up DICOM files for tests. It has its own small encoder on purpose: a test of the walker or the writer
// must not be checked with the very code under test. It writes what it is told, also what the standard forbids.

import { deflateRawSync } from 'node:zlib';

export type TestValue =
  | string
  | number
  | readonly number[]
  | Uint8Array
  | { readonly items: readonly (readonly TestElement[])[] }
  | { readonly fragments: readonly Uint8Array[] };

export interface TestElement {
  readonly tag: number;
  readonly vr: string;
  readonly value: TestValue;
  /** Sequences and their items: write them with delimiters instead of lengths. Fragments always are. */
  readonly undefinedLength?: boolean;
  /** What the length field says instead of the truth, to make broken files. */
  readonly lengthField?: number;
}

export const syntaxes = {
  implicit: '1.2.840.10008.1.2',
  explicit: '1.2.840.10008.1.2.1',
  bigEndian: '1.2.840.10008.1.2.2',
  deflated: '1.2.840.10008.1.2.1.99',
  jpegBaseline: '1.2.840.10008.1.2.4.50',
  jpegLossless: '1.2.840.10008.1.2.4.70',
  jpeg2000: '1.2.840.10008.1.2.4.90',
  rle: '1.2.840.10008.1.2.5',
} as const;

export const el = (
  tag: number,
  vr: string,
  value: TestValue,
  more: { undefinedLength?: boolean; lengthField?: number } = {},
): TestElement => ({ tag, vr, value, ...more });

interface Form {
  readonly explicit: boolean;
  readonly big: boolean;
}

const longForm = 'OB OD OF OL OV OW SQ SV UC UN UR UT UV'.split(' ');
const numbers: Record<string, { size: number; put: 'U16' | 'I16' | 'U32' | 'I32' | 'F' | 'D' }> = {
  US: { size: 2, put: 'U16' },
  SS: { size: 2, put: 'I16' },
  OW: { size: 2, put: 'U16' },
  UL: { size: 4, put: 'U32' },
  SL: { size: 4, put: 'I32' },
  FL: { size: 4, put: 'F' },
  FD: { size: 8, put: 'D' },
};

const u16 = (n: number, big: boolean): Buffer => {
  const b = Buffer.alloc(2);
  if (big) b.writeUInt16BE(n);
  else b.writeUInt16LE(n);
  return b;
};
const u32 = (n: number, big: boolean): Buffer => {
  const b = Buffer.alloc(4);
  if (big) b.writeUInt32BE(n >>> 0);
  else b.writeUInt32LE(n >>> 0);
  return b;
};
const tagBytes = (tag: number, big: boolean): Buffer =>
  Buffer.concat([u16(tag >>> 16, big), u16(tag & 0xffff, big)]);

function numberBytes(vr: string, list: readonly number[], big: boolean): Buffer {
  if (vr === 'AT') return Buffer.concat(list.map((n) => tagBytes(n, big)));
  if (vr === 'OB' || vr === 'UN') return Buffer.from(list);
  const { size, put } = numbers[vr] ?? { size: 2, put: 'U16' };
  const bytes = new DataView(new ArrayBuffer(size * list.length));
  list.forEach((n, i) => {
    if (put === 'U16') bytes.setUint16(i * size, n, !big);
    else if (put === 'I16') bytes.setInt16(i * size, n, !big);
    else if (put === 'U32') bytes.setUint32(i * size, n, !big);
    else if (put === 'I32') bytes.setInt32(i * size, n, !big);
    else if (put === 'F') bytes.setFloat32(i * size, n, !big);
    else bytes.setFloat64(i * size, n, !big);
  });
  return Buffer.from(bytes.buffer);
}

function valueBytes(vr: string, value: TestValue, big: boolean): Buffer {
  if (typeof value === 'number') return numberBytes(vr, [value], big);
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'utf8');
    if (bytes.length % 2 === 0) return bytes;
    return Buffer.concat([bytes, Buffer.from([vr === 'UI' || vr === 'OB' ? 0 : 0x20])]);
  }
  if (Array.isArray(value)) return numberBytes(vr, value as readonly number[], big);
  throw new Error('not a plain value');
}

const undefinedField = 0xffffffff;

function sequenceBytes(
  items: readonly (readonly TestElement[])[],
  form: Form,
  open: boolean,
): Buffer {
  const parts = items.map((item) => {
    const body = dataSetBytes(item, form);
    return Buffer.concat([
      tagBytes(0xfffee000, form.big),
      u32(open ? undefinedField : body.length, form.big),
      body,
      open ? Buffer.concat([tagBytes(0xfffee00d, form.big), u32(0, form.big)]) : Buffer.alloc(0),
    ]);
  });
  if (open) parts.push(Buffer.concat([tagBytes(0xfffee0dd, form.big), u32(0, form.big)]));
  return Buffer.concat(parts);
}

export function fragmentBytes(fragments: readonly Uint8Array[]): Buffer {
  return Buffer.concat([
    ...fragments.map((f) => Buffer.concat([tagBytes(0xfffee000, false), u32(f.length, false), f])),
    tagBytes(0xfffee0dd, false),
    u32(0, false),
  ]);
}

function elementBytes(element: TestElement, form: Form): Buffer {
  const { tag, vr, value } = element;
  let body: Buffer;
  let open = element.undefinedLength === true;
  if (typeof value === 'object' && 'items' in value) {
    // UN is implicit little endian inside, whatever the file is (PS3.5 §6.2.2 note 2)
    const inner = vr === 'UN' ? { explicit: false, big: false } : form;
    body = sequenceBytes(value.items, inner, open);
  } else if (typeof value === 'object' && 'fragments' in value) {
    open = true;
    body = fragmentBytes(value.fragments);
  } else body = valueBytes(vr, value, form.big);
  const length = element.lengthField ?? (open ? undefinedField : body.length);
  if (!form.explicit) return Buffer.concat([tagBytes(tag, form.big), u32(length, form.big), body]);
  const head = longForm.includes(vr)
    ? [Buffer.from(vr), Buffer.alloc(2), u32(length, form.big)]
    : [Buffer.from(vr), u16(length, form.big)];
  return Buffer.concat([tagBytes(tag, form.big), ...head, body]);
}

/** Elements in the order given. */
export const dataSetBytes = (elements: readonly TestElement[], form: Form): Buffer =>
  Buffer.concat(elements.map((element) => elementBytes(element, form)));

export const sorted = (elements: readonly TestElement[]): TestElement[] => {
  const last = new Map(elements.map((element) => [element.tag, element]));
  return [...last.values()].sort((a, b) => a.tag - b.tag);
};

export interface TestFile {
  /** A UID; explicit little endian unless told. */
  readonly transferSyntax?: string;
  /** Written in the order given; `sorted()` sorts them. */
  readonly elements: readonly TestElement[];
  /** 7FE0,0010: a Uint8Array is native (OW), fragments are encapsulated (the first is the offset table). */
  readonly pixels?: Uint8Array | { readonly fragments: readonly Uint8Array[] };
  /** Elements behind the pixels. */
  readonly trailing?: readonly TestElement[];
  /** 128 bytes; zeros unless told; false leaves out preamble, DICM and file meta. */
  readonly preamble?: Uint8Array | false;
  /** More or other elements of group 0002. */
  readonly meta?: readonly TestElement[];
}

/** A whole file. */
export function dicomFile(file: TestFile): Buffer {
  const syntax = file.transferSyntax ?? syntaxes.explicit;
  const form = { explicit: syntax !== syntaxes.implicit, big: syntax === syntaxes.bigEndian };
  const pixels: TestElement[] =
    file.pixels === undefined
      ? []
      : file.pixels instanceof Uint8Array
        ? [el(0x7fe00010, 'OW', file.pixels)]
        : [el(0x7fe00010, 'OB', file.pixels)];
  let body = dataSetBytes([...file.elements, ...pixels, ...(file.trailing ?? [])], form);
  if (syntax === syntaxes.deflated) {
    body = deflateRawSync(body);
    if (body.length % 2 === 1) body = Buffer.concat([body, Buffer.alloc(1)]);
  }
  if (file.preamble === false) return body;
  return Buffer.concat([
    file.preamble ?? Buffer.alloc(128),
    Buffer.from('DICM'),
    metaBytes(file, syntax),
    body,
  ]);
}

function metaBytes(file: TestFile, syntax: string): Buffer {
  const from = (tag: number): TestValue =>
    file.elements.find((element) => element.tag === tag)?.value ?? '1.2.3';
  const meta = dataSetBytes(
    sorted([
      el(0x00020001, 'OB', [0, 1]),
      el(0x00020002, 'UI', from(0x00080016)),
      el(0x00020003, 'UI', from(0x00080018)),
      el(0x00020010, 'UI', syntax),
      el(0x00020012, 'UI', '1.2.826.0.1.99'),
      ...(file.meta ?? []),
    ]),
    { explicit: true, big: false },
  );
  const length = dataSetBytes([el(0x00020000, 'UL', meta.length)], { explicit: true, big: false });
  return Buffer.concat([length, meta]);
}

let gb: Map<string, Buffer> | undefined;

/** GB18030 bytes of a text of ASCII and two-byte characters; Node has only a decoder. */
export function gb18030(text: string): Buffer {
  if (gb === undefined) {
    gb = new Map();
    const decoder = new TextDecoder('gb18030');
    for (let a = 0x81; a <= 0xfe; a++) {
      for (let b = 0x40; b <= 0xfe; b++) {
        const char = decoder.decode(Uint8Array.of(a, b));
        if (b !== 0x7f && char.length === 1 && char !== '\ufffd' && !gb.has(char)) {
          gb.set(char, Buffer.from([a, b]));
        }
      }
    }
  }
  const table = gb;
  return padded(
    Buffer.concat(
      Array.from(text, (char) => {
        if (char < '\x80') return Buffer.from(char);
        const bytes = table.get(char);
        if (bytes === undefined) throw new Error('no two-byte GB18030 character');
        return bytes;
      }),
    ),
  );
}

/** To even length with a space. */
export const padded = (bytes: Uint8Array): Buffer =>
  bytes.length % 2 === 0 ? Buffer.from(bytes) : Buffer.concat([bytes, Buffer.from(' ')]);

export interface CtSlice {
  readonly transferSyntax?: string;
  /** Bytes (padded to even length) for other character sets. `TEST^ANNA` unless told. */
  readonly patientName?: string | Uint8Array;
  /** `MRN0012345` unless told; undefined with `omit`. */
  readonly patientID?: string;
  readonly birthDate?: string;
  readonly sex?: string;
  /** 0008,0005, e.g. `GB18030`. None unless told. */
  readonly charset?: string;
  readonly studyDate?: string;
  readonly studyUID?: string;
  readonly seriesUID?: string;
  readonly sopUID?: string;
  readonly seriesNumber?: number;
  readonly instanceNumber?: number;
  readonly modality?: string;
  readonly sopClass?: string;
  readonly size?: number;
  /** Replace or add by tag. */
  readonly extra?: readonly TestElement[];
  /** Left out by tag. */
  readonly omit?: readonly number[];
  readonly pixels?: TestFile['pixels'];
  readonly trailing?: readonly TestElement[];
  readonly preamble?: Uint8Array | false;
  readonly meta?: readonly TestElement[];
}

/** A plausible CT slice of a made-up patient: identifying fields, a sequence and a private block. */
export function ctSlice(slice: CtSlice = {}): Buffer {
  return dicomFile({
    ...(slice.transferSyntax === undefined ? {} : { transferSyntax: slice.transferSyntax }),
    ...(slice.trailing === undefined ? {} : { trailing: slice.trailing }),
    ...(slice.preamble === undefined ? {} : { preamble: slice.preamble }),
    ...(slice.meta === undefined ? {} : { meta: slice.meta }),
    elements: ctElements(slice),
    pixels: slice.pixels ?? defaultPixels(slice),
  });
}

const encapsulated: readonly string[] = [
  syntaxes.jpegBaseline,
  syntaxes.jpegLossless,
  syntaxes.jpeg2000,
  syntaxes.rle,
];

function defaultPixels(slice: CtSlice): NonNullable<TestFile['pixels']> {
  const size = slice.size ?? 16;
  const pixels = Buffer.alloc(size * size * 2);
  for (let i = 0; i < pixels.length; i++) pixels[i] = (i * 7 + (slice.instanceNumber ?? 1)) & 0xff;
  if (!encapsulated.includes(slice.transferSyntax ?? '')) return pixels;
  return { fragments: [Buffer.alloc(4), pixels] };
}

/** The elements of `ctSlice`, sorted, without pixels. */
export function ctElements(slice: CtSlice = {}): TestElement[] {
  const study = slice.studyUID ?? '1.2.826.0.1.3680043.99.1';
  const series = slice.seriesUID ?? `${study}.${slice.seriesNumber ?? 1}`;
  const sop = slice.sopUID ?? `${series}.${slice.instanceNumber ?? 1}`;
  const date = slice.studyDate ?? '20240229';
  const all = sorted([
    ...(slice.charset === undefined ? [] : [el(0x00080005, 'CS', slice.charset)]),
    el(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\AXIAL'),
    el(0x00080016, 'UI', slice.sopClass ?? '1.2.840.10008.5.1.4.1.1.2'),
    el(0x00080018, 'UI', sop),
    el(0x00080020, 'DA', date),
    el(0x00080021, 'DA', date),
    el(0x00080030, 'TM', '101530'),
    el(0x00080050, 'SH', 'ACC778899'),
    el(0x00080060, 'CS', slice.modality ?? 'CT'),
    el(0x00080070, 'LO', 'Example Imaging'),
    el(0x00080080, 'LO', 'Peking Example Hospital'),
    el(0x00080090, 'PN', 'REFERRER^ROSA'),
    el(0x00081030, 'LO', 'CT THORAX'),
    el(0x00081140, 'SQ', {
      items: [
        [el(0x00081150, 'UI', '1.2.840.10008.5.1.4.1.1.2'), el(0x00081155, 'UI', `${series}.999`)],
      ],
    }),
    el(0x00090010, 'LO', 'EXAMPLE PRIVATE'),
    el(0x00091001, 'LO', 'private TEST^ANNA'),
    el(0x00100010, 'PN', slice.patientName ?? 'TEST^ANNA'),
    el(0x00100020, 'LO', slice.patientID ?? 'MRN0012345'),
    el(0x00100030, 'DA', slice.birthDate ?? '19610704'),
    el(0x00100040, 'CS', slice.sex ?? 'F'),
    el(0x00101010, 'AS', '062Y'),
    el(0x00104000, 'LT', 'Comment on Anna'),
    el(0x00180050, 'DS', '1.25'),
    el(0x0020000d, 'UI', study),
    el(0x0020000e, 'UI', series),
    el(0x00200010, 'SH', 'STUDY17'),
    el(0x00200011, 'IS', String(slice.seriesNumber ?? 1)),
    el(0x00200013, 'IS', String(slice.instanceNumber ?? 1)),
    el(0x00280002, 'US', 1),
    el(0x00280004, 'CS', 'MONOCHROME2'),
    el(0x00280010, 'US', slice.size ?? 16),
    el(0x00280011, 'US', slice.size ?? 16),
    el(0x00280100, 'US', 16),
    el(0x00280101, 'US', 12),
    el(0x00280102, 'US', 11),
    el(0x00280103, 'US', 0),
    ...(slice.extra ?? []),
  ]);
  return all.filter((element) => !(slice.omit ?? []).includes(element.tag));
}
