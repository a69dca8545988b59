// Values that we make ourselves, as value fields: valid for their VR (PS3.5 §6.2), ASCII, even length.

import { tagOf, type VR } from '../dicom/dataset.ts';

/** What a text VR may hold: at most so many characters a value, of this repertoire. Several values by backslashes. */
const texts: Partial<Record<VR, { max: number; pattern: RegExp; single?: true }>> = {
  AE: { max: 16, pattern: /^[ -[\]-~]*$/ },
  AS: { max: 4, pattern: /^(\d{3}[DWMY])?$/ },
  CS: { max: 16, pattern: /^[A-Z0-9_ ]*$/ },
  DA: { max: 8, pattern: /^(\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))?$/ },
  DS: { max: 16, pattern: /^([+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?)?$/ },
  DT: { max: 26, pattern: /^(\d{4}(\d{2}){0,5}([.]\d{1,6})?([+-]\d{4})?)?$/ },
  IS: { max: 12, pattern: /^([+-]?\d+)?$/ },
  LO: { max: 64, pattern: /^[ -[\]-~]*$/ },
  LT: { max: 10240, pattern: /^[\t\n\f\r -~]*$/, single: true },
  PN: { max: 64, pattern: /^[ -[\]-~]*$/ },
  SH: { max: 16, pattern: /^[ -[\]-~]*$/ },
  ST: { max: 1024, pattern: /^[\t\n\f\r -~]*$/, single: true },
  TM: { max: 14, pattern: /^(\d{2}(\d{2}(\d{2}([.]\d{1,6})?)?)?)?$/ },
  UC: { max: 0xffff, pattern: /^[ -[\]-~]*$/ },
  UI: { max: 64, pattern: /^((0|[1-9]\d*)([.](0|[1-9]\d*))*)?$/ },
  UR: { max: 0xffff, pattern: /^[!-[\]-~]*$/, single: true },
  UT: { max: 0xffff, pattern: /^[\t\n\f\r -~]*$/, single: true },
};

type Setter = (view: DataView, at: number, text: string, little: boolean) => void;

const numbers: Partial<Record<VR, { size: number; set: Setter; from: bigint; to: bigint }>> = {
  US: whole(2, 0n, 0xffffn, (v, at, t, le) => v.setUint16(at, Number(t), le)),
  SS: whole(2, -0x8000n, 0x7fffn, (v, at, t, le) => v.setInt16(at, Number(t), le)),
  UL: whole(4, 0n, 0xffffffffn, (v, at, t, le) => v.setUint32(at, Number(t), le)),
  SL: whole(4, -0x80000000n, 0x7fffffffn, (v, at, t, le) => v.setInt32(at, Number(t), le)),
  UV: whole(8, 0n, 2n ** 64n - 1n, (v, at, t, le) => v.setBigUint64(at, BigInt(t), le)),
  SV: whole(8, -(2n ** 63n), 2n ** 63n - 1n, (v, at, t, le) => v.setBigInt64(at, BigInt(t), le)),
};
const floats: Partial<Record<VR, { size: number; set: Setter }>> = {
  FL: { size: 4, set: (v, at, t, le) => v.setFloat32(at, Number(t), le) },
  FD: { size: 8, set: (v, at, t, le) => v.setFloat64(at, Number(t), le) },
};

function whole(size: number, from: bigint, to: bigint, set: Setter) {
  return { size, set, from, to };
}

/** May a text VR hold this? Several values by backslashes. False for VRs of no text. */
export function isValidText(vr: VR, text: string): boolean {
  const rule = texts[vr];
  if (rule === undefined) return false;
  const parts = rule.single === true ? [text] : text.split('\\');
  return parts.every((part) => part.length <= rule.max && rule.pattern.test(part));
}

/**
 * A text as the value field of a VR, padded to even length; undefined where it is not valid for the VR. Numbers are
 * written in decimal, several values are separated by backslashes, AT is `(gggg,eeee)`.
 */
export function encodeText(vr: VR, text: string, bigEndian: boolean): Uint8Array | undefined {
  if (texts[vr] !== undefined) return isValidText(vr, text) ? padText(text, vr) : undefined;
  if (text === '') return new Uint8Array(0);
  const parts = text.split('\\').map((part) => part.trim());
  if (vr === 'AT') return encodeTags(parts, bigEndian);
  const integer = numbers[vr];
  if (integer !== undefined) {
    const fits = (part: string): boolean =>
      /^-?\d{1,20}$/.test(part) && BigInt(part) >= integer.from && BigInt(part) <= integer.to;
    return parts.every(fits) ? pack(parts, integer.size, integer.set, bigEndian) : undefined;
  }
  const float = floats[vr];
  if (float === undefined || !parts.every((part) => texts.DS?.pattern.test(part) && part !== '')) {
    return undefined; // SQ, UN and the binary blobs have no written form
  }
  return pack(parts, float.size, float.set, bigEndian);
}

function pack(parts: readonly string[], size: number, set: Setter, bigEndian: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(size * parts.length));
  for (const [i, part] of parts.entries()) set(view, i * size, part, !bigEndian);
  return new Uint8Array(view.buffer);
}

function encodeTags(parts: readonly string[], bigEndian: boolean): Uint8Array | undefined {
  const view = new DataView(new ArrayBuffer(4 * parts.length));
  for (const [i, part] of parts.entries()) {
    const match = /^\(?([\dA-Fa-f]{4}),?([\dA-Fa-f]{4})\)?$/.exec(part);
    if (match === null) return undefined;
    const tag = tagOf(Number.parseInt(match[1] ?? '', 16), Number.parseInt(match[2] ?? '', 16));
    view.setUint16(i * 4, tag >>> 16, !bigEndian);
    view.setUint16(i * 4 + 2, tag & 0xffff, !bigEndian);
  }
  return new Uint8Array(view.buffer);
}

/** Latin-1 bytes, padded with NUL for UI and with a space for other texts (PS3.5 §6.2). */
export function padText(text: string, vr: VR): Uint8Array {
  const bytes = new Uint8Array(text.length + (text.length & 1)).fill(vr === 'UI' ? 0 : 0x20);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The dummies of PS3.15 code D: one for each VR, the same in every file, so that nothing can be told from them. */
const dummies: Partial<Record<VR, string>> = {
  AE: 'ANONYMIZED',
  AS: '000Y',
  AT: '(0000,0000)',
  CS: 'ANONYMIZED',
  DA: '19000101',
  DS: '0',
  DT: '19000101000000',
  FD: '0',
  FL: '0',
  IS: '0',
  LO: 'ANONYMIZED',
  LT: 'ANONYMIZED',
  PN: 'ANONYMIZED',
  SH: 'ANONYMIZED',
  SL: '0',
  SS: '0',
  ST: 'ANONYMIZED',
  SV: '0',
  TM: '000000',
  UC: 'ANONYMIZED',
  UI: '2.25.0',
  UL: '0',
  UR: 'urn:anonymized',
  US: '0',
  UT: 'ANONYMIZED',
  UV: '0',
};

export const dummyText = (vr: VR): string | undefined => dummies[vr];

/** The dummy value field; eight zero bytes, a whole number of any unit, for blobs and what has no VR. */
export function dummyValue(vr: VR): Uint8Array {
  const text = dummies[vr];
  return (text === undefined ? undefined : encodeText(vr, text, false)) ?? new Uint8Array(8);
}
