// Published names: nothing of a client's words unless the project says so, and always the same for the same upload.

import t from 'tap';
import {
  extensionOf,
  imageStem,
  publishedDicomName,
  publishedOtherName,
  publishedZipName,
  shortID,
  zipDicomEntryName,
  zipOtherEntryName,
  type NameInput,
} from '../../src/core/names.ts';
import { clean } from '../support/deid.ts';
import { ctSlice, el } from '../support/dicom.ts';

const input: NameInput = {
  naming: 'code',
  nameKey: Buffer.alloc(32, 9),
  uploadKey: 'm1:TEST^ANNA/1.dcm',
  uploadName: 'TEST^ANNA/1.dcm',
};
const id = /[a-z2-7]{10}/.source;

void t.test('with codes, names are made of the clean dataset and a keyed hash', async (t) => {
  const { dataset } = await clean(ctSlice({ seriesNumber: 2, instanceNumber: 14 }));
  const name = publishedDicomName(input, 'JI-7K3M9', dataset);
  t.match(name, new RegExp(`^JI-7K3M9/CT_2_14_${id}\\.dcm\\.gpg$`));
  t.equal(publishedDicomName(input, 'JI-7K3M9', dataset), name, 'a newer generation has the same');
  t.not(publishedDicomName({ ...input, uploadKey: 'm2:x' }, 'JI-7K3M9', dataset), name);
  t.not(publishedDicomName({ ...input, nameKey: Buffer.alloc(32, 8) }, 'JI-7K3M9', dataset), name);
  t.match(publishedZipName(input), new RegExp(`^${id}\\.zip\\.gpg$`));
  t.match(publishedOtherName(input), new RegExp(`^${id}\\.dcm\\.gpg$`));
  const entry = zipDicomEntryName(input, '0', 'JI-7K3M9', dataset);
  t.match(entry, new RegExp(`^JI-7K3M9/CT_2_14_${id}\\.dcm$`));
  t.not(zipDicomEntryName(input, '1', 'JI-7K3M9', dataset), entry);
  t.match(zipOtherEntryName(input, '1'), new RegExp(`^other/${id}\\.dcm$`));
  for (const one of [name, entry, publishedZipName(input)]) t.notMatch(one, /ANNA|TEST/i);
});

void t.test('what a dataset says is not believed to be a name', async (t) => {
  const odd: readonly [modality: string, series: string, want: string][] = [
    ['CT', '+3', 'CT_3_1'],
    ['CT/../X', '3', 'XX_3_1'],
    ['ct', '3', 'XX_3_1'],
    ['C', '1e3', 'XX_0_1'],
    ['CT', '-1', 'CT_0_1'],
    ['CT', '000000000012', 'CT_0_1'],
  ];
  for (const [modality, series, want] of odd) {
    const { dataset } = await clean(ctSlice({ modality, extra: [el(0x00200011, 'IS', series)] }));
    t.equal(imageStem(dataset), want);
  }
  t.equal(imageStem({ elements: [] }), 'XX_0_0');
});

void t.test('an extension is a few letters or none', async (t) => {
  for (const [name, want] of [
    ['notes.TXT', 'txt'],
    ['a.tar.gz', 'gz'],
    ['noextension', 'bin'],
    ['.hidden', 'bin'],
    ['scan.19610704', 'bin'],
    ['x.Wang Xiaodong', 'bin'],
    ['x.toolongextension', 'bin'],
    ['notes.johanna', 'bin'],
    ['folder.v1/readme', 'bin'],
    ['图.胸', 'bin'],
  ] as const) {
    t.equal(extensionOf(name), want, name);
  }
});

void t.test('keep and scrub stay inside the folder and end in gpg', async (t) => {
  const own = (uploadName: string, more: Partial<NameInput> = {}): string =>
    publishedZipName({ ...input, naming: 'keep', uploadName, ...more });
  t.equal(own('series/1.zip'), 'series/1.zip.gpg');
  t.equal(own('../../etc/passwd'), 'etc/passwd.gpg');
  t.equal(own('/a//b\\c.zip'), 'a/b/c.zip.gpg');
  t.equal(own('GPG-x/.hidden'), '_GPG-x/_hidden.gpg');
  t.equal(own('a\u0000\u202eb:c'), 'a__b_c.gpg');
  t.match(own('..'), new RegExp(`^${id}\\.gpg$`));
  t.ok(Buffer.byteLength(own('胸'.repeat(120))) <= 204);
  const identifies = (part: string): boolean => /anna/i.test(part);
  const scrubbed = own('TEST^ANNA/series 1/anna.dcm', { naming: 'scrub', identifies });
  t.match(scrubbed, new RegExp(`^${id}/series 1/${id}\\.dcm\\.gpg$`));
});

void t.test('the parts of a short hash cannot run into each other', async (t) => {
  const key = input.nameKey;
  t.not(shortID(key, 'ab', 'c'), shortID(key, 'a', 'bc'));
  t.not(shortID(key, 'ab'), shortID(key, 'ab', ''));
});
