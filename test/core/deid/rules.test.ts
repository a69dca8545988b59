// Vectors of single rules and traps of the de-identification: what goes in, under which profile, what must come of it.

import t from 'tap';
import {
  ctSlice,
  dataSetBytes,
  el,
  gb18030,
  padded,
  syntaxes,
  type TestElement,
} from '../../support/dicom.ts';
import { clean } from '../../support/deid.ts';
import type { DataSet, Element } from '../../../src/core/dicom/dataset.ts';

/** The elements of a path of tags, through first items. */
function at(dataset: DataSet | undefined, ...path: readonly number[]): Element | undefined {
  const [tag, ...rest] = path;
  const element = dataset?.elements.find((one) => one.tag === tag);
  if (rest.length === 0) return element;
  return element?.kind === 'sequence' ? at(element.items[0], ...rest) : undefined;
}

const text = (element: Element | undefined): string | undefined =>
  element?.kind === 'value' ? Buffer.from(element.value).toString('latin1').trim() : undefined;

// --- private sequences ---------------------------------------------------------------------------------------

const safe = 'extends: basic\noptions: [retain-safe-private]';
const philips = 'Philips Imaging DD 001';

/** What a Philips scanner puts into its stack sequence, with a name where somebody wrote one. */
const stack: readonly TestElement[] = [
  el(0x00100010, 'PN', 'ZQMARKER^ANNA'),
  el(0x00180050, 'DS', '2.5'),
  el(0x20010010, 'LO', philips),
  el(0x2001102d, 'SS', [12]), // safe
  el(0x200110ff, 'LO', 'ZQMARKER'), // not on the list
];

const item = (body: Buffer): Buffer => {
  const head = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
  head.writeUInt32LE(body.length, 4);
  return Buffer.concat([head, body]);
};
const implicit = item(dataSetBytes(stack, { explicit: false, big: false }));
const explicit = item(dataSetBytes(stack, { explicit: true, big: false }));

const forms: readonly {
  name: string;
  syntax: string;
  sequence: TestElement;
  want: 'cleaned' | 'gone';
}[] = [
  {
    name: 'explicit SQ',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'SQ', { items: [stack] }),
    want: 'cleaned',
  },
  {
    name: 'implicit, of defined length',
    syntax: syntaxes.implicit,
    sequence: el(0x2001105f, 'SQ', { items: [stack] }),
    want: 'cleaned',
  },
  {
    name: 'implicit, of undefined length',
    syntax: syntaxes.implicit,
    sequence: el(0x2001105f, 'SQ', { items: [stack] }, { undefinedLength: true }),
    want: 'cleaned',
  },
  {
    name: 'UN of undefined length',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'UN', { items: [stack] }, { undefinedLength: true }),
    want: 'cleaned',
  },
  {
    name: 'UN of defined length',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'UN', implicit),
    want: 'cleaned',
  },
  {
    name: 'UN with explicit items, which the standard does not allow',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'UN', explicit),
    want: 'gone',
  },
  {
    name: 'UN with bytes behind the last item',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'UN', Buffer.concat([implicit, Buffer.from('ZQ')])),
    want: 'gone',
  },
  {
    name: 'UN that is no sequence at all',
    syntax: syntaxes.explicit,
    sequence: el(0x2001105f, 'UN', Buffer.from('ZQMARKER^ANNA ')),
    want: 'gone',
  },
];

for (const { name, syntax, sequence, want } of forms) {
  void t.test(`a safe private sequence is opened and cleaned, or goes: ${name}`, async (t) => {
    const file = ctSlice({
      transferSyntax: syntax,
      extra: [el(0x20010010, 'LO', philips), sequence],
    });
    t.ok(file.includes('ZQ'));
    const { dataset, bytes } = await clean(file, safe);
    t.notOk(bytes.includes('ZQ'), 'nothing of what was planted is left');
    if (want === 'gone') {
      t.equal(at(dataset, 0x2001105f), undefined);
      t.equal(at(dataset, 0x20010010), undefined, 'and its creator with it');
      return;
    }
    t.equal(text(at(dataset, 0x2001105f, 0x00180050)), '2.5', 'what identifies nobody stays');
    t.ok(at(dataset, 0x2001105f, 0x2001102d), 'also what is safe in it');
    t.equal(text(at(dataset, 0x2001105f, 0x20010010)), philips, 'with its creator');
    t.equal(text(at(dataset, 0x2001105f, 0x00100010)), 'JI-7K3M9');
  });
}

void t.test('a rule that keeps a private attribute does not keep what hides in it', async (t) => {
  const rules = 'rules: [{ creator: ACME, tag: "(0029,xx10)", action: keep }]';
  for (const [value, isLeft] of [
    [implicit, true],
    [Buffer.concat([implicit, Buffer.from('ZQ')]), false],
    [Buffer.from('12 bytes of x'.slice(0, 12)), true],
  ] as const) {
    const file = ctSlice({ extra: [el(0x00290010, 'LO', 'ACME'), el(0x00291010, 'UN', value)] });
    const { dataset, bytes } = await clean(file, `extends: basic\n${rules}`);
    t.equal(at(dataset, 0x00291010) !== undefined, isLeft);
    t.notOk(bytes.includes('ZQMARKER'));
  }
});

// --- conformance ---------------------------------------------------------------------------------------------

