// What the clients of a torture run were promised: which content was acknowledged at which path, and what the client did last.

import type { Kind } from './contents.ts';

/** What a client did last at a path, and so what must come of it. */
export type Ending =
  /** Its last upload was acknowledged: published exactly once, with that content. */
  | 'acknowledged'
  /** It removed the file, early or late: published at most once, with something that was acknowledged. */
  | 'removed'
  /** It never finished: published at most once, with something that was acknowledged. */
  | 'abandoned'
  /** The run ended meanwhile. */
  | 'open';

/** What some clients put behind a name while they upload. */
export const temporaryEndings = ['.filepart', '.part'] as const;

export interface Version {
  readonly marks: readonly string[];
  isAcknowledged: boolean;
}

export class Track {
  readonly number: number;
  readonly kind: Kind;
  /** As the client sees it. */
  readonly path: string;
  readonly versions: Version[] = [];
  ending: Ending = 'open';

  constructor(number: number, kind: Kind, path: string) {
    this.number = number;
    this.kind = kind;
    this.path = path;
  }

  acknowledge(): void {
    const last = this.versions.at(-1);
    if (last !== undefined) last.isAcknowledged = true;
    this.ending = 'acknowledged';
  }

  /** Where its bytes may lie, under its own name or on the way to it. */
  get paths(): readonly string[] {
    return [this.path, ...temporaryEndings.map((ending) => this.path + ending)];
  }

  /** Is it right that a file with these marks is published from here? */
  allows(marks: readonly string[]): boolean {
    const wanted = marks.join();
    const last = this.versions.at(-1);
    if (this.ending === 'acknowledged') return last?.marks.join() === wanted;
    return this.versions.some(
      (version) =>
        version.marks.join() === wanted && (version.isAcknowledged || this.ending === 'open'),
    );
  }
}

export class Ledger {
  readonly tracks: Track[] = [];
  readonly #byMark = new Map<string, Track>();

  begin(kind: Kind, path: (number: number) => string): Track {
    const number = this.tracks.length + 1;
    const track = new Track(number, kind, path(number));
    this.tracks.push(track);
    return track;
  }

  /** Told before the first byte is sent. */
  promise(track: Track, marks: readonly string[]): void {
    track.versions.push({ marks, isAcknowledged: false });
    for (const mark of marks) this.#byMark.set(mark, track);
  }

  /** The track that every one of these marks belongs to, as one version of it. */
  trackOf(marks: readonly string[]): Track | undefined {
    const track = this.#byMark.get(marks[0] ?? '');
    const isVersion = track?.versions.some((version) => version.marks.join() === marks.join());
    return isVersion === true ? track : undefined;
  }
}
