// The leak check must find what remains of a person, in every form and charset, and must let pass what only looks like it.

import fc from 'fast-check';
import t from 'tap';
import { findLeaks, findLeaksInName } from '../../../src/core/deid/leak-check.ts';
import { collectTerms, mergeTerms, noTerms } from '../../../src/core/deid/leak-terms.ts';
import { datesIn } from '../../../src/core/deid/leak-dates.ts';
import { nationalIdsIn } from '../../../src/core/deid/leak-numbers.ts';
import { fold, squeeze } from '../../../src/core/deid/leak-terms-text.ts';
import type { DataSet } from '../../../src/core/dicom/dataset.ts';
import { createPolicy, isKeptBy } from '../../../src/core/deid/policy.ts';
import { charsetsOf } from '../../../src/core/deid/reading.ts';
import { lookup } from '../../../src/core/dicom/dictionary.ts';
import { createWalker } from '../../../src/core/dicom/walker.ts';
import { clean, profileOf, testSubject } from '../../support/deid.ts';
import { corpusFiles } from '../dicom/corpus.ts';
import {
  anna,
  before,
  code,
  comment,
  hanName,
  id,
  ids,
  mustFind,
  person,
  text,
  type Case,
} from './leak-cases.ts';
import { foreignCases, foreignPasses, lyingCases } from './leak-charsets.ts';
import { mustPass } from './leak-passes.ts';
import { dicomFile, el, padded, sorted, syntaxes, type TestElement } from '../../support/dicom.ts';

/** The header as the product's walker gives it. */
function headerOf(elements: readonly TestElement[], transferSyntax: string): DataSet {
  const walker = createWalker({ headerBytes: 1 << 24 });
  const file = dicomFile({ elements: sorted(elements), transferSyntax });
  for (const event of [...walker.push(file), ...walker.end()]) {
    if (event.kind === 'header') return event.dataset;
  }
  throw new Error('no header');
}

function leaksOf({ original, written, syntax = syntaxes.explicit }: Case): readonly string[] {
  const terms = collectTerms(headerOf([...before, ...original], syntaxes.explicit));
  const file = dicomFile({ elements: sorted([...ids, ...written]), transferSyntax: syntax });
  return findLeaks(file, terms, { subjectCodes: [code] }).map(({ tag, kind }) => `${tag} ${kind}`);
}

for (const [title, cases] of [
  ['what remains of a person is found', mustFind],
  ['what remains of a name is found in any charset', foreignCases],
  ['what remains of a name whose charset is not known is found', lyingCases],
  ['what only looks like it passes', [...mustPass, ...foreignPasses]],
] as const) {
  void t.test(title, async (t) => {
    for (const one of cases) t.same(leaksOf(one), one.found, one.name);
  });
}

void t.test('what passed for one patient is found for the next', async (t) => {
  const other = [person('Other^Olga'), el(0x00100030, 'DA', '19501224')];
  const written = [text('Testperson 1950-12-24')];
  const check = (original: readonly TestElement[]): readonly string[] =>
    leaksOf({ name: '', original, written, found: [] });
  const name = '(0008,1030) name';
  for (let round = 0; round < 2; round++) {
    t.same(check([person('Nobody^Nora')]), [], 'not of this one');
    t.same(check(anna), [name], 'the name of that one');
    t.same(check(other), ['(0008,1030) date'], 'the birthday of the third');
    t.same(check([...anna, ...other.slice(1)]), [name, '(0008,1030) date'].sort(), 'both');
  }
});

void t.test('every transfer syntax is read back', async (t) => {
  for (const [name, syntax] of Object.entries(syntaxes)) {
    if (syntax === syntaxes.deflated) continue;
    const one = {
      name,
      syntax,
      original: anna,
      written: [
        text('Testperson'),
        el(
          0x00081140,
          'SQ',
          { items: [[el(0x00080104, 'LO', 'Annamaria')]] },
          { undefinedLength: true },
        ),
        el(0x0040a032, 'DT', '2020'),
      ],
      found: [],
    };
    t.same(leaksOf(one), ['(0008,1030) name', '(0008,0104) name'], name);
  }
});

