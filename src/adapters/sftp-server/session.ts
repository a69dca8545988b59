// One SFTP session on one channel: takes packets in, asks for permission, runs them in the right order and sends the
// answers. Order: what names a path runs one after another and after everything asked earlier on handles of that path;
// what names a handle runs in the handle's own queue (handles.ts). Reading stops while too much is unanswered or unsent,
// so a client that ignores replies costs bounded memory.

import type { ServerChannel } from 'ssh2';
import { AppError, unreachable } from '../../core/errors.ts';
import { permit, permitRename, resolve, type Place, type Right } from '../../core/tree.ts';
import {
  createPacketReader,
  encode,
  encodeFailure,
  packetType,
  type Packet,
  type Reader,
} from './codec.ts';
import { placeOf, type Context } from './context.ts';
import type { FileHandle, Handle } from './handles.ts';
import { advertised } from './requests-extended.ts';
import { asNumber, endHandle, rename, success } from './requests.ts';
import { createSender } from './sender.ts';
import { asFailure } from './status.ts';
import { requestOf, type SftpRequest } from './table.ts';

export interface Session {
  /** The connection is gone: ends what is open as `lost`. Resolves when the flow knows. */
  abandon(): Promise<void>;
  /** What the principal may see has changed: handles outside of it end. */
  revalidate(): void;
  /** Requests that are worked on now. */
  readonly busy: number;
}

export interface SessionLimits {
  readonly requests: number;
  readonly bytes: number;
  readonly unsentBytes: number;
}

export const sessionLimits: SessionLimits = {
  requests: 256,
  bytes: 4 << 20,
  unsentBytes: 2 << 20,
};

/** The one place that asks whether a request may be done. Throws READ_ONLY, RESERVED_NAME … */
function permitted(row: SftpRequest & { on: 'path' | 'handle' }, place: Place, rest: Reader): void {
  const right: Right | 'nothing' =
    typeof row.right === 'function' ? row.right(rest.fork()) : row.right;
  if (right !== 'nothing') permit(place, right);
}

