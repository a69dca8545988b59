// The documents keep up with the code: whatever a person can meet is explained.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { errorCodes } from '../src/core/errors.ts';
import { holdReasons, partialReasons, waitReasons } from '../src/core/reasons.ts';
import { packageRoot } from '../src/package-root.ts';

const text = (path: string): Promise<string> => readFile(join(packageRoot, path), 'utf8');

void t.test('the README explains every error code', async (t) => {
  const readme = await text('README.md');
  for (const code of Object.keys(errorCodes)) t.ok(readme.includes(`\`${code}\``), code);
});

void t.test(
  'the README explains every reason why a file can be held, partial or waiting',
  async (t) => {
    const readme = await text('README.md');
    for (const reason of Object.keys({ ...holdReasons, ...partialReasons, ...waitReasons })) {
      t.ok(readme.includes(`\`${reason}\``), reason);
    }
  },
);

void t.test('the README opens with the two lines that do everything', async (t) => {
  const [, , fence, demo, tests] = (await text('README.md')).split('\n');
  t.equal(fence, '```');
  t.match(demo, /^npm ci && npm run demo/);
  t.match(tests, /^npm ci && npm test/);
});

void t.test('the guides are there and say what they are for', async (t) => {
  for (const guide of ['sender', 'receiver', 'administrator']) {
    t.match(await text(`docs/${guide}.md`), /^# /);
  }
});
