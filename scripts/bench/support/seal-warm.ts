// The Encryptor alone in one warm process, for `bench encrypt`: from a file to a file, in pieces as the processing gives them.

import { open } from 'node:fs/promises';
import { encryptor } from '../../../src/adapters/openpgp/encryptor.ts';
import { asClean, type Clean } from '../../../src/core/bytes.ts';
import { serveMeasured } from './measure.ts';

export interface SealRequest {
  readonly source: string;
  /** How many of its first bytes. */
  readonly bytes: number;
  readonly output: string;
  readonly recipients: readonly string[];
}

const pieceBytes = 256 * 1024;
const never = new AbortController().signal;

async function* bytesOf(path: string, total: number): AsyncGenerator<Clean> {
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < total; at += pieceBytes) {
      const piece = Buffer.allocUnsafeSlow(pieceBytes);
      const { bytesRead } = await file.read(piece, 0, pieceBytes, at);
      yield asClean(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

serveMeasured(async (request) => {
  const { source, bytes, output, recipients } = request as SealRequest;
  const file = await open(output, 'w');
  try {
    const { message } = await encryptor.seal(bytesOf(source, bytes), recipients, never);
    for await (const piece of message) await file.write(piece);
  } finally {
    await file.close();
  }
});
process.on('disconnect', () => process.exit());
