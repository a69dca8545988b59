// What an entry is called. The name is decoded for the sender's receipt and judged for ways out of the folder; nothing of it
// goes into an output by this module. APPNOTE 4.4.17 and Appendix D; Info-ZIP's Unicode path field 0x7075.

import { crc32 } from 'node:zlib';
import { ZipRefusal } from '../../core/zip-refusal.ts';
import { extraFields } from './extra-fields.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true });
const gb18030 = new TextDecoder('gb18030', { fatal: true });
const latin1 = new TextDecoder('latin1');

const utf8Flag = 0x0800;
const longestName = 4096;

/** Decodes and checks the name; throws ZipRefusal `zip-path` or `zip-broken`. */
export function entryName(bytes: Buffer, flags: number, extra: Buffer, index: number): string {
  const name = decode(bytes, flags, extra, index);
  if (bytes.length === 0 || bytes.length > longestName) {
    throw new ZipRefusal('zip-path', `entry ${index} has a name of ${bytes.length} bytes`);
  }
  // The raw bytes are judged too: another program may read them in another charset than we do.
  if (leadsOut(name) || leadsOut(latin1.decode(bytes).replace(/\\/g, '/'))) {
    throw new ZipRefusal('zip-path', `entry ${index}`);
  }
  if (name.includes('\\')) throw new ZipRefusal('zip-path', `entry ${index} has a backslash`);
  return name;
}

function decode(bytes: Buffer, flags: number, extra: Buffer, index: number): string {
  if ((flags & utf8Flag) !== 0) {
    const name = attempt(utf8, bytes);
    if (name === undefined) {
      throw new ZipRefusal('zip-broken', `entry ${index} says UTF-8 but its name is not`);
    }
    return name;
  }
  const unicode = extraFields(extra).find((field) => field.id === 0x7075)?.data;
  if (unicode !== undefined && unicode.length > 5 && unicode[0] === 1) {
    // The field counts only for the name that it was made for.
    if (unicode.readUInt32LE(1) === crc32(bytes)) {
      const name = attempt(utf8, unicode.subarray(5));
      if (name !== undefined) return name;
    }
  }
  return attempt(utf8, bytes) ?? attempt(gb18030, bytes) ?? latin1.decode(bytes);
}

function attempt(decoder: typeof utf8, bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function leadsOut(name: string): boolean {
  return (
    name.startsWith('/') ||
    /^[A-Za-z]:/.test(name) ||
    /[\0-\x1f\x7f]/.test(name) ||
    name.split('/').some((part) => part === '..')
  );
}
