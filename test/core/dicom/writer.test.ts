// The writer's promise: what was not changed comes out as it was, and every reader understands the result.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test as Tap } from 'tap';
import type { DataSet, Element, Encoding } from '../../../src/core/dicom/dataset.ts';
import { isGroupLength } from '../../../src/core/dicom/dictionary.ts';
import {
  dataSetOf,
  find,
  textElement,
  uiElement,
  ulElement,
  usElement,
  valueText,
} from '../../../src/core/dicom/encode.ts';
import {
  implementationClassUID,
  writeBulkHeader,
  writeDataSet,
  writeHead,
} from '../../../src/core/dicom/writer.ts';
import {
  ctElements,
  ctSlice,
  dicomFile,
  el,
  sorted,
  syntaxes,
  type TestElement,
} from '../../support/dicom.ts';
import { missing } from '../../support/programs.ts';
import { outcome, plain, walkAll, whole, type Walked } from '../../support/walk.ts';
import { corpusFiles } from './corpus.ts';

const ids = { sopClassUID: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUID: '2.25.1234567' };

function rewrite({ head, header, bulks, trailer }: Walked): Buffer {
  const body = Buffer.concat([
    writeDataSet(header, head.encoding),
    ...bulks.flatMap(({ bulk, bytes }) => [writeBulkHeader(bulk, head.encoding), bytes]),
    writeDataSet(trailer, head.encoding),
  ]);
  const out = head.deflated ? deflateRawSync(body) : body;
  return Buffer.concat([writeHead(head, ids), out, Buffer.alloc(out.length % 2)]);
}

function textAt(dataset: DataSet, tag: number): string {
  const element = find(dataset, tag);
  return element?.kind === 'value' ? valueText(element.value) : '';
}

/** Without what may change: offsets, how a sequence came, group lengths. */
const essence = (dataset: DataSet): unknown =>
  plain(
    dataset.elements
      .filter((element) => !isGroupLength(element.tag))
      .map((element) =>
        element.kind === 'sequence'
          ? { tag: element.tag, items: element.items.map(essence) }
          : { ...element, offset: 0 },
      ),
  );

const sameFile = (t: Tap, before: Walked, after: Walked, name: string): void => {
  t.same(essence(after.header), essence(before.header), `${name}: header`);
  t.same(essence(after.trailer), essence(before.trailer), `${name}: trailer`);
  t.ok(
    before.bulks.every(({ bytes }, i) => after.bulks[i]?.bytes.equals(bytes)),
    `${name}: pixels bit for bit`,
  );
  t.equal(after.bulks.length, before.bulks.length, name);
  t.equal(after.head.transferSyntaxUID, before.head.transferSyntaxUID, name);
};

void t.test('what was read is written and read again as the same', async (t) => {
  for (const [name, transferSyntax] of Object.entries(syntaxes)) {
    const before = await walkAll(whole(ctSlice({ transferSyntax })));
    sameFile(t, before, await walkAll(whole(rewrite(before))), name);
  }
});

void t.test('a file of defined lengths comes out byte for byte, but for its head', async (t) => {
  for (const transferSyntax of [syntaxes.implicit, syntaxes.explicit, syntaxes.bigEndian]) {
    const file = ctSlice({ transferSyntax });
    const before = await walkAll(whole(file));
    const body = file.subarray(before.header.elements[0]!.offset);
    t.ok(rewrite(before).subarray(-body.length).equals(body), transferSyntax);
  }
});

void t.test('the head is made anew and carries nothing of the old one', async (t) => {
  const file = ctSlice({
    preamble: Buffer.alloc(128, 'LEAK'),
    meta: [
      el(0x00020013, 'SH', 'LEAKING 1.0'),
      el(0x00020016, 'AE', 'LEAKAET'),
      el(0x00020100, 'UI', '1.2.3.4'),
      el(0x00020102, 'OB', Buffer.from('LEAK')),
    ],
  });
  const out = rewrite(await walkAll(whole(file)));
  t.notOk(out.includes('LEAK'));
  t.equal(out.subarray(0, 132).toString('latin1'), `${'\0'.repeat(128)}DICM`);
  const { head } = await walkAll(whole(out));
  t.same(
    head.meta.elements.map(({ tag }) => tag),
    [0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013],
  );
  t.equal(textAt(head.meta, 0x00020003), ids.sopInstanceUID);
  t.equal(textAt(head.meta, 0x00020012), implementationClassUID);
  const [length] = head.meta.elements;
  const end = 132 + 12 + (length?.kind === 'value' ? Buffer.from(length.value).readUInt32LE() : 0);
  t.equal(out.readUInt32LE(end), 0x00080008, 'the group length leads to the dataset');
});

