// The partner's server, as the replicator sees it.

export interface RemoteFacts {
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** One logged-in connection to a partner. Errors are AppErrors (REMOTE_*). Paths are absolute on the partner. */
export interface Remote {
  facts(path: string): Promise<RemoteFacts | undefined>;
  /** Makes a folder and what is missing above it; existing ones are fine. */
  ensureFolder(path: string): Promise<void>;
  /** Writes `source` (an absolute local path) from `offset` on to `path`, syncs where fsync@openssh.com is offered, and sets
   *  the modification time. At least 32 requests in flight. */
  put(
    source: string,
    path: string,
    offset: number,
    modifiedMs: number,
    signal: AbortSignal,
  ): Promise<void>;
  /** Lower-case hex of the first `lengthBytes` (or of all), by check-file-name where offered, else by reading back. */
  sha256(
    path: string,
    lengthBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly sha256: string; readonly by: 'check-file' | 'read-back' }>;
  /** posix-rename@openssh.com where offered, else remove and rename. */
  replace(from: string, to: string): Promise<void>;
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
  connect(address: RemoteAddress, signal: AbortSignal): Promise<Remote>;
}
