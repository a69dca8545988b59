// Replication (SPEC 9): each partner has its own passes, every few minutes and, when set, at once after publishing. A lease
// keeps the passes of one partner apart, also between a server and a command line on the same database.

import { AppError, type ErrorCode } from '../core/errors.ts';
import { openForMinutes, readWindow } from '../core/send-window.ts';
import { scanOutgoing, type OutgoingScan, type ScanParts } from './outgoing-scan.ts';
import { isOpen, runPass, type PassParts, type PassSummary } from './pass.ts';
import { createLoop, isPlaced, refuse, type PlacedPartner } from './replication-loop.ts';
import type { Lease, Leases } from './ports/leases.ts';
import type { Partner, Partners } from './ports/partners.ts';

export interface ReplicatorParts extends PassParts, ScanParts {
  readonly eager: boolean;
  readonly partners: Partners;
  readonly leases: Leases;
  /** Names this process in leases, e.g. a random UUID. */
  readonly owner: string;
}

export interface PassResult {
  readonly partner: string;
  readonly delivered: number;
  readonly failed: number;
  /** Why the partner could not be used, or was lost on the way. */
  readonly error: AppError | undefined;
  /** The partner's window, when it was closed and the pass was made all the same, because somebody asked for it. */
  readonly overridden: string | undefined;
}

export interface Replicator {
  /** One pass now, or undefined when another one is running somewhere. */
  pass(partner: string, signal: AbortSignal): Promise<PassResult | undefined>;
  /** Waits for a running pass to end, then does a whole one; put-off and conflicting files are tried too. Without a list:
   *  every partner that has an address. */
  replicateNow(
    partners: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly PassResult[]>;
  start(): void;
  /** Ends running passes; what was not settled is done again by the next one. */
  stop(): Promise<void>;
}

const leaseMs = 30_000;
const renewMs = 10_000;
const waitForLeaseMs = 200;

export function createReplicator(parts: ReplicatorParts): Replicator {
  const scan = scanOutgoing(parts);
  const pass = (code: string, signal: AbortSignal): Promise<PassResult | undefined> =>
    onePass({ ...parts, scan }, code, { isAsked: false }, signal);
  const loop = createLoop(parts, pass);
  return {
    pass,
    replicateNow: async (codes, signal) => {
      const all = codes ?? (await parts.partners.list()).filter(isPlaced).map(({ code }) => code);
      return Promise.all(all.map((code) => passWhenFree({ ...parts, scan }, code, signal)));
    },
    start: () => loop.start(),
    stop: () => loop.stop(),
  };
}

type Parts = ReplicatorParts & { readonly scan: OutgoingScan };

async function passWhenFree(parts: Parts, code: string, signal: AbortSignal): Promise<PassResult> {
  for (;;) {
    const result = await onePass(parts, code, { isAsked: true }, signal);
    if (result !== undefined) return result;
    await parts.clock.sleep(waitForLeaseMs, signal);
  }
}

async function onePass(
  parts: Parts,
  code: string,
  how: { readonly isAsked: boolean },
  signal: AbortSignal,
): Promise<PassResult | undefined> {
  const lease = await parts.leases.acquire(`replicate:${code}`, parts.owner, leaseMs);
  if (lease === undefined) return undefined;
  try {
    // Read under the lease: what an earlier pass or `partner add` changed meanwhile counts.
    const partner = await parts.partners.find(code);
    const refusal = refuse(partner);
    if (partner === undefined || !isPlaced(partner) || refusal !== undefined) {
      return { partner: code, delivered: 0, failed: 0, error: refusal, overridden: undefined };
    }
    return await whileHeld(parts, lease, signal, (held) =>
      passHeld(parts, partner, { lease, ...how }, held),
    );
  } finally {
    await parts.leases.release(lease);
  }
}

/** Renews the lease beside `run`; once it is lost, `run` is aborted with LEASE_LOST. */
async function whileHeld<T>(
  { leases, clock }: Parts,
  lease: Lease,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const done = new AbortController();
  const renewing = async (): Promise<void> => {
    while (!done.signal.aborted) {
      await clock.sleep(renewMs, done.signal);
      if (!(await leases.renew(lease, leaseMs))) {
        lost.abort(new AppError('LEASE_LOST', { detail: lease.name }));
        return;
      }
    }
  };
  const renewal = renewing().catch((error: unknown) => {
    // The sleep ends by `done`. Anything else means that the lease could not be renewed.
    if (!done.signal.aborted) lost.abort(error);
  });
  try {
    return await run(AbortSignal.any([signal, lost.signal]));
  } finally {
    done.abort();
    await renewal;
  }
}

async function passHeld(
  parts: Parts,
  partner: PlacedPartner,
  how: { readonly lease: Lease; readonly isAsked: boolean },
  signal: AbortSignal,
): Promise<PassResult> {
  const { code } = partner;
  const overridden = isOpen(parts, partner) ? undefined : partner.window;
  const startedAt = parts.clock.now();
  // A scan that fails is told at the end: what is known to be owed goes out all the same.
  const scanned = isScanned(parts, partner, how)
    ? { error: undefined }
    : await settled(parts.scan.run(partner, signal));
  signal.throwIfAborted();
  if (how.isAsked) await parts.deliveries.hasten(code, startedAt);
  const summary = await runPass(parts, partner, how, signal);
  const { delivered, failed, error, connected } = summary;
  await parts.deliveries.passEnded({
    partner: code,
    startedAt,
    delivered,
    failed,
    error: error?.code,
    alarm: alarmOf(parts, partner, summary),
    connected,
  });
  const line = { partner: code, delivered, failed, code: error?.code };
  if (error !== undefined) parts.log.warn(line, 'replication pass ended early');
  else if (connected) parts.log.info(line, 'replication pass ended');
  if (scanned.error !== undefined) throw scanned.error;
  return { partner: code, delivered, failed, error, overridden };
}

/** A command's process remembers no folder and would list them all; where a server's passes do that, it need not. */
const isScanned = (parts: Parts, partner: Partner, how: { readonly isAsked: boolean }): boolean =>
  how.isAsked &&
  partner.lastPassAt !== undefined &&
  parts.clock.now() - partner.lastPassAt < 2 * parts.everyMs;

const settled = (work: Promise<void>): Promise<{ readonly error: unknown }> =>
  work.then(
    () => ({ error: undefined }),
    (error: unknown) => ({ error }),
  );

/** No cycle is missed while the partner's window is closed. */
function openedAt({ clock, timeZone }: Parts, { window }: Partner): number {
  if (window === undefined) return 0;
  const minutes = openForMinutes(readWindow(window, timeZone), clock.now());
  return minutes === undefined ? 0 : clock.now() - minutes * 60_000;
}

/** What an administrator must see to, at once or after two missed cycles. */
function alarmOf(
  parts: Parts,
  partner: Partner,
  { error }: PassSummary,
): { readonly code: ErrorCode; readonly detail: string } | undefined {
  if (error === undefined || error.code === 'LEASE_LOST') return undefined;
  const wellAt = Math.max(partner.lastSuccessAt ?? partner.createdAt, openedAt(parts, partner));
  const isMissed = partner.failures >= 1 && parts.clock.now() - wellAt >= 2 * parts.everyMs;
  if (error.code === 'REMOTE_UNREACHABLE' && !isMissed) return undefined;
  return { code: error.code, detail: error.detail ?? '' };
}
