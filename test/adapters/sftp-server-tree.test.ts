// The table of SPEC 3, row by row: every place, every kind of viewer, every request that reads or changes something, and the
// disk afterwards. The expectations say the contract in its own words and share nothing with core/tree.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { connect, type RawClient } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';

type Grant = 'nothing' | 'read' | 'read, delete' | 'read, write';

const rows: readonly {
  readonly path: string;
  readonly owner: Grant;
  readonly member: Grant;
  readonly partner: Grant;
}[] = [
  { path: 'alice', owner: 'read, write', member: 'nothing', partner: 'nothing' },
  { path: 'alice/gpg', owner: 'read, write', member: 'nothing', partner: 'nothing' },
  { path: 'alice/gpg/deeper', owner: 'read, write', member: 'nothing', partner: 'nothing' },
  { path: 'alice/receipts', owner: 'read, delete', member: 'nothing', partner: 'nothing' },
  ...['', '/deeper'].map((below) => ({
    path: `club_house/From_PUHSC_To_UMHS${below}`,
    owner: 'read, write' as const,
    member: 'read, write' as const,
    partner: 'nothing' as const,
  })),
  ...['gpg-alice', 'gpg-alice/JI-1', 'gpg-bob', 'GPG-ALICE', 'ｇｐｇ-bob'].map((name) => ({
    path: `club_house/From_PUHSC_To_UMHS/${name}`,
    owner: 'read' as const,
    member: 'read' as const,
    partner: 'nothing' as const,
  })),
  ...['', '/gpg-carol', '/deeper'].map((below) => ({
    path: `club_house/From_UMHS_To_PUHSC${below}`,
    owner: 'read' as const,
    member: 'read' as const,
    partner: 'read, write' as const,
  })),
];

const READ = 1;
const WRITE = 2;
const APPEND = 4;
const CREAT = 8;
const TRUNC = 16;
const EXCL = 32;

type Kind = 'reads' | 'writes' | 'deletes' | 'never';
interface Request {
  readonly name: string;
  readonly kind: Kind;
  run(client: RawClient, at: string): Promise<string>;
}

const sends = (
  name: string,
  kind: Kind,
  type: number,
  ...fields: readonly (number | bigint | string)[]
): Request => ({
  name,
  kind,
  // `@name` stands for that name in the place that is looked at.
  run: (client, at) =>
    client.status(
      type,
      ...fields.map((field) =>
        typeof field === 'string' && field.startsWith('@') ? join(at, field.slice(1)) : field,
      ),
    ),
});

/** Opens `f` for reading first; answers as the OPEN does when that is refused. */
const throughReading = (
  name: string,
  kind: Kind,
  use: (client: RawClient, handle: Buffer) => Promise<string>,
): Request => ({
  name,
  kind,
  run: async (client, at) => {
    const opened = await client.open(`${at}/f`, READ).catch((error: Error) => error.message);
    if (typeof opened === 'string') return opened;
    const answer = await use(client, opened);
    await client.close(opened);
    return answer;
  },
});

const requests: readonly Request[] = [
  sends('STAT', 'reads', fxp.STAT, '@f'),
  sends('LSTAT', 'reads', fxp.LSTAT, '@f'),
  sends('REALPATH', 'reads', fxp.REALPATH, '@f'),
  sends('OPENDIR', 'reads', fxp.OPENDIR, '@'),
  sends('OPEN to read', 'reads', fxp.OPEN, '@f', READ, 0),
  sends('statvfs', 'reads', fxp.EXTENDED, 'statvfs@openssh.com', '@f'),
  sends('check-file', 'reads', fxp.EXTENDED, 'check-file-name', '@f', 'sha256', 0n, 0n, 0),
  throughReading('FSTAT', 'reads', (client, handle) => client.status(fxp.FSTAT, handle)),
  sends('OPEN to write', 'writes', fxp.OPEN, '@f', WRITE, 0),
  sends('OPEN to truncate', 'writes', fxp.OPEN, '@f', WRITE | CREAT | TRUNC, 0),
  sends('OPEN to append', 'writes', fxp.OPEN, '@f', WRITE | APPEND, 0),
  sends('OPEN to read and write', 'writes', fxp.OPEN, '@f', READ | WRITE, 0),
  sends('OPEN a new file', 'writes', fxp.OPEN, '@new', WRITE | CREAT | EXCL, 0),
  sends('OPEN to read and create', 'writes', fxp.OPEN, '@new', READ | CREAT, 0),
  sends('SETSTAT size', 'writes', fxp.SETSTAT, '@f', 1, 1n),
  sends('SETSTAT times', 'writes', fxp.SETSTAT, '@f', 8, 1000, 1000),
  sends('SETSTAT mode', 'writes', fxp.SETSTAT, '@f', 4, 0o777),
  sends('lsetstat', 'writes', fxp.EXTENDED, 'lsetstat@openssh.com', '@f', 8, 1000, 1000),
  throughReading('FSETSTAT times', 'writes', (client, handle) =>
    client.status(fxp.FSETSTAT, handle, 8, 1000, 1000),
  ),
  throughReading('FSETSTAT size, opened to read', 'never', (client, handle) =>
    client.status(fxp.FSETSTAT, handle, 1, 1n),
  ),
  throughReading('WRITE, opened to read', 'never', (client, handle) =>
    client.write(handle, 0, Buffer.from('new')),
  ),
  sends('MKDIR', 'writes', fxp.MKDIR, '@new', 0),
  sends('RENAME', 'writes', fxp.RENAME, '@f', '@g'),
  sends('RENAME a folder', 'writes', fxp.RENAME, '@d', '@e'),
  sends('posix-rename', 'writes', fxp.EXTENDED, 'posix-rename@openssh.com', '@f', '@g'),
  sends('REMOVE', 'deletes', fxp.REMOVE, '@f'),
  sends('RMDIR', 'deletes', fxp.RMDIR, '@d'),
  sends('SYMLINK', 'never', fxp.SYMLINK, '/etc/passwd', '@new'),
  sends('READLINK', 'never', fxp.READLINK, '@f'),
  sends('hard link', 'never', fxp.EXTENDED, 'hardlink@openssh.com', '@f', '@new'),
  sends('copy-data', 'never', fxp.EXTENDED, 'copy-data', '@f', '@new'),
];

