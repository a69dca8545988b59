// Who may log in and what they see: what the SFTP server asks of the accounts.

export interface ProjectView {
  readonly id: string;
  readonly name: string;
  /** Codes of the project's partners. */
  readonly partners: readonly string[];
}

/** Somebody who is logged in. Frozen: ask `current` again for what changed since. */
export type Principal =
  | {
      readonly kind: 'member';
      readonly id: string;
      readonly name: string;
      readonly projects: readonly ProjectView[];
    }
  /** The partner's replicator: sees the incoming folders of its own code in the projects that name it. */
  | {
      readonly kind: 'partner';
      readonly id: string;
      /** The partner's site code; also its user name. */
      readonly name: string;
      readonly projects: readonly ProjectView[];
    };

export interface Accounts {
  /** The principal, or undefined. An unknown user costs as much time as a wrong password. */
  verifyPassword(name: string, password: string): Promise<Principal | undefined>;
  /** Who may log in with this key: `blob` is the key in SSH wire form (RFC 4253 §6.6). Says nothing about a signature. */
  findByKey(name: string, blob: Uint8Array): Promise<Principal | undefined>;
  /** As it is now; undefined once disabled, removed or expired. */
  current(principal: Principal): Promise<Principal | undefined>;
  /** Grows whenever any process changed accounts or projects; cheap enough for every second. */
  version(): number;
  /** For the audit: one entry a login or a refusal; source is the client's address. */
  recordLogin(entry: {
    readonly name: string;
    readonly source: string;
    readonly method: 'password' | 'publickey' | 'none';
    readonly accepted: boolean;
  }): Promise<void>;
}
