// Walks a file in pieces of chosen sizes and puts the events into one value that can be compared.

import { createHash } from 'node:crypto';
import type { BulkHeader, DataSet, FileHead, WalkerEvent } from '../../src/core/dicom/dataset.ts';
import { walk } from '../../src/core/dicom/walk.ts';
import { createWalker } from '../../src/core/dicom/walker.ts';

export interface Walked {
  readonly head: FileHead;
  readonly header: DataSet;
  readonly bulks: readonly { readonly bulk: BulkHeader; readonly bytes: Buffer }[];
  readonly trailer: DataSet;
}

export const limits = { headerBytes: 16 << 20, inflatedBytes: 1 << 30 };

export const whole = (bytes: Uint8Array): Uint8Array[] => [bytes];

/** Pieces of one size; the last may be smaller. */
export const cut =
  (size: number) =>
  (bytes: Uint8Array): Uint8Array[] =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );

/** Two pieces, split at a random point. */
export const split = (bytes: Uint8Array): Uint8Array[] => {
  const at = Math.floor(Math.random() * (bytes.length + 1));
  return [bytes.subarray(0, at), bytes.subarray(at)];
};

export const threeWays: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array[]>> = {
  whole,
  split,
  'byte by byte': cut(1),
};

/** Without a promise a piece where the file is not deflated: byte by byte that is most of the time. */
function eventsOf(
  pieces: Uint8Array[],
  some: typeof limits,
): AsyncIterable<WalkerEvent> | WalkerEvent[] {
  const walker = createWalker(some);
  const events: WalkerEvent[] = [];
  for (const piece of pieces) {
    events.push(...walker.push(piece));
    const last = events.at(-1);
    if (last?.kind === 'head' && last.head.deflated) return walk(pieces, some);
  }
  return [...events, ...walker.end()];
}

export const walkAll = async (pieces: Uint8Array[], some = limits): Promise<Walked> =>
  gather(eventsOf(pieces, some));

export async function gather(
  events: AsyncIterable<WalkerEvent> | readonly WalkerEvent[],
): Promise<Walked> {
  let head: FileHead | undefined;
  let header: DataSet | undefined;
  let trailer: DataSet | undefined;
  let current: Uint8Array[] = [];
  const bulks: { bulk: BulkHeader; bytes: Buffer }[] = [];
  let bulk: BulkHeader | undefined;
  for await (const event of events) {
    if (event.kind === 'head') ({ head } = event);
    else if (event.kind === 'header') header = event.dataset;
    else if (event.kind === 'trailer') trailer = event.dataset;
    else if (event.kind === 'bulk-start') ({ bulk } = event);
    else if (event.kind === 'bulk') current.push(event.bytes);
    else if (bulk !== undefined) {
      bulks.push({ bulk, bytes: Buffer.concat(current) });
      current = [];
    }
  }
  if (head === undefined || header === undefined || trailer === undefined) {
    throw new Error('events are missing');
  }
  return { head, header, bulks, trailer };
}

/** The walked file, or the code of the AppError: both ways of feeding it must agree. */
export async function outcome(pieces: Uint8Array[], some = limits): Promise<unknown> {
  try {
    return plain(await walkAll(pieces, some));
  } catch (error) {
    if (error instanceof Error && 'code' in error) return `${String(error.code)} ${error.message}`;
    throw error;
  }
}

/** Views of bytes as text (long ones as their hash), so that equal values compare as equal, and fast. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    if (value.length <= 256) return Buffer.from(value).toString('hex');
    return createHash('sha256').update(value).digest('hex');
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}
