// A name, an ID or a date under any VR, in attributes of every kind, the right VR among them: nothing of it may stay unseen. And what
// a VR that is not the attribute's own must not cost: the drifts that real files have.

import t from 'tap';
import { findLeaks } from '../../../src/core/deid/leak-check.ts';
import { collectTerms } from '../../../src/core/deid/leak-terms.ts';
import { createPolicy, isKeptBy } from '../../../src/core/deid/policy.ts';
import { safePrivateTable } from '../../../src/core/deid/safe-private-table.ts';
import { formatTag, type Element, type VR } from '../../../src/core/dicom/dataset.ts';
import { dictionaryTable } from '../../../src/core/dicom/dictionary-table.ts';
import { writeDataSet, writeHead } from '../../../src/core/dicom/writer.ts';
import { clean, profileOf, walked, type Cleaned } from '../../support/deid.ts';
import { ctElements, dicomFile, el, sorted, syntaxes } from '../../support/dicom.ts';
import type { TestElement } from '../../support/dicom.ts';

const yaml = 'extends: research-ct-mr\n';
const vrs =
  'AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SS ST SV TM UC UI UL UN UR US UT UV'
    .split(' ')
    .map((vr) => vr as VR);
const markers = {
  'a date of birth': '19490307',
  'a study date': '20230517',
  'an ID of digits': '7654321',
  'an ID': 'PAT77XK',
  'a given name': 'OTTILIE',
  'a family name': 'Brandauer',
  'a short name': 'Zoe',
};

const patient: readonly TestElement[] = [
  ...ctElements({ patientName: 'Brandauer^OTTILIE Zoe', patientID: '7654321' }).filter(
    ({ tag }) => ((tag >>> 16) & 1) === 0 && ![0x00100030, 0x00080020, 0x00080050].includes(tag),
  ),
  el(0x00100030, 'DA', '19490307'),
  el(0x00080020, 'DA', '20230517'),
  el(0x00080050, 'SH', 'PAT77XK'),
];
const file = (extra: readonly TestElement[]): Buffer =>
  dicomFile({ transferSyntax: syntaxes.explicit, elements: sorted([...patient, ...extra]) });

/** A few attributes of each VR of the dictionary that stay where their VR is right, and all that hold numbers only. */
function someTags(): readonly number[] {
  const policy = createPolicy(profileOf(yaml)).unconditional();
  const count = new Map<string, number>();
  const used = new Set([...patient.map(({ tag }) => tag), 0x00080005, 0x00041220]);
  return dictionaryTable.split('\n').flatMap((line) => {
    const [digits = '', , own = ''] = line.split(' ');
    const tag = Number.parseInt(digits, 16);
    const group = tag >>> 16;
    if (digits.includes('x') || group < 8 || group >= 0x7fe0 || used.has(tag)) return [];
    const vr = (own.split('/')[0] ?? '') as VR;
    const isKept = policy.decide({ tag, vr, creator: undefined, path: [] }).action.kind === 'keep';
    const number = (count.get(own) ?? 0) + 1;
    if (isKept) count.set(own, number);
    const isNumbers = group === 0x0066 || (group === 0x0028 && vr === 'OW') || group === 0x5400;
    return isKept && (number <= 4 || isNumbers) ? [tag] : [];
  });
}

/** The tags under which the marker is written and the leak check says nothing. */
async function unseen(cleaned: Cleaned, marker: string): Promise<readonly string[]> {
  const isKept = isKeptBy(createPolicy(profileOf(yaml)).unconditional());
  const terms = collectTerms((await walked(file([]))).header, { isKept });
  const own = new Set(patient.map(({ tag }) => tag));
  const left = cleaned.dataset.elements.filter(
    (element) =>
      element.kind === 'value' &&
      !own.has(element.tag) &&
      Buffer.from(element.value).includes(marker),
  );
  const { head } = cleaned.original;
  const found = (some: readonly Element[]): readonly string[] => {
    const written = writeDataSet({ elements: some }, head.encoding);
    const bytes = Buffer.concat([writeHead(head, cleaned), written]);
    return findLeaks(bytes, terms, { subjectCodes: ['JI-7K3M9'] }).map(({ tag }) => tag);
  };
  // the check tells twenty places at most
  const parts = Array.from({ length: Math.ceil(left.length / 20) }, (_, i) =>
    left.slice(20 * i, 20 * i + 20),
  );
  return parts.flatMap((part) => {
    const tags = new Set(found(part));
    return part.map(({ tag }) => formatTag(tag)).filter((tag) => !tags.has(tag));
  });
}

const value = (marker: string, vr: VR): Buffer => {
  const pad = marker.length % 2 === 0 ? '' : ['OB', 'OW', 'UI', 'UN'].includes(vr) ? '\0' : ' ';
  return Buffer.from(marker + pad);
};

void t.test('nothing stays unseen under any VR, standard attributes', async (t) => {
  const tags = someTags();
  t.ok(tags.length > 100, `${tags.length} attributes`);
  for (const vr of vrs) {
    for (const [name, marker] of Object.entries(markers)) {
      const cleaned = await clean(file(tags.map((tag) => el(tag, vr, value(marker, vr)))), yaml);
      t.same(await unseen(cleaned, marker), [], `${name} as ${vr}`);
    }
  }
});

