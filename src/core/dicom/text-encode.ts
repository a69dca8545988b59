// Text that we write beyond ASCII: Chinese words that stay in a descriptor, in the character set that the file declares. What
// cannot be written there so that it reads back as the same is not written.

import { gbkCodeOf } from './charset-bytes.ts';
import type { VR } from './dataset.ts';
import { decodeText } from './text.ts';

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
  const bytes: number[] = [];
  let isForeign = false;
  for (const char of text) {
    if (char < '\x80') {
      bytes.push(char.charCodeAt(0));
      isForeign = false;
      continue;
    }
    const code = gbkCodeOf(char);
    if (code === 0) return undefined;
    if (!isWhole && !isForeign) bytes.push(...announceG1);
    isForeign = true;
    bytes.push(code >> 8, code & 0xff);
  }
  return Buffer.from(bytes);
}
