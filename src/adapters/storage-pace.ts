// Which system calls are made at once, and which by libuv's threads. On a disk that answers from memory the way to another
// thread and back takes five times as long as the call itself (npm run bench -- sftp); on a slow one a call that is made at once
// stops everybody. So the time that was lost is kept account of, for each kind of call.

export interface Pace {
  /** May the next call be made at once? */
  isQuick(): boolean;
  took(ms: number): void;
}

/** A call that takes less is none that anybody waits for. */
const quickMs = 0.3;
/** So much may be lost before calls go to the threads. A process that others hold up for a moment is no slow disk. */
const mostDebtMs = 20;
/** A fiftieth of the time: a disk that hung for two seconds is not tried again for a hundred. */
const forgivenShare = 0.02;

export function createPace(now: () => number = () => performance.now()): Pace {
  let debtMs = 0;
  let countedAt = now();
  /** From the debt's height down to nothing. */
  let isPayingOff = false;
  const count = (): void => {
    const at = now();
    debtMs = Math.max(0, debtMs - (at - countedAt) * forgivenShare);
    countedAt = at;
  };
  return {
    isQuick: () => {
      if (!isPayingOff) return true;
      count();
      isPayingOff = debtMs > 0;
      return !isPayingOff;
    },
    took: (ms) => {
      if (ms < quickMs) return;
      count();
      debtMs += ms;
      isPayingOff ||= debtMs > mostDebtMs;
    },
  };
}

/** The same call in both ways; `mayWait`, if given, says of which calls nobody knows how long they take. */
export function paced<A extends unknown[], R>(
  atOnce: (...args: A) => R,
  byThread: (...args: A) => Promise<R>,
  pace: Pace = createPace(),
): (...args: A) => Promise<R> {
  return async (...args) => {
    if (!pace.isQuick()) return byThread(...args);
    const start = performance.now();
    try {
      return atOnce(...args);
    } finally {
      pace.took(performance.now() - start);
    }
  };
}
