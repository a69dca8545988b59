// Writes the sealed output: a new file (0600) that is whole and on the disk when this returns, or none at all (STYLE rule 9).
// Synchronous like the reading (process-source.ts), which gives other events their turn.

import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import type { Clean } from '../core/bytes.ts';
import type { Encryptor, ProcessTask } from './ports/processing.ts';
import { noteStep } from './process-progress.ts';

export interface SealedFile {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly recipientFingerprints: readonly string[];
}

export async function sealToFile(
  body: AsyncIterable<Clean>,
  task: Pick<ProcessTask, 'output' | 'recipients'>,
  encryptor: Encryptor,
  signal: AbortSignal,
): Promise<SealedFile> {
  const file = openSync(task.output, 'wx', 0o600);
  try {
    const { message, fingerprints } = await encryptor.seal(body, task.recipients, signal);
    const written = await writeAll(message, file, signal);
    fsyncSync(file);
    return { ...written, recipientFingerprints: fingerprints };
  } catch (error) {
    rmSync(task.output, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

async function writeAll(
  message: AsyncIterable<Uint8Array>,
  file: number,
  signal: AbortSignal,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of message) {
    signal.throwIfAborted();
    noteStep();
    hash.update(chunk);
    for (let done = 0; done < chunk.length;) {
      done += writeSync(file, chunk, done);
    }
    sizeBytes += chunk.length;
  }
  return { sizeBytes, sha256: hash.digest('hex') };
}
