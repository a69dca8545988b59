// Requests and replies over one raw SFTP channel. Many are in flight at once; a reply finds its request by its id. When the
// line dies or the partner falls silent, everything in flight fails at once, so no caller ever waits for ever.

import type { Duplex } from 'node:stream';
import { AppError, type ErrorCode } from '../../core/errors.ts';
import {
  Fields,
  FrameReader,
  packet,
  packetTypes,
  statusCodes,
  string,
  uint32,
  type Frame,
} from './wire.ts';

/** How long the partner may be silent while it owes a reply. */
const defaultPatienceMs = 60_000;

/** What the partner answered with STATUS: its code decides what the caller makes of it. */
export class RemoteStatus extends AppError {
  readonly number: number;
  /** Does the server's text speak of a full disk? The text itself is not kept: it may hold a path. */
  readonly saysFull: boolean;

  constructor(code: ErrorCode, number: number, request: string, saysFull: boolean) {
    super(code, { detail: `status ${number} to ${request}` });
    this.number = number;
    this.saysFull = saysFull;
  }

  get isMissing(): boolean {
    return this.number === statusCodes.NO_SUCH_FILE;
  }

  get isUnsupported(): boolean {
    return this.number === statusCodes.OP_UNSUPPORTED;
  }

  get isEnd(): boolean {
    return this.number === statusCodes.EOF;
  }
}

interface Pending {
  readonly request: string;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: AppError) => void;
  readonly sentAt: number;
  readonly patienceMs: number;
}

/** Smaller pieces that leave in one moment share a packet; larger ones are not copied. */
const smallPieceBytes = 8 * 1024;

/** What is left free in front of a WRITE's data, so that all of it is one piece: its fields and a handle (256 bytes at most). */
export const writeRoomBytes = 4 + 1 + 4 + 4 + 256 + 8 + 4;

interface Piece {
  readonly bytes: Uint8Array;
  /** Called when its memory may be used again. */
  readonly taken?: () => void;
}

export class SftpChannel {
  readonly #stream: Duplex;
  readonly #atOnce: (send: () => void) => void;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  readonly #watch: NodeJS.Timeout;
  /** What leaves at the end of this turn of the event loop. */
  #outbox: Piece[] = [];
  #nextId = 1;
  #heardAt = Date.now();
  #ended: AppError | undefined;
  #onVersion: ((frame: Frame) => void) | undefined;
  /** Extension names that the server announced, each with its data. */
  extensions: ReadonlyMap<string, string> = new Map();

