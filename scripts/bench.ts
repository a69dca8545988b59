// `npm run bench`: measures speed and memory beside other programs. `npm run bench -- deid` runs one of scripts/bench/, without
// a name all of them run one after the other. Each prints a table and writes bench-<name>.json (not in git).

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

interface Bench {
  readonly run: (args: readonly string[]) => Promise<void>;
}

const folder = fileURLToPath(new URL('bench', import.meta.url));
const names = readdirSync(folder)
  .filter((name) => /^[a-z-]+\.[jt]s$/.test(name))
  .map((name) => name.replace(/\.[jt]s$/, ''));
const [wanted, ...args] = process.argv.slice(2);
if (wanted !== undefined && !names.includes(wanted)) {
  process.stderr.write(`There is no bench ${wanted}. Known: ${names.join(', ')}.\n`);
  process.exitCode = 2;
} else {
  for (const name of wanted === undefined ? names : [wanted]) {
    const compiled = join(folder, `${name}.js`);
    const path = existsSync(compiled) ? compiled : join(folder, `${name}.ts`);
    const bench = (await import(pathToFileURL(path).href)) as Bench;
    await bench.run(args);
  }
}
