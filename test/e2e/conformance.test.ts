// What comes out is DICOM as good as what went in: dciodvfy (dicom3tools) has nothing new to say about it, dcmdump and pydicom
// read it. And the score: nothing that must go is left, and what research needs is still there.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t from 'tap';
import { corpusFiles } from '../core/dicom/corpus.ts';
import { ctSlice, el } from '../support/dicom.ts';
import { missing, run } from '../support/programs.ts';
import { categories } from '../support/score.ts';
import {
  percent,
  scoreOf,
  type ScoreFile,
  type ScoredFile,
  type Scoring,
} from '../support/scored.ts';

t.setTimeout(300_000);
const folder = await mkdtemp(join(tmpdir(), 'ch-conformance-'));
t.teardown(async () => rm(folder, { recursive: true, force: true }));

/** Made-up: attributes that must have a value or an item where the Basic Profile takes values away. */
const made: readonly ScoreFile[] = [
  {
    name: 'secondary capture with references',
    bytes: ctSlice({
      modality: 'OT',
      sopClass: '1.2.840.10008.5.1.4.1.1.7',
      extra: [
        el(0x00080064, 'CS', 'WSD'),
        el(0x00081110, 'SQ', {
          items: [
            [el(0x00081150, 'UI', '1.2.840.10008.3.1.2.3.1'), el(0x00081155, 'UI', '1.2.3.4')],
          ],
        }),
        el(0x00081111, 'SQ', {
          items: [
            [el(0x00081150, 'UI', '1.2.840.10008.3.1.2.3.3'), el(0x00081155, 'UI', '1.2.3.5')],
          ],
        }),
        el(0x00080082, 'SQ', {
          items: [
            [
              el(0x00080100, 'SH', 'PEH'),
              el(0x00080102, 'SH', '99PEH'),
              el(0x00080104, 'LO', 'Peking'),
            ],
          ],
        }),
        el(0x00081072, 'SQ', {
          items: [
            [
              el(0x00080080, 'LO', 'Peking Example Hospital'),
              el(0x00401101, 'SQ', {
                items: [
                  [
                    el(0x00080100, 'SH', 'O7'),
                    el(0x00080102, 'SH', '99PEH'),
                    el(0x00080104, 'LO', 'O'),
                  ],
                ],
              }),
            ],
          ],
        }),
      ],
    }),
  },
];

const corpus = corpusFiles().filter(({ expected }) => expected === 'deid');
const scorings = new Map<string, Scoring>();
for (const profile of ['basic', 'research-ct-mr']) {
  scorings.set(profile, await scoreOf(profile, [...corpus, ...made]));
}

/** Least percent of each category; 100 unless told. What stays below it are words of one file's own patient. */
const least: Partial<Record<(typeof categories)[number], number>> = {
  tag_retained: 99.8,
  text_retained: 98,
};

for (const [profile, { results, lost }] of scorings) {
  void t.test(`what must go is gone and what may stay is there, profile ${profile}`, async (t) => {
    t.same(lost, [], 'no file is lost');
    for (const { category, right, total, wrong } of results) {
      if (category === 'all') continue;
      t.comment(`${profile} ${category}: ${right} of ${total}, ${percent({ right, total })} %`);
      const limit = ((least[category] ?? 100) / 100) * total;
      t.ok(
        right >= limit,
        `${category} ${percent({ right, total })} %: ${wrong.slice(0, 5).join('; ')}`,
      );
    }
    t.ok((results.at(-1)?.total ?? 0) > 100, 'there was something to count');
  });
}

// --- other programs ------------------------------------------------------------------------------------------

async function saved(kind: string, files: readonly ScoredFile[]): Promise<readonly string[]> {
  await mkdir(join(folder, kind), { recursive: true });
  return Promise.all(
    files.map(async ({ name, bytes, clean }, i) => {
      const path = join(folder, kind, `${i}-${basename(name).replaceAll(' ', '-')}`);
      await writeFile(path, kind === 'original' ? bytes : clean);
      return path;
    }),
  );
}

/** What dciodvfy calls an error, each kind once; UIDs are others afterwards, and so is the place of a private attribute. */
async function errorsOf(path: string): Promise<ReadonlySet<string>> {
  const { stderr, stdout } = await run('dciodvfy', [path]);
  const lines = `${stdout.toString('latin1')}${stderr}`.split('\n');
  const errors = lines.filter((line) => line.startsWith('Error'));
  return new Set(
    errors.map((line) => line.replaceAll(/<[\d.]+>|\b\d+(?:\.\d+){3,}/g, 'UID').trim()),
  );
}

/** The same originals under every profile. */
const before = new Map<string, ReadonlySet<string>>();

const pydicomReads = `
import sys, warnings, pydicom
warnings.simplefilter('ignore')
for path in sys.argv[1:]:
    dataset = pydicom.dcmread(path)
    assert dataset.PatientIdentityRemoved == 'YES', path
    list(dataset.iterall())
print(len(sys.argv) - 1)
`;

for (const [profile, { passed }] of scorings) {
  void t.test(
    `dciodvfy finds no error that the original does not have, profile ${profile}`,
    { skip: missing('dciodvfy') },
    async (t) => {
      const originals = await saved('original', passed);
      for (const [i, { name }] of passed.entries()) {
        if (!before.has(name)) before.set(name, await errorsOf(originals[i] ?? ''));
      }
      const outputs = await saved(profile, passed);
      for (const [i, { name }] of passed.entries()) {
        const after = await errorsOf(outputs[i] ?? '');
        const known = before.get(name) ?? new Set();
        t.same([...after].filter((error) => !known.has(error)).join('\n'), '', name);
      }
    },
  );
}

void t.test(
  'dcmdump and pydicom read every output',
  { skip: missing('dcmdump', 'pydicom') },
  async (t) => {
    const outputs: string[] = [];
    for (const [profile, { passed }] of scorings) outputs.push(...(await saved(profile, passed)));
    const dumped = await run('dcmdump', ['-q', '+L', ...outputs]);
    t.equal(dumped.code, 0, dumped.stderr.slice(0, 500));
    // Debian's interpreter has Debian's module
    const read = await run('/usr/bin/python3', ['-c', pydicomReads, ...outputs]);
    t.equal(read.stdout.toString().trim(), String(outputs.length), read.stderr.slice(-500));
  },
);
