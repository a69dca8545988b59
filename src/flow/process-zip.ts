// A zip, entry by entry, into a new zip: each entry is judged whole, in memory or a scratch file, before its first byte goes into
// the output. One that must be held is left out and listed; what makes the zip itself doubtful holds all of it (SPEC 7).

import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { asClean, type Clean } from '../core/bytes.ts';
import { NameIndex } from '../core/deid/leak-name-index.ts';
import type { DropReason, Exclusion, HoldReason } from '../core/reasons.ts';
import { isDicomdirName, isJunkName } from '../core/zip-junk.ts';
import { ZipRefusal } from '../core/zip-refusal.ts';
import type { ZipEntry, ZipMember, ZipSource } from './ports/zip.ts';
import type { ProcessContext } from './process-context.ts';
import { startDicom, type CleanDicom } from './process-dicom.ts';
import { Held, stopOf } from './process-hold.ts';
import { checkedName, dicomEntryName, otherEntryName, type Known } from './process-names.ts';
import { keepScratch, writeScratch } from './process-scratch.ts';
import { noteStep } from './process-progress.ts';
import { damagedText, looksLike, peekBytes } from './process-sniff.ts';
import { bytesOf, type Bytes } from './process-source.ts';

/** Where an entry stands: in which zip, under which path of zips, how deep. */
interface Place {
  readonly zip: ZipSource;
  readonly entry: ZipEntry;
  /** With the names of the zips around it. */
  readonly path: string;
  /** Index in the outermost zip. */
  readonly index: number;
  readonly depth: number;
}

export class ZipWork {
  readonly exclusions: Exclusion[] = [];
  /** What went wrong in the members; the zip writer may wrap it. */
  failure: unknown;
  readonly #context: ProcessContext;
  readonly #names = new Set<string>();
  readonly #taken = new Set<string>();
  readonly #nextOf = new Map<string, number>();
  readonly #index = new NameIndex();
  #scratchCount = 0;

  constructor(context: ProcessContext) {
    this.#context = context;
  }

  /** Whom the entries so far are about; undefined where no name of the client is used. */
  get known(): Known | undefined {
    return this.#context.profile.names === 'code' ? undefined : this.#index;
  }

