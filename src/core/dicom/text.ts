// Bytes to text in every character set of the standard (PS3.5 §6.1, PS3.3 §C.12.1.1.2). Only a reader: what we write is
// ASCII, but for the Chinese words of text-encode.ts. Values are split after decoding, for in GB18030 and GBK 0x5C and
// 0x5E occur as second bytes.

import type { VR } from './dataset.ts';
import { latin1, stripPadding } from './latin1.ts';
import { decodeCodeExtensions, singleByteDecoder } from './text-code-extensions.ts';

/** The VRs that Specific Character Set (0008,0005) governs (PS3.5 §6.1.2.3). */
const affected: ReadonlySet<VR> = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UT']);

/** VRs whose value is one text, in which a backslash is just a character (PS3.5 §6.2). */
const single: ReadonlySet<VR> = new Set(['LT', 'ST', 'UT', 'UR']);

const whole: Readonly<Record<string, InstanceType<typeof TextDecoder>>> = {
  ISO_IR192: new TextDecoder('utf-8'),
  GB18030: new TextDecoder('gb18030'),
  GBK: new TextDecoder('gbk'),
};

/** As files write them: stray blanks, lower case, `ISO-IR 100` and `ISO IR 100` for `ISO_IR 100`. */
const normal = (name: string): string =>
  name
    .replaceAll(/[\s\0]+/g, '')
    .toUpperCase()
    .replace(/^ISO2022[-_]?IR[-_]?/, 'ISO2022IR')
    .replace(/^ISO[-_]?IR[-_]?/, 'ISO_IR');

/** Are all of these defined terms of the standard? Text of another set is still decoded, as Latin-1. */
export const isKnownCharset = (charsets: readonly string[]): boolean =>
  charsets
    .map(normal)
    .every((name) => name === '' || name in whole || singleByteDecoder(name) !== undefined);

/**
 * The text of a value field, padding stripped at its end, values still separated by backslashes.
 * `charsets` are the values of the Specific Character Set that holds where the element stands; none means ASCII, which
 * is read as Latin-1 so that no byte is lost.
 */
export function decodeText(bytes: Uint8Array, charsets: readonly string[], vr: VR): string {
  const raw = latin1(bytes);
  const isSame = ascii.test(raw) || !affected.has(vr);
  return stripPadding(isSame ? raw : decode(bytes, charsets.map(normal), vr));
}

/** Without escapes these bytes mean the same in all character sets of the standard; most values are nothing else. */
const ascii = /^[\0-\x1a\x1c-\x7f]*$/;

/** The values of an element, each without its padding; one value for LT, ST, UT, UR. Empty for an empty field. */
export function decodeValues(
  bytes: Uint8Array,
  charsets: readonly string[],
  vr: VR,
): readonly string[] {
  const text = decodeText(bytes, charsets, vr);
  if (text === '') return [];
  if (single.has(vr)) return [text];
  return text.includes('\\') ? text.split('\\').map((value) => value.trim()) : [text.trim()];
}

function decode(bytes: Uint8Array, charsets: readonly string[], vr: VR): string {
  const decoder = whole[charsets.find((name) => name in whole) ?? ''];
  if (decoder !== undefined) return decoder.decode(bytes);
  return decodeCodeExtensions(bytes, charsets[0] ?? '', vr === 'PN');
}

/** One component group: alphabetic, ideographic or phonetic (PS3.5 §6.2.1.1). */
export interface PersonNameGroup {
  readonly family: string;
  readonly given: string;
  readonly middle: string;
  readonly prefix: string;
  readonly suffix: string;
  /** The group as it stands, trimmed. */
  readonly whole: string;
}

/** The component groups of one person name (already decoded, one value), in order, empty ones included. */
export function splitPersonName(name: string): readonly PersonNameGroup[] {
  return name.split('=').map((group) => {
    const [family = '', given = '', middle = '', prefix = '', suffix = '', ...more] = group
      .split('^')
      .map((component) => component.trim());
    // more than five components are not allowed, but none may be lost to a search
    const rest = more.filter((component) => component !== '');
    return {
      family,
      given,
      middle,
      prefix,
      suffix: [suffix, ...rest].filter((component) => component !== '').join(' '),
      whole: group.trim(),
    };
  });
}
