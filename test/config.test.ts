// The configuration: defaults, and each mistake with its line.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { AppError } from '../src/core/errors.ts';
import { temporaryNames } from '../src/core/upload.ts';
import { fillInExample, parseConfig, resolveHome } from '../src/config.ts';
import { packageRoot } from '../src/package-root.ts';
import { configSchemaText } from '../scripts/gen-config-schema.ts';
import { makeDeidTables } from '../scripts/gen-deid-table.ts';
import { makeDictionaryTable } from '../scripts/gen-dictionary.ts';

void t.test('a file with the site alone has every default of the contract', async (t) => {
  const config = parseConfig('site: PUHSC\n');
  t.match(config, {
    site: 'PUHSC',
    listen: { host: '127.0.0.1', port: 2222 },
    intake: { settle: 5_000, partialHold: 86_400_000, retain: 7 * 86_400_000, temporaryNames },
    replication: { every: 300_000, eager: false },
    log: { level: 'info' },
  });
  t.ok(config.workers >= 1 && config.workers <= 4);
});

void t.test('the shipped example is valid and says the defaults', async (t) => {
  const example = await readFile(join(packageRoot, 'config', 'clubhouse.example.yaml'), 'utf8');
  t.same(parseConfig(example), parseConfig('site: PUHSC\n'));
  const uncommented = example.replace(/^( *)# (?=[a-zA-Z]+: \S+$)/gm, '$1');
  t.not(uncommented, example);
  // Examples, not defaults: the workers, the time zone, and the address for people.
  const all = parseConfig(
    uncommented.replace(/^(workers|timeZone| {2}public(Host|Port)): .*$/gm, ''),
  );
  t.same({ ...all, partner: undefined }, { ...parseConfig('site: PUHSC\n'), partner: undefined });
});

void t.test('the answers given to init stand in the file', async (t) => {
  const example = await readFile(join(packageRoot, 'config', 'clubhouse.example.yaml'), 'utf8');
  const listen = { host: '::1', port: 3333 };
  const config = parseConfig(fillInExample(example, { site: 'UMHS', partner: 'PUHSC', listen }));
  t.match(config, { site: 'UMHS', partner: 'PUHSC', listen });
});

const mistakes: readonly { name: string; text: string; says: RegExp }[] = [
  {
    name: 'an unknown key at the top',
    text: 'site: A\n\nreplicaton:\n  every: 5m\n',
    says: /clubhouse\.yaml:3: unknown key "replicaton"; did you mean "replication"\?/,
  },
  {
    name: 'an unknown key in a section',
    text: 'site: A\nlisten:\n  host: ::1\n  prot: 22\n',
    says: /clubhouse\.yaml:4: unknown key "listen\.prot"; did you mean "port"\?/,
  },
  {
    name: 'a time zone that there is not',
    text: 'site: A\ntimeZone: Mars/Olympus\n',
    says: /yaml:2: timeZone: expected a time zone such as Asia\/Shanghai/,
  },
  { name: 'no site', text: 'log:\n  level: info\n', says: /clubhouse\.yaml:1: site: is missing/ },
  { name: 'an empty file', text: '', says: /site: is missing/ },
  { name: 'a site in small letters', text: '\nsite: puhsc\n', says: /yaml:2: site: .*capital/ },
  {
    name: 'a duration without a unit',
    text: 'site: A\nintake:\n  settle: 5\n',
    says: /yaml:3: intake\.settle: expected a duration such as 5s/,
  },
  {
    name: 'a duration in words',
    text: 'site: A\nreplication: { every: five minutes }\n',
    says: /yaml:2: replication\.every: expected a duration/,
  },
  {
    name: 'a port that does not exist',
    text: 'site: A\nlisten:\n  port: 70000\n',
    says: /yaml:3: listen\.port/,
  },
  {
    name: 'a wrong item of a list',
    text: "site: A\nintake:\n  temporaryNames:\n    - '*.part'\n    - 5\n",
    says: /yaml:5: intake\.temporaryNames\.1/,
  },
  { name: 'a key twice', text: 'site: A\nsite: B\n', says: /yaml:2: / },
  { name: 'broken YAML', text: 'site: A\nlisten: [\n', says: /yaml:\d+: / },
  { name: 'a list instead of keys', text: '- site\n', says: /yaml:1: the file: expected object/ },
  {
    name: 'a level that is none',
    text: 'site: A\nlog: { level: loud }\n',
    says: /yaml:2: log\.level/,
  },
];

for (const { name, text, says } of mistakes) {
  void t.test(`${name} is told with its line`, async (t) => {
    try {
      parseConfig(text);
      t.fail('it was accepted');
    } catch (error) {
      t.ok(error instanceof AppError && error.code === 'CONFIG_INVALID');
      t.match((error as Error).message, says);
    }
  });
}

void t.test('two mistakes are told at once', async (t) => {
  t.throws(() => parseConfig('sites: A\nworkers: 0\n'), /workers.*"sites"/s);
});

void t.test('the configuration cannot be changed once it is read', async (t) => {
  const config = parseConfig('site: PUHSC\n');
  t.throws(() => Object.assign(config.intake, { settle: 1 }), TypeError);
  t.throws(() => (config.intake.temporaryNames as string[]).push('*'), TypeError);
});

void t.test('--home beats CLUBHOUSE_HOME, which beats the current folder', async (t) => {
  t.after(() => delete process.env['CLUBHOUSE_HOME']);
  delete process.env['CLUBHOUSE_HOME'];
  t.equal(resolveHome(undefined), process.cwd());
  process.env['CLUBHOUSE_HOME'] = '/srv/a';
  t.equal(resolveHome(undefined), resolve('/srv/a'));
  t.equal(resolveHome('/srv/b'), resolve('/srv/b'));
});

void t.test('config/clubhouse.schema.json is what the schema makes', async (t) => {
  const there = await readFile(join(packageRoot, 'config', 'clubhouse.schema.json'), 'utf8');
  t.equal(there, configSchemaText(), 'run npm run gen');
});

const shared = process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared');
const skip = existsSync(join(shared, 'standard')) ? false : "needs the standard's tables";

void t.test("the standard's tables are what their scripts make", { skip }, async (t) => {
  const tables = [
    [join('src', 'core', 'dicom', 'dictionary-table.ts'), await makeDictionaryTable(shared)],
    ...(await makeDeidTables(shared)),
  ] as const;
  for (const [path, made] of tables) {
    const there = await readFile(join(packageRoot, path), 'utf8');
    t.ok(there === made, `${path}; else run npm run gen`);
  }
});
