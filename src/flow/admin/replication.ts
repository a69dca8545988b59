// Replication as commands use it, in their own process: a lease keeps its passes apart from the server's.

import { testPartner, type PartnerTest } from '../partner-test.ts';
import type { Deliveries, DeliveryCounts, DeliveryTrouble, PassRow } from '../ports/deliveries.ts';
import type { Partners } from '../ports/partners.ts';
import type { Remotes } from '../ports/replication.ts';
import type { PassResult, Replicator } from '../replicate.ts';

export interface ReplicationStatus {
  readonly partners: readonly (DeliveryCounts & { readonly passes: readonly PassRow[] })[];
  /** What did not arrive at the first try, newest first. */
  readonly troubles: readonly DeliveryTrouble[];
}

export interface ReplicationDesk {
  /** A pass to each partner (or to the named ones) that begins now; ends when all ended. */
  now(partners: readonly string[] | undefined): Promise<readonly PassResult[]>;
  status(): Promise<ReplicationStatus>;
  test(partner: string): Promise<PartnerTest>;
}

const testMs = 60_000;
const shownPasses = 10;
const shownTroubles = 100;

export function createReplicationDesk(parts: {
  readonly site: string;
  readonly partners: Partners;
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
      const partners = await Promise.all(
        (await deliveries.counts()).map(async (row) => ({
          ...row,
          passes: await deliveries.passes(row.partner, shownPasses),
        })),
      );
      return { partners, troubles: await deliveries.troubles(shownTroubles) };
    },
    test: (partner) => testPartner(parts, partner, AbortSignal.timeout(testMs)),
  };
}
