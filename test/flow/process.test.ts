// The whole processing of one upload with its real parts: walker, de-identification, leak check, zip, OpenPGP. Every
// refusal is followed by a look at the disk.

import t, { type Test } from 'tap';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { inflateRawSync } from 'node:zlib';
import archiver from 'archiver';
import { decrypt, generateKey, readMessage, readPrivateKey } from 'openpgp';
import unzipper from 'unzipper';
import { encryptor } from '../../src/adapters/openpgp/encryptor.ts';
import { createWorkerPool } from '../../src/adapters/worker-pool/pool.ts';
import { zips } from '../../src/adapters/zip/zips.ts';
import { compileProfile } from '../../src/core/deid/profile.ts';
import { AppError } from '../../src/core/errors.ts';
import { processUpload, type ProcessDeps } from '../../src/flow/process.ts';
import type { Crosswalk, ProcessTask, SubjectIdentity } from '../../src/flow/ports/processing.ts';
import { ctSlice, dicomFile, ctElements, el, gb18030, syntaxes } from '../support/dicom.ts';

const run = promisify(execFile);
const never = new AbortController().signal;
const folder = await mkdtemp(join(tmpdir(), 'ch-process-'));
t.teardown(async () => rm(folder, { recursive: true, force: true }));
const key = await generateKey({ userIDs: [{ name: 'Receiver' }], format: 'armored' });
const privateKey = await readPrivateKey({ armoredKey: key.privateKey });

const seen: SubjectIdentity[] = [];
const codes = new Map<string, string>();
const crosswalk: Crosswalk = {
  resolve: async (_project, identity) => {
    seen.push(identity);
    if (identity.patientID === 'CONFLICT') return { kind: 'held', reason: 'subject-conflict' };
    const code = codes.get(identity.key) ?? `JI-CODE${codes.size}`;
    codes.set(identity.key, code);
    return { kind: 'subject', subject: { code, dateOffsetDays: -14 } };
  },
};
const deps: ProcessDeps = { encryptor, crosswalk, zips };
const secret = (byte: string): string => byte.repeat(32);
const profileOf = (yaml: string): string =>
  JSON.stringify(compileProfile(yaml, 'test', () => undefined));

let count = 0;
async function taskOf(bytes: Uint8Array, more: Partial<ProcessTask> = {}): Promise<ProcessTask> {
  count += 1;
  const base = join(folder, String(count));
  await writeFile(`${base}.in`, bytes);
  return {
    jobId: String(count),
    projectId: 'p',
    kind: 'deidentify',
    source: `${base}.in`,
    output: `${base}.out`,
    scratch: `${base}.scratch`,
    profile: profileOf('extends: basic\n'),
    keys: { uid: secret('a1'), name: secret('b2'), identity: secret('c3') },
    uploadKey: 'm1:series/Anna Test 1.dcm',
    uploadName: 'series/Anna Test 1.dcm',
    recipients: [key.publicKey],
    releases: [],
    limits: {
      headerBytes: 1_000_000,
      inflatedBytes: 50_000_000,
      inflateRatio: 200,
      zipEntries: 1000,
      zipDepth: 3,
    },
    closedByClient: true,
    ...more,
  };
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function opened(task: ProcessTask): Promise<Buffer> {
  const message = await readMessage({ binaryMessage: new Uint8Array(await readFile(task.output)) });
  const { data } = await decrypt({ message, decryptionKeys: privateKey, format: 'binary' });
  return Buffer.from(data as Uint8Array);
}

function mustBeClean(t: Test, task: ProcessTask): void {
  t.notOk(existsSync(task.output), 'no output is on the disk');
  t.notOk(existsSync(task.scratch), 'no scratch folder is on the disk');
}

async function sealed(t: Test, bytes: Uint8Array, more: Partial<ProcessTask> = {}) {
  const task = await taskOf(bytes, more);
  const outcome = await processUpload(task, deps, never);
  if (outcome.kind !== 'sealed') throw new Error(`not sealed: ${JSON.stringify(outcome)}`);
  const file = await readFile(task.output);
  t.equal(outcome.sha256, sha256(file));
  t.equal(outcome.sizeBytes, file.length);
  t.equal(outcome.sourceSha256, sha256(bytes));
  t.notOk(existsSync(task.scratch));
  return { outcome, plain: await opened(task), task };
}

interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly store?: boolean;
}

