// From a packet to its work: finds the row of the table, asks for permission, and puts the work where its order is kept.

import { AppError, unreachable } from '../../core/errors.ts';
import { permit, permitRename, type Place } from '../../core/tree.ts';
import { maximumPacketBytes, type Packet, type Reader } from './codec.ts';
import { placeOf, type Context } from './context.ts';
import type { Order } from './order.ts';
import { asNumber, success } from './requests-common.ts';
import { endHandle } from './requests-files.ts';
import { rename } from './requests-paths.ts';
import { asFailure } from './status.ts';
import { requestOf, type SftpRequest } from './table.ts';

/** What a session gives to the work on its requests. */
export interface Desk {
  readonly context: Context;
  readonly order: Order;
  /** Answers a request that was not counted in. */
  refuse(id: number, failure: AppError): void;
  /** Counts a request in; `answer` with the same bytes counts it out. */
  begin(bytes: number): void;
  /** Runs a request to its answer; never rejects. */
  answer(name: string, id: number, bytes: number, run: () => Promise<Buffer>): Promise<void>;
}

/** The one place that asks whether a request may be done. Throws READ_ONLY, RESERVED_NAME … */
function permitted(row: SftpRequest & { on: 'path' | 'handle' }, place: Place, rest: Reader): void {
  const right = typeof row.right === 'function' ? row.right(rest.fork()) : row.right;
  if (right !== 'nothing') permit(place, right);
}

/** Starts the work on a packet. Throws BAD_MESSAGE for one that is not whole. */
export function dispatch(desk: Desk, packet: Packet): void {
  const { id, body } = packet;
  const row = requestOf(packet.type, body);
  switch (row.on) {
    case 'refused':
      desk.refuse(id, new AppError(row.code));
      return;
    case 'nothing':
      desk.begin(0);
      void desk.answer(row.name, id, 0, () => row.run(desk.context, body, id));
      return;
    case 'path':
      onePath(desk, row, id, body);
      return;
    case 'two paths':
      twoPaths(desk, row, id, body);
      return;
    case 'handle':
      onHandle(desk, row, id, body);
      return;
    case 'write':
      write(desk, row, packet);
      return;
    case 'close':
      close(desk, row, id, body);
      return;
    default:
      unreachable(row);
  }
}

function onePath(desk: Desk, row: SftpRequest & { on: 'path' }, id: number, body: Reader): void {
  const { context, order } = desk;
  const path = body.string();
  const bytes = row.answerBytes?.(body) ?? 0;
  desk.begin(bytes);
  order.inPathOrder(row.isLong === true, () =>
    desk.answer(row.name, id, bytes, async () => {
      const place = placeOf(context, path);
      permitted(row, place, body);
      const before = order.settled(place.shown);
      if (before !== undefined) await before;
      return row.run(context, place, body, id);
    }),
  );
}

function twoPaths(
  desk: Desk,
  row: SftpRequest & { on: 'two paths' },
  id: number,
  body: Reader,
): void {
  const { context, order } = desk;
  const [first, second] = [body.string(), body.string()];
  desk.begin(0);
  order.inPathOrder(false, () =>
    desk.answer(row.name, id, 0, async () => {
      const from = placeOf(context, first);
      const to = placeOf(context, second);
      permitRename(from, to, false);
      await order.settled(from.shown);
      await order.settled(to.shown);
      await rename(context, from, to, row.replace);
      return success(id);
    }),
  );
}

/** A handle may be gone because the login has ended: that is what the client should hear. */
function reasonOf({ context }: Desk, error: unknown): unknown {
  try {
    context.principal();
    return error;
  } catch (ended) {
    return ended;
  }
}

/** What `find` finds, or undefined when it threw, which is answered then. */
function found<T>(desk: Desk, id: number, find: () => T): T | undefined {
  try {
    return find();
  } catch (error) {
    desk.refuse(id, asFailure(reasonOf(desk, error), desk.context.log, 'handle'));
    return undefined;
  }
}

function onHandle(desk: Desk, row: SftpRequest & { on: 'handle' }, id: number, body: Reader): void {
  const key = body.string();
  const handle = found(desk, id, () => desk.context.handles.get(key));
  if (handle === undefined) return;
  const run = async (): Promise<Buffer> => {
    permitted(row, handle.place, body);
    return row.run(desk.context, handle, body, id);
  };
  const bytes = row.isParallel === true ? readCost(body) : (row.answerBytes?.(body) ?? 0);
  if (row.isParallel !== true) {
    desk.begin(bytes);
    handle.queue.task(() => desk.answer(row.name, id, bytes, run));
    return;
  }
  const inTurn = desk.order.turn(handle);
  desk.begin(bytes);
  handle.queue.task(() => inTurn(run, (result) => desk.answer(row.name, id, bytes, result)), true);
}

/** The bytes that a READ asks for, so that a burst of them is not answered all at once. */
function readCost(body: Reader): number {
  const rest = body.fork();
  rest.uint64();
  return Math.min(rest.uint32(), maximumPacketBytes);
}

function write(desk: Desk, row: SftpRequest, { id, body, data, dataBytes }: Packet): void {
  const key = body.string();
  const offset = body.uint64();
  const target = found(desk, id, () => {
    const handle = desk.context.handles.file(key);
    if (handle.writing === undefined) throw new AppError('BAD_HANDLE');
    const from = asNumber(offset);
    if (from + dataBytes > Number.MAX_SAFE_INTEGER) throw new AppError('BAD_INPUT');
    return { queue: handle.queue, offset: from };
  });
  if (target === undefined) return;
  desk.begin(dataBytes);
  target.queue.write({
    offset: target.offset,
    data,
    lengthBytes: dataBytes,
    done: (error) =>
      void desk.answer(row.name, id, dataBytes, async () => {
        if (error !== undefined) throw error;
        return success(id);
      }),
  });
}

function close(desk: Desk, row: SftpRequest, id: number, body: Reader): void {
  const key = body.string();
  const handle = found(desk, id, () => desk.context.handles.remove(key));
  if (handle === undefined) return;
  desk.begin(0);
  const closing = desk.order.closing(handle);
  handle.queue.task(() =>
    desk.answer(row.name, id, 0, async () => {
      try {
        await endHandle(handle, 'close');
      } finally {
        closing.done();
      }
      return success(id);
    }),
  );
}
