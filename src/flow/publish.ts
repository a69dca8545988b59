// Gives a finished output its final name, then the job its state. Each step can be repeated after a crash: what is
// recorded tells whether the file that lies there is the one that was meant.

import { AppError } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import { identityOf } from './generations.ts';
import type { Gate } from './gate.ts';
import type { ClaimedJob, Ending, JobStore, Output, UploadStore } from './ports/jobs.ts';
import type { FileFacts, Storage } from './ports/storage.ts';

export interface PublishParts {
  readonly uploads: UploadStore;
  readonly jobs: JobStore;
  readonly storage: Storage;
  readonly gate: Gate;
  /** Our own code. */
  readonly site: string;
}

/** Ends the lease and gives the claim back. */
export async function finish(
  parts: Pick<PublishParts, 'jobs' | 'storage'>,
  job: ClaimedJob,
  ending: Ending,
): Promise<void> {
  const { dropClaim } = await parts.jobs.finish(job.id, job.fence, ending);
  if (dropClaim !== undefined) await parts.storage.dropSpool('claims', dropClaim);
}

/** Records the output, publishes it and ends the job. */
export async function publishSealed(
  parts: PublishParts,
  job: ClaimedJob,
  output: Output,
): Promise<void> {
  assertPlainName(output.name);
  await assertUnchanged(parts, job);
  await parts.jobs.record(job.id, job.fence, output);
  await onePublisher(parts, job, () => commit(parts, job, output, false));
}

/** From the record on: what a restart does with a job that had recorded its output. */
export const takeOverSealed = (
  parts: PublishParts,
  job: ClaimedJob,
  output: Output,
): Promise<void> => onePublisher(parts, job, () => commit(parts, job, output, true));

/** Two generations of one upload never publish at the same time, so the newer one always knows its predecessor. */
const onePublisher = <T>(
  parts: PublishParts,
  job: ClaimedJob,
  work: () => Promise<T>,
): Promise<T> =>
  parts.gate.hold([`publish:${job.partner}:${job.upload.memberId}:${job.upload.key}`], work);

async function commit(
  parts: PublishParts,
  job: ClaimedJob,
  output: Output,
  isInDoubt: boolean,
): Promise<void> {
  const { storage } = parts;
  const { isOvertaken, isTaken, predecessor } = await parts.jobs.standing(job.id);
  const folder = sharedFolder(job.project, parts.site, job.partner);
  const path = `${folder}/${output.name}`;
  if (isOvertaken) {
    await storage.dropSpool('outputs', job.id);
    await finish(parts, job, { state: 'superseded' });
    return;
  }
  if (predecessor?.isSame === true && (await storage.facts(path)) !== undefined) {
    await storage.dropSpool('outputs', job.id);
    await finish(parts, job, { state: 'published', file: undefined });
    return;
  }
  const spooled = storage.spoolPath('outputs', job.id);
  const request = { output: spooled, path, sha256: output.sha256, isInDoubt };
  const replaces = predecessor?.name === output.name ? predecessor.sha256 : undefined;
  try {
    await storage.publish({ ...request, replaces });
  } catch (error) {
    // Only Clubhouse writes there. What no other upload's job speaks of is our own, left by a crash or a failed commit.
    if (!(error instanceof AppError) || error.code !== 'OUTBOX_CONFLICT' || isTaken) throw error;
    await storage.publish({ ...request, replaces: await storage.sha256(path) });
  }
  const facts = await storage.facts(path);
  if (facts === undefined) throw new AppError('STORAGE_FAILED');
  await finish(parts, job, { state: 'published', file: identityOf(facts) });
  if (predecessor !== undefined && predecessor.name !== output.name) await removeLeftovers(parts);
}

/** A file of the outgoing folder that may go as it is. Its own path is the output. */
export const publishDirect = (
  parts: PublishParts,
  job: ClaimedJob,
  sourceSha256: string,
): Promise<void> =>
  onePublisher(parts, job, async () => {
    const upload = await parts.uploads.find(job.upload.id);
    const path = upload?.path ?? job.upload.path;
    const facts = await parts.storage.facts(path);
    const { isOvertaken } = await parts.jobs.standing(job.id);
    const folder = `${sharedFolder(job.project, parts.site, job.partner)}/`;
    if (isOvertaken) return finish(parts, job, { state: 'superseded' });
    if (facts === undefined || !path.startsWith(folder)) {
      return finish(parts, job, { state: 'withdrawn' });
    }
    if (!isSameFile(job, facts)) throw new AppError('SOURCE_CHANGED');
    const name = path.slice(folder.length);
    const report = undefined;
    const output = { name, sha256: sourceSha256, sizeBytes: facts.sizeBytes, sourceSha256 };
    const nothing = { recipients: [], profileHash: '', exclusions: [], report };
    await parts.jobs.record(job.id, job.fence, { ...output, ...nothing });
    const { predecessor } = await parts.jobs.standing(job.id);
    const file = predecessor?.isSame === true ? undefined : identityOf(facts);
    await finish(parts, job, { state: 'published', file });
  });

const isSameFile = (job: ClaimedJob, facts: FileFacts): boolean =>
  facts.inode === job.upload.inode && facts.sizeBytes === job.upload.sizeBytes;

/** The claim shares its inode with the file. If that grew or shrank in place, what was read may be a mixture. */
async function assertUnchanged(parts: PublishParts, job: ClaimedJob): Promise<void> {
  const upload = await parts.uploads.find(job.upload.id);
  const facts = await parts.storage.facts(upload?.path ?? job.upload.path);
  if (facts?.inode !== job.upload.inode) return;
  if (facts?.sizeBytes !== job.upload.sizeBytes) throw new AppError('SOURCE_CHANGED');
}

/** The name comes from a worker; it must stay below gpg-<member>/. */
function assertPlainName(name: string): void {
  const parts = name.split('/');
  if (parts.length < 2 || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new AppError('INTERNAL', { detail: 'an output has an impossible name' });
  }
}

/** Removes what superseded jobs had published under names that no job uses any more. */
export async function removeLeftovers(parts: PublishParts): Promise<number> {
  const leftovers = await parts.jobs.leftovers(100);
  for (const { jobId, name, project, partner } of leftovers) {
    const path = `${sharedFolder(project, parts.site, partner)}/${name}`;
    if ((await parts.storage.facts(path)) !== undefined) await parts.storage.removeFile(path);
    await parts.jobs.cleared(jobId);
  }
  return leftovers.length;
}
