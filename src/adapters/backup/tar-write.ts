// Writes a tar archive as `tar x` reads it (POSIX.1-2001, ustar with extended headers): streamed, each file with exactly the
// size that its header says. archiver takes files by name and believes their size of an earlier moment; here they are written
// to meanwhile.

export interface TarEntry {
  /** With `/` between its parts. */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'link';
  /** 0 for what is not a file. */
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** For a link: the name of an earlier file of the archive. */
  readonly target?: string;
}

export const blockBytes = 512;
const typeFlags = { file: '0', link: '1', folder: '5', extended: 'x' } as const;

/** What stands before the bytes of an entry: an extended header for what ustar has no room for, and its own. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const records = new Map([['path', entry.name]]);
  if (entry.kind === 'file') records.set('mtime', seconds(entry.modifiedMs));
  if (entry.sizeBytes >= 8 ** 11) records.set('size', String(entry.sizeBytes));
  if (entry.target !== undefined) records.set('linkpath', entry.target);
  const body = Buffer.concat([...records].map(([key, value]) => record(key, value)));
  return Buffer.concat([
    block('PaxHeader', 'extended', body.length, 0, ''),
    padded(body),
    block(
      plain(entry.name),
      entry.kind,
      entry.sizeBytes >= 8 ** 11 ? 0 : entry.sizeBytes,
      entry.modifiedMs,
      plain(entry.target ?? ''),
    ),
  ]);
}

/** What stands behind the bytes of an entry. */
export const tarPadding = (sizeBytes: number): Uint8Array =>
  Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes);

/** Two empty blocks end an archive. */
export const tarEnd = (): Uint8Array => Buffer.alloc(2 * blockBytes);

const padded = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, tarPadding(bytes.length)]);

const seconds = (ms: number): string =>
  `${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}`;

/** `<length> <key>=<value>\n`, where the length counts itself. */
function record(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + 1;
  while (bytes + String(length).length !== length) length = bytes + String(length).length;
  return Buffer.from(`${length}${rest}`);
}

/** For programs that do not read extended headers: never the whole truth, never another file's name. */
const plain = (name: string): string =>
  Buffer.byteLength(name) <= 100 ? name : `long-name-${Buffer.byteLength(name)}`;

function block(
  name: string,
  kind: keyof typeof typeFlags,
  sizeBytes: number,
  modifiedMs: number,
  target: string,
): Buffer {
  const bytes = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number): number =>
    bytes.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  bytes.write(name, 0, 100);
  octal(kind === 'folder' ? 0o700 : 0o600, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(sizeBytes, 124, 12);
  octal(Math.max(0, Math.floor(modifiedMs / 1000)), 136, 12);
  bytes.write(' '.repeat(8), 148, 'latin1');
  bytes.write(typeFlags[kind], 156, 'latin1');
  bytes.write(target, 157, 100);
  bytes.write('ustar\u000000', 257, 'latin1');
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}
