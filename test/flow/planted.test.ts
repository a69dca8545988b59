// Plants a marker of its own in every attribute of PS3.15 Table E.1-1, at every kind of place and in several character
// sets, and around the data in names, comments and preambles; then nothing of any of them may be in what the receiver
// decrypts.

import t from 'tap';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import { decrypt, generateKey, readMessage, readPrivateKey } from 'openpgp';
import unzipper from 'unzipper';
import { encryptor } from '../../src/adapters/openpgp/encryptor.ts';
import { zips } from '../../src/adapters/zip/zips.ts';
import { confidentialityTable } from '../../src/core/deid/confidentiality-table.ts';
import { createPolicy, type FilePolicy } from '../../src/core/deid/policy.ts';
import { lookup } from '../../src/core/dicom/dictionary.ts';
import { processUpload } from '../../src/flow/process.ts';
import { profileOf } from '../support/deid.ts';
import { ctElements, dataSetBytes, dicomFile, el, padded, syntaxes } from '../support/dicom.ts';
import type { TestElement } from '../support/dicom.ts';
import { zipBytes, type MadeEntry } from '../support/zip.ts';

const folder = await mkdtemp(join(tmpdir(), 'ch-planted-'));
t.teardown(async () => rm(folder, { recursive: true, force: true }));
const key = await generateKey({ userIDs: [{ name: 'Receiver' }], format: 'armored' });
const privateKey = await readPrivateKey({ armoredKey: key.privateKey });

// --- the markers ---------------------------------------------------------------------------------------------

/** What must not come out: a text as bytes, and where it was planted. */
interface Planted {
  readonly where: string;
  readonly bytes: Buffer;
}

/** How a file writes its foreign letters. */
interface Script {
  readonly charset: string;
  readonly letters: string;
  readonly encode: (text: string) => Buffer;
}

/** Bytes of the characters that a decoder knows: Node has no encoders. */
function encoderOf(label: string, letters: string): (text: string) => Buffer {
  const decoder = new TextDecoder(label);
  const found = new Map<string, Buffer>();
  for (let a = 0x81; a <= 0xfe; a++) {
    for (let b = 0x40; b <= 0xfe; b++) {
      const char = decoder.decode(Uint8Array.of(a, b));
      if (letters.includes(char) && !found.has(char)) found.set(char, Buffer.from([a, b]));
    }
  }
  return (text) => Buffer.concat(Array.from(text, (char) => found.get(char) ?? Buffer.from(char)));
}

const chinese = '王李张刘陈杨赵黄周吴徐孙';
const japanese = '山田太郎花子鈴木佐藤高橋';
const korean = '김희중이박최정강조윤장임';
const eucJp = encoderOf('euc-jp', japanese);
const eucKr = encoderOf('euc-kr', korean);

const scripts: Readonly<Record<string, Script>> = {
  GB18030: { charset: 'GB18030', letters: chinese, encode: encoderOf('gb18030', chinese) },
  'UTF-8': { charset: 'ISO_IR 192', letters: chinese, encode: (text) => Buffer.from(text) },
  'ISO 2022 IR 87': {
    charset: '\\ISO 2022 IR 87',
    letters: japanese,
    encode: (text) =>
      Buffer.concat([
        Buffer.from('\x1b$B', 'latin1'),
        eucJp(text).map((byte) => byte & 0x7f),
        Buffer.from('\x1b(B', 'latin1'),
      ]),
  },
  'ISO 2022 IR 149': {
    charset: '\\ISO 2022 IR 149',
    letters: korean,
    encode: (text) => Buffer.concat([Buffer.from('\x1b$)C', 'latin1'), eucKr(text)]),
  },
  'GB18030 that calls itself Latin-1': {
    charset: 'ISO_IR 100',
    letters: chinese,
    encode: encoderOf('gb18030', chinese),
  },
};

