// What all commands share: the options that every one takes, opening the instance and closing it again, reading the files
// and secrets that a person names.

import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import type { App } from '../app.ts';
import { resolveHome } from '../config.ts';
import { AppError } from '../core/errors.ts';
import { askHidden, isTerminal, readStdin, UsageError } from './output.ts';

export interface Globals {
  home: string | undefined;
}

export type Command = CommandModule<Globals, Globals>;

/** What is behind the first word of a command line; `handler` where no second word must follow. */
export interface Noun {
  readonly builder: (y: Argv<Globals>) => Argv<Globals>;
  readonly handler?: (args: ArgumentsCamelCase<Globals>) => Promise<void>;
}

/** Opens the instance, does the work, closes it again. */
async function withApp<Args extends Globals>(
  args: ArgumentsCamelCase<Args>,
  work: (app: App, args: ArgumentsCamelCase<Args>) => Promise<void>,
): Promise<void> {
  // Help and wrong usage need nothing of what the application loads.
  const { openApp } = await import('../app.ts');
  const app = await openApp(resolveHome(args.home));
  try {
    await work(app, args);
  } finally {
    await app.close();
  }
}

/** A handler that works on the open instance. */
export const onApp =
  <Args extends Globals>(work: (app: App, args: ArgumentsCamelCase<Args>) => Promise<void>) =>
  (args: ArgumentsCamelCase<Args>): Promise<void> =>
    withApp(args, work);

/** For people: the name of the member whose id acted; `cli`, `server` and who was removed stay as they are. */
export async function actorNames(app: App): Promise<(actor: string) => string> {
  const names = new Map((await app.members.list()).map(({ id, name }) => [id, name]));
  return (actor) => names.get(actor) ?? actor;
}

/** A filter that finds nothing may be mistyped. Throws NOT_FOUND for a user that is not there. */
export async function demandUser(app: App, name: string | undefined): Promise<void> {
  if (name !== undefined) await app.members.show(name);
}

/** The same for a partner's code. */
export async function demandPartner(app: App, code: string | undefined): Promise<void> {
  if (code === undefined || (await app.partners.list()).some((one) => one.code === code)) return;
  throw new AppError('NOT_FOUND', { detail: `no partner ${code}; see clubhouse partner list` });
}

/** The content of `--key FILE`, or of standard input for `-`. */
export async function readInput(file: string): Promise<Buffer> {
  if (file === '-') return readStdin();
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    const why = unreadable[cause.code ?? ''];
    const detail = `the file ${file} cannot be read${why === undefined ? '' : `: ${why}`}`;
    throw new AppError('NOT_FOUND', { cause, detail });
  });
}

const unreadable: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EACCES: 'no permission',
  EISDIR: 'it is a folder',
};

/** Refuses what is not a file that is there, before work on many files begins. */
export async function demandFile(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isFile() === true) return;
  throw new AppError('NOT_FOUND', { detail: `the file ${file} cannot be read` });
}

/** A password from standard input or a prompt; undefined when neither is there. */
export async function readPassword(
  fromStdin: boolean,
  question: string,
): Promise<string | undefined> {
  if (fromStdin) return (await readStdin()).toString('utf8').replace(/\r?\n$/, '');
  if (!isTerminal()) return undefined;
  const password = await askHidden(question);
  if (password === '') return undefined;
  if (password !== (await askHidden('Once more: '))) {
    throw new UsageError('the two passwords differ');
  }
  return password;
}

/** `2026-12-31` (its end, UTC) or a full ISO 8601 time, as milliseconds; `never` is null. */
export function readDate(text: string): number | null {
  if (text === 'never') return null;
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const time = Date.parse(isDay ? `${text}T23:59:59.999Z` : text);
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(time)) {
    throw new UsageError('a date is written 2026-12-31, or never');
  }
  return time;
}

const sizeUnits = { KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 } as const;

/** `50GB` in bytes; `none` is null. */
export function readSize(text: string): number | null {
  if (text === 'none') return null;
  const [, digits, unit] = /^(\d{1,6})(KB|MB|GB|TB)$/i.exec(text) ?? [];
  if (digits === undefined || unit === undefined) {
    throw new UsageError('a size is written 500MB or 50GB, or none');
  }
  return Number(digits) * sizeUnits[unit.toUpperCase() as keyof typeof sizeUnits];
}

/** `--from` as networks: undefined when it was not given, none for `any`. */
export function readNetworks(
  value: string | readonly string[] | undefined,
): readonly string[] | undefined {
  if (value === undefined) return undefined;
  const all = manyOf(value);
  return all.length === 1 && all[0] === 'any' ? [] : all;
}

/** An option that may be given several times, or as a list with commas. */
export const manyOf = (value: string | readonly string[] | undefined): string[] =>
  [value ?? []]
    .flat()
    .flatMap((part) => part.split(','))
    .filter((part) => part !== '');

/**
 * `--profile FILE|NAME`: what has a slash or ends in .yaml is a file, which is checked and kept in config/profiles. Answers
 * the profile's name.
 */
export async function readProfileOption(
  app: App,
  value: string | undefined,
  project: string,
): Promise<string | undefined> {
  if (value === undefined) return undefined;
  if (!/[/\\]|\.ya?ml$/.test(value)) {
    await app.profiles.compile(value);
    return value;
  }
  const name = basename(value).replace(/\.ya?ml$/, '');
  const text = (await readInput(value)).toString('utf8');
  await app.profiles.keep(name, text, project.replace(/^ji_/, ''));
  return name;
}
