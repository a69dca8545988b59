// Files made to harm, or unlucky ones that look so: cut at every byte, swollen, or with a person's name where nobody looks.
// The worker must end in time and in its memory, with a typed answer; and nothing of the person goes out.

import t from 'tap';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zips } from '../../src/adapters/zip/zips.ts';
import { asSealed } from '../../src/core/bytes.ts';
import type { ProcessOutcome } from '../../src/flow/ports/processing.ts';
import { processUpload, type ProcessDeps } from '../../src/flow/process.ts';
import { profileOf } from '../support/deid.ts';
import { ctElements, ctSlice, dicomFile, el, sorted, syntaxes } from '../support/dicom.ts';
import type { TestElement } from '../support/dicom.ts';
import { planted, wrongWith } from '../support/fuzz-outputs.ts';
import { longestMs, seedsFor, targets, tryOne } from '../support/fuzz.ts';
import { zipBytes } from '../support/zip.ts';

const folder = await mkdtemp(join(tmpdir(), 'ch-hostile-'));
t.teardown(async () => rm(folder, { recursive: true, force: true }));

const deps: ProcessDeps = {
  zips,
  crosswalk: {
    resolve: async () => ({ kind: 'subject', subject: { code: 'JI-7K3M9', dateOffsetDays: 7 } }),
  },
  // the clean bytes, to look at them
  encryptor: {
    seal: async (body) => ({
      message: (async function* () {
        for await (const chunk of body) yield asSealed(chunk);
      })(),
      fingerprints: [],
    }),
  },
};

let count = 0;
interface Processed {
  readonly outcome: ProcessOutcome;
  readonly output: Buffer;
  readonly ms: number;
}
async function processed(bytes: Uint8Array, yaml = 'extends: basic\n'): Promise<Processed> {
  const base = join(folder, String(count++));
  await writeFile(base, bytes);
  const task = {
    jobId: 'j',
    projectId: 'p',
    kind: 'deidentify',
    source: base,
    output: `${base}.out`,
    scratch: `${base}.scratch`,
    profile: JSON.stringify(profileOf(yaml)),
    keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
    uploadKey: 'm:x',
    uploadName: 'x',
    recipients: [],
    releases: [],
    limits: {
      headerBytes: 64 << 20,
      inflatedBytes: 1 << 30,
      inflateRatio: 1000,
      zipEntries: 10_000,
      zipDepth: 2,
    },
    closedByClient: true,
  } as const;
  const start = process.cpuUsage();
  const outcome = await processUpload(task, deps, new AbortController().signal);
  const { user, system } = process.cpuUsage(start);
  const isThere = existsSync(task.output);
  const output = isThere ? await readFile(task.output) : Buffer.alloc(0);
  if (isThere) await rm(task.output);
  await rm(base);
  return { outcome, output, ms: (user + system) / 1000 };
}

const slice = ctSlice({ size: 2 });

/** Where an element of the top level ends in the made-up slice: a file may end there, for not every file has pixels. */
function endsOf(file: Buffer): ReadonlySet<number> {
  const ends = new Set<number>();
  let at = 132 + 12 + file.readUInt32LE(140);
  while (at < file.length) {
    const isLong = ['OB', 'OW', 'SQ', 'UN'].includes(file.toString('latin1', at + 4, at + 6));
    at += isLong ? 12 + file.readUInt32LE(at + 8) : 8 + file.readUInt16LE(at + 6);
    ends.add(at);
  }
  return ends;
}

void t.test('DICOM cut at any byte is never sealed, but where it looks whole', async (t) => {
  const whole = endsOf(slice);
  const wrong: unknown[] = [];
  for (let length = 0; length < slice.length; length++) {
    const { outcome } = await processed(
      slice.subarray(0, length),
      'extends: basic\notherFiles: encrypt\n',
    );
    if (outcome.kind !== 'partial' && !whole.has(length)) wrong.push([length, outcome]);
  }
  t.strictSame(wrong, []);
});

