// A whole file as one stream of events, deflated or not: the walker with what has to happen between its calls.

import type { WalkerEvent } from './dataset.ts';
import { inflateDataSet, type InflateLimits } from './inflate.ts';
import { createWalker, type WalkerLimits } from './walker.ts';

/**
 * Reads `source` to its end and gives the walker's events (see walker.ts for their order and the errors). The pieces of the
 * source must not be changed afterwards: events hold views of them. `release` gets those that nothing holds any more, once
 * the event behind them is asked for: pieces with nothing but pixels.
 */
export async function* walk(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limits: WalkerLimits & InflateLimits,
  release?: (piece: Uint8Array) => void,
): AsyncGenerator<WalkerEvent, void, undefined> {
  const walker = createWalker(limits);
  const pieces: Pieces =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  try {
    for (;;) {
      const piece = await pieces.next();
      if (piece.done === true) break;
      const events = walker.push(piece.value);
      for (const event of events) yield event;
      if (!walker.holdsPiece) release?.(piece.value);
      const last = events.at(-1);
      if (last?.kind === 'head' && last.head.deflated) {
        const rest = inflateDataSet(prefixed(walker.takeRest(), pieces), limits);
        for await (const bytes of rest) yield* walker.push(bytes);
      }
    }
    yield* walker.end();
  } finally {
    await pieces.return?.();
  }
}

// taken by hand, for another generator in between costs as much as reading a header
type Pieces = AsyncIterator<Uint8Array> | Iterator<Uint8Array>;

async function* prefixed(
  first: Uint8Array,
  rest: Pieces,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield first;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return;
    yield next.value;
  }
}
