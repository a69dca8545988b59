import t from 'tap';
import { createPace, paced } from '../../src/adapters/storage-pace.ts';

const clock = () => {
  const state = { ms: 0 };
  return { now: () => state.ms, pass: (ms: number) => (state.ms += ms) };
};

void t.test('calls are made at once for as long as they are quick', async (t) => {
  const pace = createPace(clock().now);
  for (let n = 0; n < 1000; n += 1) pace.took(0.25);
  t.equal(pace.isQuick(), true);
});

void t.test('a process that was held up for a moment is no slow disk', async (t) => {
  const { now, pass } = clock();
  const pace = createPace(now);
  for (let n = 0; n < 100; n += 1) {
    pace.took(8);
    pass(500);
  }
  t.equal(pace.isQuick(), true);
});

void t.test('a disk that hung for two seconds is not tried again for a hundred', async (t) => {
  const { now, pass } = clock();
  const pace = createPace(now);
  pace.took(2000);
  pass(99_000);
  t.equal(pace.isQuick(), false);
  pass(1_001);
  t.equal(pace.isQuick(), true);
});

void t.test('what a slow disk costs everybody stays under a fortieth of the time', async (t) => {
  const { now, pass } = clock();
  const pace = createPace(now);
  let lost = 0;
  // An fsync of ten milliseconds, again and again.
  while (now() < 600_000) {
    if (pace.isQuick()) {
      pace.took(10);
      lost += 10;
    }
    pass(10);
  }
  t.ok(lost < 15_000, `lost ${lost} ms`);
  t.ok(lost > 1000, 'it is tried again and again');
});

void t.test('the same answers and the same failures both ways', async (t) => {
  const fail = (): never => {
    throw new Error('no');
  };
  let isQuick = true;
  const made: string[] = [];
  const pace = { isQuick: () => isQuick, took: () => undefined };
  const call = paced(
    (text: string) => (made.push('at once'), text === '' ? fail() : text.length),
    async (text) => (made.push('by a thread'), text === '' ? fail() : text.length),
    pace,
  );
  for (const way of [true, false]) {
    isQuick = way;
    t.equal(await call('four'), 4);
    await t.rejects(call(''), { message: 'no' });
  }
  t.strictSame(made, ['at once', 'at once', 'by a thread', 'by a thread']);
});
