// Every public sample file of ../shared/corpus goes in at one site, and what comes out at the other agrees with its
// manifest. Runs where the corpus is; the other tests make their own files.

import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { inflateRawSync } from 'node:zlib';
import dicomParser from 'dicom-parser';
import t, { type Test } from 'tap';
import { packageRoot } from '../../src/package-root.ts';
import {
  addRecipient,
  dcmdump,
  filesBelow,
  makeExchange,
  type Exchange,
} from '../support/exchange.ts';
import { missing } from '../support/programs.ts';
import { runCommandsHere, type JobRow } from '../support/site.ts';

interface Sample {
  readonly file: string;
  readonly modality: string;
  readonly expected: 'deid' | 'either' | 'reject' | 'nondicom';
}

runCommandsHere();
const corpus = join(process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared'), 'corpus');
const absent = existsSync(join(corpus, 'manifest.json')) ? false : 'the corpus is not here';

/** Uploads the whole corpus to a project and gives the settled job of each file by its name. */
async function sendCorpus(
  { peking, alice }: Exchange,
  project: string,
): Promise<ReadonlyMap<string, JobRow>> {
  const names = await readdir(join(corpus, 'files'));
  const intake = `/home/ji_${project}/alice/gpg`;
  await alice.does(
    peking,
    names.map((name) => `put "${join(corpus, 'files', name)}" "${intake}/${name}"`),
  );
  const jobs = await peking.settled(
    ['delivered', 'held', 'partial', 'failed'],
    names.length,
    (job) => job.upload.startsWith(intake),
    180_000,
  );
  return new Map(jobs.map((job) => [basename(job.upload), job]));
}

const manifest = async (): Promise<readonly Sample[]> =>
  JSON.parse(await readFile(join(corpus, 'manifest.json'), 'utf8')) as readonly Sample[];

const timeout = 300_000;
t.setTimeout(2 * timeout);

void t.test(
  'every file of the corpus goes in at one site',
  { skip: absent || missing('sftp', 'gpg', 'dcmdump'), timeout },
  async (t) => {
    const exchange = await makeExchange('extends: basic\nburnedIn: allow\nnoPatientId: study\n');
    t.teardown(() => exchange.end());
    const { peking, michigan, alice, bobsKeys } = exchange;
    // a second project, under the default profile
    await peking.run(['project', 'add', 'plain', '--partner', 'UMHS']);
    await michigan.run(['project', 'add', 'plain', '--partner', 'PUHSC']);
    await peking.run(['user', 'add', 'alice', '--project', 'plain', '--key', alice.publicKey]);
    await addRecipient(peking, 'UMHS', bobsKeys, 'Bob <bob@umhs.example.org>', 'plain');
    await peking.start();
    await michigan.start();
    const samples = await manifest();

    await t.test('under a permissive profile what comes out agrees with the manifest', (t) =>
      agrees(t, exchange, samples),
    );

    await t.test('under the default profile exactly the doubtful ones are held', async (t) => {
      const jobs = await sendCorpus(exchange, 'plain');
      for (const { file, expected } of samples) {
        if (expected !== 'deid') continue;
        const job = jobs.get(basename(file));
        const why = doubtful[basename(file)] ?? [];
        const outcome = job?.state === 'held' ? (job.reason ?? '') : (job?.state ?? '');
        t.ok(
          why.length === 0 ? outcome === 'delivered' : why.includes(outcome),
          `${basename(file)}: ${outcome}, expected ${why.join(' or ') || 'delivered'}`,
        );
      }
    });
  },
);

async function agrees(t: Test, exchange: Exchange, samples: readonly Sample[]): Promise<void> {
  const { michigan, bobsKeys, bob } = exchange;
  const jobs = await sendCorpus(exchange, 'brain');
  const inbox = join(michigan.home, 'data/home/ji_brain/club_house/From_PUHSC_To_UMHS');
  let arrived = 0;
  for (const { file, expected } of samples) {
    const name = basename(file);
    const job = jobs.get(name);
    if (job === undefined) {
      t.fail(`${name} has no job`);
      continue;
    }
    if (expected === 'reject' || expected === 'nondicom') {
      t.ok(['held', 'partial'].includes(job.state), `${name} is not passed on`);
      t.ok(job.reason, `${name} has a reason`);
      t.equal(job.output, null, 'nothing was published');
    }
    if (expected === 'deid') {
      t.equal(job.state, 'delivered', `${name} arrives (${job.reason ?? ''})`);
    }
    if (job.output === null) continue;
    arrived += 1;
    const original = await readFile(join(corpus, file));
    const clear = await bobsKeys.decrypt(await readFile(join(inbox, below(job.output))));
    const path = await bob.file(`clear/${name}`, clear);
    t.equal((await dcmdump(path)).get('0012,0062'), 'YES', `${name}: dcmdump reads it`);
    t.ok(parse(clear), `${name}: dicom-parser reads it`);
    if (expected === 'deid') {
      t.ok(parse(original), `${name}: so the pixels can be compared`);
      t.ok(pixels(original).equals(pixels(clear)), `${name}: the pixels are the same bytes`);
    }
    for (const value of identifying(original)) {
      t.notOk(clear.includes(value), `${name}: nothing identifying is left`);
    }
  }
  t.ok(arrived >= samples.filter(({ expected }) => expected === 'deid').length);
  t.equal((await filesBelow(inbox)).length, arrived, 'nothing else arrived');
}

/** What SPEC 7 names, by what dcmdump shows of each file: its SOP class, modality, PatientID. */
const secondaryCapture: readonly string[] = [
  'GDCMJ2K_TextGBR.dcm', 'GH538-jpeg1.dcm', 'GH538-jpeg14sv1.dcm', 'IM-0001-0002-0001.dcm', 'JPEGwithIcon.dcm',
  'JPEG2000-embedded-sequence-delimiter.dcm', 'JPEG2000_UNC.dcm', 'SC_rgb_expb_32bit_2frame.dcm', 'SC_rgb_gdcm_KY.dcm',
  'SC_rgb_jls_lossy_line.dcm', 'SC_rgb_jpeg_gdcm.dcm', 'VL1_J2KR', 'chrH31.dcm', 'chrHbrw.dcm', 'chrI2.dcm', 'chrX2.dcm',
]; // prettier-ignore
const ultrasound: readonly string[] = [
  'US-PAL-8-10x-echo',
  'examples_jpeg2k.dcm',
  'gdcm-US-ALOKA-16.dcm',
];
const visibleLight: readonly string[] = [
  'multiframe.dcm',
  'sm_image_jpegls.dcm',
  'sm_image_jpegls_nobot.dcm',
];
const noPatientID: readonly string[] = [
  'GDCMJ2K_TextGBR.dcm', 'SC_rgb_jls_lossy_line.dcm', 'US-PAL-8-10x-echo', 'multiframe.dcm', 'emri_small_jpeg_2k_lossless.dcm',
]; // prettier-ignore

const doubtful: Record<string, readonly string[]> = {};
for (const name of [...secondaryCapture, ...ultrasound, ...visibleLight])
  doubtful[name] = ['burned-in'];
for (const name of noPatientID) doubtful[name] = [...(doubtful[name] ?? []), 'no-patient-id'];

/** The published path below the outgoing folder, from the path that a client sees. */
const below = (output: string): string => output.slice(output.indexOf('/gpg-') + 1);

type Parsed = ReturnType<typeof dicomParser.parseDicom>;

function parse(bytes: Buffer): Parsed | undefined {
  try {
    return dicomParser.parseDicom(bytes, { inflater: inflate });
  } catch {
    return undefined;
  }
}

/** dicom-parser hands over everything and the offset at which the deflated part begins. */
function inflate(bytes: Uint8Array, position: number): Uint8Array {
  const rest = inflateRawSync(bytes.subarray(position));
  return Buffer.concat([bytes.subarray(0, position), rest]);
}

/** The value field of 7FE0,0010, whole, as another parser finds it. */
function pixels(bytes: Buffer): Buffer {
  const parsed = parse(bytes);
  const element = parsed?.elements['x7fe00010'];
  if (parsed === undefined || element === undefined) return Buffer.alloc(0);
  return Buffer.from(
    parsed.byteArray.subarray(element.dataOffset, element.dataOffset + element.length),
  );
}

/** Values of the original that cannot be in a clean file: names, IDs and instance UIDs that are long enough to count. */
function identifying(bytes: Buffer): readonly Buffer[] {
  const parsed = parse(bytes);
  if (parsed === undefined) return [];
  const tags = [
    'x00100010',
    'x00100020',
    'x00080050',
    'x00080018',
    'x0020000d',
    'x0020000e',
    'x00080090',
  ];
  return tags
    .map((tag) => parsed.elements[tag])
    .filter((element) => element !== undefined && element.length >= 8)
    .map((element) =>
      Buffer.from(
        parsed.byteArray.subarray(element!.dataOffset, element!.dataOffset + element!.length),
      ),
    )
    .map((value) => Buffer.from(value.toString('latin1').replace(/[\0 ^]+$/, ''), 'latin1'))
    .filter((value) => value.length >= 8);
}
