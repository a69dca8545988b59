// Reads a DICOM file that comes in pieces, and says what is in it as it goes (PS3.10 §7, PS3.5 §7 and annex A). It drives
// the de-identification, so it is strict: every byte belongs to something, or the file is refused and nothing guessed.
//
// How to use it:
//   const walker = createWalker({ headerBytes });
//   for each piece: events = walker.push(piece);      pieces of any size give the same events; do not change them after
//   at the end:     events = walker.end();
// A deflated dataset: right behind the `head` event with `head.deflated`, call `walker.takeRest()` for the bytes that the
// walker got but did not use, inflate them and all that follow, and push the inflated bytes (see inflate.ts).
//
// Throws AppError: DICOM_NOT_DICOM (no DICOM at all), DICOM_TRUNCATED (ended too early), DICOM_MALFORMED (with offset and
// tag), DICOM_UNSUPPORTED (transfer syntax), DICOM_TOO_LARGE. After an error the walker must not be used any more.

import { AppError } from '../errors.ts';
import { BulkReader } from './bulk-reader.ts';
import { ByteQueue } from './byte-queue.ts';
import { isCutBeforePixels } from './cut-header.ts';
import type { DataSet, FileHead, Tag, WalkerEvent } from './dataset.ts';
import { DataSetReader } from './dataset-reader.ts';
import { isGroupLength } from './dictionary.ts';
import { malformed, undefinedLength, type ElementHeader } from './element-header.ts';
import { readFileMeta } from './file-meta.ts';
import { OffsetTables, refuseTables } from './offset-tables.ts';
import { sniff, sniffBytes } from './sniff.ts';
import {
  explicitBigEndianUID,
  explicitLittleEndianUID,
  implicitLittleEndianUID,
  transferSyntax,
} from './transfer-syntax.ts';

export interface WalkerLimits {
  /** How many bytes everything but the top-level pixel data may have; it is held in memory. */
  readonly headerBytes: number;
}

export interface Walker {
  /** Does anything but the `bulk` events of the last push hold views of the bytes that were pushed then? */
  readonly holdsPiece: boolean;
  push(bytes: Uint8Array): WalkerEvent[];
  end(): WalkerEvent[];
  /** Only right behind the head of a deflated file: the raw bytes not used yet. From then on `push` takes inflated bytes. */
  takeRest(): Uint8Array;
}

export const createWalker = (limits: WalkerLimits): Walker => new FileWalker(limits);

const pixelData: Tag = 0x7fe00010;
const bulkTags: ReadonlySet<Tag> = new Set([0x7fe00008, 0x7fe00009, pixelData]);

type State =
  | { readonly kind: 'start' }
  | { readonly kind: 'meta'; readonly hasPreamble: boolean; readonly offset: number }
  | { readonly kind: 'deflated' }
  | { readonly kind: 'dataset' }
  | { readonly kind: 'bulk'; readonly bulk: BulkReader }
  | { readonly kind: 'ended' };

class FileWalker implements Walker {
  readonly #limits: WalkerLimits;
  readonly #input = new ByteQueue();
  #state: State = { kind: 'start' };
  #head: FileHead | undefined;
  #reader: DataSetReader | undefined;
  #hadBulk = false;
  #tables: OffsetTables | undefined;
  #events: WalkerEvent[] = [];
  #holdsPiece = false;

  constructor(limits: WalkerLimits) {
    this.#limits = limits;
  }

