// Who may log in and what they see: what the SFTP server asks of the accounts.

export interface ProjectView {
  readonly id: string;
  readonly name: string;
  /** Codes of the project's partners. */
  readonly partners: readonly string[];
  /** Room for everything in its folders; null or undefined: no limit. */
  readonly quotaBytes?: number | null;
}

/** Somebody who is logged in. Frozen: ask `current` again for what changed since. */
export type Principal = {
  /** What opened the session, for `current`, which says when it would not open another one. */
  readonly openedBy?: string;
} & (
  | {
      readonly kind: 'member';
      readonly id: string;
      readonly name: string;
      readonly projects: readonly ProjectView[];
      /** Room for everything in its own folders; null or undefined: no limit. */
      readonly quotaBytes?: number | null;
      /** When the account ends; null or undefined: never. */
      readonly expiresAt?: number | null;
    }
  /** The partner's replicator: sees the incoming folders of its own code in the projects that name it. */
  | {
      readonly kind: 'partner';
      readonly id: string;
      /** The partner's site code; also its user name. */
      readonly name: string;
      readonly projects: readonly ProjectView[];
    }
);

export interface Expired {
  readonly kind: 'ended';
  readonly reason: 'expired';
  readonly expiresAt: number;
}

/** Why somebody who is logged in may not go on. */
export type Ended = { readonly kind: 'ended' } & (
  | Pick<Expired, 'reason' | 'expiresAt'>
  | { readonly reason: 'removed' | 'disabled' | 'network' | 'key' | 'password' }
);

/** Why a login was refused, for the audit alone: the client hears the same in each case, but for an account that has expired. */
export type LoginRefusal =
  | 'unknown-user'
  | 'disabled'
  | 'expired'
  | 'network'
  | 'wrong-password'
  | 'unknown-key'
  /** Too many wrong passwords from there for this user. */
  | 'penalty'
  /** The user has as many connections as one may have. */
  | 'connections';

/** What is refused before anybody is known, or below a login, and is counted instead of listed. */
export type RefusalKind =
  /** Too many connections that did not log in yet: dropped at random, or over the limit. */
  | 'startups'
  | 'connections'
  | 'grace'
  /** Refused logins beyond those that are listed one by one. */
  | 'logins'
  | 'channels'
  /** Shell, command, forwarding and the like. */
  | 'services'
  | 'malformed';

/** `address` is the client's, as the socket says it: an account or a key may be bound to networks. */
export interface Accounts {
  /** The principal, or undefined. An unknown user costs as much time as a wrong password. Expired: the password is right. */
  verifyPassword(
    name: string,
    password: string,
    address: string,
  ): Promise<Principal | Expired | undefined>;
  /**
   * Who may log in with this key: `blob` is the key in SSH wire form (RFC 4253 §6.6). Says nothing about a signature.
   * Expired: who has the key could log in until then.
   */
  findByKey(
    name: string,
    blob: Uint8Array,
    address: string,
  ): Promise<Principal | Expired | undefined>;
  /** As it is now, or why what opened the session would not open it again from there. */
  current(principal: Principal, address: string): Promise<Principal | Ended>;
  /** Grows whenever any process changed accounts or projects; cheap enough for every second. */
  version(): number;
  /** For the audit: one entry a login or a refusal. */
  recordLogin(entry: {
    readonly name: string;
    /** The network that the client's address counts as. */
    readonly source: string;
    readonly address: string;
    readonly method: 'password' | 'publickey' | 'none';
    readonly accepted: boolean;
    /** What the server knows of the reason; the rest the accounts find out. */
    readonly refusal?: LoginRefusal;
  }): Promise<void>;
  /** One entry for many refusals of a kind: how often, and from how many sources, of which the one with the most is named. */
  recordRefusals(entry: {
    readonly kind: RefusalKind;
    readonly count: number;
    readonly sources: number;
    readonly most: string;
  }): Promise<void>;
}
