// Keeps many files under way at once: as many as the line's round trip asks for, but never more bytes than memory has room
// for. A file leaves its place when it has arrived; that its row is settled a moment later holds nobody up.

import type { Delivery } from './ports/deliveries.ts';

export interface Room {
  readonly files: number;
  readonly bytes: number;
  /** More of one file is never in memory. */
  readonly bytesOfOne: number;
}

const fewestFiles = 64;
const mostFiles = 256;
const mostBytes = 48 * 1024 * 1024;
/** What may wait for its commit. */
const mostUnsettled = 1024;

/** A small file takes three round trips: with six more files for each millisecond, 2000 a second arrive over any line. */
export function roomFor(line: {
  readonly roundTripMs: number;
  readonly maximumOpen: number;
  readonly flightBytes: number;
}): Room {
  const wanted = fewestFiles + Math.ceil(line.roundTripMs * 6);
  const files = Math.max(1, Math.min(wanted, mostFiles, Math.floor(line.maximumOpen / 2)));
  return { files, bytes: mostBytes, bytesOfOne: line.flightBytes };
}

export interface FlightParts {
  readonly room: Room;
  /** What is due, those that are under way among them; at most `limit`. */
  due(limit: number): Promise<readonly Delivery[]>;
  /** `landed` gives the file's place to another one; called once at most, and again by the end of the promise. */
  send(delivery: Delivery, landed: () => void, signal: AbortSignal): Promise<void>;
}

const batch = 500;

/** Sends what is due until nothing is. The first error stops the others, and is thrown when all have ended. */
export async function sendAll(parts: FlightParts, signal: AbortSignal): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const underWay = new Map<string, Promise<void>>();
  const taken = { files: 0, bytes: 0 };
  const weightOf = ({ sizeBytes }: Delivery): number => Math.min(sizeBytes, parts.room.bytesOfOne);
  let failure: { readonly error: unknown } | undefined;
  let wake = (): void => undefined;
  const moment = (): Promise<void> => new Promise((resolve) => (wake = resolve));

  const launch = (delivery: Delivery): void => {
    const weight = weightOf(delivery);
    taken.files += 1;
    taken.bytes += weight;
    let isLanded = false;
    const landed = (): void => {
      if (isLanded) return;
      isLanded = true;
      taken.files -= 1;
      taken.bytes -= weight;
      wake();
    };
    const work = parts
      .send(delivery, landed, either)
      .catch((error: unknown) => {
        failure ??= { error };
        stop.abort();
      })
      .finally(() => {
        underWay.delete(delivery.id);
        landed();
        wake();
      });
    underWay.set(delivery.id, work);
  };
  const hasRoom = (next: Delivery): boolean =>
    taken.files === 0 ||
    (taken.files < parts.room.files &&
      taken.bytes + weightOf(next) <= parts.room.bytes &&
      underWay.size < mostUnsettled);

  try {
    let queue: Delivery[] = [];
    while (!either.aborted) {
      const [next] = queue;
      if (next === undefined) {
        const due = await parts.due(batch + underWay.size);
        queue = due.filter(({ id }) => !underWay.has(id));
        if (queue.length > 0) continue;
        if (underWay.size === 0) break;
        await Promise.all(underWay.values());
      } else if (hasRoom(next)) {
        queue.shift();
        launch(next);
      } else {
        await moment();
      }
    }
  } finally {
    await Promise.all(underWay.values());
  }
  if (failure !== undefined) throw failure.error;
  signal.throwIfAborted();
}
