// One pass to one partner: connect, push what is due with a few files in flight over the one connection, settle each as it
// ends. What is wrong with one file stops that file; what is wrong with the partner ends the pass and touches no row, so an
// outage costs no tries and everything is still due when it ends.

import { AppError, unreachable, type ErrorCode } from '../core/errors.ts';
import { openForMinutes, readWindow } from '../core/send-window.ts';
import { backOffMs } from '../core/upload.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { Deliveries, Delivery } from './ports/deliveries.ts';
import type { Lease } from './ports/leases.ts';
import type { Partner } from './ports/partners.ts';
import type { Remote, RemoteAddress, Remotes } from './ports/replication.ts';
import type { Storage } from './ports/storage.ts';
import { roomFor, sendAll } from './flight.ts';
import { createThrottle } from './throttle.ts';
import { push } from './push.ts';
import type { PushParts } from './push-arrival.ts';

export interface PassParts {
  readonly site: string;
  readonly everyMs: number;
  /** Of the site, for the partners' windows, e.g. `Asia/Shanghai`. */
  readonly timeZone: string;
  readonly storage: Storage;
  readonly deliveries: Deliveries;
  readonly remotes: Remotes;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a pass did. `error`: the partner itself could not be used, or was lost on the way. */
export interface PassSummary {
  readonly delivered: number;
  /** Files that failed, conflicts among them. */
  readonly failed: number;
  readonly error: AppError | undefined;
  readonly connected: boolean;
}

/** A name conflict is looked at again: somebody at the partner may have moved the file away. */
const conflictPauseMs = 3_600_000;

export async function runPass(
  parts: PassParts,
  partner: Partner & { readonly address: RemoteAddress },
  how: {
    readonly lease: Lease;
    /** Somebody asked for it: the window does not count. */
    readonly isAsked: boolean;
  },
  signal: AbortSignal,
): Promise<PassSummary> {
  const { lease } = how;
  const count = { delivered: 0, failed: 0 };
  if (!(await parts.deliveries.anyDue(partner.code, parts.clock.now()))) {
    return { ...count, error: undefined, connected: false };
  }
  let remote: Remote | undefined;
  try {
    remote = await parts.remotes.connect(partner.address, signal);
    const pusher = pushParts(parts, partner, remote, () => how.isAsked || isOpen(parts, partner));
    await sendAll(
      {
        room: roomFor(remote),
        due: (limit) => parts.deliveries.due(partner.code, parts.clock.now(), limit),
        send: (delivery, landed, abort) =>
          pushAndSettle({ ...parts, pusher, lease, count }, delivery, landed, abort),
      },
      signal,
    );
    return { ...count, error: undefined, connected: true };
  } catch (error) {
    if (signal.aborted || !(error instanceof AppError)) throw error;
    // A window that closes is no trouble: what was begun goes on when it opens.
    const isOver = error.code === 'REMOTE_WINDOW';
    return { ...count, error: isOver ? undefined : error, connected: true };
  } finally {
    await remote?.close();
  }
}

/** May files go to this partner at this time of the day? */
export const isOpen = (
  { clock, timeZone }: Pick<PassParts, 'clock' | 'timeZone'>,
  { window }: Pick<Partner, 'window'>,
): boolean =>
  window === undefined || openForMinutes(readWindow(window, timeZone), clock.now()) !== undefined;

function pushParts(
  parts: PassParts,
  partner: Partner,
  remote: Remote,
  mayGoOn: () => boolean,
): PushParts {
  const folders = new Map<string, Promise<void>>();
  const throttle = createThrottle(parts.clock, partner.limitBytes);
  return {
    site: parts.site,
    storage: parts.storage,
    verify: partner.verify,
    remote,
    pace: async (bytes, signal) => {
      await throttle(bytes, signal);
      if (!mayGoOn()) throw new AppError('REMOTE_WINDOW');
    },
    ensureFolder: (path) => {
      const known = folders.get(path);
      if (known !== undefined) return known;
      const made = remote.ensureFolder(path);
      folders.set(path, made);
      return made;
    },
  };
}

interface SettleParts extends PassParts {
  readonly pusher: PushParts;
  readonly lease: Lease;
  readonly count: { delivered: number; failed: number };
}

async function pushAndSettle(
  parts: SettleParts,
  delivery: Delivery,
  landed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { deliveries, lease, clock, count } = parts;
  try {
    const outcome = await push(parts.pusher, delivery, signal);
    landed();
    switch (outcome.kind) {
      case 'delivered':
        if (await deliveries.delivered(delivery, outcome.proof, lease)) count.delivered += 1;
        return;
      case 'conflict':
        count.failed += 1;
        parts.log.warn({ delivery: delivery.id, code: 'REMOTE_CONFLICT' }, 'name conflict');
        await deliveries.conflict(delivery, clock.now() + conflictPauseMs, lease);
        return;
      case 'gone':
        await deliveries.gone(delivery, lease);
        return;
      default:
        unreachable(outcome);
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof AppError) || endsPass(error.code)) throw error;
    landed();
    const dueAt = retryAt(parts, delivery, error);
    if (!(await deliveries.failed(delivery, error.code, dueAt, lease))) return;
    count.failed += 1;
    parts.log.warn({ delivery: delivery.id, code: error.code, detail: error.detail }, 'not sent');
  }
}

/** Is it the partner, the line or the lease, rather than this file? */
function endsPass(code: ErrorCode): boolean {
  return (
    code === 'REMOTE_UNREACHABLE' ||
    code === 'REMOTE_FULL' ||
    code === 'REMOTE_WINDOW' ||
    code === 'LEASE_LOST' ||
    code === 'REMOTE_AUTH' ||
    code === 'REMOTE_HOST_KEY'
  );
}

/** At most two cycles, so that what was mended at the partner is noticed soon; never for what cannot mend itself. */
function retryAt(parts: PassParts, delivery: Delivery, error: AppError): number | undefined {
  if (!error.retry) return undefined;
  const longest = Math.max(2 * parts.everyMs, 60_000);
  return parts.clock.now() + Math.min(backOffMs(delivery.attempts + 1), longest);
}
