// What a published file is called (SPEC 7, "File names are PHI"). With `names: code` nothing of the client's names is
// used: the parts come from the clean dataset and from a keyed hash of the upload's path, so that a newer generation
// takes its predecessor's place and nobody can tell the path from the name.

import { createHmac } from 'node:crypto';
import type { DataSet } from './dicom/dataset.ts';
import { firstValue } from './deid/reading.ts';

/** How the client's own names are treated. */
export type Naming = 'code' | 'scrub' | 'keep';

export interface NameInput {
  readonly naming: Naming;
  /** 32 bytes. */
  readonly nameKey: Uint8Array;
  /** Stable for the upload's path, see ProcessTask.uploadKey. */
  readonly uploadKey: string;
  /** The client's path below the intake, `/` between the parts. */
  readonly uploadName: string;
  /** For `scrub`: does this part of a path equal or hold something identifying in the dataset? */
  readonly identifies?: (part: string) => boolean;
}

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** Ten letters, 50 bits: short enough to be read, long enough for a million files of one folder. */
export function shortID(nameKey: Uint8Array, ...parts: readonly string[]): string {
  const mac = createHmac('sha256', nameKey).update('name');
  for (const part of parts) mac.update(`\0${Buffer.byteLength(part)}\0`).update(part);
  const bytes = mac.digest();
  return Array.from({ length: 10 }, (_, i) => base32[(bytes[i] ?? 0) & 31]).join('');
}

/** `CT_2_14`: modality, series and instance number of the clean dataset, `XX` and `0` where it says nothing usable. */
export function imageStem(clean: DataSet): string {
  const modality = firstValue(clean, 0x00080060);
  const number = (tag: number): string => {
    const text = firstValue(clean, tag).replace(/^\+/, '');
    return /^\d{1,9}$/.test(text) ? String(Number(text)) : '0';
  };
  const stem = /^[A-Z]{2,16}$/.test(modality) ? modality : 'XX';
  return `${stem}_${number(0x00200011)}_${number(0x00200013)}`;
}

/** A DICOM file's name below `gpg-<SENDER>/`: `JI-7K3M9/CT_2_14_k3m9q2aa7x.dcm.gpg`. */
export function publishedDicomName(input: NameInput, code: string, clean: DataSet): string {
  if (input.naming !== 'code') return `${ownPath(input)}.gpg`;
  const id = shortID(input.nameKey, input.uploadKey);
  return `${code}/${imageStem(clean)}_${id}.dcm.gpg`;
}

/** A zip's name: `<id>.zip.gpg`. */
export function publishedZipName(input: NameInput): string {
  if (input.naming !== 'code') return `${ownPath(input)}.gpg`;
  return `${shortID(input.nameKey, input.uploadKey)}.zip.gpg`;
}

/** Another file's name: `<id>.<extension>.gpg`. */
export function publishedOtherName(input: NameInput): string {
  if (input.naming !== 'code') return `${ownPath(input)}.gpg`;
  return `${shortID(input.nameKey, input.uploadKey)}.${extensionOf(input.uploadName)}.gpg`;
}

/**
 * The name of a DICOM entry in the output zip. `entryKey`: the entry's index and name in the client's zip, also nested
 * (`3/17`), so that each is different. With `keep` and `scrub` `input.uploadName` is the entry's own path.
 */
export function zipDicomEntryName(
  input: NameInput,
  entryKey: string,
  code: string,
  clean: DataSet,
): string {
  if (input.naming !== 'code') return ownPath(input);
  const id = shortID(input.nameKey, input.uploadKey, entryKey);
  return `${code}/${imageStem(clean)}_${id}.dcm`;
}

/** The name of an entry that is not DICOM, where the project passes such files on (`otherFiles: encrypt`). */
export function zipOtherEntryName(input: NameInput, entryKey: string): string {
  if (input.naming !== 'code') return ownPath(input);
  const id = shortID(input.nameKey, input.uploadKey, entryKey);
  return `other/${id}.${extensionOf(input.uploadName)}`;
}

/** What other files are called behind the dot. A closed list: what stands there may be a word or a date that a person typed. */
const extensions: ReadonlySet<string> = new Set(
  // prettier-ignore
  [
    '7z', 'avi', 'bam', 'bdf', 'bed', 'bin', 'bmp', 'bval', 'bvec', 'bz2', 'csv', 'dat', 'dcm', 'dic', 'dicom', 'doc',
    'docx', 'edf', 'fasta', 'fastq', 'fif', 'gif', 'gii', 'gpg', 'gz', 'h5', 'hdf', 'hdf5', 'hdr', 'hl7', 'htm', 'html',
    'ima', 'img', 'ipynb', 'jp2', 'jpeg', 'jpg', 'json', 'jsonl', 'key', 'log', 'mat', 'md', 'mgh', 'mgz', 'mha', 'mhd',
    'mnc', 'mov', 'mp3', 'mp4', 'mpeg', 'mpg', 'nc', 'nii', 'npy', 'npz', 'nrrd', 'obj', 'odp', 'ods', 'odt', 'parquet',
    'pdf', 'pickle', 'pkl', 'png', 'ppt', 'pptx', 'ps', 'py', 'rar', 'raw', 'rda', 'rdata', 'rds', 'rtf', 'sas7bdat',
    'sav', 'sql', 'sqlite', 'stl', 'svg', 'svs', 'tar', 'tck', 'tex', 'text', 'tgz', 'tif', 'tiff', 'toml', 'trk', 'tsv',
    'txt', 'vcf', 'vtk', 'vtp', 'wav', 'webp', 'xls', 'xlsx', 'xml', 'xz', 'yaml', 'yml', 'zip', 'zst',
  ],
);

/** Behind the last dot, where it is the name of a known kind of file, else `bin`. */
export function extensionOf(name: string): string {
  const extension = /[^/.][^/]*[.]([A-Za-z0-9]{1,8})$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return extensions.has(extension) ? extension : 'bin';
}

/** The client's path, made safe for a tree of files; with `scrub` its identifying parts give way to short hashes. */
function ownPath(input: NameInput): string {
  const parts = input.uploadName
    .normalize('NFC')
    .split(/[/\\]/)
    .filter((part) => part !== '' && part !== '.' && part !== '..');
  const safe = parts.map((part) => {
    const plain = safePart(part);
    if (input.naming === 'keep' || input.identifies?.(part) !== true) return plain;
    // the path up to here goes into the hash, so that two scrubbed names never meet
    const id = shortID(input.nameKey, input.uploadKey, part);
    return /[.]/.test(part) ? `${id}.${extensionOf(part)}` : id;
  });
  return safe.length === 0 ? shortID(input.nameKey, input.uploadKey) : safe.join('/');
}

/** No control characters, nothing that Windows forbids, no reserved beginning, at most 200 bytes. */
function safePart(part: string): string {
  let plain = part.replaceAll(/[\p{Cc}\p{Cf}<>:"|?*]/gu, '_').replace(/^[.~]+/, '_');
  if (/^gpg-/i.test(plain)) plain = `_${plain}`;
  while (Buffer.byteLength(plain) > 200) plain = plain.slice(0, -1);
  return plain.replace(/[. ]+$/, '_');
}
