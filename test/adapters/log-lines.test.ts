// A log whose disk is full, or whose reader is slow: the process lives, ends when it is told to, and says what is missing.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createLines } from '../../src/adapters/log-lines.ts';

const failing = (code: string): Error => Object.assign(new Error(code), { code });

void t.test('what cannot be written is left out and counted', async (t) => {
  let room = 0;
  let text = '';
  const lines = createLines(1, (_fd, line) => {
    if (room <= 0) throw failing('ENOSPC');
    const taken = Buffer.from(line).subarray(0, room).toString();
    room -= taken.length;
    text += taken;
    return taken.length;
  });
  for (const line of ['one\n', 'two\n', 'three\n']) lines.write(line);
  t.equal(text, '');
  room = 1000;
  lines.write('four\n');
  t.match(text, /^\{"level":"warn","time":"[^"]+","lines":3,"msg":"[a-z ]+"\}\nfour\n$/);
  text = '';
  room = 2;
  lines.write('five\n');
  room = 1000;
  lines.write('six\n');
  t.match(text, /^fi\n\{"level":"warn".*"lines":1,.*\}\nsix\n$/, 'a cut line ends');
});

void t.test('a slow reader gets all lines later, in order, up to a number', async (t) => {
  let isFull = true;
  let text = '';
  const due: (() => void)[] = [];
  const lines = createLines(
    1,
    (_fd, line) => {
      if (isFull) throw failing('EAGAIN');
      text += line;
      return Buffer.byteLength(line);
    },
    (run) => due.push(run),
  );
  for (let count = 0; count < 1200; count += 1) lines.write(`${count}\n`);
  t.equal(due.length, 1, 'one try at a time');
  isFull = false;
  due[0]?.();
  const got = text.split('\n').filter((line) => !line.startsWith('{') && line !== '');
  t.equal(got.length, 1000);
  t.same(got.slice(0, 2), ['0', '1']);
  t.match(text, /"lines":200/);
});

void t.test('a process with a full disk behind its log ends by itself', async (t) => {
  t.ok(existsSync('/dev/full') || process.platform !== 'linux', 'the device of Linux is there');
  if (!existsSync('/dev/full')) return;
  const log = join(import.meta.dirname, '../../src/adapters/log.js');
  const code = `import { createLog } from ${JSON.stringify(log)};
    const log = createLog('info');
    for (let count = 0; count < 100; count += 1) log.info({ count }, 'said');
    setTimeout(() => { console.error('alive'); process.exit(0); }, 200);`;
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', full, 'pipe'],
  });
  closeSync(full);
  let errors = '';
  child.stderr?.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  t.equal(status, 0);
  t.equal(errors.trim(), 'alive');
});