void t.test('OV, SV and UV do not hide what follows', async (t) => {
  const written = [
    el(0x00091001, 'OV', Buffer.from('12345678')),
    el(0x00091002, 'UV', Buffer.alloc(8)),
    el(0x00091003, 'SV', Buffer.alloc(16)),
    comment('Testperson'),
  ];
  t.same(leaksOf({ name: '', original: anna, written, found: [] }), ['(0020,4000) name']);
});

void t.test('what cannot be read back is a leak', async (t) => {
  const file = dicomFile({ elements: sorted([...ids, text('harmless')]) });
  const unreadable = [{ tag: 'file', kind: 'unreadable' }];
  const codes = { subjectCodes: [code] };
  t.same(findLeaks(file, noTerms, codes), []);
  t.same(findLeaks(file.subarray(0, file.length - 3), noTerms, codes), unreadable);
  t.same(findLeaks(Buffer.concat([file, Buffer.alloc(6)]), noTerms, codes), unreadable);
  t.same(findLeaks(Buffer.alloc(200), noTerms, codes), unreadable);
  const twice = dicomFile({ elements: [...ids, text('one'), text('two')] });
  t.same(findLeaks(twice, noTerms, codes), unreadable, 'a tag that comes twice');
});

void t.test('what the profile keeps on purpose is no leak', async (t) => {
  const header = headerOf(
    [
      ...before,
      person('Testperson^Annamaria'),
      el(0x00080020, 'DA', '20200102'),
      el(0x00100030, 'DA', '20200102'),
      el(0x00080090, 'PN', 'Referrer^Quentin'),
    ],
    syntaxes.explicit,
  );
  const kept = new Set([0x00080020, 0x00080090]);
  const terms = collectTerms(header, { isKept: (tag) => kept.has(tag) });
  const file = dicomFile({
    elements: sorted([...ids, text('20200102 Referrer'), comment('Testperson')]),
  });
  t.same(findLeaks(file, terms, { subjectCodes: [code] }), [{ tag: '(0020,4000)', kind: 'name' }]);
});

void t.test('what a rule by path keeps is no leak, and stays one elsewhere', async (t) => {
  const observer = (tag: number): TestElement =>
    el(tag, 'SQ', { items: [[el(0x0040a123, 'PN', 'Weisskopf^Hans')]] });
  const yaml = 'rules: [{ path: ContentSequence/PersonName, action: keep }]';
  for (const [sequence, found] of [
    [0x0040a730, []],
    [0x00089215, [{ tag: '(0040,A123)', kind: 'name' }]],
  ] as const) {
    const header = headerOf([...before, observer(sequence)], syntaxes.explicit);
    const policy = createPolicy(profileOf(yaml)).forFile(header);
    const terms = collectTerms(header, { isKept: isKeptBy(policy) });
    const file = dicomFile({ elements: sorted([...ids, observer(sequence)]) });
    t.same(findLeaks(file, terms, { subjectCodes: [code] }), found);
  }
});

void t.test('names of files and entries', async (t) => {
  const header = headerOf(
    [
      ...before,
      person('Testperson^Annamaria'),
      el(0x00100020, 'LO', '1234'),
      el(0x00100030, 'DA', '19870305'),
    ],
    syntaxes.explicit,
  );
  const other = headerOf([...before, el(0x00100020, 'LO', 'ZX998877')], syntaxes.explicit);
  const terms = mergeTerms(collectTerms(header), collectTerms(other));
  const ours = { subjectCodes: [code], madeBy: 'us' } as const;
  const theirs = { subjectCodes: [code], madeBy: 'client' } as const;
  t.same(findLeaksInName(`${code}/CT_2_1234_a1b2c3d4e5.dcm.gpg`, terms, ours), []);
  t.same(findLeaksInName(`${code}/Testperson/1.dcm`, terms, theirs), [
    { tag: 'name', kind: 'name' },
  ]);
  t.same(findLeaksInName('x/1234.dcm', terms, theirs), [{ tag: 'name', kind: 'id' }]);
  t.same(findLeaksInName('ZX998877.dcm', terms, ours), [{ tag: 'name', kind: 'id' }]);
  t.same(findLeaksInName('scan_1987-03-05.zip', terms, theirs), [{ tag: 'name', kind: 'date' }]);
  t.same(findLeaksInName('series 1/image 2.dcm', terms, theirs), []);
});

