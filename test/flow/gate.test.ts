// Who waits for whom: paths for themselves, moved folders for what is below them, and nobody else.

import t from 'tap';
import { createGate } from '../../src/flow/gate.ts';

/** Work that ends when it is told to. */
function task(log: string[], name: string): { run: () => Promise<void>; end: () => void } {
  let end: () => void = () => undefined;
  const told = new Promise<void>((resolve) => (end = resolve));
  const run = async (): Promise<void> => {
    log.push(name);
    await told;
  };
  return { run, end: () => end() };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

void t.test('a folder that is moved keeps only its own paths waiting', async (t) => {
  const gate = createGate();
  const log: string[] = [];
  const writer = task(log, 'writer below');
  const move = task(log, 'move');
  const all = [gate.hold(['a/x/1'], writer.run), gate.alone(['a/x', 'a/y'], move.run)];
  const rest: readonly (readonly [string, readonly string[]])[] = [
    ['below the source', ['a/x/2']],
    ['below the target', ['a/y/2']],
    ['above', ['a']],
    ['beside', ['a/xx']],
    ['elsewhere', ['b/x']],
  ];
  for (const [name, paths] of rest) all.push(gate.hold(paths, async () => void log.push(name)));
  all.push(gate.alone(['b'], async () => void log.push('another folder')));
  await tick();
  t.same(log, ['writer below', 'beside', 'elsewhere', 'another folder']);
  writer.end();
  await tick();
  t.equal(log.at(-1), 'move');
  move.end();
  await Promise.all(all);
  t.same(log.slice(-3), ['below the source', 'below the target', 'above']);
});

void t.test('a failure frees what it held', async (t) => {
  const gate = createGate();
  await t.rejects(gate.hold(['a'], () => Promise.reject(new Error('no'))));
  await t.rejects(gate.alone(['a'], () => Promise.reject(new Error('no'))));
  t.equal(await gate.hold(['a', 'a'], async () => 1), 1);
});
