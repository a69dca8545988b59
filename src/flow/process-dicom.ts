// One DICOM file, from raw to clean, as a stream: everything before the pixels is judged and rewritten in memory before
// the first byte goes out; the pixels go through as they come; what follows them is judged and rewritten at the end.

import { asClean, type Clean } from '../core/bytes.ts';
import { judgeImage, mayHoldText } from '../core/deid/burned-in.ts';
import type { ActionCounts } from '../core/deid/deid-work.ts';
import { deidentify, type DeidResult } from '../core/deid/deidentify.ts';
import { findLeaks } from '../core/deid/leak-check.ts';
import { StreamSearch } from '../core/deid/leak-number-arrays.ts';
import { collectTerms, mergeTerms, type LeakTerms } from '../core/deid/leak-terms.ts';
import { isKeptBy, type FilePolicy } from '../core/deid/policy.ts';
import { judgeComment } from '../core/deid/pixel-comments.ts';
import { charsetsOf } from '../core/deid/reading.ts';
import { readIdentity } from '../core/deid/subject.ts';
import { formatTag, type DataSet, type FileHead, type WalkerEvent } from '../core/dicom/dataset.ts';
import { ImageComments, type ImageComment } from '../core/dicom/image-comments.ts';
import { hasImageFrames } from '../core/dicom/image-markers.ts';
import { explicitLittleEndianUID, isVideo } from '../core/dicom/transfer-syntax.ts';
import { walk } from '../core/dicom/walk.ts';
import { writeBulkHeader, writeDataSet, writeHead } from '../core/dicom/writer.ts';
import { AppError } from '../core/errors.ts';
import type { Subject } from './ports/processing.ts';
import type { ProcessContext } from './process-context.ts';
import { deflated } from './process-deflate.ts';
import { Held } from './process-hold.ts';
import type { Bytes } from './process-source.ts';

export interface CleanDicom {
  readonly subjectCode: string;
  /** The clean header: what a published name may be made from. */
  readonly dataset: DataSet;
  /** What the original says about its patient, for the check of names. */
  readonly terms: LeakTerms;
  /** The clean file. Throws Held or an AppError also behind its first bytes: who reads it then drops what was written. */
  readonly body: AsyncIterable<Clean>;
}

/**
 * Reads as far as the pixels and decides. Throws Held, or DICOM_TRUNCATED, DICOM_MALFORMED … (core/dicom/walker). A file that
 * is held for its header is still read to its end: one that is cut short is not held but partial, and one that
 * breaks the rules of PS3.5 must never look as if it could be released.
 */
export async function startDicom(bytes: Bytes, context: ProcessContext): Promise<CleanDicom> {
  const release = (piece: Uint8Array): void => bytes.release(piece);
  const events = walk(bytes.chunks(), context.task.limits, release);
  try {
    const head = await expect(events, 'head');
    const header = await expect(events, 'header');
    const file = await judgeHeader(head.head, header.dataset, context);
    return { ...file.facts, body: writeFile(file, events, context) };
  } catch (error) {
    if (error instanceof Held) for await (const event of events) void event.kind;
    await events.return();
    throw error;
  }
}

interface JudgedFile {
  readonly head: FileHead;
  readonly header: DataSet;
  readonly policy: FilePolicy;
  readonly subject: Subject;
  readonly clean: DeidResult;
  readonly headBytes: Uint8Array;
  readonly headerBytes: Uint8Array;
  readonly facts: Omit<CleanDicom, 'body'>;
}

async function expect<K extends WalkerEvent['kind']>(
  events: AsyncGenerator<WalkerEvent>,
  kind: K,
): Promise<Extract<WalkerEvent, { kind: K }>> {
  const next = await events.next();
  if (next.done === true || next.value.kind !== kind) {
    throw new AppError('INTERNAL', { detail: `the walker owes ${kind}` });
  }
  return next.value as Extract<WalkerEvent, { kind: K }>;
}

async function judgeHeader(
  head: FileHead,
  header: DataSet,
  context: ProcessContext,
): Promise<JudgedFile> {
  const policy = context.policy.forFile(header);
  const doubt = judgeImage(header, head, policy, context.isReleased('burned-in'));
  if (doubt !== undefined) throw new Held(doubt.reason, formatTag(doubt.tag));
  const subject = await subjectFor(header, context);
  const clean = deidentify({
    part: 'header',
    dataset: header,
    head,
    header,
    policy,
    uidKey: context.uidKey,
    subject,
  });
  if (clean.hold !== undefined) throw new Held(clean.hold.reason, formatTag(clean.hold.tag));
  const headBytes = writeHead(head, clean);
  const headerBytes = writeDataSet(clean.dataset, head.encoding);
  const terms = collectTerms(header, { isKept: isKeptBy(policy) });
  const facts = { subjectCode: subject.code, dataset: clean.dataset, terms };
  const file = { head, header, policy, subject, clean, headBytes, headerBytes, facts };
  checkLeaks(file, headerBytes, terms, context);
  return file;
}

