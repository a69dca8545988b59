// Replication as commands use it, in their own process: a lease keeps its passes apart from the server's.

import { testPartner, type PartnerTest } from '../partner-test.ts';
import type { Deliveries, DeliveryCounts, DeliveryTrouble, PassRow } from '../ports/deliveries.ts';
import type { Partner, Partners } from '../ports/partners.ts';
import type { Remotes } from '../ports/replication.ts';
import type { PassResult, Replicator } from '../replicate.ts';

/** How it stands with one partner, whether or not anything was ever owed to it. */
export interface PartnerStanding extends DeliveryCounts {
  readonly alarm: Partner['alarm'];
  readonly lastPassAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  /** The newest ones. */
  readonly passes: readonly PassRow[];
  /** What did not arrive at the first try, newest first. */
  readonly troubles: readonly DeliveryTrouble[];
}

export interface ReplicationDesk {
  /** A pass to each partner (or to the named ones) that begins now; ends when all ended. */
  now(partners: readonly string[] | undefined): Promise<readonly PassResult[]>;
  /** All partners, with those that only a project names. */
  status(): Promise<readonly PartnerStanding[]>;
  test(partner: string): Promise<PartnerTest>;
}

const testMs = 60_000;
const shownPasses = 10;

export function createReplicationDesk(parts: {
  readonly site: string;
  readonly partners: Partners;
  /** Also those that only a project names. */
  readonly allPartners: () => Promise<readonly Partner[]>;
  readonly deliveries: Deliveries;
  readonly remotes: Remotes;
  /** Opens what a pass needs, for as long as `work` runs. */
  readonly withReplicator: <T>(work: (replicator: Replicator) => Promise<T>) => Promise<T>;
}): ReplicationDesk {
  const { deliveries } = parts;
  return {
    now: (partners) =>
      parts.withReplicator((replicator) =>
        replicator.replicateNow(partners, new AbortController().signal),
      ),
    status: async () => {
      const counts = await deliveries.counts();
      const troubles = await deliveries.troubles(Number.MAX_SAFE_INTEGER);
      const known = new Map((await parts.allPartners()).map((one) => [one.code, one]));
      // What is owed to a partner that was removed stays owed.
      const codes = new Set([...known.keys(), ...counts.map((row) => row.partner)]);
      return Promise.all(
        [...codes].sort().map(async (code) => ({
          ...(counts.find((row) => row.partner === code) ?? nothingOwed(code)),
          alarm: known.get(code)?.alarm,
          lastPassAt: known.get(code)?.lastPassAt,
          lastSuccessAt: known.get(code)?.lastSuccessAt,
          passes: await deliveries.passes(code, shownPasses),
          troubles: troubles.filter((one) => one.partner === code),
        })),
      );
    },
    test: (partner) => testPartner(parts, partner, AbortSignal.timeout(testMs)),
  };
}

const nothingOwed = (partner: string): DeliveryCounts => ({
  partner,
  pending: 0,
  delivered: 0,
  failed: 0,
  conflict: 0,
  gone: 0,
  oldestPendingAt: undefined,
});
