// The tree of SPEC 3 as a table: who sees what, who may do what, and that no path leads out.

import fc from 'fast-check';
import t from 'tap';
import { AppError } from '../../src/core/errors.ts';
import {
  fixedFolders,
  loginFolder,
  may,
  permitRename,
  resolve,
  type Place,
  type Right,
  type Viewer,
  isReservedName,
} from '../../src/core/tree.ts';

const brain = { id: 'b', name: 'brain', partners: ['UMHS', 'CHUV'] };
const heart = { id: 'h', name: 'heart', partners: ['UMHS'] };
const alice: Viewer = { kind: 'member', name: 'alice', projects: [brain] };
const bob: Viewer = { kind: 'member', name: 'bob', projects: [brain, heart] };
const nobody: Viewer = { kind: 'member', name: 'nobody', projects: [] };
const umhs: Viewer = { kind: 'partner', name: 'UMHS', projects: [brain, heart] };
const chuv: Viewer = { kind: 'partner', name: 'CHUV', projects: [brain, heart] };
const viewers = { alice, bob, nobody, umhs, chuv };

const bytes = (path: string): Uint8Array => new TextEncoder().encode(path);
const at = (viewer: Viewer, path: string): Place => resolve(viewer, 'PUHSC', bytes(path));
const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'OK';
  } catch (error) {
    return error instanceof AppError ? error.code : 'not an AppError';
  }
};
const rights: readonly Right[] = ['see', 'read', 'write', 'make', 'remove', 'attributes'];
const letters = (place: Place): string =>
  rights.map((right) => (may(place, right) ? right[0] : '-')).join('');

void t.test('each place has the rights of SPEC 3', async (t) => {
  const out = '/home/ji_brain/club_house/From_PUHSC_To_UMHS';
  const into = '/home/ji_brain/club_house/From_UMHS_To_PUHSC';
  const table: readonly (readonly [string, string, string, string])[] = [
    // path, alice (a member of brain), the replicator of UMHS, a member of no project
    ['/', 'sr----', 'sr----', 'sr----'],
    ['/home', 'sr----', 'sr----', 'sr----'],
    ['/home/ji_brain', 'sr----', 'sr----', 'gone'],
    ['/home/ji_brain/club_house', 'sr----', 'sr----', 'gone'],
    ['/home/ji_heart', 'gone', 'sr----', 'gone'],
    ['/home/ji_brain/alice', 'sr---a', 'gone', 'gone'],
    ['/home/ji_brain/alice/x', 'srwmra', 'gone', 'gone'],
    ['/home/ji_brain/alice/gpg', 'sr---a', 'gone', 'gone'],
    ['/home/ji_brain/alice/gpg/x', 'srwmra', 'gone', 'gone'],
    ['/home/ji_brain/alice/gpg-x', 'srw-ra', 'gone', 'gone'],
    ['/home/ji_brain/alice/receipts', 'sr----', 'gone', 'gone'],
    ['/home/ji_brain/alice/receipts/x', 'sr--r-', 'gone', 'gone'],
    ['/home/ji_brain/bob', 'gone', 'gone', 'gone'],
    ['/home/ji_brain/bob/gpg/x', 'gone', 'gone', 'gone'],
    [out, 'sr---a', 'gone', 'gone'],
    [`${out}/x`, 'srwmra', 'gone', 'gone'],
    [`${out}/gpg-alice`, 'sr----', 'gone', 'gone'],
    [`${out}/gpg-bob/x`, 'sr----', 'gone', 'gone'],
    [`${out}/GPG-x`, 'sr----', 'gone', 'gone'],
    [`${out}/sub/gPg-x`, 'srw-ra', 'gone', 'gone'],
    [into, 'sr----', 'sr---a', 'gone'],
    [`${into}/x`, 'sr----', 'srwmra', 'gone'],
    [`${into}/gpg-carol`, 'sr----', 'srwmra', 'gone'],
    [`${into}/gpg-carol/.clubhouse-1.part`, 'gone', 'srwmra', 'gone'],
    ['/home/ji_brain/club_house/From_CHUV_To_PUHSC', 'sr----', 'gone', 'gone'],
    ['/home/ji_brain/club_house/From_PUHSC_To_PUHSC', 'gone', 'gone', 'gone'],
    ['/home/ji_brain/club_house/From_UMHS_To_CHUV', 'gone', 'gone', 'gone'],
    ['/home/ji_brain/club_house/x', 'gone', 'gone', 'gone'],
    ['/etc', 'gone', 'gone', 'gone'],
    ['/home/alice', 'gone', 'gone', 'gone'],
    ['/home/ji_Brain', 'gone', 'gone', 'gone'],
  ];
  for (const [path, ...expected] of table) {
    for (const [index, viewer] of [alice, umhs, nobody].entries()) {
      const code = codeOf(() => at(viewer, path));
      const found = code === 'OK' ? letters(at(viewer, path)) : code;
      t.equal(
        found,
        expected[index] === 'gone' ? 'NO_SUCH_FILE' : expected[index],
        `${viewer.name} ${path}`,
      );
    }
  }
  t.equal(
    codeOf(() => at(chuv, '/home/ji_heart')),
    'NO_SUCH_FILE',
    'a project that does not name it',
  );
  const code = codeOf(() => at(chuv, into));
  t.equal(code, 'NO_SUCH_FILE', "another partner's incoming folder");
});

