// What wrong logins cost, over a restart. The server counts in memory and writes down now and then; commands read what is
// there and take it back. Kept by source and user together, so that one bad client behind a hospital's address does not
// lock out the rest, and a stranger elsewhere does not lock out the user.

export interface Penalty {
  /** As the server names it: an IPv4 address or an IPv6 /64. */
  readonly source: string;
  /** What `who` of the port makes of the user's name. */
  readonly who: string;
  /** Wrong logins that are remembered. */
  readonly failures: number;
  readonly endsAt: number;
  /** Until it ends nobody is let in; else it only counts. */
  readonly enforced: boolean;
}

export interface PenaltyStore {
  /** A keyed hash: the name that somebody typed may be a password in the wrong field. */
  who(name: string): string;
  /** All that end after `after` (milliseconds since the epoch). */
  load(after: number): Promise<readonly Penalty[]>;
  /** In one transaction: these are new or changed, those are over. What ended before `forgetBefore` goes too. */
  save(
    changed: readonly Penalty[],
    over: readonly Pick<Penalty, 'source' | 'who'>[],
    forgetBefore: number,
  ): Promise<void>;
  /** Enforced penalties of this user name that end after `after`. */
  of(name: string, after: number): Promise<readonly Penalty[]>;
  /** Takes back all of this user name, also what a running server has not written down yet. It notices. */
  forget(name: string): Promise<void>;
  /** Whom and when `forget` forgave, after `after`: what they did wrong until then counts no more. */
  forgiven(after: number): Promise<readonly { readonly who: string; readonly at: number }[]>;
}