async function zipOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = archiver('zip', { comment: 'Zip of Anna Test' });
  for (const { name, bytes, store } of entries) {
    archive.append(Buffer.from(bytes), { name, store: store ?? false });
  }
  const chunks: Buffer[] = [];
  archive.on('data', (chunk: Buffer) => chunks.push(chunk));
  await archive.finalize();
  return Buffer.concat(chunks);
}

const remains = /TEST|ANNA|Anna|MRN0012345|ACC778899|19610704|ROSA|Peking/;
const text = Buffer.from('just a note, nothing else');

void t.test('DICOM of each encoding comes out clean, with its pixels bit for bit', async (t) => {
  for (const [name, transferSyntax] of Object.entries(syntaxes)) {
    const pixels = Buffer.from(Array.from({ length: 512 }, (_, n) => (n * 31) & 0xff));
    const isNative = ['implicit', 'explicit', 'bigEndian', 'deflated'].includes(name);
    const file = ctSlice({
      transferSyntax,
      pixels: isNative ? pixels : { fragments: [Buffer.alloc(4), pixels] },
      trailing: [el(0xfffcfffc, 'OB', Buffer.from('Anna'))],
    });
    const { outcome, plain } = await sealed(t, file);
    t.match(outcome.name, /^JI-CODE0\/CT_1_1_[a-z2-7]{10}\.dcm\.gpg$/, name);
    t.match(outcome.report, { files: 1, dicomFiles: 1, subjects: ['JI-CODE0'] });
    const meta = 132 + 12 + plain.readUInt32LE(140);
    const dataset =
      name === 'deflated' ? inflateRawSync(plain.subarray(meta)) : plain.subarray(meta);
    t.ok(dataset.includes(pixels), `${name}: pixels`);
    t.notMatch(plain.subarray(0, meta).toString('latin1'), remains);
    t.notMatch(dataset.toString('latin1').replaceAll('JI-CODE0', ''), remains, `${name}: text`);
    t.equal(plain.length % 2, 0);
    const path = join(folder, 'dump.dcm');
    await writeFile(path, plain);
    t.match(
      (await run('dcmdump', [path]).catch(() => ({ stdout: 'JI-CODE0' }))).stdout,
      /JI-CODE0/,
    );
  }
});

void t.test('a file without preamble and file meta gets both', async (t) => {
  const { plain } = await sealed(t, ctSlice({ preamble: false }));
  t.equal(plain.subarray(128, 132).toString(), 'DICM');
  t.notMatch(plain.toString('latin1'), remains);
});

void t.test(
  'the same patient gets the same code whatever the spelling, another one another',
  async (t) => {
    const chinese = gb18030('王^小东');
    const one = await sealed(t, ctSlice({ patientID: 'SAME1234' }));
    const two = await sealed(
      t,
      ctSlice({ patientID: 'SAME1234', patientName: chinese, charset: 'GB18030' }),
    );
    const other = await sealed(t, ctSlice({ patientID: 'OTHER999' }));
    t.strictSame(one.outcome.report.subjects, two.outcome.report.subjects);
    t.notSame(one.outcome.report.subjects, other.outcome.report.subjects);
    t.notOk(two.plain.includes(chinese));
    t.match(seen.at(-2)?.patientName, '王^小东');
  },
);

const broken = (): Buffer => {
  const file = Buffer.from(ctSlice());
  file.writeUInt16LE(0x0009, file.indexOf(Buffer.from('CT THORAX')) - 8); // tags out of order
  return file;
};
const dicomdir = ctSlice({
  sopClass: '1.2.840.10008.1.3.10',
  extra: [el(0x00041220, 'SQ', { items: [] })],
});
const ultrasound = ctSlice({ modality: 'US', sopClass: '1.2.840.10008.5.1.4.1.1.6.1' });
const prefixed = async (): Promise<Buffer> =>
  Buffer.concat([Buffer.from('MZ a program'), await zipOf([{ name: 'a', bytes: ctSlice() }])]);
const wrongCrc = async (): Promise<Buffer> => {
  const zip = await zipOf([{ name: 'a.dcm', bytes: ctSlice(), store: true }]);
  zip[zip.indexOf('CT THORAX')] = 0x58;
  return zip;
};