void t.test('a deflated file and zips cut at any byte are partial', async (t) => {
  const entry = { name: 'a', content: slice };
  for (const file of [
    ctSlice({ size: 2, transferSyntax: syntaxes.deflated }),
    zipBytes([entry, { ...entry, name: 'b', method: 0, descriptor: 16 }]),
    zipBytes([entry], { zip64: true, comment: 'a comment' }),
  ]) {
    const wrong: unknown[] = [];
    for (let length = 0; length < file.length; length += 1 + (length % 9)) {
      const cut = await processed(
        file.subarray(0, length),
        'extends: basic\notherFiles: encrypt\n',
      );
      if (cut.outcome.kind !== 'partial') wrong.push([length, cut.outcome]);
    }
    t.strictSame(wrong, []);
  }
});

const swollen = (
  extra: readonly TestElement[],
  transferSyntax: string = syntaxes.implicit,
): Buffer =>
  dicomFile({
    transferSyntax,
    elements: sorted([...ctElements(), ...extra]),
    pixels: Buffer.alloc(512),
  });
const manyTags = (): TestElement[] =>
  Array.from({ length: 25_000 }, (_, i) => el(0x30091000 + i, 'OB', Buffer.alloc(0)));
const manyNames = (): string =>
  Array.from({ length: 25_000 }, (_, i) => `f${(i + 1e6).toString(36)}^g`).join('\\');

const bombs: readonly { name: string; file: () => Buffer; reason: string }[] = [
  { name: 'elements', file: () => swollen(manyTags()), reason: 'too-large' },
  {
    name: 'names',
    file: () => swollen([el(0x00081070, 'PN', manyNames())]),
    reason: 'too-large',
  },
  {
    name: 'text that stays',
    file: () => swollen([el(0x00081090, 'LO', 'ab '.repeat(3_000_000))]),
    reason: 'too-large',
  },
  {
    name: 'PatientID',
    file: () => swollen([el(0x00100020, 'LO', 'a1'.repeat(50_000))]),
    reason: 'no-patient-id',
  },
];
for (const { name, file, reason } of bombs) {
  void t.test(`too much of ${name} is held in good time`, async (t) => {
    const { outcome, ms } = await processed(file());
    t.match(outcome, { kind: 'held', reason });
    t.ok(ms < longestMs, `${ms} ms`);
  });
}

const hidden: readonly { name: string; element: TestElement }[] = [
  { name: 'a number', element: el(0x00081090, 'FD', Buffer.from('HIDDENTEXTISHERE')) },
  {
    name: "a UID below the standard's root",
    element: el(0x00200052, 'UI', '1.2.840.10008.HIDDENTEXT'),
  },
  { name: 'a date below that root', element: el(0x00200052, 'UI', '1.2.840.10008.1.19610704') },
  { name: 'the padding of a UID', element: el(0x00200052, 'UI', '1.2\0HIDDENTEXT') },
];
for (const { name, element } of hidden) {
  void t.test(`a text that calls itself ${name} does not go out`, async (t) => {
    const { outcome, output } = await processed(swollen([element], syntaxes.explicit));
    t.match(outcome, { kind: 'sealed' });
    t.notOk(output.includes('HIDDENTEXT') || output.includes('.19610704'));
  });
}

void t.test('the patient’s name in numbers that may stay is found', async (t) => {
  const file = swollen([
    el(0x00100010, 'PN', 'WINTERBERG^JOHANNA'),
    el(0x00280010, 'US', Buffer.from('Winterberg')),
  ]);
  t.match((await processed(file)).outcome, { kind: 'held', reason: 'leak-check' });
});

