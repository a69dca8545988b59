// When the words of strangers are heard. An exchange of keys costs us milliseconds of the one thread that all others share, and who
// asks for it nothing (CVE-2002-20001: the numbers that a client sends need not be computed by anybody). So before the login
// one piece of what came is looked at in a turn of the event loop, sources take turns, and what goes beyond a burst gets a
// share of the time.

export interface Lane {
  /** What came, in the order of coming. */
  push(bytes: Buffer): void;
  /** The client is in: what still waits is passed on in the next turn. */
  free(): void;
  /** Something waits. */
  readonly isBusy: boolean;
  end(): void;
}

export interface Handshakes {
  /** One for each connection. `tooMuch`: more waits than anybody says before a login. */
  lane(source: string, pass: (bytes: Buffer) => void, tooMuch: () => void): Lane;
}

export interface HandshakeParts {
  readonly now: () => number;
  /** In the next turn of the event loop. */
  readonly soon: (run: () => void) => unknown;
  readonly later: (run: () => void, ms: number) => unknown;
}

/** Of the thread's time, for all strangers together. */
const share = 0.3;
/** May be used at once: the logins of a hospital's morning. */
const burstMs = 300;
const mostWaitingBytes = 64 * 1024;

interface Waiting {
  readonly pieces: Buffer[];
  /** In the pieces. Kept, since a stranger can send thousands of one byte. */
  bytes: number;
  readonly pass: (bytes: Buffer) => void;
}

const system: HandshakeParts = {
  now: () => performance.now(),
  soon: setImmediate,
  later: (run, ms) => setTimeout(run, ms).unref(),
};

export function createHandshakes({ now, soon, later }: HandshakeParts = system): Handshakes {
  /** By source, whose turn it is first. */
  const sources = new Map<string, Set<Waiting>>();
  let creditMs = burstMs;
  let countedAt = now();
  let isComing = false;

  const look = (waiting: Waiting): void => {
    const began = now();
    const piece = waiting.pieces.shift();
    waiting.bytes -= piece?.length ?? 0;
    if (piece !== undefined) waiting.pass(piece);
    creditMs = Math.min(burstMs, creditMs + (began - countedAt) * share) - (now() - began);
    countedAt = began;
  };
  const leave = (source: string, waiting: Waiting): void => {
    const mine = sources.get(source);
    if (mine?.delete(waiting) === true && mine.size === 0) sources.delete(source);
  };
  const next = (): void => {
    isComing = false;
    const [first] = sources;
    if (first === undefined) return;
    const [source, mine] = first;
    const [waiting] = mine;
    if (waiting === undefined) return;
    leave(source, waiting);
    sources.delete(source);
    if (mine.size > 0) sources.set(source, mine);
    look(waiting);
    if (waiting.pieces.length > 0) enter(source, waiting);
    come();
  };
  const come = (): void => {
    if (isComing || sources.size === 0) return;
    isComing = true;
    const owedMs = -(creditMs + (now() - countedAt) * share);
    if (owedMs > 0) later(next, Math.ceil(owedMs / share));
    else soon(next);
  };
  const enter = (source: string, waiting: Waiting): void => {
    const mine = sources.get(source) ?? new Set();
    sources.set(source, mine.add(waiting));
  };

  return {
    lane: (source, pass, tooMuch) => {
      const waiting: Waiting = { pieces: [], bytes: 0, pass };
      let isFree = false;
      const takeAll = (): Buffer[] => {
        waiting.bytes = 0;
        return waiting.pieces.splice(0);
      };
      const flush = (): void => {
        for (const piece of takeAll()) pass(piece);
      };
      return {
        push: (bytes) => {
          waiting.pieces.push(bytes);
          waiting.bytes += bytes.length;
          if (isFree) return;
          if (waiting.bytes > mostWaitingBytes && waiting.pieces.length > 1) {
            takeAll();
            tooMuch();
            return;
          }
          enter(source, waiting);
          come();
        },
        free: () => {
          isFree = true;
          leave(source, waiting);
          if (waiting.pieces.length > 0) soon(flush);
        },
        get isBusy() {
          return waiting.pieces.length > 0;
        },
        end: () => {
          takeAll();
          leave(source, waiting);
        },
      };
    },
  };
}