void t.test(
  'paths are resolved by name, from the login folder, never above the root',
  async (t) => {
    const cases: readonly (readonly [Viewer, string, string])[] = [
      [alice, '', '/home/ji_brain/alice'],
      [alice, '.', '/home/ji_brain/alice'],
      [alice, 'gpg//a/./b/..', '/home/ji_brain/alice/gpg/a'],
      [alice, '../../../../../..', '/'],
      [alice, '/../../home/', '/home'],
      [bob, '.', '/home'],
      [umhs, '', '/home'],
      [alice, '…/王', '/home/ji_brain/alice/…/王'],
    ];
    for (const [viewer, path, shown] of cases) t.equal(at(viewer, path).shown, shown, path);
    t.equal(loginFolder(nobody), '/home');
  },
);

void t.test(
  'names that are not UTF-8 or too long are refused, and control characters where others read them',
  async (t) => {
    const bad = [
      Uint8Array.from([0xb2, 0xe2]),
      Uint8Array.from([0xed, 0xa0, 0x80]),
      bytes('a\0'),
      bytes('/home/ji_brain/club_house/From_PUHSC_To_UMHS/a\nb'),
      bytes('/home/ji_brain/club_house/From_UMHS_To_PUHSC/a\u009bb'),
      bytes('x'.repeat(256)),
      bytes('王'.repeat(86)),
      bytes('a/'.repeat(2049)),
    ];
    for (const path of bad)
      t.equal(
        codeOf(() => resolve(alice, 'PUHSC', path)),
        'BAD_NAME',
      );
    for (const name of ['王'.repeat(85), 'gpg/a\nb\u001b[31m.dcm', 'a\tb']) {
      t.equal(
        codeOf(() => at(alice, name)),
        'OK',
      );
    }
  },
);

void t.test('what looks like gpg- is reserved, what does not is free', async (t) => {
  const alike = [
    'gpg-x',
    'GPG-x',
    'ｇｐｇ-x',
    'ɡpg-x',
    'gрg-x',
    'g\u200bpg-x',
    ' gpg-x',
    'ġpg-x',
    'g\u0307pg-x',
    'ǥpg-x',
    'ɢᴩɢ-x',
    'gpgー-x',
    'gpgｰx',
    'gpg–x',
    '𝐠𝐩𝐠-x',
  ];
  for (const name of alike) t.ok(isReservedName(name), name);
  for (const name of ['gpg', 'gpg_x', 'gpgx-1', 'a-gpg-x', 'pgp-x', '', '王-gpg'])
    t.notOk(isReservedName(name), name);
});

