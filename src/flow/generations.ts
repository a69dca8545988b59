// Which generation of a path an event belongs to, and what may be believed of its bytes. Shared by everything that follows
// files in the tree.

import { AppError } from '../core/errors.ts';
import type { Coverage } from '../core/coverage.ts';
import type { UploadState } from '../core/upload.ts';
import type { Gate } from './gate.ts';
import type { Principal } from './ports/accounts.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { WritePlace } from './ports/intake.ts';
import type { Identity, NewUpload, Upload, UploadStore } from './ports/jobs.ts';
import type { FileFacts, Storage } from './ports/storage.ts';
import type { Arrivals } from './ports/upkeep.ts';
import type { Room } from './room.ts';

export interface IntakeParts {
  readonly uploads: UploadStore;
  readonly arrivals: Arrivals;
  readonly storage: Storage;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly log: Log;
  readonly settleMs: number;
  /** Quotas and free space; without it there is always room. */
  readonly room?: Room;
}

export const identityOf = (facts: FileFacts): Identity => ({
  sizeBytes: facts.sizeBytes,
  modifiedMs: facts.modifiedMs,
  device: facts.device,
  inode: facts.inode,
});

/** The rows of an intake are its member's own; the outgoing folder is shared. */
export const newestAt = async (
  parts: Pick<IntakeParts, 'uploads'>,
  principal: Principal,
  place: WritePlace,
): Promise<Upload | undefined> =>
  place.area === 'plain'
    ? undefined
    : parts.uploads.latest(place.path, place.area === 'intake' ? principal.id : undefined);

const changeable: ReadonlySet<UploadState> = new Set<UploadState>([
  'uploading',
  'partial',
  'settling',
  'queued',
  'waiting',
  'withdrawn',
]);

/** Before the claim a write changes this very generation; afterwards it begins the next. */
export const isBeforeClaim = (upload: Upload): boolean =>
  upload.claim === undefined && upload.states.every((state) => changeable.has(state));

/** Some file systems keep so much of a small file beside its name, where no block counts. */
const mostInlineBytes = 4096;

/**
 * What to believe of a file that came by another way than written under our eyes: all, unless it has holes on disk. One that is
 * all hole costs its owner nothing, and whoever reads it years.
 */
export const presumed = ({ sizeBytes, allottedBytes }: FileFacts): Coverage =>
  sizeBytes > 0 &&
  (allottedBytes >= sizeBytes || (allottedBytes === 0 && sizeBytes <= mostInlineBytes))
    ? [[0, sizeBytes]]
    : [];

export function newUpload(
  place: WritePlace,
  memberId: string,
  facts: FileFacts,
  rest: Pick<NewUpload, 'coverage' | 'closed' | 'state' | 'settleAt' | 'declaredSizeBytes'> &
    Partial<Pick<NewUpload, 'reason'>>,
): NewUpload {
  if (place.area === 'plain')
    throw new AppError('INTERNAL', { detail: 'plain places have no row' });
  const { projectId, path, partner } = place;
  const kind = place.area;
  const identity = identityOf(facts);
  return { projectId, memberId, kind, partner, path, identity, reason: undefined, ...rest };
}

/** Whoever still writes there writes to a file that nobody sees any more. */
export function detach(gate: Gate, path: string): void {
  const group = gate.writers.get(path);
  if (group === undefined) return;
  group.isDetached = true;
  gate.writers.delete(path);
}
