// The search of a zip's names by look-up must find what the search for every single term finds.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import { findLeaksInName } from '../../../src/core/deid/leak-check.ts';
import { NameIndex } from '../../../src/core/deid/leak-name-index.ts';
import {
  collectTerms,
  mergeTerms,
  noTerms,
  type LeakTerms,
} from '../../../src/core/deid/leak-terms.ts';
import type { DataSet } from '../../../src/core/dicom/dataset.ts';
import { createWalker } from '../../../src/core/dicom/walker.ts';
import { dicomFile, el, padded, sorted, syntaxes } from '../../support/dicom.ts';

interface Patient {
  readonly name: string;
  readonly id: string;
  readonly birth: string;
  readonly code: string;
}

function termsOf({ name, id, birth }: Patient): LeakTerms {
  const elements = sorted([
    el(0x00080005, 'CS', 'ISO_IR 192'),
    el(0x00100010, 'PN', padded(Buffer.from(name))),
    el(0x00100020, 'LO', id),
    el(0x00100030, 'DA', birth),
  ]);
  const walker = createWalker({ headerBytes: 1 << 24 });
  let header: DataSet | undefined;
  const file = dicomFile({ elements, transferSyntax: syntaxes.explicit });
  for (const event of [...walker.push(file), ...walker.end()]) {
    if (event.kind === 'header') header = event.dataset;
  }
  if (header === undefined) throw new Error('no header');
  return collectTerms(header);
}

// Alike, so that they meet: parts of each other, weak ones, numbers with zeros in front, scripts without spaces, accents.
const families = [
  'WINTER',
  'WINTERBERG',
  'LI',
  'Müller',
  '王',
  '王小明',
  'Brandt-Ohm',
  'CT',
  'BERG',
];
const givens = ['', 'ANNA', 'JO', 'JOHANNA', '小明', '太郎', 'Zoë', 'MARIA^ELSA'];
const patientIDs = ['1', '1234', '0012345', '12345', 'MRN00012345', 'JI-7', 'A-77-B', '20240131'];
const births = ['19870305', '20240131', ''];
const codes = ['JI-7', 'JI-77', 'JI-7K3M9', 'BERG', '12345'];
const patient: fc.Arbitrary<Patient> = fc.record({
  name: fc
    .tuple(fc.constantFrom(...families), fc.constantFrom(...givens))
    .map(([family, given]) => `${family}^${given}`),
  id: fc.constantFrom(...patientIDs),
  birth: fc.constantFrom(...births),
  code: fc.constantFrom(...codes),
});
const shiftJis = Buffer.from('8e52936391be9859', 'hex').toString('latin1');
const utf8AsLatin1 = Buffer.from('王小明').toString('latin1');
const dates = ['1987-03-05', '5.3.1987', '31 jan 2024'];
const pieces = [...families, ...givens, ...patientIDs, ...births, ...codes, ...dates];
const asWritten = [...pieces, ...pieces.map((piece) => piece.toLowerCase().replaceAll('^', ' '))];
const between = ['', ' ', '_', '-', '/', ', ', '0', '00', '7', 'x', '片', '.dcm', '.zip/'];
const name = fc
  .array(
    fc.oneof(
      fc.constantFrom(...asWritten, shiftJis, utf8AsLatin1),
      fc.constantFrom(...between),
      fc.constantFrom(...between),
    ),
    { maxLength: 9 },
  )
  .map((parts) => parts.join(''));

const kindsOf = (leaks: readonly { readonly kind: string }[]): readonly string[] =>
  leaks.map(({ kind }) => kind).sort();

void t.test('the look-up finds in any name what the search finds', async (t) => {
  let found = 0;
  let clear = 0;
  fc.assert(
    fc.property(
      fc.array(patient, { minLength: 1, maxLength: 5 }),
      fc.array(name, { minLength: 1, maxLength: 6 }),
      (patients, names) => {
        const index = new NameIndex();
        let terms = noTerms;
        const subjectCodes = new Set<string>();
        for (const one of patients) {
          const own = termsOf(one);
          index.add(own, one.code);
          terms = mergeTerms(terms, own);
          subjectCodes.add(one.code);
          // between the patients too, as the entries of a zip come
          for (const each of names) {
            const how = { subjectCodes: [...subjectCodes], madeBy: 'client' } as const;
            const wanted = kindsOf(findLeaksInName(each, terms, how));
            assert.deepEqual(kindsOf(index.find(each)), wanted, each);
            if (wanted.length > 0) found += 1;
            else clear += 1;
          }
        }
      },
    ),
    { numRuns: 300 },
  );
  t.ok(found > 200 && clear > 200, `${found} found, ${clear} clear`);
});

/** Made-up terms of so many patients. */
const crowd = (from: number, count: number): LeakTerms => ({
  ...noTerms,
  terms: new Map(
    Array.from({ length: count }, (_, i) => {
      const text = `person${from + i}`;
      return [
        text,
        { kind: 'name', text, inside: 'anywhere', isFullName: true, isWeak: false },
      ] as const;
    }),
  ),
});

void t.test('thousands of patients are looked up, and too many refuse every name', async (t) => {
  const index = new NameIndex();
  for (let n = 0; n < 100_000; n += 1000) index.add(crowd(n, 1000), `JI-${n}`);
  t.same(index.find('x/Person 77077_1.dcm'), [{ tag: 'name', kind: 'name' }]);
  t.same(index.find('JI-5000/series 1.dcm'), []);
  index.add(crowd(100_000, 100_001), 'JI-1');
  t.throws(() => index.find('series 1.dcm'), { code: 'DICOM_TOO_LARGE' });
});