  push(bytes: Uint8Array): WalkerEvent[] {
    if (this.#state.kind === 'ended' || this.#state.kind === 'deflated') {
      throw new AppError('INTERNAL', { detail: `push in state ${this.#state.kind}` });
    }
    const isBulk = this.#state.kind === 'bulk';
    if (bytes.length > 0) {
      this.#input.push(bytes);
      this.#run(false);
    }
    this.#holdsPiece = !isBulk || this.#state.kind !== 'bulk';
    if (!this.#holdsPiece) this.#input.detach();
    return this.#takeEvents();
  }

  get holdsPiece(): boolean {
    return this.#holdsPiece;
  }

  takeRest(): Uint8Array {
    if (this.#state.kind !== 'deflated') throw new AppError('INTERNAL', { detail: 'takeRest' });
    const position = this.#input.position;
    const rest = this.#input.take(this.#input.available);
    this.#input.position = position;
    this.#state = { kind: 'dataset' };
    return rest;
  }

  end(): WalkerEvent[] {
    this.#run(true);
    const reader = this.#reader;
    if (this.#state.kind !== 'dataset' || reader === undefined) throw this.#truncated();
    if (!reader.isWhole) throw this.#truncated();
    const dataset = reader.takeDataSet();
    if (this.#hadBulk) this.#events.push({ kind: 'trailer', dataset });
    else {
      // nothing, or nothing but group lengths: the file was cut before its first element
      const isEmpty = dataset.elements.every(({ tag }) => isGroupLength(tag));
      if (isEmpty || (this.#head !== undefined && isCutBeforePixels(dataset, this.#head))) {
        throw this.#truncated();
      }
      this.#header(dataset, undefined);
      this.#events.push({ kind: 'trailer', dataset: { elements: [] } });
    }
    this.#state = { kind: 'ended' };
    return this.#takeEvents();
  }

  #takeEvents(): WalkerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Too few bytes; but zeros behind a whole file are padding that nobody declared, and waiting will not help. */
  #truncated(): AppError {
    const { position, available } = this.#input;
    const left = this.#input.peek(available);
    const isPadding = this.#state.kind === 'dataset' && available > 0 && left.every((b) => b === 0);
    if (isPadding) return malformed(position, undefined, 'undeclared padding');
    return new AppError('DICOM_TRUNCATED', { at: position + available });
  }

  /** Goes on as far as the bytes reach. */
  #run(atEnd: boolean): void {
    let before: State | undefined;
    while (this.#state !== before) {
      before = this.#state;
      if (before.kind === 'start') this.#start(atEnd);
      else if (before.kind === 'meta') this.#meta(before, atEnd);
      else if (before.kind === 'dataset') this.#dataSet();
      else if (before.kind === 'bulk') this.#bulk(before.bulk);
    }
  }

  #start(atEnd: boolean): void {
    const { available } = this.#input;
    if (available < sniffBytes && !atEnd) return;
    const sniffed = sniff(this.#input.peek(Math.min(available, sniffBytes)));
    switch (sniffed.kind) {
      case 'part10':
        this.#input.skip(sniffBytes);
        this.#state = { kind: 'meta', hasPreamble: true, offset: sniffBytes };
        return;
      case 'meta':
        this.#state = { kind: 'meta', hasPreamble: false, offset: 0 };
        return;
      case 'dataset': {
        const { encoding } = sniffed;
        const uid = !encoding.explicitVR
          ? implicitLittleEndianUID
          : encoding.bigEndian
            ? explicitBigEndianUID
            : explicitLittleEndianUID;
        this.#open(false, [], uid);
        return;
      }
      case 'other':
        throw new AppError('DICOM_NOT_DICOM');
      default:
        sniffed satisfies never;
    }
  }

  #meta(state: { hasPreamble: boolean; offset: number }, atEnd: boolean): void {
    const meta = readFileMeta(this.#input, state.offset, this.#limits.headerBytes, atEnd);
    if (meta !== undefined) this.#open(state.hasPreamble, meta.elements, meta.transferSyntaxUID);
  }

  #open(hasPreamble: boolean, meta: FileHead['meta']['elements'], uid: string): void {
    const { encoding, deflated, encapsulated } = transferSyntax(uid);
    this.#head = {
      hasPreamble,
      meta: { elements: meta },
      transferSyntaxUID: uid,
      encoding,
      deflated,
      encapsulated,
    };
    this.#events.push({ kind: 'head', head: this.#head });
    const headerBytes = this.#limits.headerBytes - this.#input.position;
    this.#reader = new DataSetReader(this.#input, {
      encoding,
      encapsulated,
      headerBytes,
      bulkTags,
    });
    this.#state = { kind: deflated ? 'deflated' : 'dataset' };
  }

  #dataSet(): void {
    const reader = this.#reader;
    const header = reader?.read();
    if (reader === undefined || header === undefined) return;
    const dataset = reader.takeDataSet();
    if (!this.#hadBulk) this.#header(dataset, header.tag);
    else if (dataset.elements.length > 0) {
      throw malformed(this.#input.position, header.tag, 'elements between pixel data');
    }
    this.#hadBulk = true;
    const offset = this.#input.position;
    const length = this.#bulkLength(header);
    this.#input.skip(header.size);
    const { tag, vr } = header;
    this.#events.push({ kind: 'bulk-start', bulk: { tag, vr, length, offset } });
    const value = length ?? this.#tables ?? new OffsetTables({ elements: [] });
    this.#state = { kind: 'bulk', bulk: new BulkReader(this.#input, tag, value) };
  }

  /** `bulk`: what follows it. */
  #header(dataset: DataSet, bulk: Tag | undefined): void {
    if (this.#head?.encapsulated === true && bulk === pixelData)
      this.#tables = new OffsetTables(dataset);
    else refuseTables(dataset);
    this.#events.push({ kind: 'header', dataset });
  }

  /** Undefined where it is encapsulated; it must be so exactly where the transfer syntax says so (PS3.5 §A.4). */
  #bulkLength({ tag, vr, length }: ElementHeader): number | undefined {
    const at = this.#input.position;
    const encapsulated = this.#head?.encapsulated === true && tag === pixelData;
    if ((length === undefinedLength) !== encapsulated) {
      throw malformed(at, tag, 'pixel data not as the transfer syntax says');
    }
    const allowed = tag === pixelData ? ['OB', 'OW', 'UN'] : ['OF', 'OD', 'UN'];
    if (!allowed.includes(vr)) throw malformed(at, tag, 'VR of pixel data');
    if (encapsulated) return undefined;
    if (length % 2 === 1) throw malformed(at, tag, 'odd length');
    return length;
  }

  #bulk(bulk: BulkReader): void {
    const { bytes, done } = bulk.read();
    if (bytes.length > 0) {
      this.#reader?.passed(bytes.length);
      this.#events.push({ kind: 'bulk', bytes });
    }
    if (!done) return;
    this.#events.push({ kind: 'bulk-end' });
    this.#state = { kind: 'dataset' };
  }
}
