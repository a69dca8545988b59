// Ends servers without warning, at random times and at the steps of the flow. The steps are seen in the database and on the
// disk from outside: no part of the product knows that it is tortured.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import type { Site } from '../../test/support/site.ts';
import type { Chance } from './chance.ts';
import type { Disk } from './disk.ts';
import type { Line } from './line.ts';

/** True once the sending site is in this step. */
const steps = {
  uploading: `select 1 from job where state = 'uploading'`,
  settling: `select 1 from job where state = 'settling'`,
  queued: `select 1 from job where state = 'queued'`,
  processing: `select 1 from job where state = 'processing' and output is null`,
  recorded: `select 1 from job where state = 'processing' and output is not null`,
  published: `select 1 from delivery where state = 'pending'`,
  replicating: `select 1 from lease where until > ?`,
  receipt: `select 1 from upload where "receiptDue" = 1`,
} as const;
type Step = keyof typeof steps | 'any' | 'spooled' | 'arriving';

const allSteps: readonly [Step, ...Step[]] = [
  'any',
  'any',
  'spooled',
  'arriving',
  ...(Object.keys(steps) as (keyof typeof steps)[]),
];

export interface KillerParts {
  readonly sender: Site;
  readonly receiver: Site;
  readonly incoming: string;
  readonly line: Line;
  readonly disks: readonly [Disk, Disk];
  readonly chance: Chance;
}

export class Killer {
  readonly #parts: KillerParts;
  readonly #database: Database.Database;
  readonly byStep = new Map<string, number>();
  kills = 0;
  fills = 0;

  constructor(parts: KillerParts) {
    this.#parts = parts;
    const path = join(parts.sender.home, 'data', 'state', 'clubhouse.db');
    this.#database = new Database(path, { readonly: true });
  }

  /** `kills` times within `seconds`, evenly on the whole. */
  async run(kills: number, seconds: number): Promise<void> {
    const { chance, line } = this.#parts;
    const everyMs = (seconds * 1000) / Math.max(1, kills);
    const begun = Date.now();
    while (this.kills < kills) {
      await sleep(
        Math.max(0, begun + this.kills * everyMs + chance.whole(0, everyMs) - Date.now()),
      );
      const step = chance.one(allSteps);
      await this.#reached(step, Math.min(2000, everyMs));
      if (chance.is(0.2)) line.cut();
      if (chance.is(0.25)) await this.#fill();
      await this.#kill(step);
    }
    await sleep(Math.max(0, begun + seconds * 1000 - Date.now()));
    for (const disk of this.#parts.disks) disk.free();
    this.#database.close();
  }

  /** No room at the one or the other, for a while; sometimes the kill comes while there is none. */
  async #fill(): Promise<void> {
    const { chance, disks } = this.#parts;
    const disk = chance.one(disks);
    if (!disk.isSmall) return;
    this.fills += 1;
    disk.fill();
    await chance.pause(3000);
    if (chance.is(0.7)) disk.free();
  }

  async #kill(step: Step): Promise<void> {
    const { chance, sender, receiver } = this.#parts;
    const isRemote =
      step === 'arriving' || step === 'replicating' ? chance.is(0.5) : chance.is(0.1);
    const site = isRemote ? receiver : sender;
    this.kills += 1;
    const name = `${site.code} ${step}`;
    this.byStep.set(name, (this.byStep.get(name) ?? 0) + 1);
    await site.stop('SIGKILL');
    // A partner may stay away for a while.
    if (isRemote) await chance.pause(4000);
    // Without room a server does not start; that is for its administrator to mend.
    for (const disk of this.#parts.disks) disk.free();
    await site.start();
  }

  async #reached(step: Step, withinMs: number): Promise<void> {
    const end = Date.now() + withinMs;
    while (Date.now() < end && !this.#is(step)) await sleep(1);
  }

  #is(step: Step): boolean {
    const { sender, incoming } = this.#parts;
    if (step === 'any') return true;
    if (step === 'spooled') return names(join(sender.home, 'data', 'spool', 'outputs')).length > 0;
    if (step === 'arriving') return names(incoming).some((name) => name.endsWith('.part'));
    const query = this.#database.prepare(steps[step]);
    return (step === 'replicating' ? query.get(Date.now()) : query.get()) !== undefined;
  }
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true }).map(String);
  } catch {
    return [];
  }
}
