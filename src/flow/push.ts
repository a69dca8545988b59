// One file's way to the partner (SPEC 9): under a temporary name, from where an earlier try ended if what lies there is a
// true prefix, synced, proven by size and SHA-256, then renamed. Every step may be repeated after a cut at any byte.

import { createHash } from 'node:crypto';
import type { DeliveryReceipt } from '../core/delivery-receipt.ts';
import { AppError } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import type { Delivery, Evidence, Proof } from './ports/deliveries.ts';
import type { Verify } from './ports/partners.ts';
import type { Remote, RemoteFacts, RemoteSource } from './ports/replication.ts';
import type { OpenFile, Storage } from './ports/storage.ts';

export interface PushParts {
  readonly site: string;
  readonly storage: Pick<Storage, 'open' | 'readSmall'>;
  readonly remote: Remote;
  readonly verify: Verify;
  /** Before so many bytes are sent: waits for the partner's limit; REMOTE_WINDOW ends the pass. */
  readonly pace: (bytes: number, signal: AbortSignal) => Promise<void>;
  /** Makes a folder at the partner; asked once a pass for each. */
  readonly ensureFolder: (path: string) => Promise<void>;
}

export type PushOutcome =
  | { readonly kind: 'delivered'; readonly proof: Proof }
  /** The partner holds another file under this name, and it is none that we ever published. */
  | { readonly kind: 'conflict' }
  /** The local file is no longer there. */
  | { readonly kind: 'gone' };

/** In the file's own folder at the partner, so that the rename never crosses file systems. Hidden from members there. */
export function temporaryName(path: string, sha256: string): string {
  const id = createHash('sha256')
    .update(path + sha256)
    .digest('hex')
    .slice(0, 16);
  return `.clubhouse-${id}.part`;
}

const temporaryPath = (target: string, { path, sha256 }: Delivery): string =>
  `${target.slice(0, target.lastIndexOf('/'))}/${temporaryName(path, sha256)}`;

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

/** Undefined when it is not there, or another one by its size. */
async function readLocal(parts: PushParts, path: string, sizeBytes: number) {
  try {
    return await parts.storage.readSmall(path, sizeBytes);
  } catch (error) {
    if (error instanceof AppError && error.status === 'NO_SUCH_FILE') return undefined;
    throw error;
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
  if (before.sizeBytes !== delivery.sizeBytes) throw changed(delivery);
  const [there, started] = await Promise.all([remote.facts(target), remote.facts(temporary)]);
  const digests = await digestsOf(file, delivery.sizeBytes, started?.sizeBytes ?? 0, signal);
  if (digests.whole !== delivery.sha256) throw changed(delivery);
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
  const offset = await provenOffset(parts, delivery, { temporary, started, digests }, signal);
  const { sizeBytes } = delivery;
  const how = { offset, sizeBytes, modifiedMs: before.modifiedMs };
  const paced: RemoteSource = {
    read: async (from, length) => {
      const bytes = await file.read(from, length);
      await parts.pace(bytes.length, signal);
      return bytes;
    },
  };
  const arrivedBytes = await remote.put(paced, temporary, how, signal);
  try {
    const evidence = await prove(parts, delivery, temporary, arrivedBytes, signal);
    const after = await file.facts();
    if (after.sizeBytes !== sizeBytes || after.modifiedMs !== before.modifiedMs) {
      // A touch alone changes nothing, but only a proof by digest can tell that from a write.
      if (evidence === 'size') throw new AppError('SOURCE_CHANGED');
    }
    return await rename(parts, delivery, { temporary, target, evidence });
  } catch (error) {
    const isWrong =
      error instanceof AppError &&
      (error.code === 'REMOTE_MISMATCH' || error.code === 'SOURCE_CHANGED');
    if (isWrong) await remote.remove(temporary);
    throw error;
  }
}

/** Files up to this size are sent from memory: one reading, few round trips. */
const smallBytes = 512 * 1024;

/** As far as the row knows, nothing of it was ever sent. */
const isFirstTry = (delivery: Delivery): boolean =>
  delivery.sizeBytes <= smallBytes &&
  delivery.attempts === 0 &&
  delivery.previousSha256.length === 0;

/** The common case in few round trips. Undefined: there is more to it, and nothing was left behind. */
async function pushSmall(
  parts: PushParts,
  delivery: Delivery,
  { local, target }: { readonly local: string; readonly target: string },
  signal: AbortSignal,
): Promise<PushOutcome | undefined> {
  const { remote, verify } = parts;
  const file = await readLocal(parts, local, delivery.sizeBytes);
  if (file === undefined) return undefined;
  const { bytes } = file;
  const { modifiedMs } = file.facts;
  const temporary = temporaryPath(target, delivery);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== delivery.sha256) throw changed(delivery);
  await parts.ensureFolder(target.slice(0, target.lastIndexOf('/')));
  await parts.pace(bytes.length, signal);
  signal.throwIfAborted();
  const [there, proof] = await both(
    remote.facts(target),
    remote.putNew({ bytes, modifiedMs }, temporary, verify),
  );
  if (proof === undefined) return undefined;
  const isWhole = proof.sizeBytes === bytes.length && (proof.digest?.sha256 ?? sha256) === sha256;
  if (there !== undefined || !isWhole) await remote.remove(temporary);
  if (there !== undefined) return undefined;
  if (!isWhole) throw new AppError('REMOTE_MISMATCH', { detail: 'SHA-256' });
  return rename(parts, delivery, { temporary, target, evidence: proof.digest?.by ?? 'size' });
}

