// The work on one claimed upload, as one pipeline: read → walk → de-identify → check → encrypt → a sealed file on the disk, or no
// file and the reason. What a file is, its content says, never its name.

import { rmSync } from 'node:fs';
import { asClean, type Clean } from '../core/bytes.ts';
import { unreachable } from '../core/errors.ts';
import type { Exclusion } from '../core/reasons.ts';
import type { ProcessOutcome, ProcessTask } from './ports/processing.ts';
import { createContext, type ProcessDeps, type Work } from './process-context.ts';
import { startDicom } from './process-dicom.ts';
import { processDirect } from './process-direct.ts';
import {
  asAppError,
  exclusionsOf,
  Held,
  heldOutcome,
  stopOf,
  withExclusions,
} from './process-hold.ts';
import { dicomName, otherName, zipName } from './process-names.ts';
import { sealToFile } from './process-output.ts';
import { makeScratch, removeScratch } from './process-scratch.ts';
import {
  damagedText,
  endsAsZip,
  isCutStart,
  looksLike,
  peekBytes,
  type Looks,
} from './process-sniff.ts';
import { bytesOf, openSource, type Bytes } from './process-source.ts';
import { ZipWork } from './process-zip.ts';

export type { ProcessDeps } from './process-context.ts';

/**
 * Processes one task. Throws AppError where the content is not to blame: NO_VALID_KEY, DISK_FULL, STORAGE_FAILED …, or
 * the signal's reason. Whatever happens but `sealed`, there is no output file, and never a scratch folder.
 */
export async function processUpload(
  task: ProcessTask,
  deps: ProcessDeps,
  signal: AbortSignal,
): Promise<ProcessOutcome> {
  try {
    return await inSource(task, deps, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw asAppError(error);
  } finally {
    removeScratch(task.scratch);
  }
}

async function inSource(
  task: ProcessTask,
  deps: ProcessDeps,
  signal: AbortSignal,
): Promise<ProcessOutcome> {
  const source = openSource(task.source, signal);
  try {
    if (source.sizeBytes === 0) return { kind: 'partial', reason: 'empty' };
    const context = await createContext(task, deps, signal);
    const bytes = bytesOf(source.chunks(), (piece) => source.release(piece));
    const start = await bytes.peek(peekBytes);
    if (isCutStart(start)) return { kind: 'partial', reason: 'truncated' };
    let looks = looksLike(start);
    if (looks !== 'dicom' && looks !== 'zip' && (await endsAsZip(task.source))) looks = 'zip';
    if ((looks === 'unknown' || looks === 'damaged') && !task.closedByClient) {
      return { kind: 'partial', reason: 'disconnected' };
    }
    if (looks === 'zip') makeScratch(task.scratch);
    const work: Work = { context, source, bytes };
    return await (task.kind === 'direct' ? processDirect(looks, work) : processIntake(looks, work));
  } catch (error) {
    const stop = stopOf(error);
    if (stop === undefined) throw error;
    if (stop.kind === 'partial') return stop;
    return heldOutcome(stop, await source.sha256(), exclusionsOf(error));
  } finally {
    source.close();
  }
}

async function processIntake(looks: Looks, work: Work): Promise<ProcessOutcome> {
  switch (looks) {
    case 'dicom':
      return processDicom(work);
    case 'zip':
      return processZip(work);
    case 'damaged':
      throw new Held('not-parseable', damagedText);
    case 'unknown':
      return processOther(work);
    default:
      return unreachable(looks);
  }
}

async function processDicom({ context, source, bytes }: Work): Promise<ProcessOutcome> {
  const file = await startDicom(bytes, context);
  return seal(file.body, () => dicomName(context, file), { context, source });
}

async function processZip({ context, source }: Work): Promise<ProcessOutcome> {
  const zip = new ZipWork(context);
  try {
    return await seal(
      zip.body(),
      () => zipName(context, zip.known),
      { context, source },
      zip.exclusions,
    );
  } catch (error) {
    // The zip writer and the encryptor may have wrapped what went wrong in an entry.
    throw withExclusions(zip.failure ?? error, zip.exclusions);
  }
}

async function processOther({ context, source, bytes }: Work): Promise<ProcessOutcome> {
  if (context.profile.otherFiles !== 'encrypt' && !context.isReleased('other-file')) {
    throw new Held('other-file');
  }
  context.report.addOther();
  // The project, or an administrator, lets this file through as it is.
  return seal(cleanAsItIs(bytes), () => otherName(context), { context, source });
}

async function* cleanAsItIs(bytes: Bytes): AsyncGenerator<Clean> {
  for await (const chunk of bytes.chunks()) {
    yield asClean(chunk);
    bytes.release(chunk);
  }
}

async function seal(
  body: AsyncIterable<Clean>,
  nameAtEnd: () => string,
  { context, source }: Pick<Work, 'context' | 'source'>,
  exclusions: readonly Exclusion[] = [],
): Promise<ProcessOutcome> {
  const { task, deps, signal, report } = context;
  const file = await sealToFile(body, task, deps.encryptor, signal);
  try {
    const name = nameAtEnd();
    const sourceSha256 = await source.sha256();
    return { kind: 'sealed', name, ...file, sourceSha256, exclusions, report: report.build() };
  } catch (error) {
    rmSync(task.output, { force: true });
    throw error;
  }
}
