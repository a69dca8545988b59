// What a text is in bytes, in charsets that the platform can only read: its decoders turned round, each when it is first asked
// for. The leak check searches with it; what is written with it (text-encode.ts) must read back as the same.

/** GB18030 is apart: it has four-byte characters for all of Unicode. */
const doubleByte = ['big5', 'shift_jis', 'euc-jp', 'euc-kr'] as const;
// prettier-ignore
const singleByte = [
  'iso-8859-2', 'iso-8859-3', 'iso-8859-4', 'iso-8859-5', 'iso-8859-6', 'iso-8859-7', 'iso-8859-8', 'iso-8859-13',
  'windows-1250', 'windows-1251', 'windows-1252', 'windows-1253', 'windows-1254', 'windows-1256', 'windows-1258',
  'koi8-r', 'koi8-u', 'ibm866', 'windows-874',
] as const;

/** By UTF-16 code unit: one or two bytes as a number; 0 where the charset lacks the character. */
type Table = Uint16Array;

const tables = new Map<string, Table>();

function tableOf(label: string, isDouble: boolean): Table {
  let table = tables.get(label);
  if (table === undefined) {
    table = new Uint16Array(0x10000);
    const codes = isDouble ? [...high, ...pairs] : high;
    fill(table, label, codes);
    tables.set(label, table);
  }
  return table;
}

const high: readonly number[] = Array.from({ length: 0x80 }, (_, i) => 0x80 + i);
const pairs: readonly number[] = Array.from({ length: 0x7e * 0xbf }, (_, i) => {
  const lead = 0x81 + Math.floor(i / 0xbf);
  return lead * 0x100 + 0x40 + (i % 0xbf);
});

/** All codes in one go, each followed by a line end, which is part of no character. */
function fill(table: Table, label: string, codes: readonly number[]): void {
  const bytes = codes.flatMap((code) => (code > 0xff ? [code >> 8, code & 0xff, 10] : [code, 10]));
  const chars = new TextDecoder(label).decode(Uint8Array.from(bytes)).split('\n');
  for (const [i, code] of codes.entries()) {
    const char = chars[i];
    if (char?.length !== 1 || char === '\ufffd') continue;
    const unit = char.charCodeAt(0);
    if (unit >= 0x80 && table[unit] === 0) table[unit] = code;
  }
}

const twoBytes = (code: number): string =>
  code > 0xff ? String.fromCharCode(code >> 8, code & 0xff) : String.fromCharCode(code);

function byTable(text: string, table: Table): string | undefined {
  let bytes = '';
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const code = unit < 0x80 ? unit : (table[unit] ?? 0);
    if (code === 0) return undefined;
    bytes += twoBytes(code);
  }
  return bytes;
}

let ranges: Map<number, number> | undefined;

/** Code points of the basic plane that take four bytes, with their place in the row of all four-byte codes. */
function fourByteRow(): Map<number, number> {
  if (ranges !== undefined) return ranges;
  const count = 39_420;
  const bytes = new Uint8Array(count * 5);
  for (let i = 0; i < count; i++) bytes.set([...fourBytes(i), 10], i * 5);
  const chars = new TextDecoder('gb18030').decode(bytes).split('\n');
  ranges = new Map();
  for (const [i, char] of chars.entries()) {
    if (char.length === 1 && char !== '\ufffd') ranges.set(char.charCodeAt(0), i);
  }
  return ranges;
}

const fourBytes = (place: number): readonly number[] => [
  0x81 + Math.floor(place / 12_600),
  0x30 + (Math.floor(place / 1260) % 10),
  0x81 + (Math.floor(place / 10) % 126),
  0x30 + (place % 10),
];

/** Where the supplementary planes begin in the row of four-byte codes: 0x90308130. */
const supplementary = 189_000;

/** The bytes of a character as a number of two bytes, in what GB 2312, GBK and GB 18030 have in common; 0 where it is not there. */
export const gbkCodeOf = (char: string): number =>
  char.length === 1 ? (tableOf('gb18030', true)[char.charCodeAt(0)] ?? 0) : 0;

/** One character a byte; undefined where GB18030 lacks a character of the text, which is half a surrogate pair alone. */
export function gb18030BytesOf(text: string): string | undefined {
  const table = tableOf('gb18030', true);
  let bytes = '';
  for (const char of text) {
    const point = char.codePointAt(0) ?? 0;
    const code = point < 0x80 ? point : char.length === 1 ? (table[point] ?? 0) : 0;
    if (code !== 0) {
      bytes += twoBytes(code);
      continue;
    }
    const place = point > 0xffff ? supplementary + point - 0x10000 : fourByteRow().get(point);
    if (place === undefined) return undefined;
    bytes += String.fromCharCode(...fourBytes(place));
  }
  return bytes;
}

/**
 * The text in every charset that has all of its characters, as Latin-1 strings (one character a byte), each once. Text that
 * is plain ASCII gives nothing. `isWide`: UTF-16 of both orders too.
 */
export function bytesOfText(text: string, isWide: boolean): ReadonlySet<string> {
  const found = new Set<string>();
  if (/^[\0-\x7f]*$/.test(text)) return found;
  const wide = Buffer.from(text, 'utf16le');
  found.add(Buffer.from(text).toString('latin1'));
  if (isWide) {
    found.add(wide.toString('latin1'));
    found.add(Buffer.from(wide).swap16().toString('latin1'));
  }
  const encoded = [
    gb18030BytesOf(text),
    ...doubleByte.map((label) => byTable(text, tableOf(label, true))),
    ...singleByte.map((label) => byTable(text, tableOf(label, false))),
  ];
  for (const bytes of encoded) if (bytes !== undefined) found.add(bytes);
  return found;
}
