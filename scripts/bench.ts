// `npm run bench`: measures speed and memory beside other programs. `npm run bench -- deid` runs one of scripts/bench/, without
// a name all of them run one after the other; `--help` says what there is. Each prints a table and writes bench-<name>.json
// (not in git).

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import yargs, { type Options } from 'yargs';

interface Bench {
  readonly about: string;
  readonly options: Readonly<Record<string, Options>>;
  readonly run: (args: Readonly<Record<string, unknown>>) => Promise<void>;
}

const folder = new URL('bench/', import.meta.url);
const files = readdirSync(fileURLToPath(folder)).filter((name) => /^[a-z-]+\.[jt]s$/.test(name));

const benches: (readonly [string, Bench])[] = [];
for (const file of files) {
  const bench = (await import(new URL(file, folder).href)) as Bench;
  benches.push([file.replace(/\.[jt]s$/, ''), bench]);
}

/** A word for a number would be none of its kind, and measure nothing. */
function demandNumbers(args: Readonly<Record<string, unknown>>): true {
  const wrong = Object.keys(args).find((name) => Number.isNaN(args[name]));
  if (wrong !== undefined) throw new Error(`--${wrong} is not a number.`);
  return true;
}

const line = yargs(process.argv.slice(2)).scriptName('npm run bench --').version(false);
for (const [name, { about, options, run }] of benches) {
  line.command(name, about, options, run);
}
line.command('$0', 'All of them, one after the other', {}, async () => {
  for (const [, { options, run }] of benches) await run(await yargs([]).options(options).parse());
});
await line.strict().check(demandNumbers).help().parse();
