// Keys that live in a security token (FIDO/U2F), as OpenSSH's PROTOCOL.u2f describes them: `sk-…` public keys, and what the
// token signs, which is never the message alone but also the application, a flag that somebody touched it, and a counter.

import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';

export const securityKeyKinds = [
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const;
export type SecurityKeyKind = (typeof securityKeyKinds)[number];

export interface SecurityKey {
  readonly kind: SecurityKeyKind;
  readonly publicKey: KeyObject;
  /** `ssh:` by default; whoever made the key chose it. */
  readonly application: Buffer;
}

const userPresent = 0x01;
/** Behind the signature proper: flags, counter. */
const tailBytes = 5;
const ed25519Bytes = 64;
const coordinateBytes = 32;

/** Reads length-prefixed fields (RFC 4251 §5) to the end of the bytes; undefined when they do not fit. */
function fieldsOf(bytes: Uint8Array, count: number): Buffer[] | undefined {
  const all = Buffer.from(bytes);
  const fields: Buffer[] = [];
  let at = 0;
  while (fields.length < count) {
    if (all.length - at < 4) return undefined;
    const length = all.readUInt32BE(at);
    at += 4;
    if (length > all.length - at) return undefined;
    fields.push(all.subarray(at, at + length));
    at += length;
  }
  return at === all.length ? fields : undefined;
}

/** `blob`: in SSH wire form. Undefined: it is not one of these, or not well formed. */
export function readSecurityKey(blob: Uint8Array): SecurityKey | undefined {
  const ed25519 = fieldsOf(blob, 3);
  const ecdsa = fieldsOf(blob, 4);
  const base64 = (bytes: Buffer | undefined): string => bytes?.toString('base64url') ?? '';
  try {
    if (ed25519?.[0]?.toString('latin1') === securityKeyKinds[0]) {
      const [, point, application = Buffer.alloc(0)] = ed25519;
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: base64(point) };
      const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
      return { kind: securityKeyKinds[0], publicKey, application };
    }
    if (ecdsa?.[0]?.toString('latin1') === securityKeyKinds[1]) {
      const [, curve, point, application = Buffer.alloc(0)] = ecdsa;
      const isPlain = point?.length === 1 + 2 * coordinateBytes && point[0] === 4;
      if (curve?.toString('latin1') !== 'nistp256' || !isPlain) return undefined;
      const [x, y] = [point.subarray(1, 1 + coordinateBytes), point.subarray(1 + coordinateBytes)];
      const jwk = { kty: 'EC', crv: 'P-256', x: base64(x), y: base64(y) };
      const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
      return { kind: securityKeyKinds[1], publicKey, application };
    }
  } catch {
    // A point that is on no curve.
  }
  return undefined;
}

/**
 * Did the token sign the message, touched by somebody? `signature`: as PROTOCOL.u2f has it, without the name of the algorithm
 * and the length that follow in front: the signature proper, flags, counter.
 */
export function isSignedByToken(
  { kind, publicKey, application }: SecurityKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const cut = signature.length - tailBytes;
  if (cut <= 0) return false;
  const proper = kind === securityKeyKinds[0] ? signature.subarray(0, cut) : pairOf(signature, cut);
  const tail = signature.subarray(cut);
  if (proper?.length !== ed25519Bytes || ((tail[0] ?? 0) & userPresent) === 0) return false;
  const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  const signed = Buffer.concat([digest(application), tail, digest(message)]);
  return kind === securityKeyKinds[0]
    ? verify(null, signed, publicKey, proper)
    : verify('sha256', signed, { key: publicKey, dsaEncoding: 'ieee-p1363' }, proper);
}

/** r and s (mpint, RFC 4251 §5) as two numbers of 32 bytes. */
function pairOf(signature: Uint8Array, cut: number): Buffer | undefined {
  const numbers = fieldsOf(signature.subarray(0, cut), 2)?.map((bytes) => {
    const leading = bytes.length === coordinateBytes + 1 && bytes[0] === 0 ? 1 : 0;
    return bytes.subarray(leading);
  });
  if (numbers === undefined || numbers.some(({ length }) => length > coordinateBytes)) return;
  return Buffer.concat(
    numbers.map((bytes) => Buffer.concat([Buffer.alloc(coordinateBytes - bytes.length), bytes])),
  );
}