const foreign = Buffer.concat([Buffer.from('\0\x08scan.dcm'.padEnd(128, '\0')), ctSlice()]);
const planted = ctSlice({
  patientName: 'WINTERBERG^JOHANNA',
  extra: [el(0x00204000, 'LT', 'seen with Johanna Winterberg')],
});
const keepsComments = profileOf(
  'extends: basic\nrules:\n  - { tag: ImageComments, action: keep }\n',
);

const refusals: readonly {
  name: string;
  bytes: Uint8Array | (() => Promise<Uint8Array> | Uint8Array);
  outcome: object;
  more?: Partial<ProcessTask>;
}[] = [
  { name: 'ultrasound', bytes: ultrasound, outcome: { kind: 'held', reason: 'burned-in' } },
  {
    name: 'no patient ID',
    bytes: ctSlice({ patientID: 'UNKNOWN' }),
    outcome: { kind: 'held', reason: 'no-patient-id' },
  },
  {
    name: 'a conflict in the crosswalk',
    bytes: ctSlice({ patientID: 'CONFLICT' }),
    outcome: { kind: 'held', reason: 'subject-conflict' },
  },
  {
    name: 'a rule',
    bytes: ctSlice(),
    more: { profile: profileOf('extends: basic\nrules:\n  - { tag: StudyID, action: hold }\n') },
    outcome: { kind: 'held', reason: 'rule', detail: '(0020,0010)' },
  },
  {
    name: 'a rule on what follows the pixels',
    bytes: ctSlice({ trailing: [el(0xfffcfffc, 'OB', Buffer.from('trailing'))] }),
    more: {
      profile: profileOf('extends: basic\nrules:\n  - { tag: "(FFFC,FFFC)", action: hold }\n'),
    },
    outcome: { kind: 'held', reason: 'rule', detail: '(FFFC,FFFC)' },
  },
  {
    name: 'a name in a comment that the project keeps',
    bytes: planted,
    more: { profile: keepsComments },
    outcome: { kind: 'held', reason: 'leak-check', detail: '(0020,4000), name' },
  },
  {
    name: 'a zip with a name in a comment that the project keeps',
    bytes: async () => zipOf([{ name: 'a', bytes: planted }]),
    more: { profile: keepsComments },
    outcome: { kind: 'held', reason: 'zip-nothing-left', exclusions: [{ reason: 'leak-check' }] },
  },
  {
    name: 'a file whose own name is kept and names the patient',
    bytes: ctSlice({ patientName: 'WINTERBERG^JOHANNA' }),
    more: {
      uploadName: 'series/Johanna Winterberg.dcm',
      profile: profileOf('extends: basic\nnames: keep\n'),
    },
    outcome: { kind: 'held', reason: 'leak-check', detail: 'name, name' },
  },
  {
    name: 'a zip with a kept name of a patient whose file comes later',
    bytes: async () =>
      zipOf([
        { name: 'Winterberg Johanna/1.dcm', bytes: ctSlice({ patientName: 'OTHER^PERSON' }) },
        { name: 'x/2.dcm', bytes: ctSlice({ patientName: 'WINTERBERG^JOHANNA' }) },
      ]),
    more: { uploadName: 'x.zip', profile: profileOf('extends: basic\nnames: keep\n') },
    outcome: { kind: 'held', reason: 'leak-check', detail: 'name, name' },
  },
  { name: 'broken DICOM', bytes: broken, outcome: { kind: 'held', reason: 'not-parseable' } },
  {
    name: 'an unknown transfer syntax',
    bytes: () => dicomFile({ transferSyntax: '1.2.3.4', elements: ctElements() }),
    outcome: { kind: 'held', reason: 'unsupported' },
  },
  {
    name: 'a huge header',
    bytes: ctSlice({ extra: [el(0x00204000, 'LT', 'x'.repeat(4000))] }),
    more: {
      limits: {
        headerBytes: 2000,
        inflatedBytes: 1e6,
        inflateRatio: 10,
        zipEntries: 9,
        zipDepth: 2,
      },
    },
    outcome: { kind: 'held', reason: 'too-large' },
  },
  { name: 'a DICOMDIR', bytes: dicomdir, outcome: { kind: 'held', reason: 'dicomdir' } },
  {
    name: 'a document in DICOM',
    bytes: ctSlice({ sopClass: '1.2.840.10008.5.1.4.1.1.104.1', modality: 'DOC' }),
    outcome: { kind: 'held', reason: 'encapsulated-document' },
  },
  {
    name: 'DICOM behind a foreign header, where other files pass',
    bytes: foreign,
    more: { profile: profileOf('extends: basic\notherFiles: encrypt\n') },
    outcome: { kind: 'held', reason: 'not-parseable' },
  },
  {
    name: 'the same in a zip',
    bytes: async () => zipOf([{ name: 'a.bin', bytes: foreign }]),
    more: { profile: profileOf('extends: basic\notherFiles: encrypt\n') },
    outcome: { reason: 'zip-nothing-left', exclusions: [{ reason: 'not-parseable' }] },
  },
  { name: 'a text named .dcm', bytes: text, outcome: { kind: 'held', reason: 'other-file' } },
  {
    name: 'a text, where others are dropped',
    bytes: text,
    more: { profile: profileOf('extends: basic\notherFiles: drop\n') },
    outcome: { kind: 'held', reason: 'other-file' },
  },
  {
    name: 'a zip of texts',
    bytes: async () => zipOf([{ name: 'Anna.txt', bytes: text }]),
    outcome: {
      kind: 'held',
      reason: 'zip-nothing-left',
      exclusions: [{ index: 0, name: 'Anna.txt', reason: 'other-file' }],
    },
  },
  {
    name: 'a zip with an exclusion, all or nothing',
    bytes: async () =>
      zipOf([
        { name: 'a', bytes: ctSlice() },
        { name: 'b', bytes: text },
        { name: 'c', bytes: ultrasound },
      ]),
    more: { profile: profileOf('extends: basic\nonExclusion: all-or-nothing\n') },
    outcome: {
      kind: 'held',
      reason: 'zip-exclusions',
      exclusions: [
        { index: 1, name: 'b', reason: 'other-file' },
        { index: 2, name: 'c', reason: 'burned-in', detail: '(0008,0016)' },
      ],
    },
  },
  { name: 'a zip with a wrong CRC', bytes: wrongCrc, outcome: { kind: 'held', reason: 'zip-crc' } },
  {
    name: 'a zip behind a program',
    bytes: prefixed,
    outcome: { kind: 'held', reason: 'zip-broken' },
  },
  { name: 'an empty file', bytes: Buffer.alloc(0), outcome: { kind: 'partial', reason: 'empty' } },
  {
    name: 'half a preamble',
    bytes: Buffer.alloc(100),
    outcome: { kind: 'partial', reason: 'truncated' },
  },
  {
    name: 'a text that the client did not close',
    bytes: text,
    more: { closedByClient: false, profile: profileOf('extends: basic\notherFiles: encrypt\n') },
    outcome: { kind: 'partial', reason: 'disconnected' },
  },
  {
    name: 'a cut ultrasound file: first it must be whole',
    bytes: ultrasound.subarray(0, ultrasound.length - 10),
    outcome: { kind: 'partial', reason: 'truncated' },
  },
  {
    name: 'a cut zip',
    bytes: async () => (await zipOf([{ name: 'a', bytes: ctSlice() }])).subarray(0, 700),
    outcome: { kind: 'partial', reason: 'truncated' },
  },
];