  /** The same for a name that is to be made now: only `scrub` looks at whom the others are about. */
  get #soFar(): Known | undefined {
    return this.#context.profile.names === 'scrub' ? this.known : undefined;
  }

  /** The clean zip. Throws Held, ZipRefusal or ZIP_TRUNCATED where nothing of it may go out; who reads it then drops it. */
  async *body(): AsyncGenerator<Clean> {
    const { deps, task, signal } = this.#context;
    const zip = await deps.zips.open(task.source, task.limits);
    try {
      for await (const chunk of deps.zips.write(this.#members(zip), signal)) yield asClean(chunk);
    } finally {
      await zip.close();
    }
  }

  async *#members(zip: ZipSource): AsyncGenerator<ZipMember> {
    let count = 0;
    try {
      for await (const member of this.#entriesOf(zip, '', undefined, 1)) {
        count += 1;
        if (!this.#isVain()) yield member;
        if (member.bytes === undefined) await rm(member.path, { force: true });
      }
      this.#judgeWhole(count);
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  /** Is it sure already that nothing will be published? Then the rest is looked at for the list alone. */
  #isVain(): boolean {
    return (
      this.#context.profile.onExclusion === 'all-or-nothing' &&
      this.exclusions.some((one) => !one.reason.startsWith('dropped-'))
    );
  }

  #judgeWhole(count: number): void {
    if (count === 0)
      throw new Held('zip-nothing-left', `${this.exclusions.length} entries left out`);
    if (this.#isVain())
      throw new Held('zip-exclusions', `${this.exclusions.length} entries left out`);
    // A name is checked against the patients of all entries, also of those that came behind it.
    const { known } = this;
    for (const name of this.#names) {
      noteStep();
      checkedName(this.#context, name, known);
    }
  }

  async *#entriesOf(
    zip: ZipSource,
    prefix: string,
    index: number | undefined,
    depth: number,
  ): AsyncGenerator<ZipMember> {
    for (const entry of zip.entries) {
      this.#context.signal.throwIfAborted();
      noteStep();
      const path = `${prefix}${entry.name}`;
      const place = { zip, entry, path, index: index ?? entry.index, depth };
      yield* this.#entry(place);
    }
  }

  async *#entry(place: Place): AsyncGenerator<ZipMember> {
    const bytes = bytesOf(place.zip.read(place.entry, this.#context.signal));
    try {
      switch (looksLike(await bytes.peek(peekBytes))) {
        case 'zip':
          yield* this.#nested(place, bytes);
          return;
        case 'dicom': {
          const member = await this.#clean(place, bytes);
          if (member !== undefined) yield member;
          return;
        }
        case 'damaged':
          await bytes.drain();
          this.#exclude(place, 'not-parseable', damagedText);
          return;
        case 'unknown': {
          const member = await this.#other(place, bytes);
          if (member !== undefined) yield member;
          return;
        }
      }
    } finally {
      await bytes.close();
    }
  }

  /** A DICOM entry as a member of the new zip, or onto the list of exclusions. */
  async #clean(place: Place, bytes: Bytes): Promise<ZipMember | undefined> {
    const path = this.#scratchPath();
    try {
      const file = await startDicom(bytes, this.#context);
      this.#remember(file);
      const name = dicomEntryName(this.#context, place.path, file, this.#soFar);
      const written = await keepScratch(path, file.body, this.#context.signal);
      await bytes.drain();
      return { name: this.#unique(name), method: place.entry.method, path, ...written };
    } catch (error) {
      await rm(path, { force: true });
      const stop = error instanceof ZipRefusal ? undefined : stopOf(error);
      if (stop === undefined) throw error;
      // A wrong checksum holds the whole zip, so the entry is read to its end although it is left out.
      await bytes.drain();
      const reason = stop.kind === 'partial' ? 'not-parseable' : stop.reason;
      const detail = stop.kind === 'partial' ? 'ends too early' : stop.detail;
      this.#exclude(place, reason === 'dicomdir' ? 'dropped-dicomdir' : reason, detail);
      return undefined;
    }
  }

  async #other(place: Place, bytes: Bytes): Promise<ZipMember | undefined> {
    const reason = this.#whyNotOther(place.entry.name);
    if (reason !== undefined) {
      await bytes.drain();
      this.#exclude(place, reason);
      return undefined;
    }
    const path = this.#scratchPath();
    // The project lets other files through as they are (`otherFiles: encrypt`).
    const written = await keepScratch(path, bytes.chunks(), this.#context.signal);
    this.#context.report.addOther();
    const name = this.#unique(otherEntryName(this.#context, place.path, this.#soFar));
    return { name, method: place.entry.method, path, ...written };
  }

  #whyNotOther(name: string): HoldReason | DropReason | undefined {
    if (isDicomdirName(name)) return 'dropped-dicomdir';
    if (isJunkName(name)) return 'dropped-junk';
    switch (this.#context.profile.otherFiles) {
      case 'encrypt':
        return undefined;
      case 'drop':
        return 'dropped-other';
      case 'hold':
        return this.#context.isReleased('other-file') ? undefined : 'other-file';
    }
  }

  /** The entries of a zip in the zip go into the same output. */
  async *#nested(place: Place, bytes: Bytes): AsyncGenerator<ZipMember> {
    const { task, signal } = this.#context;
    if (place.depth >= task.limits.zipDepth) {
      await bytes.drain();
      this.#exclude(place, 'zip-depth');
      return;
    }
    const path = this.#scratchPath();
    try {
      await writeScratch(path, bytes.chunks(), signal);
      const inner = await this.#openNested(place, path);
      if (inner === undefined) return;
      try {
        yield* this.#entriesOf(inner, `${place.path}/`, place.index, place.depth + 1);
      } finally {
        await inner.close();
      }
    } finally {
      await rm(path, { force: true });
    }
  }

  /** A zip that cannot be opened is left out like any entry; one that looks like an attack holds the whole upload. */
  async #openNested(place: Place, path: string): Promise<ZipSource | undefined> {
    const { deps, task } = this.#context;
    try {
      return await deps.zips.open(path, task.limits, place.zip.budget);
    } catch (error) {
      const stop = stopOf(error);
      if (stop === undefined) throw error;
      const reason = stop.kind === 'partial' ? 'zip-broken' : stop.reason;
      if (attacks.has(reason)) throw error;
      this.#exclude(place, reason, stop.kind === 'partial' ? 'ends too early' : stop.detail);
      return undefined;
    }
  }

  #exclude(place: Place, reason: HoldReason | DropReason, detail?: string): void {
    const { index, path: name } = place;
    this.exclusions.push({ index, name, reason, ...(detail === undefined ? {} : { detail }) });
  }

  #remember({ terms, subjectCode }: CleanDicom): void {
    if (this.#context.profile.names !== 'code') this.#index.add(terms, subjectCode);
  }

  #scratchPath(): string {
    this.#scratchCount += 1;
    return join(this.#context.task.scratch, `entry-${this.#scratchCount}`);
  }

  /** With `scrub` two names may become one. */
  #unique(name: string): string {
    let unique = name;
    // counted on for each name: many entries of one name must not be counted from the start each time
    let n = this.#nextOf.get(name.toLowerCase()) ?? 2;
    for (; this.#taken.has(unique.toLowerCase()); n += 1) {
      unique = name.replace(/(\.[^./]*)?$/, `_${n}$1`);
    }
    if (n > 2) this.#nextOf.set(name.toLowerCase(), n);
    this.#taken.add(unique.toLowerCase());
    if (this.#context.profile.names !== 'code') this.#names.add(unique);
    return unique;
  }
}

const attacks: ReadonlySet<string> = new Set(['zip-bomb', 'zip-entries', 'zip-overlap']);
