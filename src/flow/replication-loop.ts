// When passes happen (SPEC 9): each partner at its own time, at once after publishing when replication is eager, later and
// later while a partner fails. It looks at the rows every moment, so what a command changed counts at once.

import { AppError, codeOf, framesOf } from '../core/errors.ts';
import { backOffMs } from '../core/upload.ts';
import { isOpen } from './pass.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { Deliveries } from './ports/deliveries.ts';
import type { Partner, Partners } from './ports/partners.ts';
import type { RemoteAddress } from './ports/replication.ts';

export interface LoopParts {
  readonly everyMs: number;
  readonly eager: boolean;
  readonly timeZone: string;
  readonly partners: Partners;
  readonly deliveries: Deliveries;
  readonly clock: Clock;
  readonly log: Log;
}

const tickMs = 500;

/** A partner whose server is known. */
export type PlacedPartner = Partner & { readonly address: RemoteAddress };

export const isPlaced = (partner: Partner): partner is PlacedPartner =>
  partner.address !== undefined;

/** Why a partner gets no pass now, or undefined: it has no address, or its host key changed and nobody looked. */
export function refuse(partner: Partner | undefined): AppError | undefined {
  if (partner === undefined || !isPlaced(partner)) {
    return new AppError('NOT_FOUND', { detail: 'the partner has no address; run partner add' });
  }
  if (partner.alarm?.code !== 'REMOTE_HOST_KEY') return undefined;
  return new AppError('REMOTE_HOST_KEY', { detail: partner.alarm.detail });
}

/** When the next pass of a partner is due. A partner that fails is tried again sooner, but never more often than the
 *  back-off says, and at the latest at its normal time. */
export function nextPassAt(
  partner: Pick<Partner, 'lastPassAt' | 'failures'>,
  everyMs: number,
): number {
  if (partner.lastPassAt === undefined) return 0;
  const pause = partner.failures === 0 ? everyMs : Math.min(everyMs, backOffMs(partner.failures));
  return partner.lastPassAt + pause;
}

export function createLoop(
  parts: LoopParts,
  pass: (code: string, signal: AbortSignal) => Promise<unknown>,
): { start(): void; stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = new Map<string, Promise<void>>();
  const notBefore = new Map<string, number>();
  let ticking: Promise<void> | undefined;

  const isDue = async (partner: Partner): Promise<boolean> => {
    const now = parts.clock.now();
    if (refuse(partner) !== undefined || running.has(partner.code)) return false;
    if (!isOpen(parts, partner)) return false;
    if ((notBefore.get(partner.code) ?? 0) > now) return false;
    const isSetBack = partner.lastPassAt !== undefined && partner.lastPassAt > now;
    if (isSetBack || nextPassAt(partner, parts.everyMs) <= now) return true;
    return parts.eager && partner.failures === 0 && parts.deliveries.anyDue(partner.code, now);
  };
  /** Our own database or disk, not the partner: nothing was settled, so the next pass does it again. */
  const tellOurs = (partner: string | undefined, error: unknown): void => {
    parts.log.error({ partner, code: codeOf(error), at: framesOf(error) }, 'replication failed');
  };
  const run = async (code: string): Promise<void> => {
    try {
      await pass(code, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return;
      tellOurs(code, error);
      notBefore.set(code, parts.clock.now() + backOffMs(1));
    } finally {
      running.delete(code);
    }
  };
  const tick = async (): Promise<void> => {
    for (const partner of await parts.partners.list()) {
      if (await isDue(partner)) running.set(partner.code, run(partner.code));
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await tick().catch((error: unknown) => tellOurs(undefined, error));
      await parts.clock.sleep(tickMs, stopping.signal);
    }
  };
  return {
    start: () => {
      ticking ??= loop().catch((error: unknown) => {
        if (!stopping.signal.aborted) throw error;
      });
    },
    stop: async () => {
      stopping.abort();
      await ticking;
      await Promise.all(running.values());
    },
  };
}