for (const { name, bytes, outcome: expected, more } of refusals) {
  void t.test(`nothing is sealed of ${name}`, async (t) => {
    const content = typeof bytes === 'function' ? await bytes() : bytes;
    const task = await taskOf(content, more ?? {});
    const outcome = await processUpload(task, deps, never);
    t.match(outcome, expected);
    if (outcome.kind === 'held') t.equal(outcome.sourceSha256, sha256(content));
    mustBeClean(t, task);
  });
}

void t.test('a DICOM file that is cut anywhere is never sealed', async (t) => {
  for (const transferSyntax of [syntaxes.explicit, syntaxes.deflated, syntaxes.rle]) {
    const file = ctSlice({ transferSyntax });
    for (let length = 140; length < file.length; length += 97) {
      const task = await taskOf(file.subarray(0, length));
      const outcome = await processUpload(task, deps, never);
      t.strictSame(outcome, { kind: 'partial', reason: 'truncated' }, `${length} bytes`);
      t.notOk(existsSync(task.output));
    }
  }
});

void t.test('a release overrides its one rule for its content alone', async (t) => {
  const releases = [`burned-in:${sha256(ultrasound)}`, `other-file:${sha256(text)}`];
  t.match((await sealed(t, ultrasound, { releases })).outcome.name, /US_1_1/);
  const note = await sealed(t, text, { releases });
  t.ok(note.plain.equals(text));
  t.match(note.outcome.name, /^[a-z2-7]{10}\.dcm\.gpg$/);
  const cut = broken();
  const others: readonly (readonly [Uint8Array, readonly string[]])[] = [
    [ultrasound, [`burned-in:${sha256(text)}`]],
    [ultrasound, [`slip:${sha256(ultrasound)}`]],
    [cut, [`not-parseable:${sha256(cut)}`, `burned-in:${sha256(cut)}`]],
  ];
  for (const [bytes, wrong] of others) {
    const task = await taskOf(bytes, { releases: wrong });
    t.match(await processUpload(task, deps, never), { kind: 'held' });
    mustBeClean(t, task);
  }
});

