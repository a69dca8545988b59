// Ends servers without warning, at random times and at every named step of the flow (kill-at.ts), fills their disks and cuts
// the line between them. Each site dies in its own rhythm. Steps that were met least come first, so that each is met if the
// run is long enough.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Site } from '../../test/support/site.ts';
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { Line } from './line.ts';
import type { Obstacle } from './obstacle.ts';
import type { Behaviour } from './sender.ts';

const killAt = new URL('./kill-at.js', import.meta.url).href;

/** What the sending site does from the first byte to the partner's receipt: entries of the audit trail, and calls. */
const senderSteps: readonly string[] = [
  ...['upload.begun', 'job.settling', 'job.partial', 'job.queued', 'job.processing'],
  ...['subject.added', 'job.published', 'file.delivered', 'job.delivered', 'job.superseded'],
  ...['upload.removed', 'upload.renamed', 'file.delivery-failed'],
  ...['claim', 'publish', 'receipt', 'drop claim', 'drop output', 'sync', 'client rename'],
];
/** What clients do that leads there, where not everything does. */
const ways: Readonly<Record<string, readonly Behaviour[]>> = {
  // The same content again, once it was delivered, is delivered at once.
  'job.delivered': ['again'],
  'job.partial': ['cancel and resume', 'abandon', 'temporary name'],
  'job.superseded': ['overwrite', 'overwrite without truncating'],
  'upload.removed': ['remove'],
  'upload.renamed': ['temporary name', 'temporary name over the old file'],
  'client rename': [
    ...(['temporary name', 'temporary name over the old file'] as const),
    'move from the own folder',
  ],
};
/** A step that was never met is waited for so much longer than another one. */
const patienceMs = { unmet: 15_000, met: 3000 };
const mostTries = 4;
/** So long at most the partner is left alone between two kills: mostly less, but files must get there too. */
const partnerRestMs = 6000;

/** What the receiving site does while files arrive. */
const receiverSteps: readonly string[] = ['sync', 'client rename'];

export interface KillerParts {
  readonly sender: Site;
  readonly receiver: Site;
  readonly line: Line;
  readonly disks: readonly [Disk, Disk];
  /** At the receiver. */
  readonly obstacle: Obstacle;
  readonly chance: Chance;
}

export class Killer {
  readonly #parts: KillerParts;
  /** `<site> <side> <step>` → how often it was killed there. */
  readonly byStep = new Map<string, number>();
  kills = 0;
  fills = 0;
  readonly #tries = new Map<string, number>();
  #goal = 0;
  #starting = 0;
  /** What clients may do, for the step that is waited for. */
  wished: readonly Behaviour[] = ['put'];

  constructor(parts: KillerParts) {
    this.#parts = parts;
    const all = (site: Site, steps: readonly string[]): readonly string[] =>
      steps.flatMap((step) => [`${site.code} before ${step}`, `${site.code} after ${step}`]);
    for (const name of [...all(parts.sender, senderSteps), ...all(parts.receiver, receiverSteps)]) {
      this.byStep.set(name, 0);
      this.#tries.set(name, 0);
    }
  }

  /** Steps that were never met. */
  get unmet(): readonly string[] {
    return [...this.byStep].filter(([, count]) => count === 0).map(([step]) => step);
  }

