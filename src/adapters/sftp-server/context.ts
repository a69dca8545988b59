// What a request's function gets to work with: who asks, what they see, the ports, and the few questions that several
// requests share.

import { AppError } from '../../core/errors.ts';
import type { Locks } from '../../core/locks.ts';
import { childOf, may, resolve, type Place, type RealPlace } from '../../core/tree.ts';
import type { Principal } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import type { Intake, WritePlace } from '../../flow/ports/intake.ts';
import type { FileFacts, Storage } from '../../flow/ports/storage.ts';
import type { ReceiptSigner } from './delivery-receipts.ts';
import type { ShownAttributes } from './encode.ts';
import type { Handles } from './handles.ts';
import type { Share } from './shares.ts';

export interface Context {
  readonly site: string;
  /** As it is now; throws NO_SUCH_FILE once the account is gone. */
  readonly principal: () => Principal;
  readonly storage: Storage;
  readonly intake: Intake;
  readonly log: Log;
  readonly handles: Handles;
  readonly maximumHandles: number;
  /** The connection has ended: long work need not go on. */
  readonly isGone: () => boolean;
  /** Shared by all sessions of the server: who appends to a path. */
  readonly appends: Locks;
  /** Shown as the time of folders that are not on the disk. */
  readonly startedMs: number;
  readonly now: () => number;
  readonly signReceipt: ReceiptSigner;
}

/** What a session asks of the connection that it is on. */
export interface SessionConnection {
  /** What the client calls itself. */
  readonly software: string;
  /** Of the user, in all sessions. */
  readonly share: Share;
  /** Holds the socket back until the tick's end. */
  cork(): void;
  /** The client does not take what is sent: `goOn` is called when it did. */
  isFull(): boolean;
  /** The peer does not speak the protocol. */
  fail(): void;
  /** Marks activity. */
  touch(): void;
}

export const placeOf = (context: Context, path: Uint8Array): Place =>
  resolve(context.principal(), context.site, path);

/** What the flow is told about a place that is written. */
export function writePlaceOf(place: RealPlace): WritePlace {
  const area = place.area === 'gpg' ? 'intake' : place.area === 'outgoing' ? 'direct' : 'plain';
  return { path: place.path, projectId: place.projectId, area, partner: place.partner };
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** Slips and unchecked files of others must not exist for this principal. */
async function isHidden(context: Context, place: RealPlace): Promise<boolean> {
  if (place.area !== 'outgoing' || place.fixed) return false;
  const folder = parentOf(place.path);
  const hidden = await context.intake.hidden(context.principal(), folder, [place.path]);
  return hidden.has(place.path);
}

/** A file of the outgoing folder may be on the disk a moment before it is known whether others may see it. */
export const whenSettled = <T>(
  context: Context,
  place: RealPlace,
  work: () => Promise<T>,
): Promise<T> => context.intake.whenSettled(writePlaceOf(place), work);

/** The facts of a place that exists for this principal, else NO_SUCH_FILE. */
export async function factsOf(context: Context, place: RealPlace): Promise<FileFacts> {
  const facts = await whenSettled(context, place, async () =>
    (await isHidden(context, place)) ? undefined : context.storage.facts(place.path),
  );
  if (facts === undefined) throw new AppError('NO_SUCH_FILE');
  return facts;
}

/**
 * Throws where there is a file that does not exist for this principal; asked while the path is held. ALREADY_EXISTS where a
 * name is wanted: that it is taken cannot be kept from somebody who wants it too.
 */
export async function refuseHidden(
  context: Context,
  place: RealPlace,
  code: 'ALREADY_EXISTS' | 'NO_SUCH_FILE',
): Promise<void> {
  if (await isHidden(context, place)) throw new AppError(code);
}

const folderMode = 0o40000;
const fileMode = 0o100000;

/** Modes say what the client may do here, not what the disk says. */
export function shownAttributes(
  context: Context,
  place: Place,
  facts: FileFacts | undefined,
): ShownAttributes {
  if (place.kind === 'virtual' || facts === undefined) {
    const at = context.startedMs;
    return { sizeBytes: 0, mode: folderMode | 0o500, accessedMs: at, modifiedMs: at };
  }
  const canWrite = may({ ...place, fixed: false }, 'write');
  const mode =
    facts.kind === 'folder'
      ? folderMode | (canWrite ? 0o700 : 0o500)
      : fileMode | (canWrite ? 0o600 : 0o400);
  return {
    sizeBytes: facts.sizeBytes,
    mode,
    accessedMs: facts.accessedMs,
    modifiedMs: facts.modifiedMs,
  };
}

export const childPlace = (context: Context, folder: Place, name: string): Place | undefined =>
  childOf(context.principal(), context.site, folder, name);