/** What must be answered, as the beginning of it. */
function expected(grant: Grant, kind: Kind): RegExp {
  const yes = /^(OK|answer of type)/;
  if (kind === 'never') return /^(NO_SUCH_FILE|PERMISSION_DENIED|FAILURE|OP_UNSUPPORTED)/;
  if (grant === 'nothing') return /^NO_SUCH_FILE: No such file or folder$/;
  if (kind === 'reads' || grant === 'read, write') return yes;
  return grant === 'read, delete' && kind === 'deletes' ? yes : /^PERMISSION_DENIED/;
}

const server = await startServer();
t.teardown(() => server.close());
const project = join(server.home, 'ji_brain');

const fixed = ['alice/gpg', 'alice/receipts', 'bob/gpg', 'bob/receipts'];

/** Every place holds `f` and `d` and nothing else but the other places. */
function furnish(): void {
  for (const path of [...rows.map((row) => row.path), ...fixed]) {
    const at = join(project, path);
    mkdirSync(join(at, 'd'), { recursive: true });
    for (const name of ['g', 'e', 'new']) rmSync(join(at, name), { recursive: true, force: true });
    writeFileSync(join(at, 'f'), 'old');
    utimesSync(join(at, 'f'), 500, 500);
  }
}

/** Everything on the disk, with content, times of files, and modes. */
function picture(folder = project): readonly string[] {
  return readdirSync(folder).flatMap((name) => {
    const at = join(folder, name);
    const stat = statSync(at);
    if (stat.isDirectory()) return [at, ...picture(at)];
    return [`${at} ${readFileSync(at, 'utf8')} ${stat.mtimeMs} ${stat.mode}`];
  });
}

const people = { owner: 'alice', member: 'bob', partner: 'UMHS' } as const;

for (const [who, name] of Object.entries(people) as [keyof typeof people, string][]) {
  void t.test(`the ${who} may do what the contract grants, and nothing else`, async (t) => {
    furnish();
    let before = picture();
    const client = await connect(server, name);
    for (const row of rows) {
      for (const request of requests) {
        const answer = await request.run(client, `/home/ji_brain/${row.path}`);
        const what = `${request.name} in ${row.path}`;
        t.match(answer, expected(row[who], request.kind), what);
        t.notOk(/home|tmp|proc|\bE[A-Z]{4,}/.test(answer), 'no path and no errno in the answer');
        if (!/^(OK|answer)/.test(answer)) t.same(picture(), before, `${what}: the disk`);
        else if (request.kind !== 'reads') {
          furnish();
          before = picture();
        }
      }
    }
    client.end();
  });
}

void t.test('the fixed folders stay', async (t) => {
  furnish();
  const all = {
    alice: ['alice', 'alice/gpg', 'alice/receipts', 'club_house', 'club_house/From_PUHSC_To_UMHS'],
    UMHS: ['club_house', 'club_house/From_UMHS_To_PUHSC'],
  };
  for (const [name, folders] of Object.entries(all)) {
    const client = await connect(server, name);
    for (const folder of folders) {
      const at = `/home/ji_brain/${folder}`;
      const answers = [
        await client.status(fxp.RMDIR, at),
        await client.status(fxp.REMOVE, at),
        await client.status(fxp.MKDIR, at, 0),
        await client.status(fxp.RENAME, at, `${at}-2`),
        await client.status(fxp.EXTENDED, 'posix-rename@openssh.com', `${at}/d`, at),
        await client.status(fxp.OPEN, at, WRITE | CREAT | TRUNC, 0),
      ];
      for (const answer of answers) t.notMatch(answer, /^OK|^answer/, at);
      t.ok(existsSync(join(project, folder)));
    }
    client.end();
  }
});
