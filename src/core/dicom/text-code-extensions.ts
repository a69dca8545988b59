// Single-byte sets and ISO 2022 code extensions (PS3.5 §6.1.2.4, §6.1.2.5; PS3.3 tables C.12-2 to C.12-4). Escape sequences
// are obeyed whatever Specific Character Set announces: files announce too little more often than too much.

type Decode = (bytes: Uint8Array) => string;

const viaDecoder = (label: string): Decode => {
  const decoder = new TextDecoder(label);
  return (bytes) => decoder.decode(bytes);
};

/** Node's latin1 is ISO 8859-1 itself; TextDecoder's would be Windows-1252. */
const latin1: Decode = (bytes) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');

/** JIS X 0201: katakana above; 0x5C and 0x7E stay ASCII, for 0x5C separates values also here. */
const jisX0201: Decode = (bytes) =>
  latin1(bytes).replaceAll(/[\xa1-\xdf]/g, (char) =>
    String.fromCharCode(char.charCodeAt(0) - 0xa1 + 0xff61),
  );

const singleByte: Readonly<Record<string, Decode>> = {
  '': latin1,
  '6': latin1,
  '100': latin1,
  '101': viaDecoder('iso-8859-2'),
  '109': viaDecoder('iso-8859-3'),
  '110': viaDecoder('iso-8859-4'),
  '144': viaDecoder('iso-8859-5'),
  '127': viaDecoder('iso-8859-6'),
  '126': viaDecoder('iso-8859-7'),
  '138': viaDecoder('iso-8859-8'),
  '148': viaDecoder('iso-8859-9'),
  '203': viaDecoder('iso-8859-15'),
  '166': viaDecoder('windows-874'),
  '13': jisX0201,
};

/** Sets of two bytes a character, reachable by escape sequences alone. Value 1 of them means ASCII before the first escape. */
const doubleByte: readonly string[] = ['87', '159', '149', '58'];

const registration = (name: string): string => name.replace(/^ISO_IR|^ISO2022IR/, '');

/** The decoder of a single-byte set, or of the single-byte part of one of two bytes; undefined for an unknown name. */
export function singleByteDecoder(name: string): Decode | undefined {
  const number = registration(name);
  return doubleByte.includes(number) ? latin1 : singleByte[number];
}

/** One element of a code: how many bytes a character has, and how to read a run of them. */
interface CodeSet {
  readonly width: 1 | 2;
  readonly decode: Decode;
}

const eucJp = viaDecoder('euc-jp');
const toHigh = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte | 0x80);

const jisX0208: CodeSet = { width: 2, decode: (bytes) => eucJp(toHigh(bytes)) };
const jisX0212: CodeSet = {
  width: 2,
  decode: (bytes) => {
    const out: number[] = [];
    for (let i = 0; i + 1 < bytes.length; i += 2) {
      out.push(0x8f, (bytes[i] ?? 0) | 0x80, (bytes[i + 1] ?? 0) | 0x80);
    }
    return eucJp(Uint8Array.from(out));
  },
};
const g1 = (number: string): CodeSet => ({ width: 1, decode: singleByte[number] ?? latin1 });
const ascii: CodeSet = { width: 1, decode: latin1 };

/** Escape sequences without ESC → which half they set, and to what. */
const escapes: Readonly<Record<string, { readonly half: 'g0' | 'g1'; readonly set: CodeSet }>> = {
  '(B': { half: 'g0', set: ascii },
  '(J': { half: 'g0', set: ascii },
  '-A': { half: 'g1', set: g1('100') },
  '-B': { half: 'g1', set: g1('101') },
  '-C': { half: 'g1', set: g1('109') },
  '-D': { half: 'g1', set: g1('110') },
  '-L': { half: 'g1', set: g1('144') },
  '-G': { half: 'g1', set: g1('127') },
  '-F': { half: 'g1', set: g1('126') },
  '-H': { half: 'g1', set: g1('138') },
  '-M': { half: 'g1', set: g1('148') },
  '-b': { half: 'g1', set: g1('203') },
  '-T': { half: 'g1', set: g1('166') },
  ')I': { half: 'g1', set: g1('13') },
  // JIS C 6226-1978, the edition before: not in the standard, and still written
  '$@': { half: 'g0', set: jisX0208 },
  $B: { half: 'g0', set: jisX0208 },
  '$(D': { half: 'g0', set: jisX0212 },
  '$)C': { half: 'g1', set: { width: 2, decode: viaDecoder('euc-kr') } },
  '$)A': { half: 'g1', set: { width: 2, decode: viaDecoder('gb18030') } },
};

const ESC = 0x1b;

/**
 * Decodes with escapes. The initial sets come from the first value of Specific Character Set and come back at every
 * control character and delimiter (PS3.5 §6.1.2.5.3): backslash always, `^` and `=` in person names.
 */
export function decodeCodeExtensions(
  bytes: Uint8Array,
  firstCharset: string,
  isPersonName: boolean,
): string {
  const initialG1: CodeSet = { width: 1, decode: singleByteDecoder(firstCharset) ?? latin1 };
  if (!bytes.includes(ESC)) return initialG1.decode(bytes);
  let g0 = ascii;
  let g1 = initialG1;
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const escape = bytes[at] === ESC ? readEscape(bytes, at + 1) : undefined;
    if (escape !== undefined) {
      if (escape.half === 'g0') g0 = escape.set;
      else g1 = escape.set;
      at = escape.next;
      continue;
    }
    const byte = bytes[at] ?? 0;
    if (g0.width === 1 && isReset(byte, isPersonName)) {
      g1 = initialG1;
      g0 = ascii;
    }
    const set = byte >= 0x80 ? g1 : isControl(byte) ? ascii : g0;
    const end = runEnd(bytes, at, set, byte >= 0x80, isPersonName);
    text += set.decode(bytes.subarray(at, end));
    at = end;
    if (isControl(byte)) g0 = ascii; // a line end resets also inside a set of two bytes
  }
  return text;
}

const isControl = (byte: number): boolean => byte < 0x20;
const isReset = (byte: number, isPersonName: boolean): boolean =>
  (byte < 0x20 && byte !== ESC) ||
  byte === 0x5c ||
  (isPersonName && (byte === 0x5e || byte === 0x3d));

/** The end of the bytes that one set reads: same half, no escape, no delimiter, whole characters. */
function runEnd(
  bytes: Uint8Array,
  start: number,
  set: CodeSet,
  high: boolean,
  isPersonName: boolean,
): number {
  if (set.width === 1 && !high && isReset(bytes[start] ?? 0, isPersonName)) return start + 1;
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at] ?? 0;
    if (byte === ESC && at > start) break;
    if (byte >= 0x80 !== high) break;
    if (at > start && (isControl(byte) || (set.width === 1 && isReset(byte, isPersonName)))) break;
    at += set.width;
  }
  return Math.min(at, bytes.length);
}

function readEscape(
  bytes: Uint8Array,
  at: number,
): { half: 'g0' | 'g1'; set: CodeSet; next: number } | undefined {
  for (const length of [2, 3]) {
    const key = latin1(bytes.subarray(at, at + length));
    const found = Object.hasOwn(escapes, key) ? escapes[key] : undefined;
    if (found !== undefined) return { ...found, next: at + length };
  }
  return undefined;
}
