// Backups as OpenPGP messages: sealed like a published file (encryptor.ts), opened with a private key that an administrator
// names for a restore. What is opened is not proven before its end; who reads it must wait for that before believing it.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { config, decrypt, decryptKey, readMessage, readPrivateKey, type PrivateKey } from 'openpgp';
import { AppError } from '../../core/errors.ts';
import { sealFor } from './encryptor.ts';

/** The message for one key, armored, that inspectRecipientKey took. */
export const sealBackup = (
  body: AsyncIterable<Uint8Array>,
  armored: string,
): Promise<AsyncIterable<Uint8Array>> => sealFor([armored], body, new AbortController().signal);

/** Armored or binary. `ask`: for the passphrase, only when there is one. Throws BAD_INPUT. */
export async function readSecretKey(
  file: Uint8Array,
  ask: () => Promise<string>,
): Promise<PrivateKey> {
  const isBinary = ((file[0] ?? 0) & 0x80) !== 0;
  const read = isBinary
    ? readPrivateKey({ binaryKey: file })
    : readPrivateKey({ armoredKey: Buffer.from(file).toString('utf8') });
  const key = await read.catch((cause: unknown) => {
    throw new AppError('BAD_INPUT', { cause, detail: 'the file holds no OpenPGP private key' });
  });
  if (key.isDecrypted()) return key;
  return decryptKey({ privateKey: key, passphrase: await ask() }).catch((cause: unknown) => {
    throw new AppError('BAD_INPUT', { cause, detail: 'the passphrase is not the key’s' });
  });
}

const refused = (cause: unknown): AppError =>
  new AppError('BAD_BACKUP', {
    cause,
    detail: 'the backup cannot be decrypted: it is damaged, or for another key',
  });

export async function* openBackup(path: string, key: PrivateKey): AsyncGenerator<Uint8Array> {
  const source = createReadStream(path, { highWaterMark: 1 << 18 });
  try {
    const message = await readMessage({ binaryMessage: Readable.toWeb(source) as ReadableStream });
    const { data } = await decrypt({
      message,
      decryptionKeys: key,
      format: 'binary',
      config: { ...config, allowUnauthenticatedStream: true },
    });
    for await (const piece of data as unknown as AsyncIterable<Uint8Array>) yield piece;
  } catch (cause) {
    throw cause instanceof AppError ? cause : refused(cause);
  } finally {
    source.destroy();
  }
}
