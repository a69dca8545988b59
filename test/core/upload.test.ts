// The life of an upload: what may follow what, which names are temporary, how long until the next try.

import t from 'tap';
import {
  backOffMs,
  isLegalMove,
  isTemporaryName,
  legalMoves,
  uploadStates,
  type UploadState,
} from '../../src/core/upload.ts';

void t.test('nothing that is over goes on, and nothing ends twice', async (t) => {
  t.strictSame(legalMoves.withdrawn, []);
  t.strictSame(legalMoves.superseded, []);
  for (const state of uploadStates) t.equal(isLegalMove(state, state), false, state);
});

void t.test(
  'only the worker’s own state leads to published, and only published to delivered',
  async (t) => {
    const before = (to: UploadState): readonly UploadState[] =>
      uploadStates.filter((from) => isLegalMove(from, to));
    t.strictSame(before('published'), ['processing']);
    t.strictSame(before('delivered'), ['published']);
    t.strictSame(before('processing'), ['queued']);
    t.strictSame(before('rejected'), ['held', 'failed']);
  },
);

void t.test('every state can be reached from the first byte', async (t) => {
  const reached = new Set<UploadState>(['uploading']);
  for (const from of reached) for (const to of legalMoves[from]) reached.add(to);
  t.strictSame([...reached].sort(), [...uploadStates].sort());
});

const names: readonly (readonly [name: string, isTemporary: boolean])[] = [
  ['a.dcm', false],
  ['series/a.dcm.filepart', true],
  ['a.dcm.FILEPART', true],
  ['a.part', true],
  ['a.zip.partial', true],
  ['a.1234abcd.partial', true],
  ['a.tmp', true],
  ['.in.a.dcm', true],
  ['.a.dcm.swp', true],
  ['a.swp', false],
  ['.~lock', true],
  ['~$report', true],
  ['filepart', false],
  ['a.filepart/b.dcm', false],
  ['partial.dcm', false],
  ['.swp', false],
];
for (const [name, isTemporary] of names) {
  void t.test(`${name} is ${isTemporary ? '' : 'not '}a temporary name`, async (t) => {
    t.equal(isTemporaryName(name), isTemporary);
  });
}

void t.test('a pattern may have stars anywhere, or none', async (t) => {
  t.equal(isTemporaryName('x/upload-1-wip.dcm', ['upload-*-wip.*']), true);
  t.equal(isTemporaryName('x/upload-wip.dcm', ['upload-*-wip.*']), false);
  t.equal(isTemporaryName('exact', ['exact']), true);
  t.equal(isTemporaryName('not exact', ['exact']), false);
});

void t.test('tries come further and further apart, at most an hour', async (t) => {
  t.strictSame([1, 2, 3].map(backOffMs), [5000, 20_000, 80_000]);
  t.equal(backOffMs(50), 3_600_000);
});