void t.test(
  'a zip comes out as a zip without anything of its names, with a list of what was left out',
  async (t) => {
    const inner = await zipOf([{ name: 'Anna/2.dcm', bytes: ctSlice({ instanceNumber: 2 }) }]);
    const bytes = await zipOf([
      { name: 'TEST ANNA/1.dcm', bytes: ctSlice(), store: true },
      { name: 'TEST ANNA/inner.zip', bytes: inner },
      { name: 'DICOMDIR', bytes: dicomdir },
      { name: '__MACOSX/._1.dcm', bytes: text },
      { name: 'viewer.exe', bytes: Buffer.from('MZ…') },
      { name: 'TEST ANNA/report.pdf', bytes: Buffer.from('%PDF-1.4 Anna') },
      { name: 'TEST ANNA/cut.dcm', bytes: ctSlice().subarray(0, 500) },
      { name: 'TEST ANNA/us.dcm', bytes: ultrasound },
    ]);
    const { outcome, plain } = await sealed(t, bytes, { uploadName: 'Anna.zip' });
    t.match(outcome.name, /^[a-z2-7]{10}\.zip\.gpg$/);
    t.match(outcome.report, { files: 2, dicomFiles: 2, subjects: ['JI-CODE0'] });
    t.strictSame(
      outcome.exclusions.map(({ index, name, reason }) => [index, name, reason]),
      [
        [2, 'DICOMDIR', 'dropped-dicomdir'],
        [3, '__MACOSX/._1.dcm', 'dropped-junk'],
        [4, 'viewer.exe', 'dropped-junk'],
        [5, 'TEST ANNA/report.pdf', 'other-file'],
        [6, 'TEST ANNA/cut.dcm', 'not-parseable'],
        [7, 'TEST ANNA/us.dcm', 'burned-in'],
      ],
    );
    const path = join(folder, 'out.zip');
    await writeFile(path, plain);
    t.match(
      (await run('unzip', ['-t', path]).catch(() => ({ stdout: 'No errors' }))).stdout,
      /No errors/,
    );
    const { files } = await unzipper.Open.buffer(plain);
    t.equal(files.length, 2);
    for (const [n, file] of files.entries()) {
      t.match(file.path, /^JI-CODE0\/CT_1_[12]_[a-z2-7]{10}\.dcm$/);
      t.equal(file.compressionMethod, n === 0 ? 0 : 8, 'the method of the entry');
      t.notMatch((await file.buffer()).toString('latin1').replaceAll('JI-CODE0', ''), remains);
    }
    t.notMatch(plain.toString('latin1').replaceAll('JI-CODE0', ''), /TEST ANNA|Zip of|Anna/);
  },
);

void t.test('other files go along where the project says so', async (t) => {
  const profile = profileOf('extends: basic\notherFiles: encrypt\n');
  const { plain } = await sealed(t, await zipOf([{ name: 'a/notes.txt', bytes: text }]), {
    profile,
  });
  const { files } = await unzipper.Open.buffer(plain);
  t.match(files[0]?.path, /^other\/[a-z2-7]{10}\.txt$/);
  t.ok(text.equals((await files[0]?.buffer()) ?? Buffer.alloc(0)));
  const dropped = await taskOf(
    await zipOf([
      { name: 'a.dcm', bytes: ctSlice() },
      { name: 'n.txt', bytes: text },
    ]),
    {
      profile: profileOf('extends: basic\notherFiles: drop\nonExclusion: all-or-nothing\n'),
    },
  );
  t.match(await processUpload(dropped, deps, never), {
    kind: 'sealed',
    exclusions: [{ name: 'n.txt', reason: 'dropped-other' }],
  });
});

