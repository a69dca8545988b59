// What we speak on the SSH layer: modern alone, so that ssh-audit has nothing to say. No NIST curves in the key exchange,
// no SHA-1, no MAC that is not encrypt-then-MAC, no compression (zlib before authentication inflates without a cap). No group of
// 8192 bits: an exchange costs us 50 ms and who asks for it nothing, and who knows it knows group16 or curve25519 as well.

import type { ServerConfig } from 'ssh2';

const serverHostKeys = ['ssh-ed25519', 'rsa-sha2-512', 'rsa-sha2-256'];

/**
 * ssh2 offers `ssh-rsa` (SHA-1) for an RSA host key even when the list leaves it out: it puts a missing name at the end.
 * It asks the list for positions by indexOf and compares them; NaN equals none, so the name is skipped. A test looks at
 * the offer, so that a new version of ssh2 which does it otherwise is noticed.
 */
class WithoutSha1 extends Array<string> {
  override indexOf(name: string, from?: number): number {
    return name === 'ssh-rsa' ? Number.NaN : super.indexOf(name, from);
  }
}

const gcm = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com'];

export const algorithms = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group14-sha256',
  ],
  serverHostKey: WithoutSha1.from(serverHostKeys),
  cipher: [...gcm, 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  compress: ['none'],
} as unknown as NonNullable<ServerConfig['algorithms']>;

/**
 * For clients whose greeting says libssh2 before 1.11 (curl of Debian 12): they know neither GCM nor an encrypt-then-MAC
 * one. Behind CTR the older order is sound (SHA-2, and no strict exchange that a lost packet could cheat); the greeting is a
 * part of what the exchange signs (RFC 4253 §8), so nobody on the way can talk another client into these.
 */
export const macsOfOldClients: readonly string[] = [
  ...['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'],
  ...['hmac-sha2-256', 'hmac-sha2-512'],
];

export const isOldClient = (software: string): boolean =>
  /^libssh2_(?:0|1\.(?:\d|10))(?:\.|_|$)/.test(software);

/** What is offered to a client of which we know already what it offers; undefined: the same as to all. */
export function ciphersFor(offered: readonly string[]): readonly string[] | undefined {
  return gcm.some((cipher) => offered.includes(cipher)) ? gcm : undefined;
}
