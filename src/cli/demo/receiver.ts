// The receiver of the demo: a fresh OpenPGP key pair, as Kleopatra or gpg would make it, and decryption with it.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decrypt, generateKey, readMessage, readPrivateKey, type PrivateKey } from 'openpgp';

export class DemoReceiver {
  readonly fingerprint: string;
  readonly publicFile: string;
  readonly privateFile: string;
  readonly #key: PrivateKey;

  private constructor(key: PrivateKey, publicFile: string, privateFile: string) {
    this.#key = key;
    this.fingerprint = key.getFingerprint().toUpperCase();
    this.publicFile = publicFile;
    this.privateFile = privateFile;
  }

  static async make(folder: string): Promise<DemoReceiver> {
    const made = await generateKey({
      userIDs: [{ name: 'Bob Receiver', email: 'bob@umhs.example.org' }],
      type: 'ecc',
      curve: 'curve25519Legacy',
      keyExpirationTime: 2 * 365 * 86_400,
      format: 'armored',
    });
    const publicFile = join(folder, 'bob-public.asc');
    const privateFile = join(folder, 'bob-private.asc');
    await writeFile(publicFile, made.publicKey, { mode: 0o600 });
    await writeFile(privateFile, made.privateKey, { mode: 0o600 });
    const key = await readPrivateKey({ armoredKey: made.privateKey });
    return new DemoReceiver(key, publicFile, privateFile);
  }

  async decrypt(message: Uint8Array): Promise<Uint8Array> {
    const { data } = await decrypt({
      message: await readMessage({ binaryMessage: message }),
      decryptionKeys: this.#key,
      format: 'binary',
      config: { allowUnauthenticatedMessages: false },
    });
    return data as Uint8Array;
  }
}
