// The documents keep up with the code: whatever a person can meet is explained.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { errorCodes } from '../src/core/errors.ts';
import { holdReasons, partialReasons, waitReasons } from '../src/core/reasons.ts';
import { uploadStates } from '../src/core/upload.ts';
import { receiptText } from '../src/flow/receipts.ts';
import { packageRoot } from '../src/package-root.ts';
import { missing, run } from './support/programs.ts';

const text = (path: string): Promise<string> => readFile(join(packageRoot, path), 'utf8');

void t.test('the README explains every error code', async (t) => {
  const readme = await text('README.md');
  for (const code of Object.keys(errorCodes)) t.ok(readme.includes(`\`${code}\``), code);
});

void t.test(
  'the README explains every reason why a file can be held, partial or waiting',
  async (t) => {
    const readme = await text('README.md');
    for (const reason of Object.keys({ ...holdReasons, ...partialReasons, ...waitReasons })) {
      t.ok(readme.includes(`\`${reason}\``), reason);
    }
  },
);

void t.test('the README opens with the two lines that do everything', async (t) => {
  const [, , fence, demo, tests] = (await text('README.md')).split('\n');
  t.equal(fence, '```');
  t.match(demo, /^npm ci && npm run demo/);
  t.match(tests, /^npm ci && npm test/);
});

void t.test('the guides are there and say what they are for', async (t) => {
  for (const guide of ['sender', 'receiver', 'administrator']) {
    t.match(await text(`docs/${guide}.md`), /^# /);
  }
});

void t.test("the sender's guide explains each state in the words of the receipt", async (t) => {
  const guide = await text('docs/sender.md');
  const job = {
    ...{ partner: 'UMHS', reason: undefined, detail: undefined, exclusions: [] },
    ...{ output: undefined, outputBytes: undefined, publishedAt: undefined },
    ...{ deliveredAt: undefined, evidence: 'size', signedBy: undefined, deliveryReason: undefined },
  };
  for (const state of uploadStates) {
    const receipt = receiptText('PUHSC', {
      ...{ uploadId: 'u', project: 'brain', member: 'alice', path: 'ji_brain/alice/gpg/1.dcm' },
      ...{ kind: 'intake', shortId: '00000000', sizeBytes: 1, createdAt: 0, updatedAt: 0 },
      ...{ sha256: undefined, isOvertaken: false, receipt: undefined },
      jobs: [{ ...job, state }],
    });
    const rows = [...guide.matchAll(/^\| (\S[^|]*?) +\|/gm)].map(([, words]) => words ?? '');
    const said = /State: (.*)/.exec(receipt)?.[1] ?? '';
    t.ok(
      rows.some((words) => said.startsWith(words)),
      `${state}: ${said}`,
    );
  }
});

void t.test(
  "the receiver's command decrypts what is new, keeps what it decrypted, and leaves nothing of a damaged file",
  { skip: missing('gpg') },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'clubhouse-guide-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const env = { GNUPGHOME: join(folder, 'gnupg') };
    t.teardown(() => run('gpgconf', ['--kill', 'gpg-agent'], { env }));
    await mkdir(env.GNUPGHOME, { mode: 0o700 });
    const gpg = (...args: string[]) =>
      run('gpg', ['--batch', '--quiet', '--trust-model', 'always', ...args], { env });
    await gpg('--passphrase', '', '--quick-generate-key', 'bob@umhs.example.org', 'default');
    const command = /^find [^`]*?\\;$/m.exec(await text('docs/receiver.md'))?.[0] ?? 'false';
    const decrypt = () => run('sh', ['-c', command], { cwd: folder, env });
    const arrived = join(folder, 'From_PUHSC_To_UMHS', "gpg-alice's");
    await mkdir(arrived, { recursive: true });
    const seal = async (name: string, content: string): Promise<void> => {
      await writeFile(join(folder, 'plain'), content);
      const to = join(arrived, `${name}.gpg`);
      const made = ['--yes', '-o', to, '-r', 'bob@umhs.example.org', '-e', join(folder, 'plain')];
      t.equal((await gpg(...made)).code, 0);
    };
    await seal('one image.dcm', 'first');
    await decrypt();
    const one = join(arrived, 'one image.dcm');
    t.equal(await readFile(one, 'utf8'), 'first');
    const { mtimeMs } = await stat(one);

    await seal('two.dcm', 'second');
    await seal('cut.dcm', 'never whole'.repeat(10_000));
    const cut = await readFile(join(arrived, 'cut.dcm.gpg'));
    await writeFile(join(arrived, 'cut.dcm.gpg'), cut.subarray(0, cut.length - 40));
    await decrypt();
    const names = ['cut.dcm.gpg', 'one image.dcm', 'one image.dcm.gpg', 'two.dcm', 'two.dcm.gpg'];
    t.same((await readdir(arrived)).sort(), names);
    t.equal((await stat(one)).mtimeMs, mtimeMs, 'what was decrypted is not touched again');

    await seal('one image.dcm', 'a newer version');
    await decrypt();
    t.equal(await readFile(one, 'utf8'), 'a newer version');
  },
);

void t.test(
  'each bench explains itself, and refuses what it does not know before it runs',
  async (t) => {
    const bench = (...args: readonly string[]) =>
      run(process.execPath, [join(packageRoot, 'dist/scripts/bench.js'), ...args]);
    t.match((await bench('--help')).stdout, /bench -- deid +De-identification beside gdcmanon/);
    t.match((await bench('deid', '--help')).stdout, /--rounds .*default: 5/);
    t.match(await bench('deid', '--round', '3'), { code: 1, stderr: /Unknown argument: round/ });
    t.match(await bench('zip', '--entries', 'many'), {
      code: 1,
      stderr: /--entries is not a number/,
    });
  },
);
