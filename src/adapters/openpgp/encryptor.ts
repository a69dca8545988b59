// Seals a stream to OpenPGP recipients in the one form that GnuPG 2.2 and everything later reads (SPEC 8): a PKESK v3 for
// each recipient, SEIPDv1 with AES-256 (RFC 9580 §5.13.1), no compression, a literal packet with no name and no date.
// The session key is made here and given without an AEAD algorithm: openpgp.js would otherwise choose SEIPDv2 for a key
// that advertises it, which GnuPG cannot read.

import { randomBytes } from 'node:crypto';
import { ReadableStream } from 'node:stream/web';
import { createMessage, encrypt, enums, readKey, type PublicKey } from 'openpgp';
import { asSealed, type Clean, type Sealed } from '../../core/bytes.ts';
import { AppError } from '../../core/errors.ts';
import type { Encryptor } from '../../flow/ports/processing.ts';

/** openpgp.js works per chunk: with 64 KB it needs a quarter more CPU than with 1 MB. */
const chunkBytes = 1024 * 1024;

export const encryptor: Encryptor = { seal };

async function seal(
  body: AsyncIterable<Clean>,
  recipients: readonly string[],
  signal: AbortSignal,
): Promise<{ message: AsyncIterable<Sealed>; fingerprints: readonly string[] }> {
  const keys = await usableKeys(recipients, new Date());
  if (keys.length === 0) throw new AppError('NO_VALID_KEY');
  const plain = new Chunks(body, signal);
  const message = await encrypt({
    message: await createMessage({ binary: plain.stream(), format: 'binary', date: new Date(0) }),
    encryptionKeys: keys,
    sessionKey: { data: new Uint8Array(randomBytes(32)), algorithm: 'aes256' },
    format: 'binary',
    config: { preferredCompressionAlgorithm: enums.compression.uncompressed, aeadProtect: false },
  }).catch((cause: unknown) => {
    throw new AppError('ENCRYPT_FAILED', { cause });
  });
  return {
    message: sealedChunks(message, plain, signal),
    fingerprints: keys.map((key) => key.getFingerprint().toUpperCase()).sort(),
  };
}

/** The keys that can be encrypted to at that time; one that is listed twice counts once. */
async function usableKeys(recipients: readonly string[], at: Date): Promise<PublicKey[]> {
  const usable = new Map<string, PublicKey>();
  for (const armoredKey of recipients) {
    const key = await readKey({ armoredKey }).catch(() => undefined);
    if (key === undefined || key.isPrivate()) continue;
    const target = await key.getEncryptionKey(undefined, at).catch(() => undefined);
    if (target !== undefined) usable.set(key.getFingerprint(), key);
  }
  return [...usable.values()];
}

async function* sealedChunks(
  message: AsyncIterable<Uint8Array>,
  plain: Chunks,
  signal: AbortSignal,
): AsyncGenerator<Sealed> {
  try {
    for await (const chunk of message) {
      signal.throwIfAborted();
      yield asSealed(chunk);
    }
  } catch (cause) {
    // What the body threw is the reason, not openpgp.js's wrapping of it.
    if (plain.failure !== undefined) throw plain.failure;
    if (cause instanceof AppError || signal.aborted) throw cause;
    throw new AppError('ENCRYPT_FAILED', { cause });
  }
  if (!plain.ended)
    throw new AppError('ENCRYPT_FAILED', { detail: 'the body was not read to its end' });
}

/** The body as a web stream of chunks of 1 MB, pulled one by one, so that at most a few are in memory. */
class Chunks {
  failure: unknown;
  ended = false;
  readonly #body: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(body: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    this.#body = body[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const chunk = await this.#next();
            if (chunk === undefined) controller.close();
            else controller.enqueue(chunk);
          } catch (error) {
            this.failure = error;
            controller.error(error);
          }
        },
        cancel: async () => {
          await this.#body.return?.();
        },
      },
      { highWaterMark: 0 },
    );
  }

  async #next(): Promise<Uint8Array | undefined> {
    this.#signal.throwIfAborted();
    if (this.ended) return undefined;
    const chunk = new Uint8Array(chunkBytes);
    let filled = 0;
    while (filled < chunkBytes) {
      if (this.#rest.length === 0) {
        const next = await this.#body.next();
        this.#signal.throwIfAborted();
        if (next.done === true) {
          this.ended = true;
          break;
        }
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, chunkBytes - filled);
      chunk.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return filled === 0 ? undefined : chunk.subarray(0, filled);
  }
}