  /** Those that were waited for so often that it was no chance. */
  get unreached(): readonly string[] {
    return this.unmet.filter((name) => (this.#tries.get(name) ?? 0) >= mostTries);
  }

  /** `kills` times; `seconds` is the aim, a slow machine takes longer. */
  async run(kills: number, seconds: number): Promise<void> {
    const { sender, receiver, disks } = this.#parts;
    const slotMs = (seconds * 1000) / Math.max(1, kills);
    this.#goal = kills;
    await Promise.all([this.#haunt(sender, slotMs), this.#haunt(receiver, slotMs)]);
    this.wished = [];
    for (const disk of disks) disk.free();
    for (const site of [sender, receiver]) {
      await this.#restart(site, site.isGone ? undefined : 'any time', {});
    }
  }

  async #haunt(site: Site, slotMs: number): Promise<void> {
    const { receiver, chance } = this.#parts;
    while (this.kills < this.#goal) {
      await this.#await(this.#next(site), site, slotMs);
      if (site !== receiver || this.kills >= this.#goal) continue;
      if (site.isGone) await this.#restart(site, undefined, {});
      await chance.pause(partnerRestMs);
    }
  }

  /** Begins the site anew with this step in it, and gives it time to get there. */
  async #await(name: string, site: Site, slotMs: number): Promise<void> {
    const { chance, line, obstacle, sender } = this.#parts;
    const [, side, ...words] = name.split(' ');
    const step = words.join(' ');
    const isUnmet = this.byStep.get(name) === 0;
    const nth = isUnmet || chance.is(0.7) ? 1 : chance.whole(2, 5);
    const at = {
      NODE_OPTIONS: `--import=${killAt}`,
      TORTURE_KILL_AT: `${side} ${nth} ${step}`,
    };
    // What ends it now is a kill at any time.
    await this.#restart(site, site.isGone ? undefined : 'any time', at);
    if (site === sender) this.wished = ways[step] ?? ['put'];
    if (step === 'file.delivery-failed') await obstacle.put();
    const patience = isUnmet ? patienceMs.unmet : patienceMs.met;
    const end = Date.now() + Math.max(patience, slotMs * 2);
    if (chance.is(0.2)) line.cut();
    if (chance.is(0.15)) await this.#fill();
    while (!site.isGone && Date.now() < end && this.kills < this.#goal) await sleep(5);
    if (site === sender) await obstacle.clear();
    if (site.isGone) this.#count(name);
  }

  /** Mostly one of those that were tried least, so that one that is out of reach is not all that is tried. */
  #next({ code }: Site): string {
    const { chance } = this.#parts;
    const tries = [...this.#tries].filter(([name]) => name.startsWith(`${code} `));
    const least = Math.min(...tries.map(([, count]) => count)) + (chance.is(0.8) ? 0 : 2);
    const [first = '', ...more] = tries.filter(([, count]) => count <= least).map(([name]) => name);
    const name = chance.one([first, ...more]);
    this.#tries.set(name, (this.#tries.get(name) ?? 0) + 1);
    return name;
  }

  #count(name: string): void {
    this.kills += 1;
    this.byStep.set(name, (this.byStep.get(name) ?? 0) + 1);
  }

  async #restart(site: Site, kill: 'any time' | undefined, at: NodeJS.ProcessEnv): Promise<void> {
    const { chance, disks, receiver } = this.#parts;
    if (kill !== undefined) {
      await site.stop('SIGKILL');
      this.#countAny(site);
    }
    // A partner may stay away for a while.
    if (site === receiver && chance.is(0.3)) await chance.pause(2000);
    // Without room a server does not start; that is for its administrator to mend.
    for (const disk of disks) disk.free();
    this.#starting += 1;
    try {
      await site.start(at);
    } finally {
      this.#starting -= 1;
    }
  }

  #countAny(site: Site): void {
    this.kills += 1;
    this.#anyTime.set(site.code, (this.#anyTime.get(site.code) ?? 0) + 1);
  }
  readonly #anyTime = new Map<string, number>();

  /** Counts for people. */
  get summary(): readonly string[] {
    const met = [...this.byStep].filter(([, count]) => count > 0);
    return [
      ...[...this.#anyTime].map(([code, count]) => `${code} any time ${count}`),
      ...met.map(([step, count]) => `${step} ${count}`),
    ].sort();
  }

  /** No room at the one or the other, for a while; sometimes the kill comes while there is none. */
  async #fill(): Promise<void> {
    const { chance, disks } = this.#parts;
    const disk = chance.one(disks);
    if (!disk.isSmall || this.#starting > 0) return;
    this.fills += 1;
    disk.fill();
    await chance.pause(1500);
    if (chance.is(0.7)) disk.free();
  }
}
