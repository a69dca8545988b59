// The line between two sites, as a torture run wants it: a plain relay that breaks at a random byte or falls silent.

import { createServer, connect, type Server, type Socket } from 'node:net';
import type { Chance } from './chance.ts';

export class Line {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  cuts = 0;

  private constructor(port: number, server: Server, sockets: Set<Socket>) {
    this.port = port;
    this.#server = server;
    this.#sockets = sockets;
  }

  static async open(to: number, chance: Chance, isFaulty: () => boolean): Promise<Line> {
    const sockets = new Set<Socket>();
    const server = createServer((near) => {
      const far = connect(to, '127.0.0.1');
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      const isCut = isFaulty() && chance.is(0.5);
      let left = isCut ? Math.floor(chance.fraction() ** 3 * 500_000) : Number.POSITIVE_INFINITY;
      near.on('data', (bytes) => {
        far.write(bytes.subarray(0, Math.min(left, bytes.length)));
        left -= bytes.length;
        if (left > 0) return;
        line.cuts += 1;
        near.destroy();
      });
      far.on('data', (bytes) => near.write(bytes));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address === null || typeof address === 'string' ? 0 : address.port;
    const line = new Line(port, server, sockets);
    return line;
  }

  /** Everything that is open breaks. */
  cut(): void {
    this.cuts += this.#sockets.size > 0 ? 1 : 0;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
