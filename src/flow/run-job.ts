// One job from the claim to its end: claims the generation, hands it to a worker thread under a lease, and decides what
// becomes of it. The only place that decides between another try, setting aside and failing.

import { AppError, codeOf, framesOf, unreachable } from '../core/errors.ts';
import { backOffMs, maximumAttempts, maximumWorkerDeaths } from '../core/upload.ts';
import { identityOf } from './generations.ts';
import { finish, publishDirect, publishSealed, type PublishParts } from './publish.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { ClaimedJob, Ending, JobStore, ProjectFacts } from './ports/jobs.ts';
import type {
  ProcessLimits,
  ProcessOutcome,
  Processor,
  ProcessTask,
  ProjectKeys,
} from './ports/processing.ts';

export interface RunParts extends PublishParts {
  readonly processor: Processor;
  readonly facts: ProjectFacts;
  readonly projectKeys: (projectId: string) => ProjectKeys;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: ProcessLimits;
  readonly settleMs: number;
  /** Names this process in leases. */
  readonly owner: string;
}

/** A lease is renewed three times before it would run out. */
export const leaseMs = 60_000;

/**
 * Takes the next due job. Undefined: there is none. Otherwise whether it was claimed and if so the job, to be run by
 * the caller. Jobs without a recipient are put aside as `waiting`.
 */
export async function takeNext(
  parts: RunParts,
  turn: Parameters<JobStore['nextDue']>[1],
): Promise<{ readonly job: ClaimedJob | undefined; readonly waits: boolean } | undefined> {
  const due = await parts.jobs.nextDue(parts.clock.now(), turn);
  if (due === undefined) return undefined;
  if (due.partner === '') {
    await parts.jobs.wait(due.id, 'no-partner');
    return { job: undefined, waits: true };
  }
  if (due.kind === 'intake') {
    const recipients = await parts.facts.recipientsFor(due.projectId, due.partner);
    if (recipients.length === 0) {
      await parts.jobs.wait(due.id, 'no-valid-key');
      return { job: undefined, waits: true };
    }
  }
  const job = await parts.gate.hold([due.path], () => claim(parts, due));
  return { job, waits: false };
}

async function claim(
  parts: RunParts,
  due: { readonly id: string; readonly uploadId: string; readonly path: string },
): Promise<ClaimedJob | undefined> {
  const { storage } = parts;
  const before = await parts.uploads.find(due.uploadId);
  if (before?.path !== due.path) return undefined; // Renamed meanwhile: the next look sees the new path.
  const leaseUntil = parts.clock.now() + leaseMs;
  const job = await parts.jobs.claim(due.id, parts.owner, leaseUntil);
  if (job === undefined) return undefined;
  const { id, path, device, inode, sizeBytes } = job.upload;
  try {
    const isThere =
      before.claim !== undefined && (await storage.listSpool('claims')).includes(before.claim);
    const expect = { device: device ?? '', inode: inode ?? '', sizeBytes };
    if (!isThere) await storage.claim(path, id, expect);
    return job;
  } catch (error) {
    await finish(parts, job, await endingFor(parts, job, error));
    return undefined;
  }
}

/** Runs a claimed job to its end. Never rejects for what the job did; `stop` gives the job back untouched. */
export async function runJob(parts: RunParts, job: ClaimedJob, stop: AbortSignal): Promise<void> {
  const { log, storage } = parts;
  const over = new AbortController();
  const signal = AbortSignal.any([stop, over.signal]);
  const lease = keepLease(parts, job, over);
  try {
    const { task, profileHash } = await makeTask(parts, job);
    await storage.dropSpool('outputs', job.id);
    const outcome = await parts.processor.run(task, signal);
    signal.throwIfAborted();
    await settleOutcome(parts, job, profileHash, outcome);
    log.info({ job: job.id, outcome: outcome.kind }, 'job done');
  } catch (error) {
    const ending = stop.aborted
      ? giveBack(parts)
      : await endingFor(parts, job, over.signal.aborted ? over.signal.reason : error);
    await end(parts, job, ending, error);
  } finally {
    over.abort();
    await lease;
    await storage.dropSpool('outputs', job.id);
  }
}

const giveBack = (parts: RunParts): Ending => ({
  state: 'queued',
  dueAt: parts.clock.now(),
  reason: undefined,
  counts: 'nothing',
});

async function end(
  parts: RunParts,
  job: ClaimedJob,
  ending: Ending,
  error: unknown,
): Promise<void> {
  const code = codeOf(error);
  const name = error instanceof Error ? error.name : typeof error;
  const where = code === 'INTERNAL' ? { error: name, at: framesOf(error) } : {};
  parts.log.warn({ job: job.id, code, next: ending.state, ...where }, 'job did not go through');
  try {
    await finish(parts, job, ending);
  } catch (failure) {
    // The lease is lost, or the database is not there: the row stays as it is, and whoever holds the lease or the
    // sweep goes on with it.
    parts.log.warn({ job: job.id, code: codeOf(failure) }, 'the end of a job was not noted');
  }
}

/** Renews until `over`; a lost lease aborts the work. */
async function keepLease(parts: RunParts, job: ClaimedJob, over: AbortController): Promise<void> {
  try {
    for (;;) {
      await parts.clock.sleep(leaseMs / 3, over.signal);
      const until = parts.clock.now() + leaseMs;
      if (!(await parts.jobs.renew(job.id, job.fence, until))) throw new AppError('LEASE_LOST');
    }
  } catch (error) {
    if (!over.signal.aborted) over.abort(error);
  }
}

