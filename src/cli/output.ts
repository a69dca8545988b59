// What commands print: lines and tables for people, JSON for programs, both on stdout; and the questions that they ask on
// a terminal. A command prints what it did in one line; --json is a whole array or object with stable names.

import { createInterface } from 'node:readline/promises';

/** Wrong usage that yargs cannot see: exit 2. */
export class UsageError extends Error {}

/** For people: names in it come from strangers, so control characters but ends of lines do not reach the terminal. */
export const print = (text: string): void => printData(text.split('\n').map(visible).join('\n'));

/** For programs: as it is. */
export const printData = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export const warn = (line: string): void => {
  process.stderr.write(`clubhouse: ${line}\n`);
};

export const printJson = (value: unknown): void => printData(JSON.stringify(value, undefined, 2));

/** Milliseconds as ISO 8601 in UTC; null stays null. */
export const iso = (ms: number | null | undefined): string | null =>
  ms === null || ms === undefined ? null : new Date(ms).toISOString();

/** `2026-07-01 09:30` in UTC, or `-`. */
export const shortTime = (ms: number | null | undefined): string =>
  iso(ms)?.slice(0, 16).replace('T', ' ') ?? '-';

/** `1 user`, `2 users`. */
export const counted = (count: number, one: string): string =>
  `${count} ${one}${count === 1 ? '' : 's'}`;

/** `0.3 MB`, `1234 MB`. */
export const megabytes = (bytes: number): string =>
  `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** Columns as wide as their widest cell. `none`: what to say when there is no row. */
export function printTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
): void {
  if (rows.length === 0) {
    print(none);
    return;
  }
  const all = [heads, ...rows.map((row) => row.map(visible))];
  const widths = heads.map((_, i) =>
    all.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), 0),
  );
  for (const row of all) {
    print(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}

export const visible = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');

export const isTerminal = (): boolean => process.stdin.isTTY && process.stdout.isTTY;

/** Asks on the terminal, with what is typed shown. Throws GivenUp. */
export async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const gone = new Promise<never>((_, reject) =>
    lines.once('close', () => reject(new GivenUp('given up; nothing was changed'))),
  );
  try {
    return await Promise.race([lines.question(question), gone]);
  } finally {
    lines.close();
  }
}

/** Ctrl-C, or the end of the input at a question: exit 1. The message says what became of it. */
export class GivenUp extends Error {}

/** What came after the line that a question took: somebody types ahead, or pastes two lines. */
let typedAhead = '';

/** Asks for a secret on the terminal; what is typed is not shown. Throws GivenUp. */
export async function askHidden(question: string): Promise<string> {
  process.stdin.setRawMode(true);
  process.stdout.write(question);
  try {
    return await lineUnseen();
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stdout.write('\n');
  }
}

/** Reads keys up to Return. The stream stays open, since another question may follow. */
function lineUnseen(): Promise<string> {
  const { stdin } = process;
  const typed: string[] = [];
  return new Promise((resolve, reject) => {
    const finish = (end: () => void): void => {
      stdin.off('data', read).off('end', gone);
      end();
    };
    const gone = (): void => finish(() => reject(new GivenUp('given up; nothing was changed')));
    const read = (chunk: string): void => {
      const keys = Array.from(chunk);
      for (const [i, key] of keys.entries()) {
        if (key === '\r' || key === '\n') {
          typedAhead = keys.slice(i + 1).join('');
          return finish(() => resolve(typed.join('')));
        }
        if (key === '\u0003' || key === '\u0004') return gone();
        if (key === '\u007f' || key === '\b') typed.pop();
        else typed.push(key);
      }
    };
    stdin.setEncoding('utf8').on('data', read).on('end', gone).resume();
    const ahead = typedAhead;
    typedAhead = '';
    read(ahead);
  });
}

/** Everything on standard input. */
export async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
  return Buffer.concat(chunks);
}
