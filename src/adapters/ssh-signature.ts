// Signs with the host key in the form that `ssh-keygen -Y verify` reads (OpenSSH's PROTOCOL.sshsig), so that somebody without
// Clubhouse can check what an instance gave away.

import { readFile } from 'node:fs/promises';
import ssh2 from 'ssh2';
import { AppError } from '../core/errors.ts';
import { armorSshsig, sshsigBlob, sshsigInputOf } from '../core/sshsig.ts';

/**
 * The armored signature of a message, of which only the SHA-512 is needed. `namespace`: what it is for, so that it can be
 * taken for nothing else. The key is an unencrypted ed25519 private key.
 */
export async function signDigest(
  keyFile: string,
  namespace: string,
  sha512: Uint8Array,
): Promise<string> {
  const parsed = ssh2.utils.parseKey(await readFile(keyFile));
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error || key.type !== 'ssh-ed25519') {
    throw new AppError('CONFIG_INVALID', { detail: 'keys/host_ed25519 is not usable for signing' });
  }
  const bytes = key.sign(sshsigInputOf(namespace, sha512));
  if (bytes instanceof Error) throw new AppError('INTERNAL', { cause: bytes });
  const signature = { algorithm: 'ssh-ed25519', bytes } as const;
  return armorSshsig(sshsigBlob(key.getPublicSSH(), namespace, signature));
}
