// The partner institutions: where their servers are, which host key is pinned, and with which keys their replicators may
// log in here. The command line edits them beside a running server; the replicator notes how its passes went.

import type { ErrorCode } from '../../core/errors.ts';
import type { RemoteAddress } from './replication.ts';

/** How a delivery is proven: by SHA-256 (`hash`, the default), or by size where the partner cannot hash (`size`). */
export type Verify = 'hash' | 'size';

export interface Partner {
  /** Its site code, e.g. `UMHS`. */
  readonly code: string;
  /** Undefined until `partner add`: a partner may be named by a project or by `partner accept` before. */
  readonly address: RemoteAddress | undefined;
  readonly verify: Verify;
  /** What an administrator must see to; undefined when all is well. REMOTE_HOST_KEY stops the partner until `add`. */
  readonly alarm:
    { readonly code: ErrorCode; readonly detail: string; readonly at: number } | undefined;
  readonly lastPassAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  /** Failed passes in a row. */
  readonly failures: number;
  readonly createdAt: number;
  /** Bytes a second that are sent there at most; undefined without limit. */
  readonly limitBytes: number | undefined;
  /** When files are sent there, e.g. `20:00-06:00` in the site's time zone; undefined at any time. */
  readonly window: string | undefined;
}

/** How much and when; null takes it back, undefined leaves it. */
export interface PartnerPace {
  readonly limitBytes?: number | null;
  readonly window?: string | null;
}

/** A key with which the partner's replicator may log in here. */
export interface PartnerKey {
  /** `SHA256:…` as ssh-keygen -l prints it. */
  readonly fingerprint: string;
  /** e.g. `ssh-ed25519`. */
  readonly algorithm: string;
  /** Base64 of the key in SSH wire form (RFC 4253 §6.6). */
  readonly blob: string;
  /** Networks from which it opens; empty: from anywhere. Undefined: as it is, or from anywhere when it is new. */
  readonly sources?: readonly string[];
}

/** Each call that changes something writes its audit entry in the same transaction. `actor` is `cli` or `server`. */
export interface Partners {
  /** Sets where the server is and pins its host key; clears an alarm, and the next pass is due at once. */
  add(
    partner: {
      readonly code: string;
      readonly address: RemoteAddress;
      /** Undefined leaves it as it is (`hash` for a new one). */
      readonly verify: Verify | undefined;
    },
    actor: string,
  ): Promise<'added' | 'updated'>;
  /** NOT_FOUND when it is not there. */
  setPace(code: string, pace: PartnerPace, actor: string): Promise<void>;
  /** All that are not removed, by code. */
  list(): Promise<readonly Partner[]>;
  find(code: string): Promise<Partner | undefined>;
  /** Forgets address, host key and accepted keys. What is owed to it stays owed. NOT_FOUND when it is not there. */
  remove(code: string, actor: string): Promise<void>;
  /** Lets the partner's replicator log in here with this key; may come before `add`. */
  accept(code: string, key: PartnerKey, actor: string): Promise<'added' | 'updated'>;
  acceptedKeys(code: string): Promise<readonly PartnerKey[]>;
  /** False when it has no such key. */
  removeKey(code: string, fingerprint: string, actor: string): Promise<boolean>;
  /** The active projects that name this partner, by name. */
  projects(code: string): Promise<readonly { readonly id: string; readonly name: string }[]>;
  /** Sets (or, without a detail, takes back) the alarm about files that we did not make; it never displaces another alarm. */
  tellStrangers(code: string, detail: string | undefined): Promise<void>;
}