async function subjectFor(header: DataSet, context: ProcessContext): Promise<Subject> {
  const found = readIdentity(header, context.policy.profile, context.identityKey);
  if (found.kind === 'held') throw new Held(found.reason);
  const answer = await context.subjectOf(found.identity);
  if (answer.kind === 'held') throw new Held(answer.reason);
  return answer.subject;
}

/** The second look by other code (SPEC 7). `part`: the written header or trailer. */
function checkLeaks(
  file: Pick<JudgedFile, 'head' | 'header' | 'clean' | 'headBytes' | 'subject'>,
  part: Uint8Array,
  terms: LeakTerms,
  context: ProcessContext,
): void {
  if (context.isReleased('leak-check')) return;
  // The check reads a plain file; in the output this part is deflated.
  const plain = { ...file.head, deflated: false, transferSyntaxUID: explicitLittleEndianUID };
  const head = file.head.deflated ? writeHead(plain, file.clean) : file.headBytes;
  const [leak] = findLeaks(Buffer.concat([head, part]), terms, {
    subjectCodes: [file.subject.code],
    charset: charsetsOf(file.header),
  });
  if (leak !== undefined) throw new Held('leak-check', `${leak.tag}, ${leak.kind}`);
}

async function* writeFile(
  file: JudgedFile,
  events: AsyncGenerator<WalkerEvent>,
  context: ProcessContext,
): AsyncGenerator<Clean> {
  const { headBytes, headerBytes } = file;
  if (!file.head.deflated) {
    // one piece: each one goes through every step down to the disk
    yield asClean(Buffer.concat([headBytes, headerBytes]));
    yield* writeRest(file, events, context);
    return;
  }
  yield asClean(headBytes);
  const dataset = writeRest(file, events, context);
  for await (const piece of deflated(dataset, headerBytes)) yield asClean(piece);
}

async function* writeRest(
  file: JudgedFile,
  events: AsyncGenerator<WalkerEvent>,
  context: ProcessContext,
): AsyncGenerator<Clean> {
  const counts: ActionCounts[] = [file.clean.actions];
  let comments: ImageComments | undefined;
  const { transferSyntaxUID } = file.head;
  const stream = isVideo(transferSyntaxUID) ? new StreamSearch(file.facts.terms) : undefined;
  for await (const event of events) {
    switch (event.kind) {
      case 'bulk-start':
        yield asClean(writeBulkHeader(event.bulk, file.head.encoding));
        comments =
          event.bulk.length === undefined
            ? new ImageComments(hasImageFrames(transferSyntaxUID))
            : undefined;
        break;
      case 'bulk':
        for (const comment of comments?.push(event.bytes) ?? []) {
          checkComment(comment, file, context);
        }
        if ((stream?.find(event.bytes).size ?? 0) > 0 && !context.isReleased('leak-check')) {
          throw new Held('leak-check', '(7FE0,0010), video');
        }
        // Pixels: what may be burned into them was decided by the header.
        yield asClean(event.bytes);
        break;
      case 'bulk-end':
        break;
      case 'trailer':
        yield asClean(rewriteTrailer(file, event.dataset, counts, context));
        break;
      case 'head':
      case 'header':
        throw new AppError('INTERNAL', { detail: `a second ${event.kind}` });
    }
  }
  context.report.addDicom(file.subject.code, counts);
}

/** Pixels stay bit for bit, so a text between them goes on with them or holds the file. */
function checkComment(comment: ImageComment, file: JudgedFile, context: ProcessContext): void {
  const detail = `(7FE0,0010), ${comment.where}`;
  switch (judgeComment(comment, file.facts.terms)) {
    case 'harmless':
      return;
    case 'unknown':
      if (mayHoldText(file.policy, context.isReleased('burned-in'))) return;
      throw new Held('burned-in', detail);
    case 'identifying':
      if (!context.isReleased('leak-check')) throw new Held('leak-check', detail);
  }
}

function rewriteTrailer(
  file: JudgedFile,
  dataset: DataSet,
  counts: ActionCounts[],
  context: ProcessContext,
): Uint8Array {
  const { head, header, policy, subject } = file;
  const { uidKey } = context;
  const clean = deidentify({ part: 'trailer', dataset, head, header, policy, uidKey, subject });
  if (clean.hold !== undefined) throw new Held(clean.hold.reason, formatTag(clean.hold.tag));
  counts.push(clean.actions);
  if (clean.dataset.elements.length === 0) return new Uint8Array(0);
  const written = writeDataSet(clean.dataset, head.encoding);
  const how = { isKept: isKeptBy(policy), charset: charsetsOf(header) };
  const terms = mergeTerms(file.facts.terms, collectTerms(dataset, how));
  checkLeaks(file, written, terms, context);
  return written;
}
