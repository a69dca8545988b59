// Rounds of several contenders in turn, so that a busy moment hits all of them alike, and a table of what came out:
// medians with the spread over the rounds, and ratios that are taken within each round.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../../src/package-root.ts';
import { say, type Usage } from './measure.ts';

export interface Contender {
  readonly name: string;
  run(): Promise<Usage>;
  /** What must be there before and gone afterwards; not measured. */
  before?(): Promise<void>;
  after?(): Promise<void>;
}

export interface Result {
  readonly name: string;
  readonly rounds: readonly Usage[];
}

export async function interleaved(
  contenders: readonly Contender[],
  rounds: number,
): Promise<readonly Result[]> {
  const all = contenders.map(() => [] as Usage[]);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      await contender.before?.();
      try {
        all[index]?.push(await contender.run());
      } finally {
        await contender.after?.();
      }
    }
  }
  return contenders.map(({ name }, index) => ({ name, rounds: all[index] ?? [] }));
}

interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = NaN, high = NaN] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return { median: (low + high) / 2, least: sorted[0] ?? NaN, most: sorted.at(-1) ?? NaN };
}

const shown = ({ median, least, most }: Spread): string =>
  `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)}`;

/**
 * Prints a Markdown table. `perSecond`: of how many things, by CPU; `base`: whose CPU the ratios are to, round by round.
 */
export function printTable(
  title: string,
  results: readonly Result[],
  how: { readonly base: string; readonly count: number; readonly unit: string },
): void {
  const base = results.find(({ name }) => name === how.base);
  say(`\n${title}\n`);
  say(
    `| | CPU s | relative to ${how.base} | ${how.unit} per CPU s | ${how.unit} per s | peak MB | above idle MB |`,
  );
  say('| --- | --- | --- | --- | --- | --- | --- |');
  for (const { name, rounds } of results) {
    const cpu = spreadOf(rounds.map(({ cpuSeconds }) => cpuSeconds));
    const wall = spreadOf(rounds.map(({ wallSeconds }) => wallSeconds)).median;
    const ratios = rounds.map((one, i) => one.cpuSeconds / (base?.rounds[i]?.cpuSeconds ?? NaN));
    const growth = rounds.flatMap(({ growthBytes }) => growthBytes ?? []);
    const cells = [
      name,
      shown(cpu),
      base === undefined ? '–' : shown(spreadOf(ratios)),
      (how.count / cpu.median).toPrecision(3),
      (how.count / wall).toPrecision(3),
      megabytes(Math.max(...rounds.map(({ peakBytes }) => peakBytes))),
      growth.length === 0 ? '–' : megabytes(Math.max(...growth)),
    ];
    say(`| ${cells.join(' | ')} |`);
  }
}

export function writeJson(name: string, facts: Readonly<Record<string, unknown>>): void {
  const path = join(packageRoot, `bench-${name}.json`);
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model, node: process.version };
  writeFileSync(path, `${JSON.stringify({ ...facts, machine }, null, 2)}\n`);
  say(`\nWritten to bench-${name}.json.`);
}

/** Is the program there? Says so when not, so that nobody takes a missing row for a result. */
export function isInstalled(program: string, from: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    say(`${program} is not installed (${from}); its row is left out.`);
    return false;
  }
}

/** `--rounds 7` → 7. */