  /**
   * `atOnce`: what is written inside leaves in one go; a call of the operating system for each packet costs the most. `receive`:
   * another way to what comes than the stream's 'data'.
   */
  constructor(
    stream: Duplex,
    {
      atOnce = (send) => send(),
      receive = (hear) => void stream.on('data', hear),
    }: {
      readonly atOnce?: (send: () => void) => void;
      readonly receive?: (hear: (bytes: Buffer) => void) => void;
    } = {},
  ) {
    this.#stream = stream;
    this.#atOnce = atOnce;
    receive((chunk) => this.#hear(chunk));
    stream.on('error', (cause: Error) => this.fail(lost(cause)));
    stream.on('close', () => this.fail(lost()));
    stream.on('end', () => this.fail(lost()));
    this.#watch = setInterval(() => this.#lookForSilence(), 1000);
    this.#watch.unref();
  }

  /** INIT and VERSION; to be called once, before any request. */
  async start(): Promise<void> {
    const version = await new Promise<Frame>((resolve, reject) => {
      this.#pending.set(0, this.#entry('INIT', resolve, reject, defaultPatienceMs));
      this.#onVersion = resolve;
      this.#send(packetTypes.INIT, [uint32(3)]);
    });
    this.#pending.delete(0);
    const fields = new Fields(version.body);
    fields.uint32();
    const extensions = new Map<string, string>();
    while (fields.left > 0) {
      extensions.set(fields.string().toString('latin1'), fields.string().toString('latin1'));
    }
    this.extensions = extensions;
  }

  /** Sends a request and gives the fields behind the id. A STATUS other than OK becomes a RemoteStatus. */
  async request(
    name: keyof typeof packetTypes,
    parts: readonly Uint8Array[],
    expected: keyof typeof packetTypes,
    patienceMs = defaultPatienceMs,
  ): Promise<Fields> {
    return toFields(await this.#exchange(name, parts, patienceMs), name, expected);
  }

  /** The same for what often is not there: NO_SUCH_FILE is undefined. An error with its stack costs more than the asking. */
  async find(
    name: keyof typeof packetTypes,
    parts: readonly Uint8Array[],
    expected: keyof typeof packetTypes,
  ): Promise<Fields | undefined> {
    const frame = await this.#exchange(name, parts, defaultPatienceMs);
    const isMissing =
      frame.type === packetTypes.STATUS &&
      frame.body.length >= 8 &&
      frame.body.readUInt32BE(4) === statusCodes.NO_SUCH_FILE;
    return isMissing ? undefined : toFields(frame, name, expected);
  }

  /**
   * WRITE of what lies in `memory` behind `writeRoomBytes`; the room is overwritten. `taken` is called when the memory may be
   * used again, well before the answer comes.
   */
  async write(handle: Buffer, offset: number, memory: Buffer, taken: () => void): Promise<void> {
    const dataBytes = memory.length - writeRoomBytes;
    const frame = await new Promise<Frame>((resolve, reject) => {
      const id = this.#expect('WRITE', resolve, reject, defaultPatienceMs);
      if (id === undefined) return;
      const start = writeRoomBytes - (4 + 1 + 4 + handle.length + 8 + 4);
      let at = memory.writeUInt32BE(memory.length - start - 4, start);
      at = memory.writeUInt8(packetTypes.WRITE, at);
      at = memory.writeUInt32BE(id, at);
      at += handle.copy(memory, at);
      at = memory.writeUInt32BE(Math.floor(offset / 2 ** 32), at);
      at = memory.writeUInt32BE(offset % 2 ** 32, at);
      memory.writeUInt32BE(dataBytes, at);
      this.#queue({ bytes: memory.subarray(start), taken });
    });
    toFields(frame, 'WRITE', 'STATUS');
  }

  extended(
    name: string,
    parts: readonly Uint8Array[],
    expected: 'STATUS' | 'EXTENDED_REPLY',
    patienceMs = defaultPatienceMs,
  ): Promise<Fields> {
    return this.request('EXTENDED', [string(name), ...parts], expected, patienceMs);
  }

  /** Ends everything in flight with this error; the first one counts. */
  fail(error: AppError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    clearInterval(this.#watch);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
    this.#stream.destroy();
  }

  #exchange(
    name: keyof typeof packetTypes,
    parts: readonly Uint8Array[],
    patienceMs: number,
  ): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const id = this.#expect(name, resolve, reject, patienceMs);
      if (id !== undefined) this.#send(packetTypes[name], [uint32(id), ...parts]);
    });
  }

  /** The request's id. Undefined: the line has ended already, and `reject` was called. */
  #expect(
    request: string,
    resolve: Pending['resolve'],
    reject: Pending['reject'],
    patienceMs: number,
  ): number | undefined {
    if (this.#ended !== undefined) {
      reject(this.#ended);
      return undefined;
    }
    const id = this.#nextId;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    this.#pending.set(id, this.#entry(request, resolve, reject, patienceMs));
    return id;
  }

  #entry(
    request: string,
    resolve: Pending['resolve'],
    reject: Pending['reject'],
    patienceMs: number,
  ): Pending {
    return { request, resolve, reject, sentAt: Date.now(), patienceMs };
  }

  /** No back-pressure here: callers bound what they have in flight, and the stream keeps no more than that. */
  #send(type: number, parts: readonly Uint8Array[]): void {
    const last = parts.at(-1);
    if (last === undefined || last.length <= smallPieceBytes) {
      this.#queue({ bytes: packet(type, parts) });
      return;
    }
    this.#queue({ bytes: packet(type, parts.slice(0, -1), last.length) });
    this.#queue({ bytes: last });
  }

  #queue(piece: Piece): void {
    if (this.#outbox.length === 0) setImmediate(() => this.#flush());
    this.#outbox.push(piece);
  }

  #flush(): void {
    const pieces = this.#outbox;
    this.#outbox = [];
    if (this.#ended !== undefined) return;
    let small: Uint8Array[] = [];
    const sendSmall = (): void => {
      if (small.length > 0)
        this.#stream.write(small.length === 1 ? small[0] : Buffer.concat(small));
      small = [];
    };
    this.#atOnce(() => {
      for (const { bytes, taken } of pieces) {
        if (taken === undefined && bytes.length <= smallPieceBytes) {
          small.push(bytes);
          continue;
        }
        sendSmall();
        this.#stream.write(bytes, taken);
      }
      sendSmall();
    });
  }

  #hear(chunk: Buffer): void {
    // A partner may go on talking: nobody asks any more.
    if (this.#ended !== undefined) return;
    this.#heardAt = Date.now();
    try {
      for (const frame of this.#reader.push(chunk)) this.#dispatch(frame);
    } catch (error) {
      // What cannot be read is the line's fault, not a file's: the pass ends and every file stays due.
      this.fail(new AppError('REMOTE_UNREACHABLE', { detail: 'malformed reply', cause: error }));
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.type === packetTypes.VERSION) {
      this.#onVersion?.(frame);
      return;
    }
    const id = new Fields(frame.body).uint32();
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new AppError('REMOTE_REFUSED');
    this.#pending.delete(id);
    pending.resolve(frame);
  }

  #lookForSilence(): void {
    const now = Date.now();
    for (const { sentAt, patienceMs, request } of this.#pending.values()) {
      if (now - Math.max(sentAt, this.#heardAt) <= patienceMs) continue;
      this.fail(new AppError('REMOTE_UNREACHABLE', { detail: `no reply to ${request}` }));
      return;
    }
  }
}

const lost = (cause?: unknown): AppError =>
  new AppError('REMOTE_UNREACHABLE', { detail: 'the connection ended', cause });

/** The fields behind the id. A STATUS other than OK becomes a RemoteStatus. */
function toFields(frame: Frame, name: string, expected: keyof typeof packetTypes): Fields {
  const fields = new Fields(frame.body.subarray(4), frame.rest);
  if (frame.type === packetTypes.STATUS) {
    const number = fields.uint32();
    if (number !== statusCodes.OK) throw toStatus(number, name, fields);
    if (expected === 'STATUS') return fields;
  } else if (frame.type === packetTypes[expected]) {
    return fields;
  }
  throw new AppError('REMOTE_REFUSED', { detail: `unexpected reply to ${name}` });
}

function toStatus(number: number, request: string, fields: Fields): RemoteStatus {
  const text = fields.left >= 4 ? fields.string().toString('latin1') : '';
  const isLine = number === statusCodes.NO_CONNECTION || number === statusCodes.CONNECTION_LOST;
  const code = isLine ? 'REMOTE_UNREACHABLE' : 'REMOTE_REFUSED';
  return new RemoteStatus(code, number, request, /disk.*full|no space|quota/i.test(text));
}
