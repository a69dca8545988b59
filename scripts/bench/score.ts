// What the de-identification gets right, counted as the MIDI-B challenge counts it: on the public files of ../shared/corpus where
// they are, and on made-up ones. Taking out what research needs counts as much as leaving in what it must not have.

import type { InferredOptionTypes } from 'yargs';
import { corpusFiles } from '../../test/core/dicom/corpus.ts';
import { percent, scoreOf } from '../../test/support/scored.ts';
import { writeJson } from './support/report.ts';

const profiles = ['basic', 'research-ct-mr'] as const;

export const about =
  'What the de-identification gets right, counted as the MIDI-B challenge counts it';

export const options = {
  wrong: {
    type: 'number',
    default: 0,
    requiresArg: true,
    describe: 'Show so many of each kind that are not right',
  },
} as const;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  const shown = args.wrong;
  const files = corpusFiles().filter(({ expected }) => expected === 'deid');
  const facts: Record<string, unknown> = {};
  for (const profile of profiles) {
    const { results, lost, passed } = await scoreOf(profile, files);
    const out = [`profile ${profile}: ${passed.length} files, ${lost.length} lost`];
    for (const { category, right, total, wrong } of results) {
      const counts = `${String(right).padStart(7)} of ${String(total).padStart(6)}`;
      out.push(`  ${category.padEnd(17)} ${counts}  ${percent({ right, total }).padStart(6)} %`);
      for (const one of wrong.slice(0, shown)) out.push(`      ${one}`);
    }
    for (const one of lost) out.push(`  lost: ${one}`);
    process.stdout.write(`${out.join('\n')}\n\n`);
    facts[profile] = results.map(({ category, right, total }) => ({ category, right, total }));
  }
  writeJson('score', facts);
}
