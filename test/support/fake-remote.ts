// A partner in memory that can break at any call: before it has an effect, or after it, when only the answer is lost.

import { createHash } from 'node:crypto';
import { AppError, type ErrorCode } from '../../src/core/errors.ts';
import type {
  Remote,
  RemoteAddress,
  RemoteSource,
  Remotes,
} from '../../src/flow/ports/replication.ts';

export interface RemoteFile {
  bytes: Buffer;
  modifiedMs: number;
}

export const digest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** Bytes in memory as what a put reads. */
export const sourceOf = (bytes: Uint8Array): RemoteSource => ({
  readInto: (targets, offset) => {
    let at = offset;
    for (const target of targets) {
      const piece = bytes.subarray(at, at + target.length);
      target.set(piece);
      at += piece.length;
    }
    return Promise.resolve(at - offset);
  },
});

export class FakePartner implements Remotes {
  readonly files = new Map<string, RemoteFile>();
  readonly folders = new Set<string>(['/']);
  /** Each call on a connection, by name; `connect` too. */
  readonly calls: string[] = [];
  /** Offsets at which puts began. */
  readonly offsets: number[] = [];
  hashes = true;
  roundTripMs = 0;
  raggedBytes = 0;
  /** Does it give receipts? */
  signs = false;
  connectError: AppError | undefined;
  /** The n-th call from now on (1 is the next) ends the connection. */
  breakAt: number | undefined;
  breaks: 'before' | 'after' = 'before';
  /** Errors that calls with these names answer, once each; the connection lives on. */
  readonly refusals = new Map<string, ErrorCode>();
  corruptNextPut = false;
  /** Awaited in every put, so that a test can do something meanwhile. */
  duringPut: () => Promise<void> = () => Promise.resolve();

  connect(_address: RemoteAddress, signal: AbortSignal): Promise<Remote> {
    this.calls.push('connect');
    if (this.connectError !== undefined) return Promise.reject(this.connectError);
    return Promise.resolve(new FakeRemote(this, signal));
  }

  temporaryFiles(): readonly string[] {
    return [...this.files.keys()].filter((path) => path.includes('/.clubhouse-'));
  }
}

const lost = (): AppError => new AppError('REMOTE_UNREACHABLE', { detail: 'cut' });

class FakeRemote implements Remote {
  readonly hostKey = 'SHA256:pinned';
  readonly #partner: FakePartner;
  readonly #signal: AbortSignal;
  #isLost = false;

  constructor(partner: FakePartner, signal: AbortSignal) {
    this.#partner = partner;
    this.#signal = signal;
  }

  get hashes(): boolean {
    return this.#partner.hashes;
  }

  facts(path: string) {
    return this.#call('facts', () => {
      if (this.#partner.folders.has(path)) {
        return { kind: 'folder' as const, sizeBytes: 0, modifiedMs: 0 };
      }
      const file = this.#partner.files.get(path);
      if (file === undefined) return undefined;
      const { bytes, modifiedMs } = file;
      return { kind: 'file' as const, sizeBytes: bytes.length, modifiedMs };
    });
  }

  ensureFolder(path: string) {
    return this.#call('ensureFolder', () => {
      for (let at = path; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
        this.#partner.folders.add(at);
      }
    });
  }

  get roundTripMs(): number {
    return this.#partner.roundTripMs;
  }

  get maximumOpen(): number {
    return 64;
  }

  get flightBytes(): number {
    return 4 << 20;
  }

  get raggedBytes(): number {
    return this.#partner.raggedBytes;
  }

  async putNew(...[file, path, by]: Parameters<Remote['putNew']>): ReturnType<Remote['putNew']> {
    if (this.#partner.files.has(path)) return this.#call('putNew', () => undefined);
    const how = { offset: 0, sizeBytes: file.bytes.length, modifiedMs: file.modifiedMs };
    const sizeBytes = await this.put(sourceOf(file.bytes), path, how, this.#signal);
    if (by === 'size' && !this.hashes) return { sizeBytes, digest: undefined };
    return { sizeBytes, digest: await this.sha256(path, sizeBytes) };
  }

  async put(...[source, path, how]: Parameters<Remote['put']>): Promise<number> {
    await this.#partner.duringPut();
    const whole = Buffer.alloc(how.sizeBytes - how.offset);
    const sent = whole.subarray(0, await source.readInto([whole], how.offset));
    this.#partner.offsets.push(how.offset);
    if (this.#partner.corruptNextPut && sent.length > 0) {
      this.#partner.corruptNextPut = false;
      sent[0] = (sent[0] ?? 0) ^ 1;
    }
    const before = this.#partner.files.get(path)?.bytes ?? Buffer.alloc(0);
    const store = (part: Buffer): number => {
      const bytes = Buffer.concat([before.subarray(0, how.offset), part]);
      this.#partner.files.set(path, { bytes, modifiedMs: how.modifiedMs });
      return bytes.length;
    };
    // A cut leaves half of it there.
    const half = (): void => void store(sent.subarray(0, sent.length >> 1));
    return this.#call('put', () => store(sent), half);
  }

  sha256(path: string, lengthBytes: number) {
    return this.#call('sha256', () => {
      const bytes = this.#partner.files.get(path)?.bytes ?? Buffer.alloc(0);
      const by = this.hashes ? ('check-file' as const) : ('read-back' as const);
      return { sha256: digest(bytes.subarray(0, lengthBytes)), by };
    });
  }

  receipt(expected: Parameters<Remote['receipt']>[0]) {
    if (!this.#partner.signs) return Promise.resolve(undefined);
    return this.#call('receipt', () => {
      const bytes = this.#partner.files.get(expected.path)?.bytes;
      if (bytes === undefined || digest(bytes) !== expected.sha256) {
        throw new AppError('REMOTE_RECEIPT');
      }
      return { statement: `${expected.path} has arrived`, signature: Buffer.from('signed') };
    });
  }

  replace(from: string, to: string) {
    return this.#call('replace', () => {
      const file = this.#partner.files.get(from);
      if (file === undefined) throw new AppError('REMOTE_REFUSED');
      this.#partner.files.set(to, file);
      this.#partner.files.delete(from);
    });
  }

  remove(path: string) {
    return this.#call('remove', () => {
      this.#partner.files.delete(path);
    });
  }

  close(): Promise<void> {
    this.#isLost = true;
    return Promise.resolve();
  }

  async #call<T>(name: string, effect: () => T, onCut?: () => void): Promise<T> {
    await new Promise((resolve) => setImmediate(resolve));
    const partner = this.#partner;
    if (this.#isLost || this.#signal.aborted) throw lost();
    partner.calls.push(name);
    const refusal = partner.refusals.get(name);
    if (refusal !== undefined) {
      partner.refusals.delete(name);
      throw new AppError(refusal);
    }
    const isCut = partner.breakAt === 1;
    if (partner.breakAt !== undefined) partner.breakAt -= 1;
    if (!isCut) return effect();
    partner.breakAt = undefined;
    this.#isLost = true;
    if (partner.breaks === 'after') effect();
    else onCut?.();
    throw lost();
  }
}
