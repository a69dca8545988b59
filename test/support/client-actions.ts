// What every client has to get right, as a table: files here, what is to be done, and what has to be there and here afterwards.

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientProgram, Login, Op } from './client-programs.ts';

export interface ClientAction {
  readonly name: string;
  /** Below the working folder. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Server paths are relative to the place. */
  readonly ops: readonly Op[];
  /** Files at the place afterwards, each with the local one that it has to be like; undefined: not there. */
  readonly there: Readonly<Record<string, string | undefined>>;
  /** Local files afterwards. */
  readonly here: Readonly<Record<string, string>>;
  /** Folders there, and here, that have to be like a local one. */
  readonly folders?: { readonly there: string; readonly here: string; readonly like: string };
  /** What it has to print. */
  readonly prints?: readonly string[];
  /** Only for those that cannot do this, in its place. */
  readonly inPlaceOf?: Op['do'];
}

const op = (what: Op['do'], from: string, to = ''): Op => ({ do: what, from, to });

const oddNames = [
  'with space.dcm',
  '王 小东.dcm',
  '🧠 scan.dcm',
  '-rf.dcm',
  'quote\'"`$x.dcm',
  'two\nlines.dcm',
];

const listed = ['seen one.dcm', '王小东.dcm', '🧠.dcm', '-seen.dcm'];

/** `bytes` of a large file and `count` of files in a folder. */
export function clientActions(bytes: number, count: number): readonly ClientAction[] {
  const large = randomBytes(bytes);
  const half = large.subarray(0, Math.floor(bytes / 2));
  const many = Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `many/${index % 10}/${index}.dcm`,
      Buffer.from(`file ${index}`),
    ]),
  );
  const odd = Object.fromEntries(oddNames.map((name) => [`odd/${name}`, Buffer.from(name)]));
  return [
    {
      name: 'upload and download',
      files: { large },
      ops: [op('put', 'large', '/up'), op('get', '/up', 'up.back')],
      there: { up: 'large' },
      here: { 'up.back': 'large' },
    },
    {
      name: 'overwrite with less',
      files: { large, small: Buffer.from('small') },
      ops: [op('put', 'large', '/over'), op('put', 'small', '/over')],
      there: { over: 'small' },
      here: {},
    },
    {
      name: 'resume an upload',
      files: { large, half },
      ops: [op('put', 'half', '/resumed'), op('resume put', 'large', '/resumed')],
      there: { resumed: 'large' },
      here: {},
    },
    {
      name: 'resume a download',
      files: { large, 'resumed.back': half },
      ops: [op('put', 'large', '/again'), op('resume get', '/again', 'resumed.back')],
      there: {},
      here: { 'resumed.back': 'large' },
    },
    {
      name: 'rename',
      files: { small: Buffer.from('small') },
      ops: [op('put', 'small', '/before'), op('rename', '/before', '/after')],
      there: { before: undefined, after: 'small' },
      here: {},
    },
    {
      name: 'zero bytes',
      files: { empty: Buffer.alloc(0) },
      ops: [op('put', 'empty', '/empty'), op('get', '/empty', 'empty.back')],
      there: { empty: 'empty' },
      here: { 'empty.back': 'empty' },
    },
    {
      name: 'odd names',
      files: odd,
      ops: [op('put folder', 'odd', '/odd'), op('get folder', '/odd', 'odd.back')],
      there: {},
      here: {},
      folders: { there: 'odd', here: 'odd.back', like: 'odd' },
    },
    {
      name: 'odd names, one by one',
      files: odd,
      inPlaceOf: 'put folder',
      ops: oddNames.flatMap((name) => [
        op('put', `odd/${name}`, `/${name}`),
        op('get', `/${name}`, `odd/${name}.back`),
      ]),
      there: Object.fromEntries(oddNames.map((name) => [name, `odd/${name}`])),
      here: Object.fromEntries(oddNames.map((name) => [`odd/${name}.back`, `odd/${name}`])),
    },
    {
      name: 'a listing',
      files: { small: Buffer.from('small') },
      ops: [...listed.map((name) => op('put', 'small', `/${name}`)), op('list', '/.')],
      there: {},
      here: {},
      prints: listed,
    },
    {
      name: 'a folder of many files',
      files: many,
      ops: [op('put folder', 'many', '/many'), op('get folder', '/many', 'many.back')],
      there: {},
      here: {},
      folders: { there: 'many', here: 'many.back', like: 'many' },
    },
  ];
}

/** Those that this program can do. */
export const actionsOf = (
  program: ClientProgram,
  actions: readonly ClientAction[],
): readonly ClientAction[] =>
  actions
    .filter(({ ops }) => ops.every((one) => program.cannot[one.do] === undefined))
    .filter(({ inPlaceOf }) => inPlaceOf === undefined || program.cannot[inPlaceOf] !== undefined);

const serverSide: Readonly<Record<Op['do'], readonly ('from' | 'to')[]>> = {
  put: ['to'],
  get: ['from'],
  'resume put': ['to'],
  'resume get': ['from'],
  rename: ['from', 'to'],
  'put folder': ['to'],
  'get folder': ['from'],
  list: ['from'],
};

/** The ops with the place's path, which is absolute. */
export const opsAt = (ops: readonly Op[], place: string): readonly Op[] =>
  ops.map((one) => {
    const sides = serverSide[one.do];
    return {
      do: one.do,
      from: sides.includes('from') ? place + one.from : one.from,
      to: sides.includes('to') ? place + one.to : one.to,
    };
  });

export async function furnish(
  { work }: Login,
  program: ClientProgram,
  actions: readonly ClientAction[],
): Promise<void> {
  for (const { files } of actions) {
    for (const [name, bytes] of Object.entries(files)) {
      if (program.cannotName?.test(name) === true) continue;
      await mkdir(join(work, name, '..'), { recursive: true });
      await writeFile(join(work, name), bytes);
    }
  }
}

async function digestOf(path: string): Promise<string | undefined> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return undefined;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function treeOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const lines = [];
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name);
    lines.push(`${path.slice(folder.length)} ${await digestOf(path)}`);
  }
  return lines.sort();
}

/** What is not as it has to be after the action, in words. `disk`: the place on the server's disk. */
export async function faultsOf(
  action: ClientAction,
  { work }: Login,
  disk: string,
  printed: string,
): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const [name, like] of Object.entries(action.there)) {
    const wanted = like === undefined ? undefined : await digestOf(join(work, like));
    if ((await digestOf(join(disk, name))) !== wanted) faults.push(`there: ${name}`);
  }
  for (const [name, like] of Object.entries(action.here)) {
    const wanted = await digestOf(join(work, like));
    if (wanted === undefined || (await digestOf(join(work, name))) !== wanted) {
      faults.push(`here: ${name}`);
    }
  }
  if (action.folders !== undefined) {
    const { there, here, like } = action.folders;
    const wanted = await treeOf(join(work, like));
    for (const folder of [join(disk, there), join(work, here)]) {
      const found = await treeOf(folder);
      const seen = new Set(found);
      const lost = wanted.filter((line) => !seen.has(line));
      if (wanted.length === 0 || found.length !== wanted.length || lost.length > 0) {
        faults.push(
          `${folder}: ${found.length} of ${wanted.length}, not ${JSON.stringify(lost.slice(0, 3))}`,
        );
      }
    }
  }
  for (const name of action.prints ?? []) {
    if (!printed.includes(name)) faults.push(`not listed: ${name}`);
  }
  return faults;
}
