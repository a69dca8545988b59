// Made-up images of real size and with as many attributes as a scanner writes, for measuring.

import { createWriteStream } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ctSlice, el, type CtSlice, type TestElement } from '../../../test/support/dicom.ts';

const study = '1.2.826.0.1.3680043.99.20240229.17';

/** About 130 elements in all, with code sequences and a private block of 30. */
function scannerElements(instanceNumber: number): TestElement[] {
  const code = (value: string, meaning: string): TestElement[] => [
    el(0x00080100, 'SH', value),
    el(0x00080102, 'SH', 'SCT'),
    el(0x00080104, 'LO', meaning),
  ];
  const text: readonly (readonly [number, string, string])[] = [
    [0x00080012, 'DA', '20240229'],
    [0x00080013, 'TM', '101612.123'],
    [0x00080022, 'DA', '20240229'],
    [0x00080023, 'DA', '20240229'],
    [0x00080031, 'TM', '101544.5'],
    [0x00080032, 'TM', '101550.25'],
    [0x00080033, 'TM', '101551'],
    [0x00080081, 'ST', '1 Example Road, Beijing'],
    [0x00081010, 'SH', 'CTAWP1'],
    [0x0008103e, 'LO', 'Thorax 1.0 B31f'],
    [0x00081040, 'LO', 'Radiology'],
    [0x00081048, 'PN', 'READER^RITA'],
    [0x00081070, 'PN', 'OPERATOR^OTTO'],
    [0x00081090, 'LO', 'Example Scanner 64'],
    [0x00101020, 'DS', '1.68'],
    [0x00101030, 'DS', '61'],
    [0x001021b0, 'LT', 'Cough for three weeks'],
    [0x00180015, 'CS', 'CHEST'],
    [0x00180022, 'CS', 'HELICAL_CT'],
    [0x00180060, 'DS', '120'],
    [0x00180090, 'DS', '500'],
    [0x00181000, 'LO', '12345'],
    [0x00181020, 'LO', 'VB20A'],
    [0x00181030, 'LO', 'Thorax routine'],
    [0x00181100, 'DS', '330'],
    [0x00181110, 'DS', '1040'],
    [0x00181111, 'DS', '570'],
    [0x00181120, 'DS', '0'],
    [0x00181130, 'DS', '157'],
    [0x00181140, 'CS', 'CW'],
    [0x00181150, 'IS', '500'],
    [0x00181151, 'IS', '210'],
    [0x00181152, 'IS', '105'],
    [0x00181160, 'SH', 'FLAT'],
    [0x00181170, 'IS', '25'],
    [0x00181190, 'DS', '1.2'],
    [0x00181210, 'SH', 'B31f'],
    [0x00185100, 'CS', 'HFS'],
    [0x00200012, 'IS', '2'],
    [0x00200032, 'DS', `-165.0\\-164.5\\${(-instanceNumber * 1.25).toFixed(2)}`],
    [0x00200037, 'DS', '1\\0\\0\\0\\1\\0'],
    [0x00200052, 'UI', `${study}.1.0`],
    [0x00201040, 'LO', ''],
    [0x00201041, 'DS', (-instanceNumber * 1.25).toFixed(2)],
    [0x00204000, 'LT', 'Reconstructed twice'],
    [0x00280030, 'DS', '0.64453125\\0.64453125'],
    [0x00281050, 'DS', '40\\-600'],
    [0x00281051, 'DS', '400\\1200'],
    [0x00281052, 'DS', '-1024'],
    [0x00281053, 'DS', '1'],
    [0x00281055, 'LO', 'WINDOW1\\WINDOW2'],
    [0x00321032, 'PN', 'REQUESTER^RUTH'],
    [0x00321033, 'LO', 'Pulmonology'],
    [0x00321060, 'LO', 'CT thorax with contrast'],
    [0x00400002, 'DA', '20240229'],
    [0x00400003, 'TM', '1000'],
    [0x00400244, 'DA', '20240229'],
    [0x00400245, 'TM', '101530'],
    [0x00400253, 'ID', 'PPS4711'],
    [0x00400254, 'LO', 'CT thorax'],
  ];
  return [
    ...text.map(([tag, vr, value]) => el(tag, vr === 'ID' ? 'SH' : vr, value)),
    el(0x00081032, 'SQ', { items: [code('75385009', 'CT of thorax')] }),
    el(0x00082218, 'SQ', { items: [code('43799004', 'Thoracic cavity structure')] }),
    el(0x00280106, 'SS', -1024),
    el(0x00280107, 'SS', 3071),
    el(0x00290010, 'LO', 'EXAMPLE CSA HEADER'),
    ...Array.from({ length: 30 }, (_, n) => el(0x00291008 + n, 'OB', Buffer.alloc(64, n))),
    el(0x00400275, 'SQ', {
      items: [
        [
          el(0x00321060, 'LO', 'CT thorax with contrast'),
          el(0x00400008, 'SQ', { items: [code('75385009', 'CT of thorax')] }),
          el(0x00400009, 'SH', 'SPS4711'),
          el(0x00401001, 'SH', 'RP4711'),
        ],
      ],
    }),
  ];
}

const scan = (instanceNumber: number): CtSlice => ({
  studyUID: study,
  seriesNumber: 2,
  instanceNumber,
  size: 512,
  extra: scannerElements(instanceNumber),
});

/** Slices of 512 × 512 × 16 bits, 512 KB of pixels each, into a new folder. Gives their paths. */
export async function makeSlices(folder: string, count: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const paths: string[] = [];
  for (let n = 1; n <= count; n += 1) {
    const path = join(folder, `IM${String(n).padStart(4, '0')}.dcm`);
    await writeFile(path, ctSlice(scan(n)));
    paths.push(path);
  }
  return paths;
}

const frameBytes = 512 * 1024;

/** One multi-frame file with so many bytes of pixels, rounded to frames of 512 KB; never whole in memory. `sparse`: all zeros. */
export async function makeMultiFrame(
  path: string,
  pixelBytes: number,
  how: 'full' | 'sparse' = 'full',
): Promise<void> {
  const frames = Math.round(pixelBytes / frameBytes);
  const one = scan(1);
  const file = ctSlice({
    ...one,
    sopClass: '1.2.840.10008.5.1.4.1.1.2.1',
    extra: [...(one.extra ?? []), el(0x00280008, 'IS', String(frames))],
    pixels: new Uint8Array(0),
  });
  // The length field of the pixels is the last thing in the file.
  file.writeUInt32LE(frames * frameBytes, file.length - 4);
  if (how === 'sparse') {
    await writeFile(path, file);
    await truncate(path, file.length + frames * frameBytes);
    return;
  }
  const frame = Buffer.from(Array.from({ length: frameBytes }, (_, i) => (i * i * 7 + i) & 0xff));
  const pieces = function* (): Generator<Buffer> {
    yield file;
    for (let n = 0; n < frames; n += 1) yield frame;
  };
  await pipeline(Readable.from(pieces()), createWriteStream(path));
}