async function makeTask(
  parts: RunParts,
  job: ClaimedJob,
): Promise<{ readonly task: ProcessTask; readonly profileHash: string }> {
  const { facts, storage } = parts;
  const { upload } = job;
  const { projectId, kind } = upload;
  const isIntake = kind === 'intake';
  const profile = await profileOf(facts, projectId);
  const recipients = isIntake ? await facts.recipientsFor(projectId, job.partner) : [];
  if (isIntake && recipients.length === 0) throw new AppError('NO_VALID_KEY');
  const intake = `ji_${job.project}/${job.member}/gpg/`;
  const task: ProcessTask = {
    jobId: job.id,
    projectId,
    kind: isIntake ? 'deidentify' : 'direct',
    source: storage.spoolPath('claims', upload.claim ?? upload.id),
    output: storage.spoolPath('outputs', job.id),
    scratch: storage.spoolPath('scratch', job.id),
    profile: profile.json,
    keys: parts.projectKeys(projectId),
    uploadKey: `${upload.memberId}:${upload.key}`,
    uploadName: upload.path.startsWith(intake) ? upload.path.slice(intake.length) : upload.path,
    recipients,
    releases: job.releases,
    limits: parts.limits,
    closedByClient: upload.closed,
  };
  return { task, profileHash: profile.hash };
}

/** A profile whose file is gone is as broken as one that says nonsense. */
async function profileOf(
  facts: ProjectFacts,
  projectId: string,
): ReturnType<ProjectFacts['profileFor']> {
  try {
    return await facts.profileFor(projectId);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'NOT_FOUND') throw error;
    throw new AppError('PROFILE_INVALID', { cause: error });
  }
}

async function settleOutcome(
  parts: RunParts,
  job: ClaimedJob,
  profileHash: string,
  outcome: ProcessOutcome,
): Promise<void> {
  switch (outcome.kind) {
    case 'sealed': {
      const { sha256, sizeBytes, sourceSha256, exclusions, report } = outcome;
      return publishSealed(parts, job, {
        name: `gpg-${job.member}/${outcome.name}`,
        recipients: outcome.recipientFingerprints.toSorted(),
        profileHash,
        sha256,
        sizeBytes,
        sourceSha256,
        exclusions,
        report,
      });
    }
    case 'passed':
      return publishDirect(parts, job, outcome.sourceSha256);
    case 'held': {
      const { reason, detail, exclusions, sourceSha256 } = outcome;
      if (reason === 'slip' && sourceSha256 !== undefined && job.upload.kind === 'direct') {
        const { directDicom } = await parts.facts.settingsFor(job.upload.projectId);
        if (directDicom === 'allow') return publishDirect(parts, job, sourceSha256);
      }
      return finish(parts, job, { state: 'held', reason, detail, exclusions, sourceSha256 });
    }
    case 'partial':
      return finish(parts, job, { state: 'partial', reason: outcome.reason });
    default:
      return unreachable(outcome);
  }
}

/** What becomes of a job that did not go through. */
async function endingFor(parts: RunParts, job: ClaimedJob, error: unknown): Promise<Ending> {
  const thrown = error instanceof AppError ? error : new AppError('INTERNAL', { cause: error });
  const isAboutFiles = thrown.code === 'SOURCE_CHANGED' || thrown.code === 'NO_SUCH_FILE';
  const changed = isAboutFiles ? await afterChange(parts, job) : undefined;
  if (changed !== undefined) return changed;
  const failure = thrown.code === 'NO_SUCH_FILE' ? elsewhere(thrown) : thrown;
  const { code } = failure;
  if (code === 'NO_VALID_KEY') return { state: 'waiting', reason: 'no-valid-key' };
  if (code === 'PROFILE_INVALID') return { state: 'waiting', reason: 'broken-profile' };
  if (code === 'WORKER_DIED' && job.workerDeaths + 1 >= maximumWorkerDeaths) {
    const nothing = { detail: undefined, exclusions: [], sourceSha256: undefined };
    return { state: 'held', reason: 'poison', ...nothing };
  }
  // A full disk is no fault of the file: it is tried until there is room, at last once an hour.
  const isUsedUp = job.attempts >= maximumAttempts && code !== 'DISK_FULL';
  if (!failure.retry || isUsedUp) {
    return { state: 'failed', reason: code, detail: failure.detail };
  }
  const counts = code === 'WORKER_DIED' ? 'death' : 'attempt';
  const dueAt = parts.clock.now() + backOffMs(job.attempts);
  return { state: 'queued', dueAt, reason: code, counts };
}

/** The upload is as it was: it is the folder of the outputs, say, that is not there. */
const elsewhere = (cause: AppError): AppError =>
  new AppError('STORAGE_FAILED', {
    cause,
    detail: 'a file or folder beside the upload is missing',
  });

/** Undefined: the bytes at the path are those that were taken, so settling them anew would only go round in circles. */
async function afterChange(parts: RunParts, job: ClaimedJob): Promise<Ending | undefined> {
  const upload = await parts.uploads.find(job.upload.id);
  const facts = await parts.storage.facts(upload?.path ?? job.upload.path);
  if (facts === undefined) return { state: 'withdrawn' };
  const { device, inode, sizeBytes, modifiedMs } = identityOf(facts);
  const taken = job.upload;
  const isSame =
    taken.device === device &&
    taken.inode === inode &&
    taken.sizeBytes === sizeBytes &&
    taken.modifiedMs === Math.floor(modifiedMs);
  if (isSame) return undefined;
  return { state: 'settling', settleAt: parts.clock.now() + parts.settleMs };
}