/** `fail` ends the connection: the peer does not speak the protocol. `touch` marks activity. */
export function serveSession(
  channel: ServerChannel,
  context: Context,
  connection: { cork(): void; fail(): void; touch(): void },
  limits: SessionLimits = sessionLimits,
): Session {
  const reader = createPacketReader();
  const closing = new Set<FileHandle>();
  const turns = createTurns();
  const idleWaiters: (() => void)[] = [];
  let hasBegun = false;
  let isOver = false;
  let pending = 0;
  let pendingBytes = 0;
  let lastPath: Promise<unknown> = Promise.resolve();
  let ending: Promise<void> | undefined;

  const isBusy = (): boolean =>
    pending >= limits.requests ||
    pendingBytes >= limits.bytes ||
    sender.unsentBytes >= limits.unsentBytes;

  const pump = (): void => {
    if (isOver) return;
    try {
      while (!isBusy()) {
        const packet = reader.next();
        if (packet === undefined) break;
        accept(packet);
      }
    } catch {
      stop();
      connection.fail();
      return;
    }
    if (isBusy()) channel.pause();
    else if (channel.isPaused()) channel.resume();
  };
  const sender = createSender(channel, () => connection.cork(), pump);

  const stop = (): void => {
    isOver = true;
    channel.pause();
  };

  const finish = (bytes: number): void => {
    pending -= 1;
    pendingBytes -= bytes;
    if (pending === 0) for (const wake of idleWaiters.splice(0)) wake();
    pump();
  };

  /** Runs one request to its answer; never rejects. */
  const answer = async (
    row: SftpRequest,
    id: number,
    bytes: number,
    run: () => Promise<Buffer>,
  ): Promise<void> => {
    try {
      sender.send(await run());
    } catch (error) {
      const failure = asFailure(error, context.log, row.name);
      if (failure.code === 'BAD_MESSAGE') {
        stop();
        connection.fail();
      } else {
        sender.send(encodeFailure(id, failure));
      }
    } finally {
      finish(bytes);
    }
  };

  const begin = (bytes: number): void => {
    pending += 1;
    pendingBytes += bytes;
  };

  const accept = (packet: Packet): void => {
    connection.touch();
    if (!hasBegun) {
      if (packet.type !== packetType.INIT) throw new AppError('BAD_MESSAGE');
      hasBegun = true;
      sender.send(encode(packetType.VERSION, 3, ...advertised.flat()));
      return;
    }
    if (packet.type === packetType.INIT) throw new AppError('BAD_MESSAGE');
    dispatch(requestOf(packet.type, packet.body), packet);
  };

  const dispatch = (row: SftpRequest, packet: Packet): void => {
    const { id, body } = packet;
    switch (row.on) {
      case 'refused':
        sender.send(encodeFailure(id, new AppError(row.code)));
        return;
      case 'nothing':
        begin(0);
        void answer(row, id, 0, () => row.run(context, body, id));
        return;
      case 'path':
        onePath(row, id, body);
        return;
      case 'two paths':
        twoPaths(row, id, body);
        return;
      case 'handle':
        onHandle(row, id, body);
        return;
      case 'write':
        write(row, packet);
        return;
      case 'close':
        close(row, id, body);
        return;
      default:
        unreachable(row);
    }
  };

  /** Everything that was asked earlier on handles of this path, or of something below it, is done. */
  const settled = async (path: string): Promise<void> => {
    const related = [...context.handles.all(), ...closing].filter(
      (handle) =>
        handle.kind === 'file' &&
        !handle.queue.isIdle &&
        (handle.place.shown === path || handle.place.shown.startsWith(`${path}/`)),
    );
    if (related.length > 0) await Promise.all(related.map((handle) => handle.queue.barrier()));
  };

  const inPathOrder = (isLong: boolean, run: () => Promise<void>): void => {
    const mine = lastPath.then(run);
    if (!isLong) lastPath = mine;
  };

  const onePath = (row: SftpRequest & { on: 'path' }, id: number, body: Reader): void => {
    const path = body.string();
    begin(0);
    inPathOrder(row.isLong === true, () =>
      answer(row, id, 0, async () => {
        const place = placeOf(context, path);
        permitted(row, place, body);
        await settled(place.shown);
        return row.run(context, place, body, id);
      }),
    );
  };

  const twoPaths = (row: SftpRequest & { on: 'two paths' }, id: number, body: Reader): void => {
    const [first, second] = [body.string(), body.string()];
    begin(0);
    inPathOrder(false, () =>
      answer(row, id, 0, async () => {
        const from = placeOf(context, first);
        const to = placeOf(context, second);
        permitRename(from, to, false);
        await settled(from.shown);
        await settled(to.shown);
        await rename(context, from, to, row.replace);
        return success(id);
      }),
    );
  };

  const withHandle = <T>(id: number, find: () => T): T | undefined => {
    try {
      return find();
    } catch (error) {
      sender.send(encodeFailure(id, asFailure(error, context.log, 'handle')));
      return undefined;
    }
  };

  const onHandle = (row: SftpRequest & { on: 'handle' }, id: number, body: Reader): void => {
    const key = body.string();
    const handle = withHandle(id, () => context.handles.get(key));
    if (handle === undefined) return;
    const run = (): Promise<Buffer> => {
      permitted(row, handle.place, body);
      return row.run(context, handle, body, id);
    };
    if (row.isParallel !== true) {
      begin(0);
      handle.queue.task(() => answer(row, id, 0, async () => run()));
      return;
    }
    const bytes = readCost(body);
    const inTurn = turns.take(handle);
    begin(bytes);
    handle.queue.task(() => inTurn(run, (result) => answer(row, id, bytes, result)), true);
  };

  const write = (row: SftpRequest, { id, body, data, dataBytes }: Packet): void => {
    const key = body.string();
    const offset = body.uint64();
    const handle = withHandle(id, () => {
      const file = context.handles.file(key);
      if (file.writing === undefined) throw new AppError('BAD_HANDLE');
      return { file, at: asNumber(offset), end: asNumber(offset + BigInt(dataBytes)) };
    });
    if (handle === undefined) return;
    begin(dataBytes);
    handle.file.queue.write({
      offset: handle.at,
      chunks: data,
      lengthBytes: dataBytes,
      done: (error) =>
        void answer(row, id, dataBytes, async () => {
          if (error !== undefined) throw error;
          return success(id);
        }),
    });
  };

  const close = (row: SftpRequest, id: number, body: Reader): void => {
    const key = body.string();
    const handle = withHandle(id, () => context.handles.remove(key));
    if (handle === undefined) return;
    begin(0);
    if (handle.kind === 'file') closing.add(handle);
    handle.queue.task(() =>
      answer(row, id, 0, async () => {
        try {
          await endHandle(handle, 'close');
        } finally {
          if (handle.kind === 'file') closing.delete(handle);
        }
        return success(id);
      }),
    );
  };

  const lose = async (handle: Handle): Promise<void> => {
    await handle.queue.barrier();
    try {
      await endHandle(handle, 'lost');
    } catch (error) {
      asFailure(error, context.log, 'end');
    }
  };

  /** What was received whole is done; what is open then is lost. */
  const wind = async (): Promise<void> => {
    while (pending > 0) await new Promise<void>((wake) => idleWaiters.push(wake));
    await lastPath;
    await Promise.all(context.handles.removeWhere(() => true).map(lose));
  };
  const end = (): Promise<void> => {
    ending ??= wind();
    return ending;
  };

  channel.on('data', (chunk: Buffer) => {
    if (isOver) return;
    reader.feed(chunk);
    pump();
  });
  channel.on('end', () => {
    void end().then(() => sender.finish());
  });
  channel.on('close', () => void end());
  channel.on('error', () => undefined);
  channel.stderr.on('error', () => undefined);

  return {
    abandon: () => {
      stop();
      sender.drop();
      return end();
    },
    revalidate: () => {
      const isGone = ({ place }: Handle): boolean => {
        try {
          resolve(context.principal(), context.site, Buffer.from(place.shown));
          return false;
        } catch {
          return true;
        }
      };
      for (const handle of context.handles.removeWhere(isGone)) void lose(handle);
    },
    get busy() {
      return pending;
    },
  };
}

type InTurn = (
  run: () => Promise<Buffer>,
  answer: (result: () => Promise<Buffer>) => Promise<void>,
) => Promise<void>;

/**
 * READs of one handle run together and are answered in the order of asking: the draft allows any order, but OpenSSH's
 * sftp and scp (9.2) cut the file they download at the last answer when answers were out of order, and report success.
 */
function createTurns(): { take(handle: Handle): InTurn } {
  const last = new WeakMap<Handle, Promise<void>>();
  return {
    take: (handle) => {
      const before = last.get(handle);
      let mark: () => void = () => undefined;
      last.set(handle, new Promise((resolve) => (mark = resolve)));
      return async (run, answer) => {
        const [result] = await Promise.allSettled([Promise.resolve().then(run), before]);
        await answer(async () => {
          if (result.status === 'rejected') throw result.reason;
          return result.value;
        });
        mark();
      };
    },
  };
}

/** The bytes that a READ asks for, so that a burst of them is not answered all at once. */
function readCost(body: Reader): number {
  const rest = body.fork();
  rest.uint64();
  return Math.min(rest.uint32(), 256 * 1024);
}
