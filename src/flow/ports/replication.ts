// The partner's server, as the replicator sees it.

import type { DeliveryReceipt, ExpectedDelivery } from '../../core/delivery-receipt.ts';

export interface RemoteFacts {
  readonly kind: 'file' | 'folder';
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** The open local file: one inode from the first byte to the last. */
export interface RemoteSource {
  /** Fills the targets from `offset` on; how many bytes there were, 0 at the end. Each byte is asked for once, in their order. */
  readInto(targets: readonly Uint8Array[], offset: number): Promise<number>;
}

/** A file that is in memory as a whole. */
export interface SmallFile {
  readonly bytes: Uint8Array;
  readonly modifiedMs: number;
}

/** What the partner says of a file that was just written there. */
export interface SmallFileProof {
  readonly sizeBytes: number;
  /** Undefined where the size alone was asked for. */
  readonly digest: { readonly sha256: string; readonly by: 'check-file' | 'read-back' } | undefined;
}

/** One logged-in connection to a partner. Errors are AppErrors (REMOTE_*). Paths are absolute on the partner. */
export interface Remote {
  /** The host key that was presented and that matches the pinned one, `SHA256:…`. */
  readonly hostKey: string;
  /** Does the server hash files itself (check-file-name)? Else `sha256` reads them back. */
  readonly hashes: boolean;
  /** Of the login's last exchange: the longer it is, the more files must be under way at once. */
  readonly roundTripMs: number;
  /** How many files may be open there at a time. */
  readonly maximumOpen: number;
  /** So many bytes of one file are in memory at most. */
  readonly flightBytes: number;
  /** In the last so many bytes of a file that was cut short there may be holes. */
  readonly raggedBytes: number;
  facts(path: string): Promise<RemoteFacts | undefined>;
  /**
   * Makes `path` with these bytes and this time, synced where that is offered, and proves it, in two round trips. Undefined,
   * and nothing has changed, when it cannot be made anew: something is there, or its folder is not.
   */
  putNew(file: SmallFile, path: string, by: 'hash' | 'size'): Promise<SmallFileProof | undefined>;
  /** Makes a folder and what is missing above it; existing ones are fine. */
  ensureFolder(path: string): Promise<void>;
  /**
   * Writes `source` up to `sizeBytes` to `path`, from `offset` on (0 makes or empties the file), many requests in flight,
   * sets the modification time, syncs where fsync@openssh.com is offered, and closes. Returns the size that the
   * partner then states. REMOTE_FULL when the partner's disk is full.
   */
  put(
    source: RemoteSource,
    path: string,
    how: { readonly offset: number; readonly sizeBytes: number; readonly modifiedMs: number },
    signal: AbortSignal,
  ): Promise<number>;
  /**
   * The partner's signed statement that it has this file under its final name, checked against the pinned host key; may be
   * asked for together with the rename that gives the name. Undefined where that is not offered. REMOTE_RECEIPT when it is,
   * but was not given or does not hold.
   */
  receipt(expected: Omit<ExpectedDelivery, 'nonce'>): Promise<DeliveryReceipt | undefined>;
  /** Lower-case hex of the first `lengthBytes`, by check-file-name where offered, else by reading back. */
  sha256(
    path: string,
    lengthBytes: number,
    signal: AbortSignal,
  ): Promise<{ readonly sha256: string; readonly by: 'check-file' | 'read-back' }>;
  /** posix-rename@openssh.com where offered, else remove and rename. */
  replace(from: string, to: string): Promise<void>;
  /** A missing file is fine. */
  remove(path: string): Promise<void>;
  close(): Promise<void>;
}

export interface RemoteAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** `SHA256:…` as ssh-keygen -l prints it. */
  readonly hostKey: string;
}

export interface Remotes {
  /** REMOTE_UNREACHABLE, REMOTE_AUTH, or REMOTE_HOST_KEY with both fingerprints in its detail. */
  connect(address: RemoteAddress, signal: AbortSignal): Promise<Remote>;
}
