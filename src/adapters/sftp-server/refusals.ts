// What is refused in masses is counted, and told once in a while: one line in the log and one entry in the audit for each
// kind, however many there were. A flood that wrote a line each would be a flood of the disk.

import type { Accounts, RefusalKind } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import { asFailure } from './status.ts';

export interface Refusals {
  note(kind: RefusalKind, source: string): void;
  /** Tells what was noted since the last time. */
  tell(): Promise<void>;
}

/** More sources than this are not told apart. */
const mostSources = 1000;

export function createRefusals(parts: {
  readonly accounts: Pick<Accounts, 'recordRefusals'>;
  readonly log: Log;
}): Refusals {
  let noted = new Map<RefusalKind, { count: number; sources: Map<string, number> }>();
  return {
    note: (kind, source) => {
      const kept = noted.get(kind) ?? { count: 0, sources: new Map<string, number>() };
      noted.set(kind, kept);
      kept.count += 1;
      const before = kept.sources.get(source);
      if (before !== undefined || kept.sources.size < mostSources) {
        kept.sources.set(source, (before ?? 0) + 1);
      }
    },
    tell: async () => {
      const all = noted;
      noted = new Map();
      for (const [kind, { count, sources }] of all) {
        const [most] = [...sources].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
        const entry = { kind, count, sources: sources.size, most };
        parts.log.warn(entry, 'refused');
        try {
          await parts.accounts.recordRefusals(entry);
        } catch (error) {
          asFailure(error, parts.log, 'refusals');
        }
      }
    },
  };
}
