// delivery-receipt@clubhouse, an extension of our own: the partner's replicator asks, after the final rename, for a signed
// statement that a file is here. The answer is read from the disk, synced, and signed with the host key that the asker pinned.
//
// Request: string path, string fingerprint of the host key (SHA256:…), uint64 size, string sha256 (32 bytes), string nonce
// (16 bytes). Reply: string statement, string signature (SSHSIG). A file that is another one gets no receipt.

import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import ssh2 from 'ssh2';
import { deliveryReceiptName, statementText } from '../../core/delivery-receipt.ts';
import { AppError } from '../../core/errors.ts';
import { fingerprintOfBlob, sshsigBlob, sshsigInput } from '../../core/sshsig.ts';
import { isReplicatorTemporary, lastName, type Place, type RealPlace } from '../../core/tree.ts';
import type { OpenFile } from '../../flow/ports/storage.ts';
import { packetType, type Reader } from './codec.ts';
import type { Context } from './context.ts';
import { encode } from './encode.ts';
import { asNumber, onDisk } from './requests-common.ts';
import { hashBlock, inHashTurn } from './requests-extended.ts';
import { openForReading } from './requests-files.ts';

/** Signs for the purpose of receipts with the host key of this fingerprint; undefined when there is none that can. */
export type ReceiptSigner = (fingerprint: string, message: Uint8Array) => Buffer | undefined;

const algorithms = { 'ssh-ed25519': 'ssh-ed25519', 'ssh-rsa': 'rsa-sha2-512' } as const;

interface SigningKey {
  readonly algorithm: (typeof algorithms)[keyof typeof algorithms];
  /** Made once: ssh2's own `sign` reads the key's text anew each time, which takes longer than the signature. */
  readonly secret: KeyObject;
  /** In SSH wire form. */
  readonly publicKey: Buffer;
}

/** `texts`: the private host keys. */
export function createReceiptSigner(texts: readonly string[]): ReceiptSigner {
  const keys = new Map<string, SigningKey>();
  for (const text of texts) {
    const key = ssh2.utils.parseKey(text);
    if (key instanceof Error || !Object.hasOwn(algorithms, key.type)) continue;
    const publicKey = key.getPublicSSH();
    keys.set(fingerprintOfBlob(publicKey), {
      algorithm: algorithms[key.type as keyof typeof algorithms],
      secret: createPrivateKey(key.getPrivatePEM()),
      publicKey,
    });
  }
  return (fingerprint, message) => {
    const key = keys.get(fingerprint);
    if (key === undefined) return undefined;
    const { algorithm, secret, publicKey } = key;
    const input = sshsigInput(deliveryReceiptName, message);
    const bytes = sign(algorithm === 'ssh-ed25519' ? null : 'sha512', input, secret);
    return sshsigBlob(publicKey, deliveryReceiptName, { algorithm, bytes });
  };
}

export async function deliveryReceipt(
  context: Context,
  place: Place,
  reader: Reader,
  id: number,
): Promise<Buffer> {
  const fingerprint = reader.text();
  const sizeBytes = asNumber(reader.uint64());
  const [expected, nonce] = [reader.string(), reader.string()];
  if (expected.length !== 32 || nonce.length !== 16) throw new AppError('BAD_INPUT');
  const isIts = place.kind === 'real' && place.viewer === 'partner' && place.area === 'incoming';
  if (!isIts || isReplicatorTemporary(lastName(place))) throw new AppError('READ_ONLY');
  const at = onDisk(place);
  const file = await inHashTurn(context, () => openProven(context, at, sizeBytes, expected));
  try {
    await file.sync();
    await context.storage.syncEntry(at.path);
  } finally {
    await file.close();
  }
  const statement = statementText({
    from: context.principal().name,
    to: context.site,
    path: place.shown,
    sizeBytes,
    sha256: Buffer.from(expected).toString('hex'),
    verifiedAt: context.now(),
    nonce: Buffer.from(nonce).toString('hex'),
  });
  const signature = context.signReceipt(fingerprint, Buffer.from(statement, 'utf8'));
  if (signature === undefined) throw new AppError('UNSUPPORTED');
  return encode(packetType.EXTENDED_REPLY, id, statement, signature);
}

/** The file, if it is of that size and has that hash. */
async function openProven(
  context: Context,
  place: RealPlace,
  sizeBytes: number,
  expected: Buffer,
): Promise<OpenFile> {
  const file = await openForReading(context, place);
  try {
    const isOfSize = (await file.facts()).sizeBytes === sizeBytes;
    const sha256 = isOfSize ? await hashBlock(context, file, 0, sizeBytes) : undefined;
    if (sha256?.equals(expected) !== true) throw new AppError('SOURCE_CHANGED');
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
