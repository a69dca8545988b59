// Runs the de-identification over a whole made-up file, as the worker does, without threads, keys or disks.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgeImage, type ImageHold } from '../../src/core/deid/burned-in.ts';
import { deidentify, type DeidResult } from '../../src/core/deid/deidentify.ts';
import { createPolicy } from '../../src/core/deid/policy.ts';
import { compileProfile, type Profile, type ProfileResolver } from '../../src/core/deid/profile.ts';
import type { DataSet, FileHead } from '../../src/core/dicom/dataset.ts';
import { createWalker } from '../../src/core/dicom/walker.ts';
import { writeDataSet, writeHead } from '../../src/core/dicom/writer.ts';
import { packageRoot } from '../../src/package-root.ts';

export const uidKey = Buffer.alloc(32, 7);
export const testSubject = { code: 'JI-7K3M9', dateOffsetDays: -35 };

export const shipped: ProfileResolver = (name) => {
  const known = ['basic', 'research-ct-mr', 'strict'].includes(name);
  if (!known) return undefined;
  const yaml = readFileSync(join(packageRoot, 'config', 'profiles', `${name}.yaml`), 'utf8');
  return { name, yaml };
};

export const profileOf = (yaml: string): Profile => compileProfile(yaml, 'test', shipped);

export interface Walked {
  readonly head: FileHead;
  readonly header: DataSet;
  readonly trailer: DataSet;
}

/** Not for deflated files. */
export async function walked(file: Uint8Array): Promise<Walked> {
  const walker = createWalker({ headerBytes: 1 << 24 });
  let [head, header, trailer]: [FileHead?, DataSet?, DataSet?] = [];
  for (const event of [...walker.push(file), ...walker.end()]) {
    if (event.kind === 'head') head = event.head;
    if (event.kind === 'header') header = event.dataset;
    if (event.kind === 'trailer') trailer = event.dataset;
  }
  if (head === undefined || header === undefined || trailer === undefined) throw new Error('short');
  return { head, header, trailer };
}

export interface Cleaned extends DeidResult {
  readonly original: Walked;
  readonly trailer: DataSet;
  readonly image: ImageHold | undefined;
  /** Head, header and trailer as they would be written, without the pixels. */
  readonly bytes: Buffer;
}

/** `yaml`: a profile. */
export async function clean(
  file: Uint8Array,
  yaml = 'extends: basic',
  subject = testSubject,
): Promise<Cleaned> {
  const original = await walked(file);
  const { head, header } = original;
  const policy = createPolicy(profileOf(yaml)).forFile(header);
  const shared = { head, header, policy, uidKey, subject };
  const result = deidentify({ part: 'header', dataset: header, ...shared });
  const behind = deidentify({ part: 'trailer', dataset: original.trailer, ...shared });
  return {
    ...result,
    original,
    trailer: behind.dataset,
    image: judgeImage(header, head, policy, false),
    bytes: Buffer.concat([
      writeHead(head, result),
      writeDataSet(result.dataset, head.encoding),
      writeDataSet(behind.dataset, head.encoding),
    ]),
  };
}
