// What an SFTP version 3 server has to answer, as a table (draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL file for the
// extensions). It runs against ours and against OpenSSH's sshd: where ours differs on purpose the row says why.

import { openFlag, packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';

/** A path in the case's own folder. */
export interface PathField {
  readonly path: string | Uint8Array;
}
/** The handle in the answer to the n-th request of the case. */
export interface HandleField {
  readonly handleOf: number;
}
export type Field = number | bigint | string | Uint8Array | PathField | HandleField;
export type Ask = readonly [type: number, ...fields: readonly Field[]];

/** Names in the case's folder with what they hold; a folder's ends with a slash. More than 200 bytes stand as `<n> bytes`. */
export type Picture = Readonly<Record<string, string>>;

export interface ProtocolCase {
  readonly name: string;
  readonly before?: Picture;
  /** Sent without waiting for answers, but for those whose handle is needed. */
  readonly asks: readonly Ask[];
  /** One for each request: a status with the beginning of its text, as `FAILURE: This name`; `HANDLE`; `DATA bytes`;
   *  `ATTRS file 5`; `NAME a b`, where `@` is the case's folder; `REPLY <bytes>`. */
  readonly gives: readonly string[];
  /** As before, when it is not said. */
  readonly after?: Picture;
  /** What OpenSSH does, and why ours does not. */
  readonly differs?: {
    readonly why: string;
    readonly gives: readonly string[];
    readonly after?: Picture;
  };
}

const { READ, WRITE, APPEND, CREAT, TRUNC, EXCL } = openFlag;
const fresh = WRITE | CREAT | TRUNC;
const at = (path: string | Uint8Array): PathField => ({ path });
const handle = (handleOf: number): HandleField => ({ handleOf });
const open = (path: string, flags: number): Ask => [fxp.OPEN, at(path), flags, 0];
const read = (of: number, offset: bigint, length: number): Ask => [
  fxp.READ,
  handle(of),
  offset,
  length,
];
const write = (of: number, offset: bigint, data: string): Ask => [
  fxp.WRITE,
  handle(of),
  offset,
  data,
];
const close = (of: number): Ask => [fxp.CLOSE, handle(of)];
const extended = (name: string, ...fields: readonly Field[]): Ask => [
  fxp.EXTENDED,
  name,
  ...fields,
];
const [SIZE, MODES, TIMES] = [1, 4, 8];
const GiB = 1n << 30n;
const notUtf8 = Buffer.from([0xb2, 0xe2, 0xca, 0xd4]);

const why = {
  badHandle: 'whatever is wrong with a handle is FAILURE and says so; OpenSSH answers with EBADF’s',
  links: 'no way out of the tree',
  modes: 'modes are accepted and ignored',
  names: 'names are valid UTF-8',
  offsets: 'a number that no file system takes is FAILURE, not a malformed request',
  checkFile: 'proves a delivery without reading it back',
} as const;

const opening: readonly ProtocolCase[] = [
  {
    name: 'OPEN to read gives the bytes, and EOF behind them',
    before: { f: 'hello' },
    asks: [
      open('f', READ),
      read(0, 0n, 100),
      read(0, 3n, 1),
      read(0, 5n, 1),
      read(0, 9n, 1),
      close(0),
    ],
    gives: ['HANDLE', 'DATA hello', 'DATA l', 'EOF', 'EOF', 'OK'],
  },
  {
    name: 'OPEN of what is missing',
    asks: [open('f', READ), open('f', WRITE), open('f', WRITE | TRUNC), open('no/f', fresh)],
    gives: Array(4).fill('NO_SUCH_FILE'),
  },
  {
    name: 'OPEN with CREAT alone keeps the bytes',
    before: { f: 'hello' },
    asks: [open('f', WRITE | CREAT), write(0, 1n, 'E'), close(0)],
    gives: ['HANDLE', 'OK', 'OK'],
    after: { f: 'hEllo' },
  },
  {
    name: 'OPEN with TRUNC empties the file at once',
    before: { f: 'hello' },
    asks: [open('f', fresh), [fxp.STAT, at('f')], close(0)],
    gives: ['HANDLE', 'ATTRS file 0', 'OK'],
    after: { f: '' },
  },
  {
    name: 'OPEN with EXCL takes a new name alone',
    before: { f: 'hello', 'd/': '' },
    asks: [open('f', fresh | EXCL), open('d', fresh | EXCL), open('g', fresh | EXCL), close(2)],
    gives: ['FAILURE: This name', 'FAILURE', 'HANDLE', 'OK'],
    after: { f: 'hello', 'd/': '', g: '' },
  },
  {
    name: 'OPEN of a folder to write',
    before: { 'd/': '' },
    asks: [open('d', fresh), open('d', WRITE)],
    gives: ['FAILURE: This is a folder', 'FAILURE: This is a folder'],
  },
  {
    name: 'OPEN of a folder to read',
    before: { 'd/': '' },
    asks: [open('d', READ)],
    gives: ['FAILURE: This is a folder'],
    differs: { why: 'a folder is listed, not read; OpenSSH refuses at READ', gives: ['HANDLE'] },
  },
  {
    name: 'OPEN behind a file',
    before: { f: 'x' },
    asks: [open('f/g', READ), open('f/g', fresh)],
    gives: ['NO_SUCH_FILE', 'NO_SUCH_FILE'],
  },
];

const writing: readonly ProtocolCase[] = [
  {
    name: 'WRITEs in any order end in the right bytes; READ sees those before it',
    asks: [
      open('f', READ | fresh),
      write(0, 4n, '5678'),
      write(0, 0n, '1234'),
      read(0, 0n, 100),
      write(0, 0n, 'abcd'),
      read(0, 2n, 4),
      [fxp.FSTAT, handle(0)],
      close(0),
    ],
    gives: ['HANDLE', 'OK', 'OK', 'DATA 12345678', 'OK', 'DATA cd56', 'ATTRS file 8', 'OK'],
    after: { f: 'abcd5678' },
  },
  {
    name: 'a hole reads as zeros',
    asks: [open('f', READ | fresh), write(0, 3n, 'x'), read(0, 0n, 10), close(0)],
    gives: ['HANDLE', 'OK', 'DATA \0\0\0x', 'OK'],
    after: { f: '\0\0\0x' },
  },
  {
    name: 'a WRITE of nothing, alone and behind the end',
    before: { f: 'ab' },
    asks: [open('f', WRITE), write(0, 0n, ''), write(0, 9n, ''), close(0)],
    gives: ['HANDLE', 'OK', 'OK', 'OK'],
  },
  {
    name: 'APPEND goes to the end whatever the offset',
    before: { f: 'ab' },
    asks: [open('f', WRITE | APPEND), write(0, 0n, 'cd'), write(0, 0n, 'ef'), close(0)],
    gives: ['HANDLE', 'OK', 'OK', 'OK'],
    after: { f: 'abcdef' },
  },
  {
    name: 'a READ behind many WRITEs, and CLOSE behind them all',
    asks: [
      open('f', READ | fresh),
      ...Array.from({ length: 300 }, (_, index) => write(0, BigInt(index), String(index % 10))),
      read(0, 0n, 1000),
      close(0),
      [fxp.STAT, at('f')],
    ],
    gives: ['HANDLE', ...Array<string>(300).fill('OK'), 'DATA 300 bytes', 'OK', 'ATTRS file 300'],
    after: { f: '300 bytes' },
  },
  {
    name: 'offsets of 64 bits: behind 5 GiB',
    asks: [open('f', READ | fresh), write(0, 5n * GiB, 'x'), read(0, 5n * GiB, 9), close(0)],
    gives: ['HANDLE', 'OK', 'DATA x', 'OK'],
    after: { f: '5368709121 bytes' },
  },
  {
    name: 'offsets of 64 bits: behind 2^63 nothing wraps',
    before: { f: 'ab' },
    asks: [
      open('f', READ | WRITE),
      write(0, 1n << 63n, 'x'),
      write(0, (1n << 64n) - 1n, 'x'),
      read(0, 1n << 63n, 1),
      read(0, (1n << 64n) - 1n, 1),
    ],
    gives: ['HANDLE', 'FAILURE', 'FAILURE', 'EOF', 'EOF'],
    differs: {
      why: why.offsets,
      gives: ['HANDLE', ...Array<string>(4).fill('BAD_MESSAGE')],
    },
  },
  {
    name: 'READ of nothing',
    before: { f: 'ab' },
    asks: [open('f', READ), read(0, 0n, 0)],
    gives: ['HANDLE', 'DATA '],
  },
  {
    name: 'a handle does what it was opened for',
    before: { f: 'ab' },
    asks: [open('f', READ), write(0, 0n, 'x'), open('f', WRITE), read(2, 0n, 1)],
    gives: ['HANDLE', 'FAILURE: The file handle', 'HANDLE', 'FAILURE: The file handle'],
    differs: { why: why.badHandle, gives: ['HANDLE', 'NO_SUCH_FILE', 'HANDLE', 'NO_SUCH_FILE'] },
  },
  {
    name: 'a handle that is not open, or of the other kind',
    before: { f: 'ab' },
    asks: [
      [fxp.READ, 'abcd', 0n, 1],
      [fxp.WRITE, 'abcd', 0n, 'x'],
      [fxp.CLOSE, 'abcd'],
      [fxp.FSTAT, 'too long a handle'],
      [fxp.READDIR, ''],
      [fxp.OPENDIR, at('.')],
      read(5, 0n, 1),
      open('f', READ),
      [fxp.READDIR, handle(7)],
      close(7),
      close(7),
    ],
    gives: [
      ...Array<string>(5).fill('FAILURE: The file handle'),
      'HANDLE',
      'FAILURE',
      'HANDLE',
      'FAILURE',
      'OK',
      'FAILURE',
    ],
    differs: {
      why: why.badHandle,
      gives: [
        ...['FAILURE', 'FAILURE', 'NO_SUCH_FILE', 'FAILURE', 'FAILURE'],
        ...['HANDLE', 'FAILURE', 'HANDLE', 'FAILURE', 'OK', 'NO_SUCH_FILE'],
      ],
    },
  },
];

const paths: readonly ProtocolCase[] = [
  {
    name: 'STAT, LSTAT and FSTAT',
    before: { f: 'hello', 'd/': '' },
    asks: [
      [fxp.STAT, at('f')],
      [fxp.LSTAT, at('f')],
      [fxp.STAT, at('d')],
      [fxp.STAT, at('no')],
      [fxp.LSTAT, at('f/g')],
      [fxp.STAT, at('d/../f')],
      open('f', READ),
      [fxp.FSTAT, handle(6)],
    ],
    gives: [
      'ATTRS file 5',
      'ATTRS file 5',
      'ATTRS folder',
      'NO_SUCH_FILE',
      'NO_SUCH_FILE',
      'ATTRS file 5',
      'HANDLE',
      'ATTRS file 5',
    ],
  },
  {
    name: 'SETSTAT and FSETSTAT of a size cut and lengthen',
    before: { f: '0123456789' },
    asks: [
      [fxp.SETSTAT, at('f'), SIZE, 4n],
      open('f', WRITE),
      [fxp.FSETSTAT, handle(1), SIZE, 6n],
      close(1),
      [fxp.SETSTAT, at('no'), SIZE, 4n],
    ],
    gives: ['OK', 'HANDLE', 'OK', 'OK', 'NO_SUCH_FILE'],
    after: { f: '0123\0\0' },
  },
  {
    name: 'SETSTAT of times and of nothing',
    before: { f: '1', 'd/': '' },
    asks: [
      [fxp.SETSTAT, at('f'), TIMES, 1_000_000_000, 1_000_000_001],
      [fxp.SETSTAT, at('d'), TIMES, 1_000_000_000, 1_000_000_001],
      [fxp.SETSTAT, at('f'), 0],
      extended('lsetstat@openssh.com', at('f'), TIMES, 7, 7),
      extended('lsetstat@openssh.com', at('no'), TIMES, 7, 7),
    ],
    gives: ['OK', 'OK', 'OK', 'OK', 'NO_SUCH_FILE'],
  },
  {
    name: 'SETSTAT of a mode',
    before: { f: '1' },
    asks: [
      [fxp.SETSTAT, at('f'), MODES, 0o777],
      [fxp.STAT, at('f')],
    ],
    gives: ['OK', 'ATTRS file 1 600'],
    differs: { why: why.modes, gives: ['OK', 'ATTRS file 1 777'] },
  },
  {
    name: 'SETSTAT of a size that no file has',
    before: { f: '1' },
    asks: [
      [fxp.SETSTAT, at('f'), SIZE, 1n << 63n],
      [fxp.SETSTAT, at('f'), SIZE, (1n << 64n) - 1n],
    ],
    gives: ['FAILURE', 'FAILURE'],
    differs: { why: why.offsets, gives: ['BAD_MESSAGE', 'BAD_MESSAGE'] },
  },
  {
    name: 'REMOVE takes files, RMDIR empty folders',
    before: { f: '1', 'd/': '', 'e/': '', 'e/f': '2' },
    asks: [
      [fxp.REMOVE, at('f')],
      [fxp.REMOVE, at('f')],
      [fxp.REMOVE, at('d')],
      [fxp.RMDIR, at('d')],
      [fxp.RMDIR, at('d')],
      [fxp.RMDIR, at('e')],
      [fxp.RMDIR, at('e/f')],
    ],
    gives: [
      'OK',
      'NO_SUCH_FILE',
      'FAILURE: This is a folder',
      'OK',
      'NO_SUCH_FILE',
      'FAILURE: The folder is not empty',
      'NO_SUCH_FILE',
    ],
    after: { 'e/': '', 'e/f': '2' },
  },
  {
    name: 'MKDIR makes one folder, under a new name',
    before: { f: '1' },
    asks: [
      [fxp.MKDIR, at('d'), 0],
      [fxp.MKDIR, at('d'), 0],
      [fxp.MKDIR, at('f'), 0],
      [fxp.MKDIR, at('no/d'), 0],
      [fxp.MKDIR, at('d/e'), MODES, 0o777],
    ],
    gives: ['OK', 'FAILURE: This name', 'FAILURE: This name', 'NO_SUCH_FILE', 'OK'],
    after: { f: '1', 'd/': '', 'd/e/': '' },
  },
  {
    name: 'RENAME does not overwrite',
    before: { f: '1', g: '2', 'd/': '' },
    asks: [
      [fxp.RENAME, at('f'), at('g')],
      [fxp.RENAME, at('f'), at('h')],
      [fxp.RENAME, at('no'), at('i')],
      [fxp.RENAME, at('h'), at('no/h')],
      [fxp.RENAME, at('d'), at('e')],
      [fxp.RENAME, at('h'), at('e/h')],
    ],
    gives: ['FAILURE: This name', 'OK', 'NO_SUCH_FILE', 'NO_SUCH_FILE', 'OK', 'OK'],
    after: { g: '2', 'e/': '', 'e/h': '1' },
  },
  {
    name: 'posix-rename replaces',
    before: { f: '1', g: '2', 'd/': '', 'd/x': '3' },
    asks: [
      extended('posix-rename@openssh.com', at('f'), at('g')),
      extended('posix-rename@openssh.com', at('f'), at('g')),
      extended('posix-rename@openssh.com', at('g'), at('d')),
      extended('posix-rename@openssh.com', at('d'), at('e')),
    ],
    gives: ['OK', 'NO_SUCH_FILE', 'FAILURE', 'OK'],
    after: { g: '1', 'e/': '', 'e/x': '3' },
  },
  {
    name: 'OPENDIR and READDIR list to the end, and again',
    before: { f: '1', 'd/': '', 'd/x': '' },
    asks: [
      [fxp.OPENDIR, at('d')],
      [fxp.OPENDIR, at('f')],
      [fxp.OPENDIR, at('no')],
      [fxp.FSTAT, handle(0)],
      close(0),
      close(0),
    ],
    gives: ['HANDLE', 'NO_SUCH_FILE', 'NO_SUCH_FILE', 'ATTRS folder', 'OK', 'FAILURE'],
    differs: {
      why: 'a folder’s handle has attributes too',
      gives: ['HANDLE', 'NO_SUCH_FILE', 'NO_SUCH_FILE', 'FAILURE', 'OK', 'NO_SUCH_FILE'],
    },
  },
  {
    name: 'REALPATH tidies a name, also of what is not there yet',
    before: { 'd/': '' },
    asks: [
      [fxp.REALPATH, at('d/../d/.')],
      [fxp.REALPATH, at('new')],
      [fxp.REALPATH, '/'],
      [fxp.REALPATH, '/..'],
      extended('expand-path@openssh.com', at('d/./')),
    ],
    gives: ['NAME @/d', 'NAME @/new', 'NAME /', 'NAME /', 'NAME @/d'],
  },
];

const names: readonly ProtocolCase[] = [
  {
    name: 'names that are not UTF-8',
    asks: [
      [fxp.OPEN, at(notUtf8), READ, 0],
      [fxp.STAT, at(notUtf8)],
    ],
    gives: ['FAILURE: This name cannot be used', 'FAILURE: This name cannot be used'],
    differs: { why: why.names, gives: ['NO_SUCH_FILE', 'NO_SUCH_FILE'] },
  },
  {
    name: 'a new name that is not UTF-8',
    asks: [
      [fxp.OPEN, at(notUtf8), fresh, 0],
      [fxp.MKDIR, at(notUtf8), 0],
    ],
    gives: ['FAILURE: This name cannot be used', 'FAILURE: This name cannot be used'],
    differs: {
      why: why.names,
      gives: ['HANDLE', 'FAILURE'],
      after: { [notUtf8.toString('utf8')]: '' },
    },
  },
  {
    name: 'names of 255 bytes go, of 256 do not',
    asks: [
      open('x'.repeat(255), fresh),
      open('x'.repeat(256), fresh),
      [fxp.STAT, at('汉'.repeat(86))],
    ],
    gives: ['HANDLE', 'FAILURE: This name', 'FAILURE: This name'],
    after: { ['x'.repeat(255)]: '' },
    differs: { why: why.offsets, gives: ['HANDLE', 'BAD_MESSAGE', 'BAD_MESSAGE'] },
  },
  {
    name: 'odd names',
    asks: [' ', '-rf', '王小东.dcm', '🧠 scan', 'a\nb', '\x7f', '*?[', 'a\\b', '~'].flatMap(
      (name, index): readonly Ask[] => [
        open(name, fresh),
        write(3 * index, 0n, name),
        close(3 * index),
      ],
    ),
    gives: Array.from({ length: 9 }, () => ['HANDLE', 'OK', 'OK']).flat(),
    after: Object.fromEntries(
      [' ', '-rf', '王小东.dcm', '🧠 scan', 'a\nb', '\x7f', '*?[', 'a\\b', '~'].map((name) => [
        name,
        name,
      ]),
    ),
  },
];

const links: readonly ProtocolCase[] = [
  {
    name: 'links',
    before: { f: '1' },
    asks: [
      [fxp.SYMLINK, at('f'), at('s')],
      [fxp.READLINK, at('s')],
      extended('hardlink@openssh.com', at('f'), at('h')),
    ],
    gives: Array<string>(3).fill('OP_UNSUPPORTED: Links'),
    differs: {
      why: why.links,
      gives: ['OK', 'NAME @/f', 'OK'],
      after: { f: '1', s: 'link', h: '1' },
    },
  },
  {
    name: 'copy-data',
    before: { f: '123' },
    asks: [
      open('f', READ),
      open('g', fresh),
      extended('copy-data', handle(0), 0n, 0n, handle(1), 0n),
      close(1),
    ],
    gives: ['HANDLE', 'HANDLE', 'OP_UNSUPPORTED: This request', 'OK'],
    after: { f: '123', g: '' },
    differs: {
      why: 'bytes that nobody sent would need the intake’s whole account once more',
      gives: ['HANDLE', 'HANDLE', 'OK', 'OK'],
      after: { f: '123', g: '123' },
    },
  },
];

const extensions: readonly ProtocolCase[] = [
  {
    name: 'fsync, statvfs and fstatvfs',
    before: { f: '1', 'd/': '' },
    asks: [
      open('f', READ | WRITE),
      write(0, 0n, '2'),
      extended('fsync@openssh.com', handle(0)),
      extended('statvfs@openssh.com', at('d')),
      extended('statvfs@openssh.com', at('f')),
      extended('fstatvfs@openssh.com', handle(0)),
      extended('limits@openssh.com'),
      close(0),
    ],
    gives: ['HANDLE', 'OK', 'OK', 'REPLY 88', 'REPLY 88', 'REPLY 88', 'REPLY 32', 'OK'],
    after: { f: '2', 'd/': '' },
  },
  {
    name: 'statvfs of what is not there',
    asks: [extended('statvfs@openssh.com', at('no'))],
    gives: ['NO_SUCH_FILE'],
  },
  {
    name: 'home-directory of somebody else',
    asks: [extended('home-directory', 'nobody-that-is')],
    gives: ['NO_SUCH_FILE'],
    differs: { why: 'no oracle for who exists', gives: ['FAILURE'] },
  },
  {
    name: 'users-groups-by-id names who owns everything here',
    asks: [
      extended('users-groups-by-id@openssh.com', Buffer.alloc(0), Buffer.alloc(0)),
      extended('users-groups-by-id@openssh.com', Buffer.from('0badcafe', 'hex'), Buffer.alloc(0)),
    ],
    gives: ['REPLY 8', 'REPLY 12'],
  },
  {
    name: 'check-file',
    before: { f: '123' },
    asks: [
      extended('check-file-name', at('f'), 'md5,sha256', 0n, 0n, 0),
      extended('check-file-name', at('no'), 'sha256', 0n, 0n, 0),
      extended('check-file-name', at('f'), 'md5', 0n, 0n, 0),
      extended('check-file-name', at('f'), 'sha256', 0n, 0n, 255),
    ],
    gives: ['REPLY 42', 'NO_SUCH_FILE', 'OP_UNSUPPORTED', 'FAILURE'],
    differs: { why: why.checkFile, gives: Array<string>(4).fill('OP_UNSUPPORTED') },
  },
];

const unknown: readonly ProtocolCase[] = [
  {
    name: 'extensions that nobody knows, and the pipeline behind them',
    before: { f: '1' },
    asks: [
      extended('nonsense@example.org', 'x'),
      [fxp.STAT, at('f')],
      extended(''),
      open('f', READ),
      read(3, 0n, 1),
    ],
    gives: ['OP_UNSUPPORTED', 'ATTRS file 1', 'OP_UNSUPPORTED', 'HANDLE', 'DATA 1'],
  },
];

/**
 * Ours alone: OpenSSH stalls behind a type that it does not know, and what it answers far behind a file's end is the file
 * system's word.
 */
export const ownCases: readonly ProtocolCase[] = [
  {
    name: 'offsets of 64 bits: READ behind 2^53',
    before: { f: 'ab' },
    asks: [open('f', READ), read(0, 1n << 53n, 1), read(0, (1n << 53n) + 1n, 1)],
    gives: ['HANDLE', 'EOF', 'EOF'],
  },
  {
    name: 'types that nobody knows, and the pipeline behind them',
    before: { f: '1' },
    asks: [
      [21, 'x'],
      [99],
      [fxp.STAT, at('f')],
      [255, 1n, 'more'],
      [fxp.STATUS, 0],
      open('f', READ),
      read(5, 0n, 1),
    ],
    gives: [
      'OP_UNSUPPORTED',
      'OP_UNSUPPORTED',
      'ATTRS file 1',
      'OP_UNSUPPORTED',
      'OP_UNSUPPORTED',
      'HANDLE',
      'DATA 1',
    ],
  },
];

export const protocolCases: readonly ProtocolCase[] = [
  ...opening,
  ...writing,
  ...paths,
  ...names,
  ...links,
  ...extensions,
  ...unknown,
];
