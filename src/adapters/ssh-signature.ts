// Signs with the host key in the form that `ssh-keygen -Y verify` reads (OpenSSH's PROTOCOL.sshsig), so that somebody without
// Clubhouse can check what an instance gave away.

import { readFile } from 'node:fs/promises';
import ssh2 from 'ssh2';
import { AppError } from '../core/errors.ts';

const magic = Buffer.from('SSHSIG');

/** An SSH string: its length in four bytes, then itself (RFC 4251 §5). */
const sshString = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

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
  const what = [sshString(namespace), sshString(''), sshString('sha512')];
  const signature = key.sign(Buffer.concat([magic, ...what, sshString(sha512)]));
  if (signature instanceof Error) throw new AppError('INTERNAL', { cause: signature });
  const version = Buffer.from([0, 0, 0, 1]);
  const made = sshString(Buffer.concat([sshString('ssh-ed25519'), sshString(signature)]));
  const blob = Buffer.concat([magic, version, sshString(key.getPublicSSH()), ...what, made]);
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? [];
  return `-----BEGIN SSH SIGNATURE-----\n${lines.join('\n')}\n-----END SSH SIGNATURE-----\n`;
}
