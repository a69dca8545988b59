// The whole story of the product, once, for real: OpenSSH's sftp on both ends, GnuPG, unzip and dcmdump.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ctSlice, gb18030, padded } from '../support/dicom.ts';
import {
  addRecipient,
  dcmdump,
  filesBelow,
  makeExchange,
  searchBytes,
  type Exchange,
} from '../support/exchange.ts';
import { KeyRing, Person } from '../support/people.ts';
import { missing, run, until } from '../support/programs.ts';
import type { JobRow } from '../support/site.ts';

const profile = `extends: basic
options: [retain-longitudinal-modified-dates]
`;

// What must never leave: made up, and long enough that it does not turn up by chance.
const li = { patientName: 'LIWEISHENG^DAHAI', patientID: 'PUMC-0047112', birthDate: '19530817' };
const wang = {
  charset: 'GB18030',
  patientName: padded(Buffer.concat([Buffer.from('WANGXIAODONG^LAN='), gb18030('王小东')])),
  patientID: 'PUMC-0099345',
  birthDate: '19710203',
};
const planted: readonly (string | Uint8Array)[] = [
  'LIWEISHENG', 'DAHAI', 'PUMC-0047112', '19530817', 'WANGXIAODONG', gb18030('王小东'), '王小东',
  'PUMC-0099345', '19710203', 'ACC778899', 'REFERRER^ROSA', 'holiday-liweisheng',
]; // prettier-ignore

const outgoing = 'data/home/ji_brain/club_house/From_PUHSC_To_UMHS';
const here = (job: JobRow, part: string): boolean => job.upload.endsWith(part);

const timeout = 300_000;
t.setTimeout(2 * timeout);

