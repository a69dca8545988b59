// What the senders of a torture run upload, and how a published file is recognised again. Each content is told by its pixels,
// which pass bit for bit; each carries a made-up patient whose name must never be seen under gpg-*.

import { createHash } from 'node:crypto';
import dicomParser from 'dicom-parser';
import { decrypt, generateKey, readMessage, readPrivateKey, type PrivateKey } from 'openpgp';
import unzipper from 'unzipper';
import { ctSlice } from '../../test/support/dicom.ts';
import { zipBytes } from '../../test/support/zip.ts';
import { noise } from './chance.ts';

export type Kind = 'dicom' | 'zip' | 'plain';

/** In every identified file, and nowhere else. */
export const planted = 'TORTURED^PATIENT';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

interface Content {
  readonly bytes: Buffer;
  /** Digests of its pixels (or of all of it, for a plain file), sorted: what tells it. */
  readonly marks: readonly string[];
}

/** `track` names the patient and the place, `version` the bytes. */
export function contentOf(kind: Kind, track: number, version: number, side: number): Content {
  if (kind === 'plain') {
    const bytes = Buffer.from(
      `note ${track}.${version}\n${noise(`${track}.${version}`, side * side).toString('base64')}`,
    );
    return { bytes, marks: [sha256(bytes)] };
  }
  const slices = Array.from({ length: kind === 'zip' ? 3 : 1 }, (_, i) => {
    const pixels = noise(`${track}.${version}.${i}`, side * side * 2);
    const bytes = ctSlice({
      size: side,
      pixels,
      patientID: `MRN-${track}`,
      patientName: planted,
      studyUID: `1.2.826.0.1.3680043.99.${track}`,
      instanceNumber: i + 1,
    });
    return { bytes, mark: sha256(pixels) };
  });
  const marks = slices.map(({ mark }) => mark).sort();
  const [first] = slices;
  if (kind === 'dicom') return { bytes: first?.bytes ?? Buffer.alloc(0), marks };
  const entries = slices.map(({ bytes }, i) => ({ name: `${planted}/${i}.dcm`, content: bytes }));
  return { bytes: zipBytes(entries), marks };
}

export class Receiver {
  readonly fingerprint: string;
  readonly publicKey: string;
  readonly #key: PrivateKey;

  private constructor(key: PrivateKey, publicKey: string) {
    this.#key = key;
    this.publicKey = publicKey;
    this.fingerprint = key.getFingerprint().toUpperCase();
  }

  static async make(): Promise<Receiver> {
    const made = await generateKey({
      userIDs: [{ name: 'Bob Receiver', email: 'bob@umhs.example.org' }],
      type: 'ecc',
      curve: 'curve25519Legacy',
      format: 'armored',
    });
    return new Receiver(await readPrivateKey({ armoredKey: made.privateKey }), made.publicKey);
  }

  /** The marks of what is inside; throws when it is not whole, not for us, or no image. */
  async marksOf(name: string, message: Uint8Array): Promise<readonly string[]> {
    const { data } = await decrypt({
      message: await readMessage({ binaryMessage: message }),
      decryptionKeys: this.#key,
      format: 'binary',
    });
    const bytes = Buffer.from(data as Uint8Array);
    if (bytes.includes(planted)) throw new Error('identified');
    if (!name.endsWith('.zip.gpg')) return [pixelMark(bytes)];
    const { files } = await unzipper.Open.buffer(bytes);
    const marks: string[] = [];
    for (const file of files) marks.push(pixelMark(await file.buffer()));
    return marks.sort();
  }
}

function pixelMark(bytes: Buffer): string {
  const pixels = dicomParser.parseDicom(bytes).elements['x7fe00010'];
  if (pixels === undefined) throw new Error('no pixels');
  return sha256(bytes.subarray(pixels.dataOffset, pixels.dataOffset + pixels.length));
}

export const plainMark = sha256;