void t.test('renames stay in their own area', async (t) => {
  const own = '/home/ji_brain/bob';
  const out = '/home/ji_brain/club_house/From_PUHSC_To_UMHS';
  const into = '/home/ji_brain/club_house/From_UMHS_To_PUHSC';
  const cases: readonly (readonly [Viewer, string, string, boolean, string])[] = [
    [bob, `${own}/a`, `${own}/b`, false, 'OK'],
    [bob, `${own}/a`, `${own}/gpg/b`, true, 'OK'],
    [bob, `${own}/gpg/a`, `${own}/b`, true, 'OK'],
    [bob, `${own}/gpg/a`, `${out}/a`, false, 'RENAME_ACROSS'],
    [bob, `${own}/a`, `${out}/a`, false, 'RENAME_ACROSS'],
    [bob, `${out}/a`, `${own}/a`, false, 'RENAME_ACROSS'],
    [bob, `${out}/a`, `${out}/s/b`, false, 'OK'],
    [bob, `${out}/a`, '/home/ji_brain/club_house/From_PUHSC_To_CHUV/a', false, 'RENAME_ACROSS'],
    [bob, `${own}/a`, '/home/ji_heart/bob/a', false, 'RENAME_ACROSS'],
    [bob, `${out}/a`, `${out}/gpg-a`, false, 'RESERVED_NAME'],
    [bob, `${out}/a`, `${out}/s/Gpg-a`, true, 'RESERVED_NAME'],
    [bob, `${out}/a`, `${out}/gpg-bob/a`, false, 'READ_ONLY'],
    [bob, `${out}/gpg-bob/a`, `${out}/a`, false, 'READ_ONLY'],
    [bob, `${own}/receipts/a`, `${own}/a`, false, 'READ_ONLY'],
    [bob, `${own}/a`, `${own}/receipts/a`, false, 'READ_ONLY'],
    [bob, `${own}/gpg`, `${own}/b`, true, 'READ_ONLY'],
    [bob, `${own}/a`, `${own}/gpg`, true, 'IS_A_DIRECTORY'],
    [bob, `${into}/a`, `${into}/b`, false, 'READ_ONLY'],
    [bob, '/home', `${own}/a`, true, 'READ_ONLY'],
    [umhs, `${into}/.clubhouse-1.part`, `${into}/gpg-x/a.gpg`, false, 'OK'],
    [umhs, `${into}/a`, '/home/ji_heart/club_house/From_UMHS_To_PUHSC/a', false, 'RENAME_ACROSS'],
  ];
  for (const [viewer, from, to, isFolder, expected] of cases) {
    const code = codeOf(() => permitRename(at(viewer, from), at(viewer, to), isFolder));
    t.equal(code, expected, `${from} -> ${to}`);
  }
});

void t.test('the fixed folders are the viewer’s own', async (t) => {
  t.same(fixedFolders(umhs, 'PUHSC'), [
    'ji_brain/club_house/From_UMHS_To_PUHSC',
    'ji_heart/club_house/From_UMHS_To_PUHSC',
  ]);
  t.same(fixedFolders(alice, 'PUHSC').slice(0, 3), [
    'ji_brain/alice',
    'ji_brain/alice/gpg',
    'ji_brain/alice/receipts',
  ]);
});

void t.test(
  'whatever the path, a place is the viewer’s own or a club house of its project',
  async () => {
    const part = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '',
        'home',
        'ji_brain',
        'ji_heart',
        'alice',
        'bob',
        'gpg',
        'receipts',
        'club_house',
        'gpg-alice',
        'From_PUHSC_To_UMHS',
        'From_UMHS_To_PUHSC',
      ),
      fc.string(),
    );
    const path = fc.tuple(fc.boolean(), fc.array(part, { maxLength: 9 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(viewers)),
        path,
        (viewer, [isAbsolute, parts]) => {
          let place: Place;
          try {
            place = at(viewer, `${isAbsolute ? '/' : ''}${parts.join('/')}`);
          } catch (error) {
            return error instanceof AppError;
          }
          if (place.kind === 'virtual') return true;
          const names = place.path.split('/');
          const isPlain = names.every((name) => name !== '' && name !== '.' && name !== '..');
          const isKnown = viewer.projects.some(({ name }) => names[0] === `ji_${name}`);
          const isOwn = names[1] === viewer.name && viewer.kind === 'member';
          return isPlain && isKnown && (isOwn || (names[1] === 'club_house' && names.length > 2));
        },
      ),
      { numRuns: 2000 },
    );
  },
);
