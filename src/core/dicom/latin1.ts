// Bytes as text, one character a byte, which loses nothing: how UIDs, codes, dates and numbers are read, and the first look
// at any text. On the way of every element of every file, so nothing is copied, and no regular expression does what a
// loop can do.

/** One character for each byte. */
export const latin1 = (bytes: Uint8Array): string =>
  (bytes instanceof Buffer
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  ).toString('latin1');

/** Without the blanks and NULs at its end. */
export function stripPadding(text: string): string {
  let end = text.length;
  while (end > 0 && isPadding(text.charCodeAt(end - 1))) end--;
  return end === text.length ? text : text.slice(0, end);
}

const isPadding = (code: number): boolean => code === 0x20 || code === 0;