void t.test('a national identity number in a text that stays does not excuse itself', async (t) => {
  const number = '11010519491231002X';
  const keeps = 'extends: basic\nrules:\n  - { tag: StudyDescription, action: keep }\n';
  for (const element of [
    el(0x00081030, 'LO', `ID ${number}`),
    el(0x00081090, 'LO', `ID ${number}`), // stays under the Basic Profile
  ]) {
    for (const file of [[element], [el(0x00101000, 'LO', number), element]]) {
      const { outcome, output } = await processed(swollen(file), keeps);
      // or it was masked before
      if (outcome.kind !== 'sealed') t.match(outcome, { kind: 'held', reason: 'leak-check' });
      t.notOk(output.includes(number));
    }
  }
  const keepsID = 'extends: basic\nrules:\n  - { tag: OtherPatientIDs, action: keep }\n';
  const onPurpose = swollen([el(0x00101000, 'LO', number)]);
  t.match((await processed(onPurpose, keepsID)).outcome, { kind: 'sealed' });
});

void t.test('an overlay in unused bits of the pixels may be text', async (t) => {
  const inPixels = [el(0x60020100, 'US', 16), el(0x60020102, 'US', 12)];
  t.match((await processed(swollen(inPixels))).outcome, {
    kind: 'held',
    reason: 'burned-in',
    detail: '(6002,0102)',
  });
  const own = [...inPixels, el(0x60023000, 'OW', Buffer.alloc(32))];
  t.match((await processed(swollen(own))).outcome, { kind: 'sealed' });
});

void t.test(
  'a sequence in the place of a private creator does not stay with its block',
  async (t) => {
    const { outcome, output } = await processed(
      swollen([
        el(0x00290010, 'SQ', { items: [[el(0x00181030, 'LO', 'HIDDENTEXT')]] }),
        el(0x00291001, 'LO', 'kept by its VR'),
      ]),
      'extends: basic\nrules:\n  - { vr: UN, action: keep }\n  - { vr: LO, action: keep }\n',
    );
    t.match(outcome.kind, /sealed|held/);
    t.notOk(output.includes('HIDDENTEXT'));
  },
);

void t.test('entries that get one name stay apart', async (t) => {
  const signs = '<>:"|?*';
  const entries = Array.from({ length: 700 }, (_, i) => ({
    name: `a${Array.from(i.toString(7).padStart(6, '0'), (digit) => signs[Number(digit)]).join('')}`,
    content: 'x',
    method: 0 as const,
  }));
  const { outcome } = await processed(
    zipBytes(entries),
    'extends: basic\notherFiles: encrypt\nnames: keep\n',
  );
  t.match(outcome, { kind: 'sealed', report: { files: 700 } });
});

void t.test('the fuzzer sees a mark that stays, and what a parser cannot read', async (t) => {
  const limits = {
    headerBytes: 1 << 24,
    inflatedBytes: 1 << 26,
    inflateRatio: 1000,
    zipEntries: 10,
    zipDepth: 2,
  };
  const source = ctSlice({ patientName: `${planted}^ANNA` });
  const marked = [el(0x00120062, 'CS', 'YES')];
  const judged = async (file: Buffer): Promise<string | undefined> => {
    const path = join(folder, 'judged');
    await writeFile(path, file);
    return wrongWith(file, path, source, limits);
  };
  const clean = ctSlice({ extra: marked });
  t.equal(await judged(clean), undefined);
  t.match(await judged(ctSlice({ extra: [...marked, el(0x00104000, 'LT', planted)] })), /header/);
  t.match(
    await judged(
      ctSlice({ extra: marked, trailing: [el(0xfffcfffc, 'OB', Buffer.from(planted))] }),
    ),
    /trailer/,
  );
  t.match(await judged(ctSlice()), /no mark of ours/);
  const entry = { name: 'a', content: clean };
  t.equal(await judged(Buffer.from(zipBytes([entry]))), undefined);
  t.match(await judged(Buffer.from(zipBytes([{ ...entry, comment: planted }]))), /in the zip/);
});

for (const target of targets) {
  void t.test(`broken files end in a clean file or a typed refusal: ${target}`, async (t) => {
    const seeds = seedsFor(target, false);
    for (let seed = 1; seed <= 120; seed++) {
      const failure = await tryOne(target, seeds, seed);
      if (failure !== undefined) t.fail(`seed ${seed}: ${failure.text}`);
    }
    t.pass('120 files');
  });
}
