// A small file's way to the partner: from memory, and in three round trips when nothing of it was ever sent.

import { createHash } from 'node:crypto';
import { AppError } from '../core/errors.ts';
import type { Delivery } from './ports/deliveries.ts';
import {
  both,
  changed,
  rename,
  temporaryPath,
  type PushOutcome,
  type PushParts,
} from './push-arrival.ts';

/** Files up to this size are sent from memory: one reading, few round trips. */
const smallBytes = 512 * 1024;

/** As far as the row knows, nothing of it was ever sent. */
export const isFirstTry = (delivery: Delivery): boolean =>
  delivery.sizeBytes <= smallBytes &&
  delivery.attempts === 0 &&
  delivery.previousSha256.length === 0;

/** The common case in few round trips. Undefined: there is more to it, and nothing was left behind. */
export async function pushSmall(
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

/** Undefined when it is not there, or another one by its size. */
async function readLocal(parts: PushParts, path: string, sizeBytes: number) {
  try {
    return await parts.storage.readSmall(path, sizeBytes);
  } catch (error) {
    if (error instanceof AppError && error.status === 'NO_SUCH_FILE') return undefined;
    throw error;
  }
}
