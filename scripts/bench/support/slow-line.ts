// A long line: carries bytes to a local port and back, each piece so many milliseconds later, however many are under way.

import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface SlowLine {
  readonly port: number;
  close(): Promise<void>;
}

/** So much may be on its way in one direction; more than any window, so that the line is long but not narrow. */
const mostBytes = 64 << 20;

export async function openSlowLine(to: number, oneWayMs: number): Promise<SlowLine> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((outer) => {
    const inner = connect(to, '127.0.0.1');
    for (const socket of [outer, inner]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
    carry(outer, inner, oneWayMs);
    carry(inner, outer, oneWayMs);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Parcel {
  readonly dueMs: number;
  readonly bytes: Buffer | undefined;
}

function carry(from: Socket, to: Socket, oneWayMs: number): void {
  let parcels: Parcel[] = [];
  let underWay = 0;
  let timer: NodeJS.Timeout | undefined;
  const deliver = (): void => {
    timer = undefined;
    const now = performance.now();
    const due = parcels.filter(({ dueMs }) => dueMs <= now);
    parcels = parcels.slice(due.length);
    for (const { bytes } of due) {
      if (bytes === undefined) to.end();
      else to.write(bytes);
      underWay -= bytes?.length ?? 0;
    }
    if (from.isPaused() && underWay < mostBytes) from.resume();
    plan();
  };
  const plan = (): void => {
    const [next] = parcels;
    if (next === undefined || timer !== undefined) return;
    timer = setTimeout(deliver, Math.max(1, next.dueMs - performance.now()));
  };
  const take = (bytes: Buffer | undefined): void => {
    parcels.push({ dueMs: performance.now() + oneWayMs, bytes });
    underWay += bytes?.length ?? 0;
    if (underWay >= mostBytes) from.pause();
    plan();
  };
  from.on('data', take);
  from.on('end', () => take(undefined));
  from.on('close', () => setTimeout(() => to.destroy(), 10 * oneWayMs));
}
