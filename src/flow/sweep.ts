// What time and crashes leave behind: leases that ran out, uploads whose writer is gone, files without a row, claims
// without an owner, raw files that may go. Looks at disk and state, so nothing that is owed work is forgotten (SPEC 6).

import { cut, isWhole, type Coverage } from '../core/coverage.ts';
import { codeOf } from '../core/errors.ts';
import { maximumAttempts } from '../core/upload.ts';
import { identityOf } from './generations.ts';
import { takeOverSealed, finish, removeLeftovers } from './publish.ts';
import type { ClaimedJob, Ending, Output, Upload } from './ports/jobs.ts';
import type { FileFacts } from './ports/storage.ts';
import type { Lookout } from './lookout.ts';
import { leaseMs, type RunParts } from './run-job.ts';

export interface SweepSettings {
  /** How long a partial upload may stay before it is held as incomplete. */
  readonly partialHoldMs: number;
  /** How long raw files stay after delivery to all partners. */
  readonly retainMs: number;
  /** How long an upload whose CLOSE was lost must be quiet before its structure is looked at. Default ten minutes. */
  readonly quietMs?: number;
}

const quietDefaultMs = 600_000;
const batch = 200;

/** After a start, before anybody can connect: nobody else holds a lease or a handle. */
export async function recover(
  parts: RunParts,
  settings: SweepSettings,
  lookout: Lookout,
): Promise<void> {
  await takeOver(parts, Number.POSITIVE_INFINITY);
  await lookout.all();
  await closeOrphans(parts, Number.POSITIVE_INFINITY);
  for (const area of ['outputs', 'scratch'] as const) {
    for (const name of await parts.storage.listSpool(area)) await drop(parts, area, name);
  }
  await sweep(parts, settings);
}

export async function sweep(parts: RunParts, settings: SweepSettings): Promise<void> {
  const now = parts.clock.now();
  await takeOver(parts, now);
  await closeOrphans(parts, now - leaseMs);
  await settleQuiet(parts, now - (settings.quietMs ?? quietDefaultMs));
  await holdAbandoned(parts, now - settings.partialHoldMs);
  await removeRetained(parts, now - settings.retainMs);
  await removeLeftovers(parts);
  await dropClaims(parts);
}

/** Jobs in work whose worker is gone. What had recorded its output is published from where it stopped. */
async function takeOver(parts: RunParts, before: number): Promise<void> {
  const until = parts.clock.now() + leaseMs;
  const taken = await parts.jobs.takeOver(before, parts.owner, until);
  await each(
    parts,
    taken,
    ({ job }) => ({ job: job.id }),
    ({ job, output }) => goOn(parts, job, output),
  );
}

/** One that cannot be dealt with now, such as on a bad sector, keeps neither the others from it nor the server from starting. */
async function each<T>(
  { log }: RunParts,
  all: readonly T[],
  ids: (one: T) => Readonly<Record<string, string>>,
  work: (one: T) => Promise<void>,
): Promise<void> {
  for (const one of all) {
    try {
      await work(one);
    } catch (error) {
      log.warn({ ...ids(one), code: codeOf(error) }, 'not swept; the next sweep tries again');
    }
  }
}

const idOf = ({ id }: Upload): Readonly<Record<string, string>> => ({ upload: id });

async function goOn(parts: RunParts, job: ClaimedJob, output: Output | undefined): Promise<void> {
  const { log } = parts;
  try {
    if (output !== undefined && job.upload.kind === 'intake') {
      await takeOverSealed(parts, job, output);
      log.info({ job: job.id }, 'finished output taken over');
      return;
    }
  } catch (error) {
    // The output is not there or not whole: the job is done anew.
    log.warn({ job: job.id, code: codeOf(error) }, 'recorded output could not be taken over');
  }
  // A job that was in work each time the server died must not bring it down for ever.
  const ending: Ending =
    job.attempts >= maximumAttempts
      ? { state: 'failed', reason: 'WORKER_DIED', detail: undefined }
      : { state: 'queued', dueAt: parts.clock.now(), reason: undefined, counts: 'attempt' };
  await finish(parts, job, ending);
  log.info({ job: job.id, next: ending.state }, 'job taken over');
}

/** Uploads that are `uploading` while nobody writes: the server was killed, or a row could not be written at the end. */
async function closeOrphans(parts: RunParts, before: number): Promise<void> {
  const quiet = (await parts.uploads.uploading()).filter(({ touchedAt }) => touchedAt <= before);
  await each(parts, quiet, idOf, (seen) =>
    parts.gate.hold([seen.path], async () => {
      const upload = await parts.uploads.find(seen.id);
      const isWritten = parts.gate.writers.has(seen.path);
      if (upload?.path !== seen.path || isWritten || !upload.states.includes('uploading')) return;
      await closeOrphan(parts, upload);
    }),
  );
}

async function closeOrphan(parts: RunParts, upload: Upload): Promise<void> {
  const facts = await parts.storage.facts(upload.path);
  if (facts?.kind !== 'file') {
    await parts.uploads.withdraw(upload.id, 'server');
    return;
  }
  const coverage = believed(upload, facts);
  const reason = facts.sizeBytes === 0 ? 'empty' : 'disconnected';
  const identity = identityOf(facts);
  const to = { state: 'partial', reason } as const;
  const closed = upload.closed && isSameBytes(upload, facts);
  await parts.uploads.change(upload.id, { coverage, closed, identity, to }, 'server');
}