void t.test('group lengths go, sequences and items get exact lengths', async (t) => {
  const items = [[el(0x00080000, 'UL', 4711), el(0x00080100, 'SH', 'T-1')], []];
  const file = dicomFile({
    elements: sorted([
      ...ctElements(),
      el(0x00100000, 'UL', 99),
      el(0x00081032, 'SQ', { items }, { undefinedLength: true }),
    ]),
  });
  const out = rewrite(await walkAll(whole(file)));
  t.notOk(out.includes(Buffer.from('ffffffff', 'hex')));
  const expected = Buffer.from(
    '08003210 5351 0000 1c000000 feff00e0 0c000000 08000001 5348 0400 542d3120 feff00e0 00000000'.replaceAll(
      ' ',
      '',
    ),
    'hex',
  );
  t.ok(out.includes(expected));
});

void t.test('a sequence that came as UN is written as SQ in the file’s own encoding', async (t) => {
  const items = [
    [el(0x00080100, 'SH', 'T-1'), el(0x00091001, 'LO', 'private!'), el(0x00091010, 'LO', 'more')],
  ];
  const un = el(0x00081032, 'UN', { items }, { undefinedLength: true });
  const elements = sorted([...ctElements(), un]);
  for (const transferSyntax of [syntaxes.explicit, syntaxes.bigEndian]) {
    const before = await walkAll(whole(dicomFile({ transferSyntax, elements })));
    const after = await walkAll(whole(rewrite(before)));
    const found = after.header.elements.find(({ tag }) => tag === un.tag);
    t.match(found, {
      kind: 'sequence',
      vr: 'SQ',
      items: [{ elements: [{ vr: 'SH' }, { vr: 'UN' }, { vr: 'UN' }] }],
    });
    t.same(essence(after.header), essence(before.header));
  }
  const numbers = el(0x00081140, 'UN', { items: [[el(0x00280010, 'US', 512)]] });
  const big = await walkAll(
    whole(
      dicomFile({
        transferSyntax: syntaxes.bigEndian,
        elements: sorted([...ctElements(), numbers]),
      }),
    ),
  );
  t.throws(() => writeDataSet(big.header, big.head.encoding), { code: 'DICOM_MALFORMED' });
});

void t.test('a value too long for its VR is written as UN', async (t) => {
  const value = Buffer.alloc(70_000, 0x20);
  const dataset: DataSet = {
    elements: [{ kind: 'value', tag: 0x00204000, vr: 'LT', value, offset: -1 }],
  };
  const explicit: Encoding = { explicitVR: true, bigEndian: false };
  const { header } = await walkAll([
    ...whole(dicomFile({ elements: [el(0x00080016, 'UI', '1.2')] })),
    writeDataSet(dataset, explicit),
  ]);
  t.match(header.elements.at(-1), { vr: 'UN', value: { length: 70_000 } });
});

void t.test('encapsulated pixel data that came as UN goes out as OB', (t) => {
  const bulk = { tag: 0x7fe00010, vr: 'UN', length: undefined, offset: 0 } as const;
  const bytes = writeBulkHeader(bulk, { explicitVR: true, bigEndian: false });
  t.equal(Buffer.from(bytes).toString('hex'), 'e07f10004f420000ffffffff');
  t.end();
});

void t.test('a dataset that is out of order or of odd length is never written', (t) => {
  const explicit: Encoding = { explicitVR: true, bigEndian: false };
  const a = textElement(0x00100010, 'PN', 'A');
  const b = textElement(0x00100020, 'LO', 'B');
  const odd: Element = { ...a, value: Buffer.alloc(3) };
  t.throws(() => writeDataSet({ elements: [b, a] }, explicit), { code: 'INTERNAL' });
  t.throws(() => writeDataSet({ elements: [a, a] }, explicit), { code: 'INTERNAL' });
  t.throws(() => writeDataSet({ elements: [odd] }, explicit), { code: 'INTERNAL' });
  t.throws(() => textElement(0x00100010, 'PN', '王'), { code: 'INTERNAL' });
  t.end();
});

void t.test('made elements are padded as their VR wants it', (t) => {
  t.same(Buffer.from(uiElement(0x00080018, '1.2.3').value), Buffer.from('1.2.3\0'));
  t.same(Buffer.from(textElement(0x00100020, 'LO', 'abc').value), Buffer.from('abc '));
  const big: Encoding = { explicitVR: true, bigEndian: true };
  t.same(Buffer.from(usElement(0x00280010, [258], big).value), Buffer.from([1, 2]));
  t.same(Buffer.from(ulElement(0x00280010, [1], big).value), Buffer.from([0, 0, 0, 1]));
  t.equal(valueText(Buffer.from(' 1.2 \0')), '1.2');
  const dataset = dataSetOf([
    textElement(0x00100020, 'LO', 'b'),
    textElement(0x00080060, 'CS', 'CT'),
  ]);
  t.same(
    dataset.elements.map(({ tag }) => tag),
    [0x00080060, 0x00100020],
  );
  t.end();
});

