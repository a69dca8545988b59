// All tests, for `npm test`: each file under plain Node, the long ones first. Tap's own way of starting them hands every process
// a loader, which the processes that the tests start inherit, with each of their threads: a fourth of all CPU time.

import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../test');
const found = await readdir(root, { recursive: true });
const files = found.filter((file) => file.endsWith('.test.js')).sort();
const longest = files.filter((file) => file.startsWith('e2e/'));
const others = files.filter((file) => !longest.includes(file));

t.jobs = 2;
t.setTimeout(0);
for (const file of [...longest, ...others]) {
  const path = join(root, file);
  const args = ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', path];
  const name = relative(process.cwd(), path);
  void t.spawn('env', args, { name, buffered: true, timeout: 600_000 });
}