void t.test(
  'an empty sequence does not take the place of one that must have an item',
  async (t) => {
    const study = el(0x00081110, 'SQ', { items: [[el(0x00081155, 'UI', '1.2.3.4.5.6')]] });
    const nested = el(0x0040a370, 'SQ', { items: [[study, el(0x0020000d, 'UI', '1.2.3.4.5')]] });
    const { dataset } = await clean(ctSlice({ extra: [study, nested] }));
    t.equal(at(dataset, 0x00081110), undefined, 'at the top level it is optional');
    t.match(
      at(dataset, 0x0040a370, 0x00081110),
      { kind: 'sequence', items: [] },
      'there it is not',
    );
  },
);

void t.test('UIDs that the table gives a dummy stay apart from each other', async (t) => {
  const groups = ['1.2.3.4.1', '1.2.3.4.2'].map((uid) => [el(0x006a0003, 'UI', uid)]);
  const { dataset } = await clean(ctSlice({ extra: [el(0x006a0002, 'SQ', { items: groups })] }));
  const sequence = at(dataset, 0x006a0002);
  const uids =
    sequence?.kind === 'sequence' ? sequence.items.map((one) => text(at(one, 0x006a0003))) : [];
  t.equal(new Set(uids).size, 2);
  for (const uid of uids) t.match(uid, /^2\.25\.\d{30,}/);
});

// --- time ----------------------------------------------------------------------------------------------------

const zones: readonly [value: string, want: string | undefined][] = [
  ['+0800', '+0800'],
  ['-0500', '-0500'],
  ['+0530', '+0530'],
  ['+9900', undefined],
  ['Peking', undefined],
];
for (const [value, want] of zones) {
  void t.test(
    `the zone ${value} of moved dates ${want === undefined ? 'goes' : 'stays'}`,
    async (t) => {
      const file = ctSlice({ extra: [el(0x00080201, 'SH', value)] });
      const modified = 'options: [retain-longitudinal-modified-dates]';
      t.equal(text(at((await clean(file, modified)).dataset, 0x00080201)), want);
      t.equal(
        at((await clean(file)).dataset, 0x00080201),
        undefined,
        'under the Basic Profile it goes',
      );
    },
  );
}

// --- words ---------------------------------------------------------------------------------------------------

const escaped = (text: string): Buffer =>
  Buffer.concat([Buffer.from('\x1b$)A', 'latin1'), gb18030(text).subarray(0, 2 * text.length)]);

const chinese: readonly {
  name: string;
  charset: string | undefined;
  encode: (text: string) => Buffer;
  want: 'Chinese' | 'masked';
}[] = [
  { name: 'GB18030', charset: 'GB18030', encode: gb18030, want: 'Chinese' },
  { name: 'GBK', charset: 'GBK', encode: gb18030, want: 'Chinese' },
  { name: 'UTF-8', charset: 'ISO_IR 192', encode: (text) => Buffer.from(text), want: 'Chinese' },
  { name: 'ISO 2022 IR 58', charset: '\\ISO 2022 IR 58', encode: escaped, want: 'Chinese' },
  { name: 'GBK that calls itself Latin-1', charset: 'ISO_IR 100', encode: gb18030, want: 'masked' },
  { name: 'no character set at all', charset: undefined, encode: gb18030, want: 'masked' },
];
for (const { name, charset, encode, want } of chinese) {
  void t.test(`Chinese words of the clinic stay in a descriptor: ${name}`, async (t) => {
    const description = (text: string): Promise<Element | undefined> =>
      clean(
        ctSlice({
          ...(charset === undefined ? {} : { charset }),
          extra: [el(0x0008103e, 'LO', padded(encode(text)))],
        }),
        'options: [clean-descriptors]',
      ).then(({ dataset }) => at(dataset, 0x0008103e));
    const bytes = (element: Element | undefined): string =>
      element?.kind === 'value' ? Buffer.from(element.value).toString('hex') : '';
    if (want === 'masked') {
      t.equal(await description('头颅平扫'), undefined);
      return;
    }
    t.equal(bytes(await description('头颅平扫')), padded(encode('头颅平扫')).toString('hex'));
    const expected = padded(Buffer.concat([Buffer.from('XXX'), encode('头颅平扫')]));
    t.equal(bytes(await description('王小东头颅平扫')), expected.toString('hex'));
  });
}

void t.test('a descriptor without a word stays without a word', async (t) => {
  const { dataset } = await clean(
    ctSlice({ extra: [el(0x0008103e, 'LO', '')] }),
    'options: [clean-descriptors]',
  );
  t.equal(text(at(dataset, 0x0008103e)), '');
});

// --- text in pixels ------------------------------------------------------------------------------------------

const screenshot = ctSlice({ modality: 'OT', sopClass: '1.2.840.10008.5.1.4.1.1.7' });
const scan = ctSlice();
const pixelRules: readonly (readonly [file: Buffer, when: string, action: string, want: string])[] =
  [
    [screenshot, 'SOPClassUID = 1.2.840.10008.5.1.4.1.1.7', 'keep', 'passes'],
    [screenshot, 'SOPClassUID = 1.2.840.10008.5.1.4.1.1.2', 'keep', 'burned-in'],
    [screenshot, 'Manufacturer = "Example Imaging" and Modality = OT', 'keep', 'passes'],
    [screenshot, 'ManufacturerModelName exists', 'keep', 'burned-in'],
    [screenshot, 'Modality = US', 'keep', 'burned-in'],
    [scan, 'Manufacturer contains example', 'hold', 'rule'],
    [scan, 'StationName = CT07', 'hold', 'passes'],
  ];
for (const [file, when, action, want] of pixelRules) {
  void t.test(`pixels are given to "${action}" when ${when}: ${want}`, async (t) => {
    const rule = JSON.stringify({ tag: 'PixelData', action, when });
    const { image } = await clean(file, `extends: basic\nrules: [${rule}]`);
    t.equal(image?.reason ?? 'passes', want);
  });
}
