// What the sender reads about an upload, in receipts/ of their own area: what came, what became of it for each partner,
// what was left out and why. Written from the rows whenever they changed. The one place where the client's own names appear.

import { dropReasons, holdReasons, partialReasons, waitReasons } from '../core/reasons.ts';
import { codeOf, errorCodes, unreachable } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { ReceiptFacts, ReceiptStore } from './ports/jobs.ts';
import type { Storage } from './ports/storage.ts';

export interface ReceiptParts {
  readonly receipts: ReceiptStore;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly log: Log;
  readonly site: string;
}

/** Rows that change several times within a moment get one receipt. */
const delayMs = 300;
const mostNameBytes = 200;

/** Writes what is due; answers how many receipts were written or set aside. */
export async function writeReceipts(parts: ReceiptParts, limit = 100): Promise<number> {
  const due = await parts.receipts.due(parts.clock.now() - delayMs, limit);
  let done = 0;
  for (const facts of due) {
    try {
      await writeReceipt(parts, facts);
      done += 1;
    } catch (error) {
      // A full disk must not keep the jobs from their work; the receipt stays due.
      const code = codeOf(error);
      parts.log.warn({ upload: facts.uploadId, code }, 'a receipt was not written');
    }
  }
  return done;
}

async function writeReceipt(parts: ReceiptParts, facts: ReceiptFacts): Promise<void> {
  const isUntold =
    facts.receipt === undefined && facts.jobs.every((job) => job.state === 'withdrawn');
  if (facts.member === undefined || facts.isOvertaken || isUntold) {
    await parts.receipts.written(facts.uploadId, undefined, facts.updatedAt);
    return;
  }
  const folder = `ji_${facts.project}/${facts.member}/receipts`;
  const name = receiptName(facts);
  await parts.storage.writeWhole(`${folder}/${name}`, receiptText(parts.site, facts));
  const old = facts.receipt;
  if (old !== undefined && old !== name) {
    const path = `${folder}/${old}`;
    if ((await parts.storage.facts(path)) !== undefined) await parts.storage.removeFile(path);
  }
  await parts.receipts.written(facts.uploadId, name, facts.updatedAt);
}

/** `<name>.<short id>.txt`, at most 200 bytes, cut between characters. */
function receiptName(facts: Pick<ReceiptFacts, 'path' | 'shortId'>): string {
  const tail = `.${facts.shortId}.txt`;
  const base = facts.path
    .slice(facts.path.lastIndexOf('/') + 1)
    .replace(/[\u0000-\u001f\u007f]/g, '_');
  let kept = '';
  let bytes = tail.length;
  for (const character of base) {
    bytes += Buffer.byteLength(character);
    if (bytes > mostNameBytes) break;
    kept += character;
  }
  return `${kept}${tail}`;
}

export function receiptText(site: string, facts: ReceiptFacts): string {
  const lines = [
    'Clubhouse receipt',
    '',
    `File:      /home/${printable(facts.path)}`,
    `Received:  ${time(facts.createdAt)}, ${count(facts.sizeBytes, 'byte')}`,
    ...(facts.sha256 === undefined ? [] : [`SHA-256:   ${facts.sha256}`]),
    `As of:     ${time(facts.updatedAt)}`,
  ];
  for (const job of facts.jobs) {
    lines.push('', job.partner === '' ? 'No partner yet' : `For ${job.partner}`);
    // One by one: a zip may leave out a million files, more than a call takes arguments.
    for (const line of aboutJob(site, facts, job)) lines.push(`  ${line}`);
  }
  return `${lines.join('\n')}\n`;
}

type JobFacts = ReceiptFacts['jobs'][number];

function aboutJob(site: string, facts: ReceiptFacts, job: JobFacts): readonly string[] {
  const out = `/home/${sharedFolder(facts.project, site, job.partner)}/${job.output ?? ''}`;
  const why = job.reason === undefined ? [] : [explain(job.reason)];
  const more = job.detail === undefined ? [] : [`Found: ${job.detail}`];
  const leftOut = exclusions(job);
  const published =
    facts.kind === 'direct'
      ? [`Passed on as it is: ${out}`]
      : [`De-identified and encrypted as ${out}`, `(${count(job.outputBytes ?? 0, 'byte')})`];
  switch (job.state) {
    case 'uploading':
      return ['State: uploading. The upload has not ended yet.'];
    case 'settling':
    case 'queued':
    case 'processing':
      return ['State: received, in work. You need do nothing.'];
    case 'partial':
      return ['State: not whole yet; nothing of it was passed on.', ...why];
    case 'waiting':
      return ['State: waiting. Nothing is lost; you need do nothing.', ...why];
    case 'held':
      return ['State: held, not passed on.', ...why, ...more, ...leftOut];
    case 'failed':
      return [
        'State: failed after several tries. The file is kept; tell your administrator.',
        ...why,
      ];
    case 'rejected':
      return ['State: rejected by the administrator; it is not passed on.', ...why];
    case 'withdrawn':
      return ['State: withdrawn. You removed it before it was taken.'];
    case 'superseded':
      return ['State: replaced by a newer upload under the same name.'];
    case 'published': {
      const trouble = job.deliveryReason === undefined ? [] : [explain(job.deliveryReason)];
      const when = job.publishedAt === undefined ? '' : ` on ${time(job.publishedAt)}`;
      const isGone = job.deliveryReason === 'OUTBOX_GONE';
      const wait = isGone ? [] : ['It goes to the partner with the next pass.'];
      return [`State: published${when}.`, ...published, ...wait, ...trouble, ...leftOut];
    }
    case 'delivered':
      return [
        `State: delivered on ${time(job.deliveredAt ?? facts.updatedAt)}.`,
        ...published,
        `Arrival proven by: ${evidenceText(job)}`,
        ...leftOut,
      ];
    default:
      return unreachable(job.state);
  }
}

function exclusions(job: JobFacts): readonly string[] {
  if (job.exclusions.length === 0) return [];
  const list = job.exclusions.map(({ name, reason, detail }) => {
    const more = detail === undefined ? '' : ` (${detail})`;
    return `- ${printable(name)}: ${explain(reason)}${more}`;
  });
  return [`Left out: ${count(job.exclusions.length, 'file')} of the zip.`, ...list];
}

const texts: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(errorCodes).map(([code, facts]) => [code, facts.text])),
  ...Object.fromEntries(Object.entries(holdReasons).map(([key, facts]) => [key, facts.text])),
  ...dropReasons,
  ...partialReasons,
  ...waitReasons,
};

const explain = (reason: string): string => `${texts[reason] ?? reason} [${reason}]`;

function evidenceText({ evidence, signedBy }: JobFacts): string {
  if (evidence === 'receipt') {
    return `a receipt that the partner signed with its host key ${signedBy ?? ''}.`;
  }
  if (evidence === 'check-file') return "the SHA-256 that the partner's server computed.";
  if (evidence === 'read-back') return 'reading the file back and comparing its SHA-256.';
  if (evidence === 'size') return 'its size alone, as this partner is set.';
  return 'the delivery of the same content before.';
}

/** A name is the client's: it must not write lines of its own. */
const printable = (name: string): string => name.replace(/[\p{Cc}\u2028\u2029]/gu, '_');
const time = (ms: number): string =>
  `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
const count = (n: number, word: string): string =>
  `${n.toLocaleString('en-US')} ${word}${n === 1 ? '' : 's'}`;
