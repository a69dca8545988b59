// config/clubhouse.yaml as a typed, frozen value, and the only reader of the environment. Every mistake is told with its
// line; an unknown key is a mistake, because a misspelt safety setting must not be a silent default.

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { AppError } from './core/errors.ts';
import { parseNetwork } from './core/networks.ts';
import { temporaryNames } from './core/upload.ts';

const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const sizeUnits = { KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 } as const;

/** `5s`, `24h`, `7d`: milliseconds. */
const duration = (fallback: string) =>
  z
    .string({ error: 'expected a duration such as 5s, 5m, 24h or 7d' })
    .regex(/^\d+(ms|s|m|h|d)$/, { error: 'expected a duration such as 5s, 5m, 24h or 7d' })
    .default(fallback)
    .transform((text) => {
      const unit = text.replace(/^\d+/, '') as keyof typeof durationUnits;
      return Number.parseInt(text, 10) * durationUnits[unit];
    });

/** `64MB`: bytes. */
const size = (fallback: string) =>
  z
    .string({ error: 'expected a size such as 64MB or 20GB' })
    .regex(/^\d+(KB|MB|GB|TB)$/, { error: 'expected a size such as 64MB or 20GB' })
    .default(fallback)
    .transform((text) => {
      const unit = text.replace(/^\d+/, '') as keyof typeof sizeUnits;
      return Number.parseInt(text, 10) * sizeUnits[unit];
    });

/** OpenSSH's MaxStartups. */
const startups = (fallback: string) =>
  z
    .string({ error: 'expected three numbers such as 10:30:100' })
    .regex(/^[1-9]\d{0,4}:(100|\d{1,2}):[1-9]\d{0,4}$/, {
      error: 'expected three numbers such as 10:30:100',
    })
    .default(fallback)
    .transform((text) => {
      const [begin = 0, percent = 0, full = 0] = text.split(':').map(Number);
      return { begin, percent, full };
    })
    .refine(({ begin, full }) => begin <= full, {
      error: 'the first number is not larger than the last',
    });

const network = z.string().refine((text) => parseNetwork(text) !== undefined, {
  error: 'expected a network such as 192.0.2.0/24, with zeros behind the prefix',
});

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

const siteCode = z.string().regex(/^[A-Z][A-Z0-9-]{0,31}$/, {
  error: 'expected the code of a site in capital letters, such as PUHSC',
});

/** A section that may be left out altogether; its own defaults apply then. */
const section = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.preprocess((value) => value ?? {}, z.strictObject(shape));

const schema = z.strictObject({
  site: siteCode.describe('The code of this site. It is in folder names: do not change it later.'),
  partner: siteCode
    .optional()
    .describe('The partner of a new project when `project add` names none.'),
  timeZone: z
    .string()
    .refine(isTimeZone, { error: 'expected a time zone such as Asia/Shanghai' })
    .optional()
    .describe('Of the hours in which files go to partners. Left out: that of this machine.'),
  listen: section({
    host: z.string().min(1).default('127.0.0.1').describe('Address of the SFTP server.'),
    port: z.int().min(0).max(65535).default(2222).describe('0: any free port.'),
    publicHost: z
      .string()
      .min(1)
      .optional()
      .describe('The name by which people and partners reach this server, if another.'),
    publicPort: z.int().min(1).max(65535).optional().describe('Likewise the port.'),
  }).describe('Where SFTP clients connect.'),
  intake: section({
    settle: duration('5s').describe(
      'How long a closed file must be left alone before it is taken.',
    ),
    partialHold: duration('24h').describe('When an upload that is not whole becomes held.'),
    retain: duration('7d').describe('How long raw files stay after delivery to all partners.'),
    temporaryNames: z
      .array(z.string().min(1))
      .default([...temporaryNames])
      .describe('Names that clients use while they upload; such files are never taken.'),
  }).describe('From the upload to the claim.'),
  replication: section({
    every: duration('5m').describe('How often files go to each partner.'),
    eager: z.boolean().default(false).describe('Also at once after a file was published.'),
  }).describe('To the partners.'),
  storage: section({
    keepFree: size('1GB').describe(
      'Free space that uploads leave for results; on a small disk a twentieth of it.',
    ),
  }).describe('The disk.'),
  workers: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('Worker threads. Left out: one less than there are cores, 1 to 4.'),
  limits: section({
    header: size('64MB').describe('Of a DICOM file, everything but the pixel data.'),
    inflated: size('200GB').describe('Of what a zip holds, unpacked.'),
    inflateRatio: z.int().min(2).max(100_000).default(1000).describe('Unpacked to packed.'),
    zipEntries: z.int().min(1).max(10_000_000).default(1_000_000).describe('Entries of a zip.'),
    zipDepth: z.int().min(0).max(8).default(2).describe('Zips in zips.'),
    connections: z.int().min(1).max(10_000).default(1000).describe('SFTP connections at once.'),
    connectionsPerUser: z.int().min(1).max(10_000).default(50).describe('The same of one user.'),
    sessionsPerUser: z.int().min(1).max(10_000).default(100).describe('SFTP sessions of one user.'),
    startups: startups('10:30:100').describe(
      'Connections that did not log in yet: from the first number on so many of a hundred newcomers mean that one is dropped, growing to all of them at the last number.',
    ),
    strangersPerSource: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('The same from one address; a hospital behind one address counts as one.'),
    stall: duration('10m').describe(
      'A worker thread that gets nothing done for so long is ended; the second time the file is held.',
    ),
    loginGrace: duration('120s').describe('Time to log in.'),
    loginAttempts: z.int().min(1).max(100).default(6).describe('Wrong logins on a connection.'),
    idle: duration('30m').describe(
      'A connection ends after so long without a request or a byte of a transfer.',
    ),
    exempt: z
      .array(network)
      .default([])
      .describe('Networks without penalties for wrong logins and without random drop.'),
    rekeyBytes: size('4GB').describe('New encryption keys after so much on a connection.'),
    rekeyAfter: duration('1h').describe('New encryption keys after so long.'),
  }).describe('What is refused as too much.'),
  log: section({
    level: z
      .enum(['debug', 'info', 'warn', 'error'])
      .default('info')
      .describe('Least that is logged.'),
  }).describe('Structured lines on standard output.'),
});

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly Item[]
  : T extends object
    ? { readonly [Key in keyof T]: DeepReadonly<T[Key]> }
    : T;

