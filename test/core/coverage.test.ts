// Which bytes of a file were written: the same answer as a map of single bytes gives, for any order of writes.

import fc from 'fast-check';
import t from 'tap';
import { cover, cut, isWhole, type Coverage } from '../../src/core/coverage.ts';

const cases: readonly {
  name: string;
  writes: readonly (readonly [number, number])[];
  ranges: Coverage;
}[] = [
  { name: 'nothing written covers nothing', writes: [], ranges: [] },
  { name: 'an empty write covers nothing', writes: [[5, 5]], ranges: [] },
  {
    name: 'writes that touch are one range',
    writes: [
      [0, 3],
      [3, 6],
    ],
    ranges: [[0, 6]],
  },
  {
    name: 'a hole stays a hole',
    writes: [
      [0, 3],
      [4, 6],
    ],
    ranges: [
      [0, 3],
      [4, 6],
    ],
  },
  {
    name: 'out of order',
    writes: [
      [4, 6],
      [0, 2],
    ],
    ranges: [
      [0, 2],
      [4, 6],
    ],
  },
  {
    name: 'a write that fills the hole joins both',
    writes: [
      [4, 6],
      [0, 2],
      [2, 4],
    ],
    ranges: [[0, 6]],
  },
  {
    name: 'one over all',
    writes: [
      [1, 2],
      [4, 6],
      [8, 9],
      [0, 10],
    ],
    ranges: [[0, 10]],
  },
  {
    name: 'inside what is there',
    writes: [
      [0, 10],
      [2, 4],
    ],
    ranges: [[0, 10]],
  },
  { name: 'beyond 32 bits', writes: [[2 ** 33, 2 ** 33 + 5]], ranges: [[2 ** 33, 2 ** 33 + 5]] },
];

for (const { name, writes, ranges } of cases) {
  void t.test(name, async (t) => {
    const all = writes.reduce<Coverage>((coverage, [from, to]) => cover(coverage, from, to), []);
    t.strictSame(all, ranges);
  });
}

void t.test('cutting forgets what lies behind the new end', async (t) => {
  t.strictSame(
    cut(
      [
        [0, 4],
        [6, 9],
      ],
      7,
    ),
    [
      [0, 4],
      [6, 7],
    ],
  );
  t.strictSame(
    cut(
      [
        [0, 4],
        [6, 9],
      ],
      6,
    ),
    [[0, 4]],
  );
  t.strictSame(cut([[0, 4]], 0), []);
});

void t.test('whole means every byte from the first', async (t) => {
  t.equal(isWhole([], 0), true);
  t.equal(isWhole([[0, 5]], 5), true);
  t.equal(isWhole([[0, 9]], 5), true);
  t.equal(isWhole([[1, 5]], 5), false);
  t.equal(
    isWhole(
      [
        [0, 2],
        [3, 5],
      ],
      5,
    ),
    false,
  );
  t.equal(isWhole([], 1), false);
});

const write = fc
  .tuple(fc.nat(40), fc.nat(12))
  .map(([from, length]) => ['write', from, from + length] as const);
const truncation = fc.nat(50).map((size) => ['cut', size, size] as const);

void t.test('any sequence of writes and cuts says the same as a map of bytes', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 5, arbitrary: write }, { weight: 1, arbitrary: truncation })),
      (steps) => {
        const bytes = new Set<number>();
        let coverage: Coverage = [];
        for (const [kind, from, to] of steps) {
          if (kind === 'cut') {
            coverage = cut(coverage, from);
            for (const byte of bytes) if (byte >= from) bytes.delete(byte);
          } else {
            coverage = cover(coverage, from, to);
            for (let byte = from; byte < to; byte += 1) bytes.add(byte);
          }
        }
        const covered = coverage.flatMap(([from, to]) =>
          Array.from({ length: to - from }, (_, n) => from + n),
        );
        const isOrdered = coverage.every(
          ([from, to], n) => from < to && (n === 0 || from > (coverage[n - 1]?.[1] ?? 0)),
        );
        return (
          isOrdered && covered.length === bytes.size && covered.every((byte) => bytes.has(byte))
        );
      },
    ),
  );
});
