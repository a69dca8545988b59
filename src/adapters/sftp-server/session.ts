// One SFTP session on one channel: packets in, answers out, and the end. Reading stops while too much is unanswered or
// unsent, so a client that ignores replies costs bounded memory.

import type { ServerChannel } from 'ssh2';
import { AppError } from '../../core/errors.ts';
import { createAloud, type Aloud } from './aloud.ts';
import { createPacketReader, packetType, type Packet, type PacketReader } from './codec.ts';
import { encode, encodeFailure } from './encode.ts';
import type { Context, SessionConnection } from './context.ts';
import { dispatch, type Desk } from './dispatch.ts';
import { sessionLimits, type SessionLimits } from './limits.ts';
import { loseAll, loseOutside } from './lost-handles.ts';
import { createOrder, type Order } from './order.ts';
import { advertised } from './requests-extended.ts';
import { createSender, type Sender } from './sender.ts';
import { takeInflow, type Inflow } from '../ssh2-inflow.ts';
import { asFailure } from './status.ts';
import { createWindow, type Window } from './window.ts';

/** Only where the window is ssh2's (takeInflow): it is 2 MB, and ssh2 takes what comes beyond it all the same. */
const mostUnreadBytes = 4 << 20;

export class SftpSession {
  readonly #channel: ServerChannel;
  readonly #context: Context;
  readonly #connection: SessionConnection;
  readonly #limits: SessionLimits;
  readonly #reader: PacketReader = createPacketReader();
  readonly #order: Order;
  readonly #sender: Sender;
  readonly #desk: Desk;
  readonly #aloud: Aloud;
  readonly #idleWaiters: (() => void)[] = [];
  readonly #inflow: Inflow | undefined;
  readonly #window: Window | undefined;
  /** The client sends no more; what it sent may still wait here. */
  #hasEnded = false;
  #isOverrun = false;
  #hasBegun = false;
  /** Nothing more is read. */
  #isOver = false;
  #pending = 0;
  #pendingBytes = 0;
  #ending: Promise<void> | undefined;
  readonly #inTurn = (): void => this.#pump();

