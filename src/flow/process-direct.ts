// Looks at a file that was put into the outgoing folder as it is: DICOM there, or a zip holding some at any depth, is a
// slip of the hand that would leak PHI (SPEC 3). What cannot be looked into is held too, for it may hide some.

import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { walk } from '../core/dicom/walk.ts';
import { ZipRefusal } from '../core/zip-refusal.ts';
import type { ProcessOutcome } from './ports/processing.ts';
import type { ZipSource } from './ports/zip.ts';
import type { ProcessContext, Work } from './process-context.ts';
import { Held, stopOf } from './process-hold.ts';
import { writeScratch } from './process-scratch.ts';
import { looksLike, peekBytes, type Looks } from './process-sniff.ts';
import { bytesOf, type Bytes } from './process-source.ts';

/** Throws Held (`slip`, `zip-…`), ZipRefusal, DICOM_TRUNCATED or ZIP_TRUNCATED. */
export async function processDirect(looks: Looks, work: Work): Promise<ProcessOutcome> {
  const { context, source, bytes } = work;
  if (looks === 'dicom') await refuseDicom(bytes, context);
  if (looks === 'damaged') throw damaged(context);
  if (looks === 'zip') {
    const { deps, task } = context;
    const zip = await deps.zips.open(task.source, task.limits);
    await searchZip(zip, context, 1);
  }
  return { kind: 'passed', sourceSha256: await source.sha256() };
}

/** A release never passes on what cannot be parsed (SPEC 5). */
const damaged = (context: ProcessContext, where?: string): Held =>
  new Held(context.isReleased('slip') ? 'not-parseable' : 'slip', where);

/** A released one goes on, if it is whole. */
async function refuseDicom(bytes: Bytes, context: ProcessContext): Promise<void> {
  const release = (piece: Uint8Array): void => bytes.release(piece);
  for await (const event of walk(bytes.chunks(), context.task.limits, release)) void event.kind;
  if (!context.isReleased('slip')) throw new Held('slip');
}

async function searchZip(zip: ZipSource, context: ProcessContext, depth: number): Promise<void> {
  try {
    for (const entry of zip.entries) {
      const bytes = bytesOf(zip.read(entry, context.signal));
      try {
        const looks = looksLike(await bytes.peek(peekBytes));
        if (looks === 'damaged') throw damaged(context, `entry ${entry.index}`);
        if (looks === 'dicom') await refuseEntry(bytes, context, `entry ${entry.index}`);
        if (looks === 'zip') await searchNested(zip, bytes.chunks(), context, depth);
        await bytes.drain();
      } finally {
        await bytes.close();
      }
    }
  } finally {
    await zip.close();
  }
}

async function refuseEntry(bytes: Bytes, context: ProcessContext, where: string): Promise<void> {
  if (!context.isReleased('slip')) throw new Held('slip', where);
  try {
    await refuseDicom(bytes, context);
  } catch (error) {
    // Also one that ends too early: the zip around it is whole, so nothing more will come.
    const isContent = stopOf(error) !== undefined && !(error instanceof ZipRefusal);
    throw isContent ? new Held('not-parseable', where) : error;
  }
}

async function searchNested(
  outer: ZipSource,
  chunks: AsyncGenerator<Uint8Array>,
  context: ProcessContext,
  depth: number,
): Promise<void> {
  const { task, deps, signal } = context;
  if (depth >= task.limits.zipDepth) throw new Held('zip-depth');
  const path = join(task.scratch, `zip-${depth}`);
  try {
    await writeScratch(path, chunks, signal);
    await searchZip(await deps.zips.open(path, task.limits, outer.budget), context, depth + 1);
  } finally {
    await rm(path, { force: true });
  }
}
