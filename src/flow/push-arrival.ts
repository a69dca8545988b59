// What both ways of sending a file share (push.ts, push-small.ts): its names there, its proof, its arrival.

import { createHash } from 'node:crypto';
import type { DeliveryReceipt } from '../core/delivery-receipt.ts';
import { AppError } from '../core/errors.ts';
import type { Delivery, Evidence, Proof } from './ports/deliveries.ts';
import type { Verify } from './ports/partners.ts';
import type { Remote } from './ports/replication.ts';
import type { Storage } from './ports/storage.ts';

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

export const temporaryPath = (target: string, { path, sha256 }: Delivery): string =>
  `${target.slice(0, target.lastIndexOf('/'))}/${temporaryName(path, sha256)}`;

/** Waits for both, then throws what went wrong first in the list. */
export async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<readonly [A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}

export type PlainEvidence = Exclude<Evidence, 'receipt'>;

/** Gives the file its final name, and asks in the same breath for the partner's receipt of it. */
export async function rename(
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

export const askReceipt = (
  { remote, site }: PushParts,
  { partner, sizeBytes, sha256 }: Delivery,
  path: string,
): Promise<DeliveryReceipt | undefined> =>
  remote.receipt({ from: site, to: partner, path, sizeBytes, sha256 });

export const proofOf = (
  { hostKey }: Remote,
  receipt: DeliveryReceipt | undefined,
  evidence: PlainEvidence,
): Proof => (receipt === undefined ? { evidence } : { evidence: 'receipt', receipt, hostKey });

export const changed = (delivery: Delivery): AppError =>
  new AppError(/^gpg-/i.test(delivery.path) ? 'OUTBOX_CHANGED' : 'SOURCE_CHANGED');