/** Waits for both, then throws what went wrong first in the list. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<readonly [A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}

type PlainEvidence = Exclude<Evidence, 'receipt'>;

/** Gives the file its final name, and asks in the same breath for the partner's receipt of it. */
async function rename(
  parts: PushParts,
  delivery: Delivery,
  what: {
    readonly temporary: string;
    readonly target: string;
    readonly evidence: PlainEvidence;
  },
): Promise<PushOutcome> {
  const { remote } = parts;
  const { temporary, target, evidence } = what;
  const [, receipt] = await both(
    remote.replace(temporary, target),
    askReceipt(parts, delivery, target),
  );
  return { kind: 'delivered', proof: proofOf(remote, receipt, evidence) };
}

const askReceipt = (
  { remote, site }: PushParts,
  { partner, sizeBytes, sha256 }: Delivery,
  path: string,
): Promise<DeliveryReceipt | undefined> =>
  remote.receipt({ from: site, to: partner, path, sizeBytes, sha256 });

const proofOf = (
  { hostKey }: Remote,
  receipt: DeliveryReceipt | undefined,
  evidence: PlainEvidence,
): Proof => (receipt === undefined ? { evidence } : { evidence: 'receipt', receipt, hostKey });

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

/** From where to go on: the length of what lies there when it is a true prefix, else 0. */
async function provenOffset(
  { remote, verify }: PushParts,
  delivery: Delivery,
  what: {
    readonly temporary: string;
    readonly started: RemoteFacts | undefined;
    readonly digests: Digests;
  },
  signal: AbortSignal,
): Promise<number> {
  const { temporary, started, digests } = what;
  if (started === undefined || started.sizeBytes === 0) return 0;
  if (started.kind === 'folder') {
    throw new AppError('REMOTE_REFUSED', { detail: 'a folder has the temporary name' });
  }
  // Reading a prefix back costs as much as sending it; where size is proof enough, so is sending anew.
  if (started.sizeBytes > delivery.sizeBytes || (verify === 'size' && !remote.hashes)) return 0;
  const found = await remote.sha256(temporary, started.sizeBytes, signal);
  return found.sha256 === digests.prefix ? started.sizeBytes : 0;
}

async function prove(
  { remote, verify }: PushParts,
  delivery: Delivery,
  temporary: string,
  arrivedBytes: number,
  signal: AbortSignal,
): Promise<PlainEvidence> {
  if (arrivedBytes !== delivery.sizeBytes) {
    throw new AppError('REMOTE_MISMATCH', { detail: 'size', at: arrivedBytes });
  }
  if (verify === 'size' && !remote.hashes) return 'size';
  const found = await remote.sha256(temporary, arrivedBytes, signal);
  if (found.sha256 !== delivery.sha256)
    throw new AppError('REMOTE_MISMATCH', { detail: 'SHA-256' });
  return found.by;
}

const changed = (delivery: Delivery): AppError =>
  new AppError(/^gpg-/i.test(delivery.path) ? 'OUTBOX_CHANGED' : 'SOURCE_CHANGED');

interface Digests {
  readonly whole: string;
  /** Of the first `prefixBytes`; of nothing when the file is shorter. */
  readonly prefix: string;
}

const pieceBytes = 1024 * 1024;

/** Both digests in one reading. */
async function digestsOf(
  file: OpenFile,
  sizeBytes: number,
  prefixBytes: number,
  signal: AbortSignal,
): Promise<Digests> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafe(Math.min(pieceBytes, sizeBytes));
  let prefix = '';
  let offset = 0;
  while (offset < sizeBytes) {
    signal.throwIfAborted();
    const until = offset < prefixBytes ? Math.min(prefixBytes, sizeBytes) : sizeBytes;
    const count = await file.readInto(piece.subarray(0, until - offset), offset);
    if (count === 0) break;
    hash.update(piece.subarray(0, count));
    offset += count;
    if (offset === prefixBytes) prefix = hash.copy().digest('hex');
  }
  return { whole: hash.digest('hex'), prefix };
}