// --- any dataset ---------------------------------------------------------------------------------------------

const text = fc.string({ maxLength: 12, unit: fc.constantFrom('A', 'b', '^', '\\', ' ', '7') });
const plainElement = fc.oneof(
  text.map((value) => el(0, 'LO', value)),
  fc.uint8Array({ maxLength: 10 }).map((v) => el(0, 'OB', v.length % 2 ? v.subarray(1) : v)),
  fc.array(fc.nat(0xffff), { maxLength: 4 }).map((values) => el(0, 'US', values)),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((v) => el(0, 'OV', v)),
);
const groups = fc.constantFrom(0x0009, 0x0011, 0x0029);
const anyTag = fc.tuple(groups, fc.integer({ min: 0x1001, max: 0x10ff }));
const { elements: anyElements } = fc.letrec<{ elements: TestElement[]; one: TestElement }>(
  (tie) => ({
    elements: fc
      .array(fc.tuple(anyTag, tie('one')), { maxLength: 6 })
      .map((rows) =>
        sorted(rows.map(([[group, element], one]) => ({ ...one, tag: group * 0x10000 + element }))),
      ),
    one: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      plainElement,
      fc
        .tuple(fc.array(tie('elements'), { maxLength: 3 }), fc.boolean())
        .map(([items, undefinedLength]) => el(0, 'SQ', { items }, { undefinedLength })),
    ),
  }),
);

void t.test('reading what was written gives the same dataset, for any dataset', async (t) => {
  const property = fc.asyncProperty(
    anyElements,
    fc.constantFrom(syntaxes.explicit, syntaxes.bigEndian, syntaxes.deflated),
    async (elements, transferSyntax) => {
      const all = sorted([el(0x00080016, 'UI', '1.2.3'), ...elements]);
      const before = await walkAll(whole(dicomFile({ transferSyntax, elements: all })));
      const out = rewrite(before);
      const after = await walkAll(whole(out));
      t.strictSame(essence(after.header), essence(before.header));
      t.ok(rewrite(after).equals(out), 'and writing again changes nothing');
    },
  );
  await fc.assert(property, { numRuns: 60 });
});

void t.test('a damaged file is refused, or comes out as a file that reads the same', async (t) => {
  const files = Object.values(syntaxes).map((transferSyntax) =>
    ctSlice({ transferSyntax, size: 4 }),
  );
  const property = fc.asyncProperty(
    fc.constantFrom(...files),
    fc.array(fc.tuple(fc.nat(1100), fc.nat(255)), { minLength: 1, maxLength: 3 }),
    fc.nat(3000),
    async (file, changes, at) => {
      const bytes = Buffer.from(file);
      for (const [place, value] of changes) if (place < bytes.length) bytes[place] = value;
      const got = await outcome(whole(bytes));
      t.equal(
        typeof (await outcome([bytes.subarray(0, at), bytes.subarray(at)])),
        typeof got,
        'fed in two pieces',
      );
      if (typeof got === 'string') return t.match(got, /^DICOM_/);
      const before = await walkAll(whole(bytes));
      const after = await walkAll(whole(rewrite(before)));
      return t.strictSame(essence(after.header), essence(before.header));
    },
  );
  await fc.assert(property, { numRuns: 150 });
});

// --- other programs ------------------------------------------------------------------------------------------

void t.test('dcmdump reads what was written', { skip: missing('dcmdump') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'clubhouse-dicom-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const files = [
    ...Object.entries(syntaxes).map(([name, transferSyntax]) => ({
      name,
      bytes: ctSlice({ transferSyntax }) as Uint8Array,
    })),
    ...corpusFiles().filter(({ expected }) => expected === 'deid'),
  ];
  const names: string[] = [];
  for (const [i, { name, bytes }] of files.entries()) {
    const before = await walkAll(whole(bytes));
    const out = rewrite(before);
    sameFile(t, before, await walkAll(whole(out)), name);
    names.push(join(folder, `${i}.dcm`));
    writeFileSync(names.at(-1) ?? '', out);
  }
  t.doesNotThrow(() =>
    execFileSync('dcmdump', ['-q', '-M', ...names], { stdio: ['ignore', 'ignore', 'pipe'] }),
  );
});
