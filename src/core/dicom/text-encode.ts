// Text that we write beyond ASCII: Chinese words that stay in a descriptor, in the character set that the file declares. What
// cannot be written there so that it reads back as the same is not written.

import type { VR } from './dataset.ts';
import { decodeText } from './text.ts';

/** Bytes of two-byte characters, as GB 2312, GBK and GB 18030 have them in common; made when first asked for. */
let twoBytes: ReadonlyMap<string, readonly [number, number]> | undefined;

function chineseTable(): ReadonlyMap<string, readonly [number, number]> {
  if (twoBytes !== undefined) return twoBytes;
  const codes: number[] = [];
  for (let a = 0x81; a <= 0xfe; a++) {
    for (let b = 0x40; b <= 0xfe; b++) if (b !== 0x7f) codes.push(a, b);
  }
  // a line end after each keeps one broken code from eating the next
  const lines = codes.flatMap((code, i) => (i % 2 === 0 ? [code] : [code, 10]));
  const chars = new TextDecoder('gb18030').decode(Uint8Array.from(lines)).split('\n');
  const table = new Map<string, readonly [number, number]>();
  for (const [i, char] of chars.entries()) {
    if (char.length === 1 && char !== '\ufffd' && !table.has(char)) {
      table.set(char, [codes[2 * i] ?? 0, codes[2 * i + 1] ?? 0]);
    }
  }
  return (twoBytes = table);
}

/**
 * The text as a value field, padded to even length, in the declared Specific Character Set; undefined where that has no such
 * characters, or where the bytes would not read as the same text. Texts may hold several values, by backslashes.
 */
export function encodeDeclared(
  text: string,
  charsets: readonly string[],
  vr: VR,
): Uint8Array | undefined {
  const bytes = charsets.some((name) => /192/.test(name))
    ? Buffer.from(text)
    : encodeChinese(text, charsets);
  if (bytes === undefined) return undefined;
  const padded = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from(' ')]);
  return decodeText(padded, charsets, vr) === text.trimEnd() ? padded : undefined;
}

/** ISO 2022 IR 58 is announced before each run of characters, since lines and values begin without (PS3.5 §6.1.2.5.3). */
const announceG1 = [0x1b, 0x24, 0x29, 0x41];

function encodeChinese(text: string, charsets: readonly string[]): Buffer | undefined {
  const isWhole = charsets.some((name) => /^GB(?:K|18030)$/i.test(name.trim()));
  if (!isWhole && !charsets.some((name) => /IR[ _-]?58\s*$/i.test(name))) return undefined;
  const table = chineseTable();
  const bytes: number[] = [];
  let isForeign = false;
  for (const char of text) {
    const code = char < '\x80' ? [char.charCodeAt(0)] : table.get(char);
    if (code === undefined) return undefined;
    if (!isWhole && code.length === 2 && !isForeign) bytes.push(...announceG1);
    isForeign = code.length === 2;
    bytes.push(...code);
  }
  return Buffer.from(bytes);
}