void t.test('a name of a file that was read in the wrong charset is found', async (t) => {
  const yamada = [el(0x00080005, 'CS', 'ISO_IR 192'), person(padded(Buffer.from('山田^太郎')))];
  const terms = collectTerms(headerOf([...before, ...yamada], syntaxes.explicit));
  const theirs = { subjectCodes: [code], madeBy: 'client' } as const;
  const shiftJis = Buffer.from('8e52936391be9859', 'hex');
  for (const label of ['gb18030', 'latin1']) {
    const name = `x/${new TextDecoder(label).decode(shiftJis)}.dcm`;
    t.same(findLeaksInName(name, terms, theirs), [{ tag: 'name', kind: 'name' }], name);
  }
  t.same(findLeaksInName('x/太平.dcm', terms, theirs), []);
  const together = `x/${shiftJis.toString('latin1')}.dcm/x/肺部.dcm`;
  t.same(findLeaksInName(together, terms, theirs), [{ tag: 'name', kind: 'name' }], together);
});

void t.test('a file that is made to keep the search busy is refused in time', async (t) => {
  const names = (count: number, of: (i: string) => string): string =>
    Array.from({ length: count }, (_, i) => of((i + 1e6).toString(36))).join('\\');
  const utf8 = [el(0x00080005, 'CS', 'ISO_IR 192')];
  const latin1 = (value: string): Buffer => padded(Buffer.from(value, 'latin1'));
  for (const [original, written] of [
    [
      [
        el(
          0x00081070,
          'PN',
          names(6000, (i) => `f${i}^g`),
        ),
      ],
      [el(0x0040a160, 'UT', 'fword '.repeat(50_000))],
    ],
    [
      [...utf8, el(0x00081070, 'PN', padded(Buffer.from(names(3000, (i) => `王${i}^小东`))))],
      Array.from({ length: 40 }, (_, i) => el(0x00091000 + i, 'LO', latin1('caf\xe9 r'))),
    ],
    [
      [...utf8, el(0x00081070, 'PN', padded(Buffer.from(names(300, (i) => `王${i}^小东`))))],
      [el(0x0040a160, 'UT', latin1('caf\xe9 report '.repeat(40_000)))],
    ],
  ]) {
    const terms = collectTerms(headerOf([...before, ...(original ?? [])], syntaxes.implicit));
    const file = dicomFile({
      transferSyntax: syntaxes.implicit,
      elements: sorted([...ids, ...(written ?? [])]),
    });
    const started = process.cpuUsage();
    t.throws(() => findLeaks(file, terms, { subjectCodes: [] }), { code: 'DICOM_TOO_LARGE' });
    const { user } = process.cpuUsage(started);
    t.ok(user < 10_000_000, `${user} µs`);
  }
});

void t.test('a leak never says what it found', async (t) => {
  for (const one of mustFind) {
    const said = JSON.stringify(leaksOf(one)).toLowerCase();
    t.notMatch(said, /testperson|wang|mrn|1987|2345/, one.name);
  }
});

void t.test('any name is found in any order and spelling', async () => {
  const part = fc.stringMatching(/^[A-Z][a-z]{3,9}$/);
  const gap = fc.constantFrom(' ', ', ', '^', '-', '_', '');
  fc.assert(
    fc.property(part, part, gap, fc.boolean(), (family, given, between, turned) => {
      const [a, b] = turned ? [given, family] : [family, given];
      const one = {
        name: '',
        original: [person(`${family}^${given}`)],
        written: [text(`x: ${a}${between}${b}.`)],
        found: [],
      };
      return leaksOf(one).length > 0;
    }),
    { numRuns: 60 },
  );
});

void t.test('any bytes are searched without an exception', async () => {
  const terms = collectTerms(
    headerOf([...before, ...anna, ...hanName.slice(1)].slice(0, 4), syntaxes.explicit),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const even = bytes.subarray(0, bytes.length & ~1);
      const file = dicomFile({
        elements: sorted([...ids, text(even), el(0x00091001, 'UN', even)]),
      });
      findLeaks(file, terms, { subjectCodes: [] });
      findLeaks(Buffer.concat([file.subarray(0, 200), even]), terms, { subjectCodes: [] });
    }),
    { numRuns: 100 },
  );
});