  constructor(
    channel: ServerChannel,
    context: Context,
    connection: SessionConnection,
    limits: SessionLimits = sessionLimits,
  ) {
    this.#channel = channel;
    this.#context = context;
    this.#connection = connection;
    this.#limits = limits;
    this.#order = createOrder(context.handles, connection.share);
    this.#sender = createSender(
      channel,
      () => connection.cork(),
      () => {
        connection.touch();
        this.#pump();
      },
    );
    this.#desk = {
      context,
      order: this.#order,
      refuse: (id, failure) => this.#refuse(id, failure),
      begin: (bytes) => this.#begin(bytes),
      answer: (name, id, bytes, run) => this.#answer(name, id, bytes, run),
    };
    this.#aloud = createAloud(channel, connection.software, context.now);
    this.#inflow = takeInflow(channel, (bytes) => this.#take(bytes));
    const before = (): void => connection.cork();
    const roundTripMs = (): number => context.handles.roundTripMs;
    this.#window =
      this.#inflow === undefined ? undefined : createWindow(this.#inflow, { before, roundTripMs });
    this.#listen();
  }

  /** Does nothing of this session hold what came from the socket? */
  get copies(): boolean {
    return this.#inflow !== undefined;
  }

  /** Requests that are worked on now. */
  get busy(): number {
    return this.#pending;
  }

  /** The client sends beyond its window. */
  get isOverrun(): boolean {
    return this.#isOverrun || this.#channel.readableLength > mostUnreadBytes;
  }

  /** There may be room again. */
  goOn(): void {
    this.#pump();
  }

  /** The connection is gone: ends what is open as `lost`. Resolves when the flow knows. */
  abandon(): Promise<void> {
    this.#stop();
    this.#sender.drop();
    return this.#end();
  }

  /** What the principal may see has changed: handles outside of it end. */
  revalidate(): void {
    void loseOutside(this.#context);
  }

  /** `bytes` are the socket's own memory; undefined is their end. */
  #take(bytes: Buffer | undefined): void {
    // Behind its end a client says nothing (RFC 4254 §5.3); what it opened there nobody would close.
    if (this.#hasEnded) return;
    if (bytes === undefined) this.#hasEnded = true;
    else if (this.#window?.received(bytes.length) === false) this.#isOverrun = true;
    if (this.#isOver || this.#isOverrun) {
      if (this.#hasEnded) this.#inflow?.finish();
      return;
    }
    if (bytes !== undefined) this.#reader.feed(bytes);
    // On a slow line one packet takes long: each piece of it is activity.
    this.#connection.touch();
    this.#pump();
    this.#reader.keep();
  }

  #listen(): void {
    const channel = this.#channel;
    if (this.#inflow === undefined) {
      channel.on('data', (chunk: Buffer) => {
        if (this.#isOver) return;
        this.#reader.feed(chunk);
        this.#connection.touch();
        this.#pump();
      });
    }
    channel.on('end', () => {
      void this.#end().then(() => this.#sender.finish());
    });
    channel.on('close', () => void this.#end());
    channel.on('error', () => undefined);
    channel.stderr.on('error', () => undefined);
  }

  /** A method: V8 is slow with private getters. */
  #isBusy(): boolean {
    return (
      this.#connection.share.isSpent ||
      this.#pending >= this.#limits.requests ||
      this.#pendingBytes >= this.#limits.bytes ||
      this.#sender.unsentBytes >= this.#limits.unsentBytes ||
      this.#connection.isFull()
    );
  }

  /** Takes packets while there is room for their work. */
  #pump(): void {
    if (this.#isOver) return;
    try {
      while (!this.#isBusy()) {
        const packet = this.#reader.next();
        if (packet === undefined) {
          if (this.#hasEnded) this.#inflow?.finish();
          break;
        }
        this.#accept(packet);
      }
      if (this.#connection.share.isSpent) this.#connection.share.wait(this.#inTurn);
    } catch (error) {
      asFailure(error, this.#context.log, 'packet');
      this.#fail();
      return;
    }
    if (this.#inflow !== undefined) return;
    if (this.#isBusy()) this.#channel.pause();
    else if (this.#channel.isPaused()) this.#channel.resume();
  }

  #accept(packet: Packet): void {
    this.#connection.share.spend();
    const isInit = packet.type === packetType.INIT;
    if (isInit === this.#hasBegun) throw new AppError('BAD_MESSAGE');
    if (isInit) {
      this.#hasBegun = true;
      this.#sender.send(encode(packetType.VERSION, 3, ...advertised.flat()));
    } else {
      const before = this.#pending;
      dispatch(this.#desk, packet);
      // The data of a WRITE counts until it is written.
      const isHeld = packet.type === packetType.WRITE && this.#pending > before;
      this.#window?.done(packet.wireBytes - (isHeld ? packet.dataBytes : 0));
      return;
    }
    this.#window?.done(packet.wireBytes);
  }

  #begin(bytes: number): void {
    this.#pending += 1;
    this.#pendingBytes += bytes;
  }

  async #answer(
    name: string,
    id: number,
    bytes: number,
    run: () => Promise<Buffer>,
  ): Promise<void> {
    try {
      this.#sender.send(await run());
    } catch (error) {
      const failure = asFailure(error, this.#context.log, name);
      if (failure.code === 'BAD_MESSAGE') this.#fail();
      else this.#refuse(id, failure);
    } finally {
      this.#pending -= 1;
      this.#pendingBytes -= bytes;
      if (name === 'WRITE') this.#window?.done(bytes);
      if (this.#pending === 0) for (const wake of this.#idleWaiters.splice(0)) wake();
      this.#pump();
    }
  }

  #refuse(id: number, failure: AppError): void {
    this.#aloud(failure);
    this.#sender.send(encodeFailure(id, failure));
  }

  #stop(): void {
    this.#isOver = true;
    this.#window?.end();
    if (this.#inflow === undefined) this.#channel.pause();
    else if (this.#hasEnded) this.#inflow.finish();
  }

  #fail(): void {
    this.#stop();
    this.#connection.fail();
  }

  /** What was received whole is done; what is open then is lost. */
  async #wind(): Promise<void> {
    while (this.#pending > 0) {
      await new Promise<void>((wake) => this.#idleWaiters.push(wake));
    }
    await this.#order.pathsDone();
    await loseAll(this.#context);
  }

  #end(): Promise<void> {
    this.#ending ??= this.#wind();
    return this.#ending;
  }
}