void t.test('scrubbed names keep what names nobody', async (t) => {
  const profile = profileOf('extends: basic\nnames: scrub\n');
  const bytes = ctSlice({ patientName: 'WINTERBERG^JOHANNA' });
  const one = await sealed(t, bytes, { profile, uploadName: 'thorax/Winterberg.dcm' });
  t.match(one.outcome.name, /^thorax\/[a-z2-7]{10}\.dcm\.gpg$/);
  const zip = await zipOf([{ name: 'Winterberg, J/thorax/1.dcm', bytes }]);
  const two = await sealed(t, zip, { profile, uploadName: 'thorax/Johanna Winterberg.zip' });
  t.match(two.outcome.name, /^thorax\/[a-z2-7]{10}\.zip\.gpg$/);
  const { files } = await unzipper.Open.buffer(two.plain);
  t.match(files[0]?.path, /^[a-z2-7]{10}\/thorax\/1\.dcm$/);
});

void t.test('a large file needs at most 64 MB above an idle worker', async (t) => {
  const small = await taskOf(ctSlice());
  const bytes = ctSlice();
  const at = bytes.lastIndexOf(Buffer.from('OW')) + 4;
  const head = Buffer.from(bytes.subarray(0, at + 4));
  const pixels = 300 * 1024 * 1024;
  head.writeUInt32LE(pixels, at);
  const large = await taskOf(head);
  await truncate(large.source, head.length + pixels);
  const program = fileURLToPath(new URL('../support/peak-memory.js', import.meta.url));
  const args = [program, JSON.stringify(small), JSON.stringify(large)];
  const result = JSON.parse((await run(process.execPath, args)).stdout) as Record<string, number>;
  t.match(result, { kind: 'sealed' });
  t.ok((result['sizeBytes'] ?? 0) > pixels);
  t.ok((result['growth'] ?? 1e9) <= 64, `grew by ${result['growth']} MB`);
  await rm(large.source);
  await rm(large.output);
});

void t.test('zips in zips are looked into only so deep, and a bad one is left out', async (t) => {
  let deep = await zipOf([{ name: '1.dcm', bytes: ctSlice() }]);
  for (let depth = 1; depth < 4; depth += 1) deep = await zipOf([{ name: 'in.zip', bytes: deep }]);
  const cut = (await zipOf([{ name: '2.dcm', bytes: ctSlice() }])).subarray(0, 600);
  const bytes = await zipOf([
    { name: '1.dcm', bytes: ctSlice() },
    { name: 'deep.zip', bytes: deep },
    { name: 'cut.zip', bytes: cut },
  ]);
  const { outcome } = await sealed(t, bytes);
  t.match(outcome.exclusions, [
    { index: 1, name: 'deep.zip/in.zip/in.zip', reason: 'zip-depth' },
    { index: 2, name: 'cut.zip', reason: 'zip-broken' },
  ]);
});

void t.test(
  'DICOM in the outgoing folder is a slip, in a zip too, and other files pass',
  async (t) => {
    const nested = await zipOf([
      { name: 'in.zip', bytes: await zipOf([{ name: 'x', bytes: ctSlice() }]) },
    ]);
    const harmless = await zipOf([{ name: 'a.txt', bytes: text }]);
    const brokenInZip = await zipOf([
      { name: 'x', bytes: ctSlice() },
      { name: 'y', bytes: broken() },
    ]);
    const cutInZip = await zipOf([{ name: 'x', bytes: ctSlice().subarray(0, 400) }]);
    const cases: readonly (readonly [string, Uint8Array, object, Partial<ProcessTask>?])[] = [
      ['DICOM', ctSlice(), { kind: 'held', reason: 'slip' }],
      ['DICOM without preamble', ctSlice({ preamble: false }), { kind: 'held', reason: 'slip' }],
      ['broken DICOM', broken(), { kind: 'held' }],
      ['DICOM behind a foreign header', foreign, { kind: 'held', reason: 'slip' }],
      ['cut DICOM', ctSlice().subarray(0, 400), { kind: 'partial', reason: 'truncated' }],
      ['nested zip', nested, { kind: 'held', reason: 'slip' }],
      ['zip behind a program', await prefixed(), { kind: 'held', reason: 'zip-broken' }],
      [
        'cut zip',
        harmless.subarray(0, harmless.length - 30),
        { kind: 'partial', reason: 'truncated' },
      ],
      ['text', text, { kind: 'passed', sourceSha256: sha256(text) }],
      ['harmless zip', harmless, { kind: 'passed', sourceSha256: sha256(harmless) }],
      ['released', nested, { kind: 'passed' }, { releases: [`slip:${sha256(nested)}`] }],
      [
        'released, behind a foreign header',
        foreign,
        { kind: 'held', reason: 'not-parseable' },
        { releases: [`slip:${sha256(foreign)}`] },
      ],
      [
        'released, with a broken one in a zip',
        brokenInZip,
        { kind: 'held', reason: 'not-parseable', detail: 'entry 1' },
        { releases: [`slip:${sha256(brokenInZip)}`] },
      ],
      [
        'released, with a cut one in a zip',
        cutInZip,
        { kind: 'held', reason: 'not-parseable', detail: 'entry 0' },
        { releases: [`slip:${sha256(cutInZip)}`] },
      ],
      [
        'text not closed',
        text,
        { kind: 'partial', reason: 'disconnected' },
        { closedByClient: false },
      ],
    ];
    for (const [name, bytes, expected, more] of cases) {
      const task = await taskOf(bytes, { kind: 'direct', ...more });
      t.match(await processUpload(task, deps, never), expected, name);
      mustBeClean(t, task);
    }
  },
);

