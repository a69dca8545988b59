// How much of one turn of the event loop a user gets, in all sessions together. One thread serves everybody: fifty sessions that
// each had a turn of their own kept all others waiting for seconds (test/adapters/sftp-server-shares.test.ts). How many requests are
// a turn is learned, since one may cost a hundred times as much as another: fewer after a turn that was long, more after a short one.

export interface Share {
  /** Nothing more in this turn. */
  readonly isSpent: boolean;
  /** One request is taken. */
  spend(): void;
  /** Calls `goOn` in a later turn, in the order of asking. Asking again before that changes nothing. */
  wait(goOn: () => void): void;
  /** For a request that was taken and queued: counts it once more, now (undefined) or in the turn in which it may run. */
  turn(): Promise<void> | undefined;
}

export interface Shares {
  /** One for all sessions of a user, for as long as the server runs. */
  of(userId: string): Share;
}

const mostRequests = 256;
const leastRequests = 8;
const longMs = 8;
const shortMs = 4;

/** `soon` calls in the next turn of the event loop. */
export function createShares(
  now: () => number = () => performance.now(),
  soon: (run: () => void) => unknown = setImmediate,
): Shares {
  const shares = new Map<string, Share>();
  return {
    of: (userId) => {
      const share = shares.get(userId) ?? createShare(now, soon);
      shares.set(userId, share);
      return share;
    },
  };
}

function createShare(now: () => number, soon: (run: () => void) => unknown): Share {
  let allowed = mostRequests;
  let spent = 0;
  let beganAt: number | undefined;
  const waiting = new Set<() => void>();
  const begin = (): void => {
    if (beganAt !== undefined) return;
    beganAt = now();
    soon(end);
  };
  const end = (): void => {
    const tookMs = now() - (beganAt ?? now());
    beganAt = undefined;
    // A turn is long by what others did too: that counts against nobody who took little.
    if (tookMs > longMs && spent >= allowed) allowed = Math.max(leastRequests, allowed / 2);
    if (tookMs < shortMs) allowed = Math.min(mostRequests, allowed * 2);
    spent = 0;
    for (const goOn of waiting) {
      if (spent >= allowed) break;
      waiting.delete(goOn);
      goOn();
    }
    if (waiting.size > 0) begin();
  };
  const spend = (): void => {
    begin();
    spent += 1;
  };
  const wait = (goOn: () => void): void => {
    waiting.add(goOn);
    begin();
  };
  return {
    get isSpent() {
      return spent >= allowed;
    },
    spend,
    wait,
    turn: () => {
      if (spent < allowed) {
        spend();
        return undefined;
      }
      return new Promise((resolve) => {
        wait(() => {
          spend();
          resolve();
        });
      });
    },
  };
}
