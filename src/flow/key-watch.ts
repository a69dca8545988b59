// Recipient keys end, and then files wait. The administrator hears of it 90, 30, 14, 7 and 1 days before, when it has happened,
// and when files really wait: once each in the audit and the log. `status` and `doctor` show it all the time.

import type { Recipients } from './ports/directory.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { Waiting } from './ports/jobs.ts';

export interface KeyWatch {
  /** Looks at all keys, and at what waits now. */
  look(waiting: readonly Waiting[]): Promise<void>;
}

export interface KeyWatchParts {
  readonly recipients: Pick<Recipients, 'list' | 'warned'>;
  readonly clock: Clock;
  readonly log: Log;
}

const dayMs = 86_400_000;
/** Days before the end, the last first; 0 is the end itself. */
const warningDays: readonly number[] = [0, 1, 7, 14, 30, 90];

export function createKeyWatch({ recipients, clock, log }: KeyWatchParts): KeyWatch {
  let told = new Set<string>();
  return {
    look: async (waiting) => {
      for (const { id, projectId, partner, expiresAt } of await recipients.list()) {
        const days = expiresAt === null ? undefined : dueWarning(expiresAt - clock.now());
        if (days === undefined || !(await recipients.warned(id, days))) continue;
        const facts = { recipient: id, project: projectId, partner, days };
        if (days === 0) log.error(facts, 'a recipient key has expired');
        else log.warn(facts, 'a recipient key expires soon');
      }
      const without = waiting.filter(({ reason }) => reason === 'no-valid-key');
      for (const { projectId: project, partner } of without) {
        if (told.has(`${project}:${partner}`)) continue;
        log.error({ project, partner, code: 'NO_VALID_KEY' }, 'files wait for a recipient key');
      }
      told = new Set(without.map(({ projectId, partner }) => `${projectId}:${partner}`));
    },
  };
}

/** The smallest number of days of which a warning is due when so much time is left; undefined: none yet. */
const dueWarning = (leftMs: number): number | undefined =>
  warningDays.find((days) => leftMs <= days * dayMs);
