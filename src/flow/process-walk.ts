// A DICOM file's bytes as the walker's events. A deflated dataset (PS3.5 §A.5) is inflated between the head and the rest.

import type { WalkerEvent } from '../core/dicom/dataset.ts';
import { inflateDataSet } from '../core/dicom/inflate.ts';
import { createWalker } from '../core/dicom/walker.ts';
import type { ProcessLimits } from './ports/processing.ts';

export async function* walk(
  chunks: AsyncGenerator<Uint8Array>,
  limits: ProcessLimits,
): AsyncGenerator<WalkerEvent> {
  const walker = createWalker({ headerBytes: limits.headerBytes });
  for (;;) {
    const next = await chunks.next();
    if (next.done === true) break;
    const events = walker.push(next.value);
    yield* events;
    const last = events.at(-1);
    if (last?.kind !== 'head' || !last.head.deflated) continue;
    const deflated = withFirst(walker.takeRest(), chunks);
    for await (const piece of inflateDataSet(deflated, limits)) yield* walker.push(piece);
    break;
  }
  yield* walker.end();
}

async function* withFirst(
  first: Uint8Array,
  rest: AsyncGenerator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}
