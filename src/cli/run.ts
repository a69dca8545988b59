// One command line: parses it, runs its command, and turns what went wrong into one line and an exit code: 0 done, 1 it
// failed, 2 wrong usage.

import yargs from 'yargs';
import { AppError, type ErrorCode } from '../core/errors.ts';
import { commands } from './commands.ts';
import { GivenUp, UsageError, warn } from './output.ts';

/** yargs makes a list of an option that is repeated; these are never one. */
// prettier-ignore
const onlyOnce = [
  'home', 'key', 'fingerprint', 'host', 'port', 'host-key', 'user', 'verify', 'site', 'listen', 'profile', 'expires', 'reason',
  'state', 'member', 'name', 'object', 'limit', 'window', 'quota', 'direct-dicom', 'legal-hold', 'encrypt-to', 'head', 'signature',
] as const;

/** yargs' own words, where a person would not know what they ask for; and in one line. */
const plainer = (message: string): string =>
  message
    .replace(/^Not enough non-option arguments.*/, 'a name, an id or a file is missing')
    .replace(/^Did you mean/, 'There is no such command. Did you mean')
    .replace(/:\s*\n\s*/g, ': ')
    .replaceAll('\n', '; ');

/** Runs one command line; returns the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let help = 'clubhouse --help';
  const noteCommand = (): void => {
    help = helpFor(parser);
  };
  const parser = yargs(argv)
    .scriptName('clubhouse')
    .usage(
      '$0 <command>\n\nTwo research hospitals exchange DICOM images without leaking who a patient is.',
    )
    .option('home', {
      type: 'string',
      requiresArg: true,
      global: true,
      describe: 'Folder of the instance (else CLUBHOUSE_HOME, else the current folder)',
    })
    .parserConfiguration({ 'greedy-arrays': false, 'parse-positional-numbers': false })
    .command([...commands])
    .demandCommand(1, 'Which command?')
    .check((argv) => {
      const twice = onlyOnce.find((name) => Array.isArray(argv[name]));
      if (twice !== undefined) throw new Error(`--${twice} is given twice`);
      return true;
    }, true)
    .middleware(noteCommand)
    .recommendCommands()
    .strict()
    .help()
    .alias('help', 'h')
    .wrap(100)
    .exitProcess(false)
    .fail((message, error) => {
      // A message: wrong usage, found by yargs or by a check of ours. None: what a handler threw.
      if (typeof message !== 'string') throw error;
      noteCommand();
      throw new UsageError(message);
    });
  try {
    await parser.parseAsync();
    return 0;
  } catch (error) {
    return tell(error, help);
  }
}

/**
 * The help of the command that was named, as far as it is one. Only yargs knows, and its types do not tell of it; where it
 * keeps that elsewhere one day, the help of all.
 */
function helpFor(parser: object): string {
  const { getInternalMethods } = parser as {
    getInternalMethods?: () => { getContext(): { readonly commands: readonly string[] } };
  };
  const words = getInternalMethods?.call(parser).getContext().commands ?? [];
  return ['clubhouse', ...words, '--help'].join(' ');
}

/** Codes whose detail says it all: for a person at the terminal the sentence in front of it is noise. */
const saidByDetail: readonly ErrorCode[] = [
  'NOT_FOUND',
  'CONFLICT',
  'BAD_INPUT',
  'BUSY',
  'CONFIG_INVALID',
  'STORAGE_FAILED',
  'BAD_BACKUP',
];

const plainly = ({ code, detail, message }: AppError): string =>
  detail !== undefined && saidByDetail.includes(code) ? detail : message;

function tell(error: unknown, help: string): number {
  if (error instanceof UsageError || (error instanceof Error && error.name === 'YError')) {
    warn(`${plainer(error.message)} (see ${help})`);
    return 2;
  }
  if (error instanceof GivenUp) {
    warn(error.message);
    return 1;
  }
  if (error instanceof AppError) {
    warn(plainly(error));
    return error.code === 'BAD_INPUT' ? 2 : 1;
  }
  const code = (error as { code?: unknown } | null)?.code;
  warn(`an internal error${typeof code === 'string' ? ` (${code})` : ''}`);
  return 1;
}