void t.test('forms of dates and identity numbers', async (t) => {
  t.ok(datesIn(fold('1.2.2003')).has('20030201'));
  t.ok(datesIn(fold('1.2.2003')).has('20030102'));
  t.equal(datesIn(fold('123 4567 89')).size, 0);
  t.same(nationalIdsIn('110105194912310020'), [], 'a wrong check digit');
  t.same(nationalIdsIn('x 11010519491231002x'), ['11010519491231002x']);
});

void t.test('a header with much text is searched in little time', async (t) => {
  const terms = collectTerms(
    headerOf(
      [...before, ...anna, ...id('MRN0012345'), el(0x00080090, 'PN', 'Referrer^Quentin')],
      syntaxes.explicit,
    ),
  );
  const file = dicomFile({
    elements: sorted([
      ...ids,
      text('CT of the chest'),
      el(0x0040a160, 'UT', 'some words of a report '.repeat(40_000)),
    ]),
  });
  const started = process.cpuUsage();
  t.same(findLeaks(file, terms, { subjectCodes: [] }), []);
  const { user } = process.cpuUsage(started);
  t.ok(user < 2_000_000, `${user} µs for ${file.length} bytes`);
  const noise = Buffer.from(
    Array.from({ length: 2 << 20 }, (_, i) => (i * 7919 + (i >> 8) * 104_729) & 255),
  );
  const blob = dicomFile({ elements: sorted([...ids, el(0x00282000, 'OB', noise)]) });
  const again = process.cpuUsage();
  t.same(findLeaks(blob, terms, { subjectCodes: [] }), []);
  const used = process.cpuUsage(again).user;
  t.ok(used < 2_000_000, `${used} µs for ${blob.length} bytes of unknown meaning`);
});

const everyday = [
  'extends: basic',
  'extends: research-ct-mr',
  'extends: strict',
  'extends: basic\noptions: [retain-uids, retain-device-identity, retain-institution-identity, retain-patient-characteristics, retain-longitudinal-full-dates, retain-safe-private]',
  'extends: basic\noptions: [clean-descriptors, clean-structured-content, clean-graphics, retain-longitudinal-modified-dates, retain-device-identity]',
];

void t.test('no false alarm over the public files, under any profile', async (t) => {
  const deflated = /Deflated/;
  const files = corpusFiles().filter((one) => one.expected === 'deid' && !deflated.test(one.name));
  for (const yaml of everyday) {
    for (const { name, bytes } of files) {
      const cleaned = await clean(bytes, yaml);
      const { header, trailer } = cleaned.original;
      const policy = createPolicy(profileOf(yaml)).forFile(header);
      const isKept = (tag: number): boolean => {
        const vr = lookup(tag)?.vrs[0] ?? 'UN';
        const decision = policy.decide({ tag, vr, creator: undefined, path: [] });
        return decision.action.kind === 'keep';
      };
      const terms = mergeTerms(
        collectTerms(header, { isKept }),
        collectTerms(trailer, { isKept, charset: charsetsOf(header) }),
      );
      const leaks = findLeaks(cleaned.bytes, terms, { subjectCodes: [testSubject.code] });
      if (leaks.length > 0) t.fail(`${name}: ${JSON.stringify(leaks)} under ${yaml}`);
    }
  }
  t.pass(`${files.length} files`);
});

void t.test('long runs of blanks and zeros take linear time', async (t) => {
  const started = performance.now();
  const zeros = '0'.repeat(200_000);
  for (const [value, leaks] of [
    [`${' '.repeat(200_000)}x`, []],
    [`${'\0'.repeat(200_000)}x`, []],
    [zeros, ['(0018,9917) id']],
    ['0000000 '.repeat(20_000), ['(0018,9917) id']],
    [`1${zeros}`, []],
  ] as const) {
    const one = { name: 'run', original: id('000000'), written: [el(0x00189917, 'UT', value)] };
    t.same(leaksOf({ ...one, found: leaks }), leaks);
  }
  t.ok(performance.now() - started < 10_000);
});

void t.test('a name as long as a book is too large, not an error of ours', async (t) => {
  t.equal(squeeze('a '.repeat(1000)).edges.size, 1001);
  t.throws(() => squeeze('a '.repeat(4_000_001)), { code: 'DICOM_TOO_LARGE' });
});
