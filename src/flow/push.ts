// One file's way to the partner (SPEC 9): under a temporary name, from where an earlier try ended if what lies there is a
// true prefix, synced, proven by size and SHA-256, then renamed. Every step may be repeated after a cut at any byte.

import { AppError, type ErrorCode } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import type { Delivery } from './ports/deliveries.ts';
import type { RemoteFacts, RemoteSource } from './ports/replication.ts';
import type { FileFacts, OpenFile } from './ports/storage.ts';
import {
  askReceipt,
  changed,
  proofOf,
  rename,
  temporaryName,
  temporaryPath,
  type PlainEvidence,
  type PushOutcome,
  type PushParts,
} from './push-arrival.ts';
import { isFirstTry, pushSmall } from './push-small.ts';
import { RunningDigest, sha256Of } from './running-digest.ts';

/** Throws REMOTE_*, OUTBOX_CHANGED (a sealed file is not what was published) or SOURCE_CHANGED (a direct file is not). */
export async function push(
  parts: PushParts,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<PushOutcome> {
  const local = `${sharedFolder(delivery.project, parts.site, delivery.partner)}/${delivery.path}`;
  const target = `/home/${local}`;
  if (isFirstTry(delivery)) {
    const outcome = await pushSmall(parts, delivery, { local, target }, signal);
    if (outcome !== undefined) return outcome;
  }
  const file = await openLocal(parts, local);
  if (file === undefined) {
    await parts.remote.remove(temporaryPath(target, delivery)); // What an earlier try left.
    return { kind: 'gone' };
  }
  try {
    return await pushOpen(parts, delivery, { file, target }, signal);
  } finally {
    await file.close();
  }
}

async function openLocal(parts: PushParts, path: string): Promise<OpenFile | undefined> {
  try {
    return await parts.storage.open(path, {
      read: true,
      write: false,
      create: false,
      exclusive: false,
      truncate: false,
      freshInode: false,
    });
  } catch (error) {
    if (error instanceof AppError && error.status === 'NO_SUCH_FILE') return undefined;
    throw error;
  }
}

async function pushOpen(
  parts: PushParts,
  delivery: Delivery,
  what: { readonly file: OpenFile; readonly target: string },
  signal: AbortSignal,
): Promise<PushOutcome> {
  const { remote } = parts;
  const { file, target } = what;
  const folder = target.slice(0, target.lastIndexOf('/'));
  const temporary = temporaryPath(target, delivery);
  const before = await file.facts();
  const { sizeBytes, sha256 } = delivery;
  if (before.sizeBytes !== sizeBytes) throw changed(delivery);
  const [there, started] = await Promise.all([remote.facts(target), remote.facts(temporary)]);
  if (there !== undefined || !isAsNoted(before, delivery)) {
    if ((await sha256Of(file, sizeBytes, signal)) !== sha256) throw changed(delivery);
  }
  if (there !== undefined) {
    const answer = await judge(parts, delivery, target, there, signal);
    if (answer !== 'replace') {
      // A send that was cut after the file had arrived by another one; nobody would look for it again.
      if (started !== undefined) await remote.remove(temporary);
      return answer;
    }
  }
  await parts.ensureFolder(folder);
  for (const old of delivery.previousSha256) {
    await remote.remove(`${folder}/${temporaryName(delivery.path, old)}`);
  }
  const begun = await provenPrefix(parts, file, { temporary, started, sizeBytes }, signal);
  try {
    const { modifiedMs } = before;
    await send(parts, delivery, { ...begun, temporary, modifiedMs }, signal);
    const evidence = await prove(parts, delivery, temporary, signal);
    return await rename(parts, delivery, { temporary, target, evidence });
  } catch (error) {
    const isWrong = error instanceof AppError && wrongContent.includes(error.code);
    if (isWrong) await remote.remove(temporary);
    throw error;
  }
}

const wrongContent: readonly ErrorCode[] = ['REMOTE_MISMATCH', 'SOURCE_CHANGED', 'OUTBOX_CHANGED'];

/**
 * Is it, by the look of it, the very file that was noted? Then its digest is taken while it is sent, and ends the sending when
 * it is another one's. Anything else is hashed beforehand: nothing of a file that somebody exchanged may leave.
 */
const isAsNoted = (facts: FileFacts, { inode, modifiedMs }: Delivery): boolean =>
  facts.inode === inode && Math.floor(facts.modifiedMs) === modifiedMs;

/** Sends the rest of the file. What was sent, prefix included, is what the row speaks of, or this throws. */
async function send(
  parts: PushParts,
  delivery: Delivery,
  how: {
    readonly digest: RunningDigest;
    readonly offset: number;
    readonly temporary: string;
    readonly modifiedMs: number;
  },
  signal: AbortSignal,
): Promise<void> {
  const { digest, offset, temporary, modifiedMs } = how;
  const { sizeBytes, sha256 } = delivery;
  const paced: RemoteSource = {
    readInto: async (targets, from) => {
      const count = await digest.readInto(targets, from);
      await parts.pace(count, signal);
      return count;
    },
  };
  const facts = { offset, sizeBytes, modifiedMs };
  const arrivedBytes = await parts.remote.put(paced, temporary, facts, signal);
  if (digest.soFar() !== sha256) throw changed(delivery);
  if (arrivedBytes !== sizeBytes) {
    throw new AppError('REMOTE_MISMATCH', { detail: 'size', at: arrivedBytes });
  }
}

/** What lies under the final name already: our file, an earlier one of ours, or a stranger's. */
async function judge(
  parts: PushParts,
  delivery: Delivery,
  target: string,
  there: RemoteFacts,
  signal: AbortSignal,
): Promise<PushOutcome | 'replace'> {
  const { remote } = parts;
  if (there.kind === 'folder') return { kind: 'conflict' };
  const isCandidate = there.sizeBytes === delivery.sizeBytes || delivery.previousSha256.length > 0;
  if (!isCandidate) return { kind: 'conflict' };
  const found = await remote.sha256(target, there.sizeBytes, signal);
  if (found.sha256 === delivery.sha256) {
    const receipt = await askReceipt(parts, delivery, target);
    return { kind: 'delivered', proof: proofOf(remote, receipt, found.by) };
  }
  return delivery.previousSha256.includes(found.sha256) ? 'replace' : { kind: 'conflict' };
}

/** From where to go on: behind what lies there when it is a true prefix, else from 0; and the digest of all before it. */
async function provenPrefix(
  { remote, verify }: PushParts,
  file: OpenFile,
  what: {
    readonly temporary: string;
    readonly started: RemoteFacts | undefined;
    readonly sizeBytes: number;
  },
  signal: AbortSignal,
): Promise<{ readonly offset: number; readonly digest: RunningDigest }> {
  const { temporary, started, sizeBytes } = what;
  const anew = { offset: 0, digest: new RunningDigest(file) };
  if (started === undefined || started.sizeBytes === 0) return anew;
  if (started.kind === 'folder') {
    throw new AppError('REMOTE_REFUSED', { detail: 'a folder has the temporary name' });
  }
  // Reading a prefix back costs as much as sending it; where size is proof enough, so is sending anew.
  if (started.sizeBytes > sizeBytes || (verify === 'size' && !remote.hashes)) return anew;
  const offset = started.sizeBytes - remote.raggedBytes;
  if (offset <= 0) return anew;
  const digest = new RunningDigest(file);
  await digest.advance(offset, signal);
  const found = await remote.sha256(temporary, offset, signal);
  return found.sha256 === digest.soFar() ? { offset, digest } : anew;
}

async function prove(
  { remote, verify }: PushParts,
  { sizeBytes, sha256 }: Delivery,
  temporary: string,
  signal: AbortSignal,
): Promise<PlainEvidence> {
  if (verify === 'size' && !remote.hashes) return 'size';
  const found = await remote.sha256(temporary, sizeBytes, signal);
  if (found.sha256 !== sha256) throw new AppError('REMOTE_MISMATCH', { detail: 'SHA-256' });
  return found.by;
}