export type Config = DeepReadonly<z.output<typeof schema>> & {
  readonly workers: number;
  readonly timeZone: string;
};

const defaultWorkers = (): number => Math.max(1, Math.min(availableParallelism() - 1, 4));

/** For config/clubhouse.schema.json (editors check the file with it). */
export const configJsonSchema = (): object =>
  z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });

/** The instance's folder: `--home`, else CLUBHOUSE_HOME, else the current folder. Absolute. */
export const resolveHome = (option: string | undefined): string =>
  resolve(option ?? (process.env['CLUBHOUSE_HOME'] || '.'));

/** Reads and checks the file. Throws CONFIG_INVALID naming each mistake with its line. */
export async function loadConfig(path: string, shownAs = 'config/clubhouse.yaml'): Promise<Config> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const detail =
      cause.code === 'EACCES'
        ? `this account may not read ${path}; run this under the account of the instance`
        : `no instance is here, ${path} cannot be read; run clubhouse init, or name the folder with --home`;
    throw new AppError('CONFIG_INVALID', { cause, detail });
  });
  return parseConfig(text, shownAs);
}

/** Checks the text of a configuration. */
export function parseConfig(text: string, shownAs = 'config/clubhouse.yaml'): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const syntax = document.errors.map((e) => `${shownAs}:${lineAt(e.pos[0])}: ${e.message}`);
  if (syntax.length > 0) throw new AppError('CONFIG_INVALID', { detail: syntax.join('; ') });
  const result = schema.safeParse(document.toJS() ?? {});
  if (result.success) {
    const { workers, timeZone } = result.data;
    return freeze({
      ...result.data,
      workers: workers ?? defaultWorkers(),
      timeZone: timeZone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone,
    });
  }
  const mistakes = result.error.issues.flatMap((issue) =>
    tell(issue).map(({ path, message }) => {
      const offset = offsetOf(document, path);
      return `${shownAs}:${offset === undefined ? 1 : lineAt(offset)}: ${message}`;
    }),
  );
  throw new AppError('CONFIG_INVALID', { detail: mistakes.join('; ') });
}

function tell(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string }[] {
  const where = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') {
    const message = issue.message.endsWith('received undefined')
      ? 'is missing'
      : issue.message.replace('Invalid input: ', '');
    return [{ path: issue.path, message: `${where === '' ? 'the file' : where}: ${message}` }];
  }
  return issue.keys.map((key) => {
    const near = nearest(key, keysAt(issue.path));
    const full = [...issue.path, key].join('.');
    return {
      path: [...issue.path, key],
      message: `unknown key "${full}"${near === undefined ? '' : `; did you mean "${near}"?`}`,
    };
  });
}

/** The keys that the schema knows at a path. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let at: { properties?: Record<string, object> } = configJsonSchema();
  for (const part of path) at = at.properties?.[String(part)] ?? {};
  return Object.keys(at.properties ?? {});
}

/** Byte offset of the key (or the value) at a path, or of the nearest thing above it. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((p) => isPair(p) && isScalar(p.key) && p.key.value === part);
      if (pair === undefined) break;
      offset = isScalar(pair.key) ? pair.key.range?.[0] : offset;
      node = pair.value;
    } else {
      node = document.getIn(path.slice(0, path.indexOf(part) + 1), true);
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    }
  }
  return offset;
}

/** The known key that differs least, when it differs little: for "did you mean". */
function nearest(word: string, known: readonly string[]): string | undefined {
  const scored = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return scored !== undefined && scored.distance <= Math.max(2, word.length / 3)
    ? scored.candidate
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function freeze<T>(value: T): DeepReadonly<T> {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) freeze(inner);
    Object.freeze(value);
  }
  return value as DeepReadonly<T>;
}

/** What `init` asks for; the rest of the configuration is the example's. */
export interface InitRequest {
  readonly site: string;
  readonly partner: string | undefined;
  readonly listen: { readonly host: string; readonly port: number } | undefined;
}

/** The text of config/clubhouse.example.yaml with the answers in it. */
export const fillInExample = (example: string, { site, partner, listen }: InitRequest): string =>
  example
    .replace(/^site: .*$/m, `site: ${site}`)
    .replace(/^# partner: .*$/m, (line) => (partner === undefined ? line : `partner: ${partner}`))
    .replace(/^( {2}host: ).*$/m, (line, key: string) =>
      listen === undefined ? line : `${key}${JSON.stringify(listen.host)}`,
    )
    .replace(/^( {2}port: ).*$/m, (line, key: string) =>
      listen === undefined ? line : `${key}${listen.port}`,
    );