void t.test('nothing stays unseen under any VR, safe private attributes', async (t) => {
  const rows = safePrivateTable.filter(([creator]) => creator === 'Philips MR Imaging DD 001');
  const other = safePrivateTable.filter(([creator]) => creator === 'GEMS_ACQU_01');
  for (const [blocks, title] of [
    [rows, 'Philips'],
    [other, 'GE'],
  ] as const) {
    const [creator = '', group = 0] = blocks[0] ?? [];
    const tags = [...new Set(blocks.map((row) => ((group << 16) | 0x1000 | row[2]) >>> 0))];
    const block = el(((group << 16) | 0x10) >>> 0, 'LO', creator);
    for (const vr of vrs) {
      for (const [name, marker] of Object.entries(markers)) {
        const some = tags.map((tag) => el(tag, vr, value(marker, vr)));
        const cleaned = await clean(file([block, ...some]), yaml);
        t.same(await unseen(cleaned, marker), [], `${name} as ${vr}, ${title}`);
      }
    }
  }
});

// --- one by one ----------------------------------------------------------------------------------------------

interface Drift {
  readonly name: string;
  readonly element: TestElement;
  /** VR and value as they are written; undefined where it goes. */
  readonly want: string | undefined;
}

const drifts: readonly Drift[] = [
  ['SH for LO', el(0x00080070, 'SH', 'Maker'), 'LO Maker '],
  ['LT for SH', el(0x00180024, 'LT', 'tse2d1'), 'SH tse2d1'],
  ['CS for LO', el(0x00080070, 'CS', 'MAKER'), 'LO MAKER '],
  ['LO for CS, a code', el(0x00180015, 'LO', 'CHEST'), 'CS CHEST '],
  ['LO for CS, no code', el(0x00180015, 'LO', 'chest, left'), undefined],
  ['IS for DS', el(0x00180050, 'IS', '5 '), 'DS 5 '],
  ['DS for IS, whole', el(0x00200013, 'DS', '12'), 'IS 12'],
  ['DS for IS, a fraction', el(0x00200013, 'DS', '1.5 '), undefined],
  ['SS for US', el(0x00280106, 'SS', [-5]), 'SS \xfb\xff'],
  ['OB for OW', el(0x00281201, 'OB', Buffer.from([1, 2])), 'OB \x01\x02'],
  ['DA for LO', el(0x00080070, 'DA', '19490307'), undefined],
  ['US for LO', el(0x00080070, 'US', [5]), undefined],
  ['LO for US', el(0x00280106, 'LO', '5 '), undefined],
  ['OB for LO', el(0x00080070, 'OB', Buffer.from('Maker ')), undefined],
  ['SQ for LO', el(0x00080070, 'SQ', { items: [] }), undefined],
  ['an order number that the table forgot', el(0x00402006, 'SH', 'ORDER1'), undefined],
  ['a remark that the table forgot', el(0x00400400, 'LT', 'ring her up'), undefined],
  ['a birth date in another calendar', el(0x00100033, 'LO', '1369'), undefined],
  ['a date as a number', el(0x00180050, 'DS', '19490307'), 'DS '],
  ['a date as numbers with strokes', el(0x00200013, 'IS', '1949-03-07'), 'IS '],
  ['a date in a UID', el(0x00081150, 'UI', '1.2.3.19490307.1'), 'UI 2.25'],
  ['a date that calls itself a UID', el(0x00081150, 'UI', '19490307'), 'UI '],
  ['a name in a code', el(0x00180015, 'CS', 'OTTILIE LEFT'), 'CS XXX LEFT'],
  ['an ID in a code', el(0x00180015, 'CS', 'PAT77XK'), 'CS XXX '],
  ['a date in a code', el(0x00180015, 'CS', 'CHEST_19490307'), 'CS '],
  ['a coordinate with many digits', el(0x00180050, 'DS', '1.19490307'), 'DS 1.19490307'],
].map(([name, element, want]) => ({ name, element, want }) as Drift);

for (const { name, element, want } of drifts) {
  void t.test(`a value of another VR, or what one may hold: ${name}`, async (t) => {
    const others = patient.filter(({ tag }) => tag !== element.tag);
    const bytes = dicomFile({
      transferSyntax: syntaxes.explicit,
      elements: sorted([...others, element]),
    });
    const { dataset } = await clean(bytes);
    const found = dataset.elements.find(({ tag }) => tag === element.tag);
    if (found?.kind !== 'value') return t.equal(undefined, want);
    const written = `${found.vr} ${Buffer.from(found.value).toString('latin1')}`;
    return t.equal(written.startsWith('UI 2.25') ? 'UI 2.25' : written, want);
  });
}

void t.test(
  'a name is one whatever its element is called, for the mask and for the check',
  async (t) => {
    for (const vr of ['UI', 'DA', 'CS', 'OB', 'UN', 'LO'] as const) {
      const others = patient.filter(({ tag }) => tag !== 0x00100010);
      const named = el(0x00100010, vr, Buffer.from('Winterberg^Ottokar'));
      const bytes = dicomFile({
        transferSyntax: syntaxes.explicit,
        elements: sorted([
          ...others,
          named,
          el(0x00181030, 'LO', 'x'),
          el(0x00080070, 'LO', 'by Winterberg'),
        ]),
      });
      const { dataset, original } = await clean(bytes);
      const maker = dataset.elements.find(({ tag }) => tag === 0x00080070);
      t.equal(maker?.kind === 'value' ? Buffer.from(maker.value).toString() : '', 'by XXX', vr);
      t.ok(collectTerms(original.header).terms.has('winterberg'), vr);
    }
  },
);