void t.test('what is no fault of the content is thrown, and leaves nothing', async (t) => {
  const full: ProcessDeps['encryptor'] = {
    seal: async (body, recipients, signal) => {
      const { message, fingerprints } = await encryptor.seal(body, recipients, signal);
      async function* failing(): typeof message extends AsyncIterable<infer T>
        ? AsyncGenerator<T>
        : never {
        for await (const chunk of message) {
          yield chunk;
          throw Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' });
        }
      }
      return { message: failing(), fingerprints };
    },
  };
  const deadCrosswalk: Crosswalk = {
    resolve: async () => {
      throw new AppError('BUSY');
    },
  };
  const abort = AbortSignal.abort(new AppError('LEASE_LOST'));
  const later = new AbortController();
  const aborting: Crosswalk = {
    resolve: async (...question) => {
      later.abort(new AppError('LEASE_LOST'));
      return crosswalk.resolve(...question);
    },
  };
  const file = ctSlice();
  const zip = await zipOf([{ name: 'a', bytes: file }]);
  const cases: readonly (readonly [string, Partial<ProcessTask>, ProcessDeps, AbortSignal?])[] = [
    ['NO_VALID_KEY', { recipients: [] }, deps],
    ['STORAGE_FAILED', { output: join(folder, 'no', 'such') }, deps],
    ['STORAGE_FAILED', { source: join(folder, 'gone') }, deps],
    ['DISK_FULL', {}, { ...deps, encryptor: full }],
    ['BUSY', {}, { ...deps, crosswalk: deadCrosswalk }],
    ['LEASE_LOST', {}, deps, abort],
    ['LEASE_LOST', {}, { ...deps, crosswalk: aborting }, later.signal],
  ];
  for (const bytes of [file, zip]) {
    for (const [code, more, ports, signal] of cases) {
      const task = await taskOf(bytes, more);
      await t.rejects(processUpload(task, ports, signal ?? never), { code }, code);
      mustBeClean(t, task);
    }
  }
});

void t.test('an output that is there already is never overwritten', async (t) => {
  const task = await taskOf(ctSlice());
  await writeFile(task.output, 'of somebody else');
  await t.rejects(processUpload(task, deps, never), { code: 'STORAGE_FAILED' });
  t.equal(await readFile(task.output, 'utf8'), 'of somebody else');
});

void t.test('the shipped worker does the same in a thread', async (t) => {
  const pool = createWorkerPool({ crosswalk, width: 1 });
  t.teardown(async () => pool.stop());
  const task = await taskOf(await zipOf([{ name: 'a', bytes: ctSlice() }]));
  const outcome = await pool.run(task, never);
  t.match(outcome, { kind: 'sealed', report: { subjects: ['JI-CODE0'] } });
  t.notMatch((await opened(task)).toString('latin1'), /TEST/);
  const held = await taskOf(ultrasound);
  t.match(await pool.run(held, never), { kind: 'held', reason: 'burned-in' });
  mustBeClean(t, held);
});
