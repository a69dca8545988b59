// What is wrong with a clean file that was made from a broken one: it must be read by two parsers, and nothing of the person
// may be in it. Used by the fuzzer.

import dicomParser from 'dicom-parser';
import { inflateRawSync } from 'node:zlib';
import { zips } from '../../src/adapters/zip/zips.ts';
import type { DataSet, WalkerEvent } from '../../src/core/dicom/dataset.ts';
import { walk } from '../../src/core/dicom/walk.ts';
import { walkAll } from './walk.ts';

/** Stands in every file in attributes that the Basic Profile takes out, at the places that are worth breaking. */
export const planted = 'ZQPLANTEDX';

interface Limits {
  readonly headerBytes: number;
  readonly inflatedBytes: number;
  readonly inflateRatio: number;
  readonly zipEntries: number;
  readonly zipDepth: number;
}

/** `output`: the clean file, also on disk at `path`, made from `source`. Undefined where it is as it must be. */
export async function wrongWith(
  output: Buffer,
  path: string,
  source: Buffer,
  limits: Limits,
): Promise<string | undefined> {
  if (output.readUInt32LE(0) !== 0x04034b50) {
    const isNamed = await namesPlanted(source, limits);
    return wrongFile(output, limits, isNamed);
  }
  // checksums keep the entries as they were made, so that the mark is where it was put and nowhere else
  if (output.includes(planted)) return 'the mark is in the zip';
  const zip = await zips.open(path, limits);
  try {
    for (const entry of zip.entries) {
      const pieces: Uint8Array[] = [];
      for await (const piece of zip.read(entry)) pieces.push(piece);
      const wrong = await wrongFile(Buffer.concat(pieces), limits, true);
      if (wrong !== undefined) return `${entry.name}: ${wrong}`;
    }
    return undefined;
  } finally {
    await zip.close();
  }
}

/** Is the mark the patient's name still? Else a change moved it into an attribute that stays, where it says nothing. */
async function namesPlanted(source: Buffer, limits: Limits): Promise<boolean> {
  const { header } = await walkAll([source], limits);
  const name = header.elements.find(({ tag }) => tag === 0x00100010);
  return name?.kind === 'value' && Buffer.from(name.value).includes(`${planted}^`);
}

async function wrongFile(
  output: Buffer,
  limits: Limits,
  isMarked: boolean,
): Promise<string | undefined> {
  for await (const event of walk([output], limits) as AsyncIterable<WalkerEvent>) {
    const isText = event.kind === 'header' || event.kind === 'trailer';
    if (isMarked && isText && holds(event.dataset)) return `the mark is in the ${event.kind}`;
  }
  return output.subarray(0, 132).includes(planted) ? 'the mark is in the preamble' : unread(output);
}

function holds(dataset: DataSet): boolean {
  return dataset.elements.some((element) => {
    switch (element.kind) {
      case 'value':
        return Buffer.from(element.value).includes(planted);
      case 'sequence':
        return element.items.some(holds);
      case 'fragments':
        return element.fragments.some((fragment) => Buffer.from(fragment).includes(planted));
    }
  });
}

/** dicom-parser reads OV, SV and UV wrongly (it takes their length for one of 16 bits). */
const misread = /[OSU]V\0\0/;

function unread(output: Buffer): string | undefined {
  if (misread.test(output.toString('latin1'))) return undefined;
  try {
    const read = dicomParser.parseDicom(output, { inflater: inflate });
    return read.string('x00120062') === 'YES' ? undefined : 'dicom-parser finds no mark of ours';
  } catch {
    return 'dicom-parser cannot read it';
  }
}

/** dicom-parser hands over everything and the offset at which the deflated part begins. */
const inflate = (bytes: Uint8Array, position: number): Uint8Array =>
  Buffer.concat([bytes.subarray(0, position), inflateRawSync(bytes.subarray(position))]);