void t.test(
  'an exchange between two sites',
  { skip: missing('sftp', 'ssh-keygen', 'gpg', 'unzip', 'zip', 'dcmdump'), timeout },
  async (t) => {
    const exchange = await makeExchange(profile);
    const { peking, michigan, alice, bob, bobsKeys } = exchange;
    t.teardown(() => exchange.end());
    await peking.start();
    await michigan.start();

    await t.test(
      'images, a zip, a Chinese name and a plain file arrive by themselves',
      async (t) => {
        const slices = [1, 2, 3].map((n) =>
          ctSlice({ ...li, instanceNumber: n, studyDate: '20240229' }),
        );
        for (const [i, slice] of slices.entries())
          await alice.file(`LIWEISHENG_DAHAI/IM${i}.dcm`, slice);
        await alice.file('wang.dcm', ctSlice({ ...wang, studyUID: '1.2.826.0.1.3680043.99.7' }));
        await makeZip(alice, 'holiday-liweisheng.zip', [
          [
            'LIWEISHENG DAHAI/PUMC-0047112/IM0009',
            ctSlice({ ...li, instanceNumber: 9, studyDate: '20240307' }),
          ],
          ['LIWEISHENG DAHAI/PUMC-0047112/IM0010', ctSlice({ ...li, instanceNumber: 10 })],
          ['LIWEISHENG DAHAI/notes.txt', Buffer.from('seen by Dr. Referrer, patient LIWEISHENG')],
        ]);
        await alice.file('protocol.txt', 'Slice thickness 1.25 mm, no contrast.\n');
        await alice.does(peking, [
          'put -r LIWEISHENG_DAHAI gpg/',
          'put wang.dcm gpg/wang.dcm',
          'put holiday-liweisheng.zip gpg/',
          'put protocol.txt /home/ji_brain/club_house/From_PUHSC_To_UMHS/protocol.txt',
        ]);
        const jobs = await peking.settled(['delivered'], 6);
        t.equal(jobs.length, 6, 'one row for each upload and partner');
        t.equal(
          jobs.find((job) => here(job, '.zip'))?.exclusions.length,
          1,
          'the note was left out',
        );
      },
    );

    await t.test('the receiver downloads, decrypts and reads everything', async (t) => {
      await bob.does(michigan, ['get -r /home/ji_brain/club_house/From_PUHSC_To_UMHS in']);
      const received = await filesBelow(join(bob.folder, 'in'));
      const sealed = received.filter((path) => path.endsWith('.gpg'));
      t.equal(sealed.length, 5);
      t.ok(sealed.every((path) => path.startsWith('gpg-alice/')));
      t.equal(
        await readFile(join(bob.folder, 'in', 'protocol.txt'), 'utf8'),
        'Slice thickness 1.25 mm, no contrast.\n',
        'a plain file arrives byte for byte',
      );
      for (const path of sealed) {
        const clear = await bobsKeys.decrypt(await readFile(join(bob.folder, 'in', path)));
        await bob.file(join('clear', path.replace(/\.gpg$/, '')), clear);
      }
      const zip = sealed.find((path) => path.endsWith('.zip.gpg'))?.replace(/\.gpg$/, '') ?? '';
      const test = await run('unzip', [
        '-q',
        join(bob.folder, 'clear', zip),
        '-d',
        join(bob.folder, 'clear', 'unzipped'),
      ]);
      t.equal(test.code, 0, 'unzip is content');
      const images = (await filesBelow(join(bob.folder, 'clear'))).filter((path) =>
        path.endsWith('.dcm'),
      );
      t.equal(images.length, 6);
      const seen = await Promise.all(
        images.map((path) => dcmdump(join(bob.folder, 'clear', path))),
      );
      for (const [i, image] of seen.entries()) {
        const code = image.get('0010,0010') ?? '';
        t.match(code, /^JI-[0-9A-Z]{5,}$/, 'the name is a subject code');
        t.equal(image.get('0010,0020'), code, 'so is the ID');
        t.equal(image.get('0012,0062'), 'YES', 'PatientIdentityRemoved');
        t.ok(images[i]?.includes(`${code}/`), 'the folder is the subject code');
      }
      t.equal(
        new Set(seen.map((image) => image.get('0010,0020'))).size,
        2,
        'two patients, two codes',
      );
      t.equal(new Set(seen.map((image) => image.get('0008,0018'))).size, 6, 'six instance UIDs');
      t.ok(seen.every((image) => image.get('0008,0018')?.startsWith('2.25.')));
    });

    await t.test('the same patient is the same by file, by zip and after a restart', async (t) => {
      t.equal(await peking.stop(), 0, 'SIGTERM ends the server cleanly');
      await peking.start();
      await alice.file('again.dcm', ctSlice({ ...li, instanceNumber: 21, studyDate: '20240229' }));
      await alice.does(peking, ['put again.dcm gpg/again.dcm']);
      await peking.settled(['delivered'], 1, (job) => here(job, 'again.dcm'));
      await bob.does(michigan, ['get -r /home/ji_brain/club_house/From_PUHSC_To_UMHS in2']);
      const folder = join(bob.folder, 'in2');
      const later = (await filesBelow(folder)).find((path) => /_21_/.test(path)) ?? '';
      await bob.file(
        'again-clear.dcm',
        await bobsKeys.decrypt(await readFile(join(folder, later))),
      );
      const again = await dcmdump(join(bob.folder, 'again-clear.dcm'));
      const clear = (await filesBelow(join(bob.folder, 'clear'))).filter((path) =>
        path.endsWith('.dcm'),
      );
      const byInstance = new Map<string, ReadonlyMap<string, string>>();
      for (const path of clear) {
        const image = await dcmdump(join(bob.folder, 'clear', path));
        if (image.get('0010,0020') === again.get('0010,0020')) {
          byInstance.set(image.get('0020,0013') ?? '', image);
        }
      }
      t.same(
        [...byInstance.keys()].sort(),
        ['1', '10', '2', '3', '9'],
        'the code is the same everywhere',
      );
      for (const image of byInstance.values()) {
        t.equal(image.get('0020,000d'), again.get('0020,000d'), 'the study UID is the same');
      }
      const one = byInstance.get('1')?.get('0008,0020') ?? '';
      t.equal(one, again.get('0008,0020'), 'the date moved by the same offset');
      t.not(one, '20240229', 'and it did move');
      t.equal(
        days(byInstance.get('9')?.get('0008,0020') ?? '') - days(one),
        7,
        'intervals are exact',
      );
    });

    await t.test('nobody else sees the sender’s folder', async (t) => {
      const mallory = await Person.make('mallory');
      t.teardown(() => mallory.remove());
      await peking.run([
        'user',
        'add',
        'mallory',
        '--project',
        'brain',
        '--key',
        mallory.publicKey,
      ]);
      const umhs = await Person.make('UMHS');
      t.teardown(() => umhs.remove());
      await peking.run(['partner', 'accept', 'UMHS', '--key', umhs.publicKey]);
      for (const stranger of [mallory, umhs]) await seesNothing(t, exchange, stranger);
    });

    await t.test('receipts tell the sender what became of each file', async (t) => {
      // A receipt is written soon after the state it tells.
      let round = 0;
      const zip = await until('the receipt of the zip', async () => {
        const folder = `receipts-${(round += 1)}`;
        await alice.does(peking, [`get -r receipts ${folder}`]);
        const names = await readdir(join(alice.folder, folder));
        const texts = await Promise.all(
          names.map((name) => readFile(join(alice.folder, folder, name), 'utf8')),
        );
        return texts.find(
          (text) => /holiday-liweisheng\.zip/.test(text) && /delivered/i.test(text),
        );
      });
      t.match(zip, /notes\.txt/, 'the entry that was left out is named');
      t.match(zip, /\.zip\.gpg/, 'so is the published name');
    });

    await t.test('the other direction works the same way', async (t) => {
      const alicesKeys = await KeyRing.make();
      t.teardown(() => alicesKeys.remove());
      const owner = 'Alice Receiver <alice@puhsc.example.org>';
      await addRecipient(michigan, 'PUHSC', alicesKeys, owner, 'brain', 'default');
      await bob.file(
        'back.dcm',
        ctSlice({
          ...{ patientName: 'ANNARBOR^JOE', patientID: 'MI-5550123' },
          omit: [0x00080050, 0x00080090], // planted values of the other direction
        }),
      );
      await bob.does(michigan, ['put back.dcm gpg/back.dcm']);
      await michigan.settled(['delivered'], 1);
      await alice.does(peking, ['get -r /home/ji_brain/club_house/From_UMHS_To_PUHSC back']);
      const [path] = (await filesBelow(join(alice.folder, 'back'))).filter((name) =>
        name.endsWith('.gpg'),
      );
      const clear = await alicesKeys.decrypt(
        await readFile(join(alice.folder, 'back', path ?? '')),
      );
      t.notOk(clear.includes('ANNARBOR'));
      t.ok(clear.subarray(128, 132).equals(Buffer.from('DICM')));
    });

    await t.test(
      'no planted value is anywhere at the partner, in a log or in a published name',
      async (t) => {
        await peking.stop();
        await michigan.stop();
        t.same(await searchBytes(michigan.home, planted), [], "the receiver's whole site");
        t.same(await searchBytes(join(peking.home, outgoing), planted), [], 'what was published');
        t.same(await searchBytes(join(bob.folder, 'clear'), planted), [], 'what was decrypted');
        const log = Buffer.from(await peking.log());
        t.ok(log.length > 0);
        t.same(
          planted.filter((value) => log.includes(Buffer.from(value as Uint8Array))),
          [],
          "the sender's log",
        );
      },
    );

    t.comment('e2e: the exchange ran');
  },
);