const isSameBytes = (upload: Upload, facts: FileFacts): boolean =>
  upload.sizeBytes === facts.sizeBytes && upload.modifiedMs === Math.floor(facts.modifiedMs);

/**
 * Which bytes of an interrupted upload count. Progress is written down once a second, so a killed server knows less
 * than the disk: the kernel keeps what a killed process had written. If what is known is one run from the start and the
 * file system gave blocks for the whole file, the client wrote on from there; a hole would show as missing blocks. But
 * a file that had all its bytes, kept its size and yet changed was being overwritten: old and new are mixed in it.
 */
export function believed(
  upload: Pick<Upload, 'coverage' | 'sizeBytes' | 'modifiedMs' | 'closed'>,
  facts: Pick<FileFacts, 'sizeBytes' | 'modifiedMs' | 'allottedBytes'>,
): Coverage {
  const known = cut(upload.coverage, facts.sizeBytes);
  if (isWhole(known, facts.sizeBytes)) {
    const isOverwritten =
      (upload.closed || upload.sizeBytes === facts.sizeBytes) &&
      upload.modifiedMs !== Math.floor(facts.modifiedMs) &&
      facts.sizeBytes > 0;
    return isOverwritten ? [] : known;
  }
  const isOneRun = known.length === 0 || (known.length === 1 && known[0]?.[0] === 0);
  const hasBlocks = facts.allottedBytes >= facts.sizeBytes;
  return isOneRun && hasBlocks ? [[0, facts.sizeBytes]] : known;
}

/** A lost CLOSE strands nobody: the worker then decides by the file's structure. */
async function settleQuiet(parts: RunParts, before: number): Promise<void> {
  const to = { state: 'settling', settleAt: parts.clock.now() } as const;
  await each(parts, await parts.uploads.quiet(before, batch), idOf, async (upload) => {
    if (!isWhole(upload.coverage, upload.sizeBytes) || upload.sizeBytes === 0) return;
    await ifStillPartial(parts, upload, () => parts.uploads.change(upload.id, { to }, 'server'));
  });
}

async function holdAbandoned(parts: RunParts, before: number): Promise<void> {
  const to = { state: 'held', reason: 'incomplete' } as const;
  await each(parts, await parts.uploads.abandoned(before, batch), idOf, (upload) =>
    ifStillPartial(parts, upload, async () => {
      const isThere = (await parts.storage.facts(upload.path))?.kind === 'file';
      if (isThere) await parts.uploads.change(upload.id, { to }, 'server');
      else await parts.uploads.withdraw(upload.id, 'server');
    }),
  );
}

async function ifStillPartial(
  parts: RunParts,
  seen: Upload,
  work: () => Promise<unknown>,
): Promise<void> {
  await parts.gate.hold([seen.path], async () => {
    const upload = await parts.uploads.find(seen.id);
    const isSame = upload?.path === seen.path && upload.touchedAt === seen.touchedAt;
    const isPartial = upload?.states.includes('partial') === true;
    if (isSame && isPartial && !parts.gate.writers.has(seen.path)) await work();
  });
}

/** Retention, by age; what cannot be removed now does not keep what comes behind it. */
async function removeRetained(parts: RunParts, before: number): Promise<void> {
  let after = { createdAt: 0, id: '' };
  const removed = new Set<string>();
  const remove = async (upload: Upload): Promise<void> => {
    const isGone = await parts.gate.hold([upload.path], () => removeRaw(parts, upload));
    if (isGone) removed.add(upload.id);
  };
  while (removed.size < batch) {
    const some = await parts.uploads.retained(before, after, batch);
    await each(parts, some, idOf, remove);
    after = some.at(-1) ?? after;
    if (some.length < batch) return;
  }
}

/** Only the very file that was delivered goes; another one at its path is another upload's. */
async function removeRaw(parts: RunParts, upload: Upload): Promise<boolean> {
  if (parts.gate.writers.has(upload.path)) return false;
  const newest = await parts.uploads.latest(upload.path, upload.memberId);
  const facts = await parts.storage.facts(upload.path);
  const isOurs = newest?.id === upload.id && (await isSameFile(parts, upload, facts));
  if (isOurs) await parts.storage.removeFile(upload.path);
  await parts.uploads.rawRemoved(upload.id, facts !== undefined && !isOurs);
  return true;
}

/** By its inode, or by its content: a restored backup has new inodes. */
async function isSameFile(
  parts: RunParts,
  upload: Upload,
  facts: FileFacts | undefined,
): Promise<boolean> {
  if (facts?.kind !== 'file' || facts.sizeBytes !== upload.sizeBytes) return false;
  if (facts.inode === upload.inode && facts.device === upload.device) return true;
  return upload.sha256 !== undefined && (await parts.storage.sha256(upload.path)) === upload.sha256;
}

async function dropClaims(parts: RunParts): Promise<void> {
  const names = await parts.storage.listSpool('claims');
  const live = await parts.jobs.liveClaims();
  for (const name of names) {
    if (!live.has(name)) await drop(parts, 'claims', name);
  }
}

/** What is not ours, or cannot be removed, must not keep the server from starting. */
async function drop(
  parts: RunParts,
  area: 'claims' | 'outputs' | 'scratch',
  name: string,
): Promise<void> {
  try {
    await parts.storage.dropSpool(area, name);
  } catch (error) {
    parts.log.warn({ area, code: codeOf(error) }, 'something in the spool could not be removed');
  }
}
