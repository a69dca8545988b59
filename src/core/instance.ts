// Where things are in an instance (SPEC 4). Pure: names only.

import { join } from 'node:path';

export interface InstancePaths {
  readonly home: string;
  readonly config: string;
  readonly profiles: string;
  readonly keys: string;
  /** SSH host keys, the one to offer first in front. */
  readonly hostKeys: readonly string[];
  readonly replicatorKey: string;
  readonly masterKey: string;
  /** How far the audit trail reached, outside of the database. */
  readonly auditHead: string;
  readonly recipients: string;
  readonly knownHosts: string;
  readonly data: string;
  /** The tree that clients see. */
  readonly tree: string;
  readonly state: string;
  readonly database: string;
  readonly serveLock: string;
  readonly spool: string;
  /** Folders of members whose account was removed. */
  readonly removed: string;
}

export function instancePaths(home: string): InstancePaths {
  const at = (...parts: readonly string[]): string => join(home, ...parts);
  return Object.freeze({
    home,
    config: at('config', 'clubhouse.yaml'),
    profiles: at('config', 'profiles'),
    keys: at('keys'),
    hostKeys: [at('keys', 'host_ed25519'), at('keys', 'host_rsa')],
    replicatorKey: at('keys', 'replicator_ed25519'),
    masterKey: at('keys', 'master.key'),
    auditHead: at('keys', 'audit.head'),
    recipients: at('keys', 'recipients'),
    knownHosts: at('keys', 'known_hosts'),
    data: at('data'),
    tree: at('data', 'home'),
    state: at('data', 'state'),
    database: at('data', 'state', 'clubhouse.db'),
    serveLock: at('data', 'state', 'serve.lock'),
    spool: at('data', 'spool'),
    removed: at('data', 'removed'),
  });
}
