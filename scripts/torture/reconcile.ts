// After the torture: compares what clients were promised with what is published and delivered, and looks for what was left behind.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Site } from '../../test/support/site.ts';
import type { Ledger, Track } from './ledger.ts';
import type { Seen } from './watcher.ts';

/** All must be 0. */
export interface Figures {
  lost: number;
  duplicates: number;
  plaintext: number;
  truncated: number;
  wrong: number;
  /** Published, but another content or none at the partner. */
  undelivered: number;
  orphans: number;
  spool: number;
  /** Jobs in a state that nobody expects at the end. */
  stuck: number;
  /** Senders whose receipt does not say what happened. */
  receipts: number;
  audit: number;
  /** Steps that no kill ever met, though several were to: the product makes its calls otherwise now (kill-at.ts). */
  unreached: number;
}

export const noFigures = (): Figures => ({
  ...{ lost: 0, duplicates: 0, plaintext: 0, truncated: 0, wrong: 0, undelivered: 0 },
  ...{ orphans: 0, spool: 0, stuck: 0, receipts: 0, audit: 0, unreached: 0 },
});

export interface Account {
  readonly figures: Figures;
  /** One line for each that counts. */
  readonly lines: string[];
}

export class Reconciler {
  readonly #account: Account;
  readonly #ledger: Ledger;

  constructor(account: Account, ledger: Ledger) {
    this.#account = account;
    this.#ledger = ledger;
  }

  #count(figure: keyof Figures, what: string): void {
    this.#account.figures[figure] += 1;
    this.#account.lines.push(`${figure}: ${what}`);
  }

  /** `published` at the sender without plain files, `arrived` at the partner with them. */
  contents(published: readonly Seen[], arrived: readonly Seen[]): void {
    const there = new Map(arrived.map((seen) => [seen.name, seen]));
    for (const seen of published) {
      if (there.get(seen.name)?.sha256 !== seen.sha256) this.#count('undelivered', seen.name);
    }
    const plain = arrived.filter((seen) => !seen.name.startsWith('gpg-'));
    const byTrack = new Map<Track, Seen[]>();
    for (const seen of [...published, ...plain]) {
      const track = seen.marks === undefined ? undefined : this.#ledger.trackOf(seen.marks);
      if (track !== undefined) byTrack.set(track, [...(byTrack.get(track) ?? []), seen]);
    }
    for (const track of this.#ledger.tracks) this.#track(track, byTrack.get(track) ?? []);
    const names = new Set(published.map((seen) => seen.name));
    for (const seen of arrived) {
      const isSuperfluous = seen.name.startsWith('gpg-') && !names.has(seen.name);
      if (isSuperfluous) this.#count('duplicates', `${seen.name} is at the partner alone`);
    }
  }

  #track(track: Track, found: readonly Seen[]): void {
    const about = `${track.path} (${track.ending}, ${track.versions.length} versions)`;
    if (found.length > 1) this.#count('duplicates', about);
    if (found.length === 0 && track.ending === 'acknowledged') this.#count('lost', about);
    for (const seen of found) {
      if (!track.allows(seen.marks ?? [])) this.#count('wrong', `${about}: not the last content`);
    }
  }

  /** Spool and states of the sending site. */
  async leftovers(site: Site): Promise<void> {
    for (const area of ['claims', 'outputs', 'scratch']) {
      for (const name of await readdir(join(site.home, 'data', 'spool', area))) {
        this.#count('spool', `${area}/${name}`);
      }
    }
    const byPath = new Map(
      this.#ledger.tracks.flatMap((track) => track.paths.map((path) => [path, track])),
    );
    for (const job of await site.jobs()) {
      const track = byPath.get(job.upload);
      const isEnded = ['delivered', 'superseded', 'withdrawn'].includes(job.state);
      const isAbandoned =
        track?.ending === 'open' || (job.state === 'partial' && track?.ending === 'abandoned');
      if (!isEnded && !isAbandoned) {
        this.#count('stuck', `${job.upload} is ${job.state} ${job.reason ?? ''}`);
      }
    }
  }

  /** Clients that could not end what they began. `isExcused`: the disk was small, and may have had no room for it. */
  open(isExcused: boolean): number {
    const open = this.#ledger.tracks.filter(({ ending }) => ending === 'open');
    if (!isExcused) for (const { path } of open) this.#count('stuck', `the client of ${path}`);
    return open.length;
  }

  async receipts(site: Site): Promise<void> {
    const folder = join(site.home, 'data', 'home', 'ji_brain', 'alice', 'receipts');
    const texts: string[] = [];
    for (const name of await readdir(folder))
      texts.push(await readFile(join(folder, name), 'utf8'));
    for (const track of this.#ledger.tracks) {
      if (track.ending !== 'acknowledged') continue;
      const mine = texts.filter((text) => text.includes(`File:      ${track.path}\n`));
      const isTold = mine.length === 1 && mine[0]?.includes('State: delivered') === true;
      if (!isTold) this.#count('receipts', `${track.path} has ${mine.length} receipts`);
    }
  }

  async audit(site: Site): Promise<void> {
    try {
      await site.run(['audit', 'verify']);
    } catch (error) {
      this.#count('audit', `${site.code}: ${String(error)}`);
    }
  }

  tell(figure: 'plaintext' | 'truncated' | 'wrong' | 'orphans' | 'unreached', what: string): void {
    this.#count(figure, what);
  }
}
