// Named leases: who may do a thing that only one process at a time may do, e.g. `replicate:UMHS`. They end by
// themselves, so a killed process blocks nobody for long.

export interface Lease {
  readonly name: string;
  readonly owner: string;
  /** Grows with each new holder; a commit that says `fence = mine` fails once another one took over. */
  readonly fence: number;
}

export interface Leases {
  /** The lease, or undefined while somebody else holds it. The same owner may not take it twice either. */
  acquire(name: string, owner: string, ttlMs: number): Promise<Lease | undefined>;
  /** False when it was lost. */
  renew(lease: Lease, ttlMs: number): Promise<boolean>;
  /** Harmless when it was lost. */
  release(lease: Lease): Promise<void>;
  /** Owners of leases that have not ended. */
  holders(): Promise<readonly string[]>;
  /** Ends every lease whose owner begins with this: of a server that is gone, by the one that serves now. */
  endThoseOf(ownerPrefix: string): Promise<void>;
}