function days(date: string): number {
  return (
    Date.UTC(Number(date.slice(0, 4)), Number(date.slice(4, 6)) - 1, Number(date.slice(6, 8))) /
    86_400_000
  );
}

async function makeZip(
  person: Person,
  name: string,
  entries: readonly (readonly [path: string, bytes: Uint8Array])[],
): Promise<void> {
  const folder = join(person.folder, `${name}.d`);
  await mkdir(folder, { recursive: true });
  for (const [path, bytes] of entries) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  const done = await run('zip', ['-q', '-r', join(person.folder, name), '.'], { cwd: folder });
  if (done.code !== 0) throw new Error(`zip ended with ${done.code}`);
}

async function seesNothing(t: Test, exchange: Exchange, stranger: Person): Promise<void> {
  const { peking } = exchange;
  const own = '/home/ji_brain/alice';
  const before = await filesBelow(join(peking.home, 'data/home/ji_brain/alice'));
  const attempts = [
    `ls ${own}`,
    `ls ${own}/gpg`,
    `ls ${own}/gpg/wang.dcm`,
    `get ${own}/gpg/wang.dcm stolen`,
    `get ${own}/../alice/gpg/wang.dcm stolen`,
    `put id_ed25519.pub ${own}/gpg/planted`,
    `rename ${own}/gpg/wang.dcm ${own}/gpg/moved`,
    `rename ${own}/gpg/wang.dcm /home/ji_brain/${stranger.name}/gpg/mine`,
    `rm ${own}/gpg/wang.dcm`,
    `mkdir ${own}/gpg/folder`,
    `chmod 777 ${own}/gpg`,
    `cd ${own}`,
  ];
  for (const attempt of attempts) {
    const done = await stranger.sftp(peking, [attempt]);
    t.not(done.code, 0, `${stranger.name}: ${attempt.split(' ')[0]} is refused`);
    t.notMatch(
      done.stderr + done.stdout.toString(),
      /denied/i,
      'without a hint that something is there',
    );
  }
  const listing = await stranger.sftp(peking, [
    '-ls -la /home/ji_brain',
    '-ls -la /home',
    'ls -la /',
  ]);
  t.notMatch(listing.stdout.toString(), /alice/, 'no listing names the sender');
  t.same(
    await filesBelow(join(peking.home, 'data/home/ji_brain/alice')),
    before,
    'nothing changed on disk',
  );
}
