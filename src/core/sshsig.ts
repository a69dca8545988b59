// Signatures by SSH keys over any bytes, in OpenSSH's format (its PROTOCOL.sshsig), so that `ssh-keygen -Y verify` reads them
// without us. Pure: who holds the private key signs what `sshsigInput` gives.

import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';

const magic = Buffer.from('SSHSIG', 'latin1');
const version = 1;

const string = (value: string | Uint8Array): Buffer => {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
};

/** `SHA256:` and unpadded base64, as ssh-keygen -l prints it. `blob`: a public key in SSH wire form (RFC 4253 §6.6). */
export const fingerprintOfBlob = (blob: Uint8Array): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

/** What the key signs, plainly (ed25519), or with SHA-512 (RSA). */
export const sshsigInput = (namespace: string, message: Uint8Array): Buffer =>
  sshsigInputOf(namespace, createHash('sha512').update(message).digest());

/** The same of a message that is too long to be held: of its SHA-512. */
export const sshsigInputOf = (namespace: string, sha512: Uint8Array): Buffer =>
  Buffer.concat([magic, string(namespace), string(''), string('sha512'), string(sha512)]);

/** The signature as a blob. `signature`: the raw one. */
export function sshsigBlob(
  publicKey: Uint8Array,
  namespace: string,
  signature: { readonly algorithm: SignatureAlgorithm; readonly bytes: Uint8Array },
): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(version);
  const inner = Buffer.concat([string(signature.algorithm), string(signature.bytes)]);
  const fields = [string(publicKey), string(namespace), string(''), string('sha512')];
  return Buffer.concat([magic, number, ...fields, string(inner)]);
}

export type SignatureAlgorithm = 'ssh-ed25519' | 'rsa-sha2-512';

/** As a file that `ssh-keygen -Y verify -s` takes. */
export function armorSshsig(blob: Uint8Array): string {
  const lines =
    Buffer.from(blob)
      .toString('base64')
      .match(/.{1,70}/g) ?? [];
  return ['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----', ''].join('\n');
}

/** The fingerprint of the key that signed `message` for this purpose, or undefined when nobody did or it cannot be told. */
export function signerOf(
  blob: Uint8Array,
  namespace: string,
  message: Uint8Array,
): string | undefined {
  try {
    return readSigner(Buffer.from(blob), namespace, message);
  } catch {
    return undefined; // Malformed: nobody signed this.
  }
}

function readSigner(blob: Buffer, namespace: string, message: Uint8Array): string | undefined {
  if (!blob.subarray(0, 6).equals(magic) || blob.readUInt32BE(6) !== version) return undefined;
  const [key, space, reserved, hash, inner, ...more] = strings(blob.subarray(10));
  if (key === undefined || inner === undefined || more.length > 0) return undefined;
  const isOurs = space?.toString() === namespace && reserved?.length === 0;
  if (!isOurs || hash?.toString() !== 'sha512') return undefined;
  const [algorithm, bytes, ...rest] = strings(inner);
  if (algorithm === undefined || bytes === undefined || rest.length > 0) return undefined;
  const [type] = strings(key);
  const input = sshsigInput(namespace, message);
  const name = `${String(type)} ${String(algorithm)}`;
  if (name === 'ssh-ed25519 ssh-ed25519') {
    return verify(null, input, publicKeyOf(key), bytes) ? fingerprintOfBlob(key) : undefined;
  }
  if (name === 'ssh-rsa rsa-sha2-512') {
    return verify('sha512', input, publicKeyOf(key), bytes) ? fingerprintOfBlob(key) : undefined;
  }
  return undefined;
}

/** A run of strings to the last byte; throws when it is none. */
function strings(bytes: Buffer): readonly Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new RangeError('too short');
    found.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return found;
}

/** Of thousands of receipts, a partner signs all with one key, and making a key costs as much as a verification. */
let last: { readonly blob: Buffer; readonly key: KeyObject } | undefined;

function publicKeyOf(blob: Buffer): KeyObject {
  if (last === undefined || !last.blob.equals(blob)) {
    last = { blob: Buffer.from(blob), key: makePublicKey(blob) };
  }
  return last.key;
}

function makePublicKey(blob: Buffer): KeyObject {
  const [type, first, second] = strings(blob);
  if (type?.toString() === 'ssh-ed25519') {
    const x = (first ?? Buffer.alloc(0)).toString('base64url');
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  }
  // An mpint has a zero in front where its first bit is set (RFC 4251 §5).
  const number = (bytes: Buffer | undefined): string =>
    (bytes?.[0] === 0 ? bytes.subarray(1) : (bytes ?? Buffer.alloc(0))).toString('base64url');
  return createPublicKey({
    key: { kty: 'RSA', e: number(first), n: number(second) },
    format: 'jwk',
  });
}