const day = (number: number): string =>
  // every second day: a date that moves by an odd number of days does not become another marker
  new Date(Date.UTC(1901, 0, 2) + 2 * number * 86_400_000)
    .toISOString()
    .slice(0, 10)
    .replaceAll('-', '');

class Planter {
  readonly planted: Planted[] = [];
  readonly #script: Script;
  /** Dates move, times of day stay. */
  readonly #keepsTimes: boolean;
  #count = 0;

  constructor(script: Script, keepsTimes = false) {
    this.#script = script;
    this.#keepsTimes = keepsTimes;
  }

  /** A new text marker of eight letters. */
  text(where: string): string {
    const marker = `ZQ${(this.#count++).toString(36).toUpperCase().padStart(5, '0')}X`;
    this.planted.push({ where, bytes: Buffer.from(marker) });
    return marker;
  }

  /** An element of the VR with a marker of its own. */
  element(tag: number, vr: string, where: string): TestElement {
    const at = `${where} ${vr} ${tag.toString(16).padStart(8, '0')}`;
    const number = this.#count++;
    const plain = (value: string, searched = value): TestElement => {
      this.planted.push({ where: at, bytes: Buffer.from(searched) });
      return el(tag, vr, value);
    };
    switch (vr) {
      case 'UI':
        return plain(`1.2.826.0.77.${10_000 + number}.9`);
      case 'DA':
        return plain(day(number));
      case 'TM':
        if (this.#keepsTimes) return el(tag, vr, '112233');
        return plain(`112233.${100_000 + number}`);
      case 'DT':
        if (this.#keepsTimes) return plain(`${day(number)}112233`, day(number));
        this.planted.push({ where: at, bytes: Buffer.from(`112233.${100_000 + number}`) });
        return plain(`${day(number)}112233.${100_000 + number}+0800`, day(number));
      case 'IS':
      case 'DS':
        return plain(`7${10_000 + number}917`);
      case 'AS':
        return plain('087Y');
      case 'SQ':
        return el(tag, vr, { items: [this.#item(at)] });
      case 'LO':
      case 'LT':
      case 'PN':
      case 'SH':
      case 'ST':
      case 'UC':
      case 'UT':
        return el(tag, vr, this.#foreign(at, number, vr === 'PN'));
      default:
        return el(tag, vr, Buffer.from(this.text(at)));
    }
  }

  /** Only attributes that the table lists: of others it says nothing. */
  #item(at: string): TestElement[] {
    return [
      this.element(0x00080018, 'UI', at),
      this.element(0x00080050, 'SH', at),
      this.element(0x00100010, 'PN', at),
      this.element(0x00104000, 'LT', at),
    ];
  }

  #foreign(at: string, number: number, isName: boolean): Buffer {
    const { letters, encode } = this.#script;
    const digits = (number + 12 ** 3).toString(12).split('');
    const word = digits.map((digit) => letters.charAt(Number.parseInt(digit, 12))).join('');
    const bytes = encode(word);
    this.planted.push({ where: `${at} foreign`, bytes });
    const marker = Buffer.from(this.text(at));
    return padded(Buffer.concat([marker, Buffer.from(isName ? '^' : ' '), bytes]));
  }
}

// --- the files -----------------------------------------------------------------------------------------------

/** The tags of the table, two of each repeating group. */
const tags = confidentialityTable
  .map(([tag]) => tag)
  .filter((tag) => tag !== 'private')
  .flatMap((tag) => {
    if (!tag.includes('x')) return [tag];
    const [group, element] = [tag.slice(0, 2), tag.slice(4).replaceAll('x', '1')];
    return [`${group}00${element}`, `${group}1e${element}`];
  })
  .map((digits) => Number.parseInt(digits, 16));

/** Groups 0000 and 0002 are no part of a dataset; a document in the file holds it. */
const isPlantable = (tag: number): boolean => tag >>> 16 > 2 && tag !== 0x00420011;
const isLate = (tag: number): boolean => tag > 0x7fe00010;

const vrOf = (tag: number): string => {
  const vrs = lookup(tag)?.vrs ?? [];
  return vrs.includes('OW') ? 'OW' : (vrs[0] ?? 'LO');
};

interface Made {
  readonly file: Buffer;
  readonly planted: readonly Planted[];
}

/** Sequences that the profile leaves in place. */
const kept = [0x52009229, 0x00409096, 0x004008ea] as const;

function plantedFile(script: Script, syntax: string, policy: FilePolicy): Made {
  const planter = new Planter(script, policy.options.has('retain-longitudinal-modified-dates'));
  const isGone = (tag: number): boolean => {
    const vr = (lookup(tag)?.vrs[0] ?? 'LO') as 'LO';
    const { kind } = policy.decide({ tag, vr, creator: undefined, path: [] }).action;
    return kind !== 'keep' && kind !== 'clean';
  };
  const all = tags.filter((tag) => isPlantable(tag) && isGone(tag));
  const each = (where: string, some = all): TestElement[] =>
    [...new Set(some)].sort((a, b) => a - b).map((tag) => planter.element(tag, vrOf(tag), where));
  const early = all.filter((tag) => !isLate(tag));
  const deep = [...each('nested', early), el(0x00180050, 'DS', '2.5')];
  const third = el(kept[2], 'SQ', { items: [inOrder(deep)] });
  const second = el(kept[1], 'SQ', { items: [[third]] }, { undefinedLength: true });
  const inPrivate = inOrder(each('in a private sequence', early));
  const privates = [
    el(0x00090010, 'LO', planter.text('private creator')),
    el(0x00091001, 'LO', Buffer.from(planter.text('private LO'))),
    el(0x00091002, 'SQ', { items: [inPrivate] }),
    el(0x00091003, 'UN', Buffer.from(planter.text('private UN'))),
    el(0x00091004, 'UN', { items: [[el(0x00100010, 'PN', planter.text('private UN sequence'))]] }),
    el(0x00190010, 'LO', 'GEMS_ACQU_01'),
    el(0x001910f0, 'LO', planter.text('an unknown attribute of a safe creator')),
    el(0x00290001, 'LO', planter.text('no block')),
    el(0x00291001, 'OB', Buffer.from(planter.text('no creator'))),
  ];
  const own = ctElements({ charset: script.charset }).filter(({ tag }) => tag >>> 16 !== 9);
  const planted = new Set([...early, kept[0]]);
  const elements = inOrder([
    ...own.filter(({ tag }) => !planted.has(tag)),
    ...each('top', early),
    el(kept[0], 'SQ', { items: [[second]] }),
    ...privates,
  ]);
  const meta = [
    el(0x00020016, 'AE', planter.text('meta')),
    el(0x00020017, 'AE', planter.text('meta')),
    el(0x00020018, 'AE', planter.text('meta')),
    el(0x00020100, 'UI', '1.2.826.0.77.99.1'),
    el(0x00020102, 'OB', Buffer.from(planter.text('meta'))),
  ];
  const trailing = inOrder([
    el(0x7fe10010, 'LO', planter.text('behind the pixels')),
    el(0x7fe11001, 'LO', planter.text('behind the pixels')),
    ...each('behind the pixels', all.filter(isLate)),
  ]);
  const preamble = Buffer.alloc(128, ' ');
  preamble.write(planter.text('preamble'), 17);
  const file = dicomFile({
    transferSyntax: syntax,
    elements,
    meta,
    trailing,
    preamble,
    pixels: Buffer.alloc(512),
  });
  return { file, planted: [...planter.planted, { where: 'meta', bytes: Buffer.from('77.99.1') }] };
}

const inOrder = (elements: readonly TestElement[]): TestElement[] =>
  [...elements].sort((a, b) => a.tag - b.tag);

// --- the way through -----------------------------------------------------------------------------------------

let count = 0;
async function sent(bytes: Uint8Array, yaml: string, uploadName: string) {
  const base = join(folder, String(count++));
  await writeFile(`${base}.in`, bytes);
  const task = {
    jobId: 'j',
    projectId: 'p',
    kind: 'deidentify',
    source: `${base}.in`,
    output: `${base}.out`,
    scratch: `${base}.scratch`,
    profile: JSON.stringify(profileOf(yaml)),
    keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
    uploadKey: `m:${uploadName}`,
    uploadName,
    recipients: [key.publicKey],
    releases: [],
    limits: {
      headerBytes: 1 << 24,
      inflatedBytes: 1 << 28,
      inflateRatio: 1000,
      zipEntries: 100,
      zipDepth: 2,
    },
    closedByClient: true,
  } as const;
  const subject = { code: 'JI-7K3M9', dateOffsetDays: -35 };
  const crosswalk = { resolve: async () => ({ kind: 'subject', subject }) as const };
  const deps = { encryptor, crosswalk, zips };
  const outcome = await processUpload(task, deps, new AbortController().signal);
  if (outcome.kind !== 'sealed') throw new Error(`not sealed: ${JSON.stringify(outcome)}`);
  const sealed = await readFile(task.output);
  const message = await readMessage({ binaryMessage: new Uint8Array(sealed) });
  const { data } = await decrypt({ message, decryptionKeys: privateKey, format: 'binary' });
  return { outcome, sealed, plain: Buffer.from(data as Uint8Array) };
}

/** The dataset as it is read, without our own UIDs, whose digits are chance. */
function searchable(plain: Buffer, syntax: string): Buffer {
  const start = 132 + 12 + plain.readUInt32LE(140);
  const inflated =
    syntax === syntaxes.deflated
      ? Buffer.concat([plain.subarray(0, start), inflateRawSync(plain.subarray(start))])
      : plain;
  return Buffer.from(inflated.toString('latin1').replaceAll(/2\.25\.\d+/g, ''), 'latin1');
}

const remains = (bytes: Buffer, planted: readonly Planted[]): readonly string[] =>
  planted.filter((one) => isIn(bytes, one.bytes)).map(({ where }) => where);

/** Digits count only where a number begins: a date may be in the middle of a longer one by chance. */
function isIn(bytes: Buffer, marker: Buffer): boolean {
  for (let at = bytes.indexOf(marker); at >= 0; at = bytes.indexOf(marker, at + 1)) {
    if (!isDigit(marker[0]) || !isDigit(bytes[at - 1])) return true;
  }
  return false;
}

const isDigit = (byte: number | undefined): boolean =>
  byte !== undefined && byte >= 0x30 && byte <= 0x39;

const profiles: Readonly<Record<string, string>> = {
  basic: 'extends: basic\n',
  'research-ct-mr': 'extends: research-ct-mr\n',
  'with every option that cleans': `extends: basic
options: [clean-descriptors, clean-structured-content, clean-graphics, retain-safe-private, retain-longitudinal-modified-dates]
`,
};
const forms = [syntaxes.explicit, syntaxes.implicit, syntaxes.bigEndian, syntaxes.deflated];

for (const [profile, yaml] of Object.entries(profiles)) {
  void t.test(`no marker of the table is left, profile ${profile}`, async (t) => {
    const policy = createPolicy(profileOf(yaml)).unconditional();
    // the character sets do not hang on the profile
    const some = Object.entries(scripts).slice(0, profile === 'basic' ? 5 : 1);
    for (const [i, [name, script]] of some.entries()) {
      const syntax = forms[i % forms.length] ?? syntaxes.explicit;
      const { file, planted } = plantedFile(script, syntax, policy);
      t.ok(planted.length > 1000, `${planted.length} markers`);
      const input = searchable(file, syntax);
      t.strictSame(
        planted.filter(({ bytes }) => !input.includes(bytes)),
        [],
        'all of them are in the original',
      );
      const { outcome, sealed, plain } = await sent(file, yaml, 'x.dcm');
      const output = searchable(plain, syntax);
      t.strictSame(remains(output, planted), [], name);
      t.ok(output.includes('2.5 '), 'what stands beside them is still there');
      t.strictSame(remains(sealed, planted), []);
      t.strictSame(remains(Buffer.from(JSON.stringify(outcome)), planted), [], 'in the report');
    }
  });
}

void t.test('nothing of the names, comments and fields around the data is left', async (t) => {
  const policy = createPolicy(profileOf('extends: basic\n')).unconditional();
  const { file, planted } = plantedFile(scripts['GB18030'] as Script, syntaxes.explicit, policy);
  const around = new Planter(scripts['GB18030'] as Script);
  const name = (where: string): string => around.text(where);
  const entry = (n: number): MadeEntry => ({
    name: `${name('folder')}/${name('entry')}_${n}.${name('extension')}`,
    content: file,
    comment: name('entry comment'),
    unicodePath: `${name('Unicode path')}.dcm`,
  });
  const inner = zipBytes([entry(1)], { comment: name('inner comment') });
  const zip = zipBytes(
    [
      entry(2),
      { ...entry(3), method: 0 },
      { name: `${name('inner name')}.zip`, content: inner },
      { name: `notes.${name('extension of a note').slice(0, 8)}`, content: 'a note' },
    ],
    { comment: name('zip comment') },
  );
  const all = [...planted, ...around.planted];
  const folded = [...all, ...all.map((one) => ({ ...one, bytes: lower(one.bytes) }))];
  for (const [bytes, upload] of [
    [file, `${name('upload folder')}/${name('upload')}.dcm`],
    [zip, `${name('upload folder')}/${name('upload')}.zip`],
  ] as const) {
    const { outcome, sealed, plain } = await sent(
      bytes,
      'extends: basic\notherFiles: encrypt\n',
      upload,
    );
    t.strictSame(remains(sealed, folded), []);
    t.strictSame(remains(Buffer.from(outcome.name), folded), [], 'in the published name');
    t.strictSame(remains(Buffer.from(JSON.stringify(outcome.report)), folded), [], 'in the report');
    if (bytes === file) continue;
    t.strictSame(remains(plain, [...around.planted]), [], 'in the zip itself');
    const { files } = await unzipper.Open.buffer(plain);
    t.equal(files.length, 4);
    for (const one of files) {
      t.strictSame(remains(Buffer.from(one.path), folded), [], 'in the name of an entry');
      t.strictSame(remains(readable(await one.buffer()), planted), [], 'in an entry');
    }
  }
});

const lower = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('latin1').toLowerCase());
const readable = (plain: Buffer): Buffer =>
  plain.length > 200 ? searchable(plain, syntaxes.explicit) : plain;

void t.test('a sequence in UN of defined length is opened at any depth, or goes', async (t) => {
  const marker = 'ZQHIDDEN';
  const inner = dataSetBytes(
    [
      el(0x00080050, 'SH', marker),
      el(0x00081140, 'SQ', { items: [[el(0x00100010, 'PN', marker)]] }),
    ],
    { explicit: false, big: false },
  );
  const item = Buffer.concat([Buffer.from([0xfe, 0xff, 0, 0xe0]), Buffer.alloc(4), inner]);
  item.writeUInt32LE(inner.length, 4);
  for (const value of [item, Buffer.concat([item, Buffer.from('PK')])]) {
    const file = dicomFile({
      elements: inOrder([...ctElements(), el(kept[0], 'UN', value)]),
      pixels: Buffer.alloc(512),
    });
    const { plain } = await sent(file, 'extends: basic\n', 'x.dcm');
    t.notOk(plain.includes(marker));
  }
});
