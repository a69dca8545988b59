// The partner's server, as the replicator sees it.

export interface RemoteFacts {
  readonly kind: 'file' | 'folder';
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** The open local file: one inode from the first byte to the last. */
export interface RemoteSource {
  /** Up to `length` bytes at `offset`; an empty array at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** One logged-in connection to a partner. Errors are AppErrors (REMOTE_*). Paths are absolute on the partner. */
export interface Remote {
  /** The host key that was presented and that matches the pinned one, `SHA256:…`. */
  readonly hostKey: string;
  /** Does the server hash files itself (check-file-name)? Else `sha256` reads them back. */
  readonly hashes: boolean;
  facts(path: string): Promise<RemoteFacts | undefined>;
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
