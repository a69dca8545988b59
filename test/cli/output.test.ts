// What commands print: a table is as wide as its widest cell, whatever its length.

import t from 'tap';
import { printTable } from '../../src/cli/output.ts';

void t.test('a table of very many rows', async (t) => {
  const lines: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (text: string | Uint8Array) => lines.push(String(text)) > 0;
  const rows = Array.from({ length: 150_000 }, (_, n) => [`${n}`, 'x']);
  try {
    printTable(['a', 'b'], rows, 'none');
  } finally {
    process.stdout.write = write;
  }
  t.equal(lines.length, 150_001);
  t.strictSame([lines[0], lines[1], lines.at(-1)], ['a       b\n', '0       x\n', '149999  x\n']);
});
