// Reads the archives that tar-write.ts makes, and nothing else: what is not understood to its last byte is refused. The
// archive comes from a disk that others may have written to, so each name is checked before it is used.

import { createHash } from 'node:crypto';
import { AppError } from '../../core/errors.ts';
import { blockBytes, type TarEntry } from './tar-write.ts';

export interface ReadEntry extends TarEntry {
  /** To be read to its end before the next entry is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Of all of the archive before this entry. */
  sha256Before(): string;
}

const mostHeaderBytes = 65_536;
const kinds = new Map([
  ['0', 'file'],
  ['1', 'link'],
  ['5', 'folder'],
] as const satisfies readonly (readonly [string, TarEntry['kind']])[]);

export const damaged = (what: string): AppError =>
  new AppError('BAD_BACKUP', { detail: `the backup is damaged or not whole: ${what}` });

/** Each entry in turn. Throws BAD_BACKUP when the archive ends too early or is not one of ours. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ReadEntry> {
  const bytes = new Bytes(source);
  for (;;) {
    const before = bytes.digest.copy();
    const first = await bytes.take(blockBytes);
    if (first.every((byte) => byte === 0)) break;
    const extended = parseBlock(first);
    if (extended.flag !== 'x' || extended.sizeBytes > mostHeaderBytes) throw damaged('a header');
    const records = parseRecords(await bytes.takePadded(extended.sizeBytes));
    const own = parseBlock(await bytes.take(blockBytes));
    const kind = kinds.get(own.flag as '0');
    const name = records.get('path');
    if (kind === undefined || name === undefined) throw damaged('an entry of another kind');
    const sizeBytes = whole(records.get('size')) ?? own.sizeBytes;
    if (kind !== 'file' && sizeBytes !== 0) throw damaged('a folder with a content');
    const target = records.get('linkpath');
    if ((target !== undefined) !== (kind === 'link')) throw damaged('a link');
    const modifiedMs = Math.round(Number(records.get('mtime') ?? '0') * 1000);
    if (!Number.isSafeInteger(modifiedMs)) throw damaged('a time');
    const body = bytes.body(sizeBytes);
    const sha256Before = (): string => before.digest('hex');
    const about = { name: checkedName(name), kind, sizeBytes, modifiedMs, body, sha256Before };
    yield target === undefined ? about : { ...about, target: checkedName(target) };
    // What the caller did not want is skipped.
    for await (const _ of body);
  }
  const last = await bytes.take(blockBytes);
  if (last.some((byte) => byte !== 0)) throw damaged('its end');
  if (!(await bytes.isAtEnd())) throw damaged('more behind its end');
}

/** Relative, without a way out. */
function checkedName(name: string): string {
  const isPlain = name
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'));
  if (!isPlain || name.length > 4096) throw damaged('a name that leads outside');
  return name;
}

const whole = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || !Number.isSafeInteger(value)) throw damaged('a size');
  return value;
};

function parseBlock(block: Buffer): { readonly flag: string; readonly sizeBytes: number } {
  const copy = Buffer.from(block);
  copy.fill(' ', 148, 156);
  const sum = copy.reduce((total, byte) => total + byte, 0);
  const told = Number.parseInt(block.toString('latin1', 148, 154), 8);
  const isOurs = block.toString('latin1', 257, 265) === 'ustar\u000000';
  if (sum !== told || !isOurs) throw damaged('a header does not fit its sum');
  const size = block.toString('latin1', 124, 135);
  if (!/^[0-7]{11}$/.test(size)) throw damaged('a size');
  return { flag: block.toString('latin1', 156, 157), sizeBytes: Number.parseInt(size, 8) };
}

function parseRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString('latin1', at, Math.max(at, space)));
    const end = at + length;
    const isSound = space > at && Number.isSafeInteger(length) && length > 4 && end <= bytes.length;
    if (!isSound || bytes[end - 1] !== 0x0a) throw damaged('an extended header');
    const text = bytes.toString('utf8', space + 1, end - 1);
    const equals = text.indexOf('=');
    if (equals < 1) throw damaged('an extended header');
    records.set(text.slice(0, equals), text.slice(equals + 1));
    at = end;
  }
  return records;
}

/** The stream as bytes that can be taken by number. Holds one piece of the source at a time. */
class Bytes {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** Of what was taken so far. */
  readonly digest = createHash('sha256');

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#at === this.#piece.length) if (!(await this.#next())) return true;
    return false;
  }

  /** At most `most` bytes, at least one. */
  async #some(most: number): Promise<Uint8Array> {
    if (await this.isAtEnd()) throw damaged('it ends too early');
    const part = this.#piece.subarray(this.#at, this.#at + most);
    this.#at += part.length;
    this.digest.update(part);
    return part;
  }

  async #next(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#piece = next.value;
    this.#at = 0;
    return true;
  }

  async take(length: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0;) {
      const part = await this.#some(left);
      parts.push(Uint8Array.from(part));
      left -= part.length;
    }
    return Buffer.concat(parts);
  }

  async takePadded(length: number): Promise<Buffer> {
    const all = await this.take(Math.ceil(length / blockBytes) * blockBytes);
    return all.subarray(0, length);
  }

  /** The content of a file and what fills its last block; once. */
  async *body(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0;) {
      const part = await this.#some(left);
      left -= part.length;
      yield part;
    }
    await this.take((blockBytes - (length % blockBytes)) % blockBytes);
  }
}
