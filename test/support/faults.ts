// Makes the n-th call of any of some ports fail: before it had an effect, or after it, when only its answer is lost. The
// functions are replaced on the objects themselves, so whoever holds one meets the fault.

import { AppError } from '../../src/core/errors.ts';

export interface Faults {
  /** `n` from 1: that call from now on fails. */
  arm(n: number, moment: 'before' | 'after'): void;
  /** No call fails any more. Answers the name of the one that did, or undefined when the n-th never came. */
  disarm(): string | undefined;
}

/** Synchronous ones cannot fail for reasons of the outside world. */
const never: ReadonlySet<string> = new Set(['spoolPath', 'now', 'wrote', 'failed', 'truncated']);

/** They have no effect, so that it makes no difference whether they fail before or after it. */
const reads =
  /^(uploads\.(latest|below|find|dueSettling|quiet|abandoned|retained|uploading|hidden|intakes|outgoings)|jobs\.(nextDue|standing|waiting|leftovers|liveClaims)|receipts\.due|facts\.\w+|storage\.(facts|list|listSpool|sha256|space))$/;

type Port = Record<string, unknown>;

/** Of an object as it stands, or of a class's. */
const methodsOf = (port: Port): string[] => {
  const prototype = Object.getPrototypeOf(port) as object;
  const inherited = prototype === Object.prototype ? [] : Object.getOwnPropertyNames(prototype);
  return [...Object.keys(port), ...inherited].filter((name) => name !== 'constructor');
};

type Call = (...args: unknown[]) => unknown;

export function faultsIn(ports: Readonly<Record<string, object>>): Faults {
  let left = 0;
  let moment: 'before' | 'after' = 'before';
  let struck: string | undefined;

  const strike = (name: string, when: 'before' | 'after'): void => {
    if (when !== moment || (when === 'after' && reads.test(name))) return;
    left -= 1;
    if (left !== 0) return;
    struck = name;
    throw new AppError('STORAGE_FAILED', { detail: `the test's fault in ${name}` });
  };
  const around =
    (name: string, call: Call): Call =>
    async (...args) => {
      strike(name, 'before');
      const answer = await call(...args);
      // What is opened must not stay open only because the test throws its handle away.
      const isOpened = name.endsWith('.open');
      if (isOpened) instrument(name, answer as Port);
      try {
        strike(name, 'after');
      } catch (error) {
        if (isOpened) await (answer as { close(): Promise<void> }).close();
        throw error;
      }
      return answer;
    };
  const listing = (name: string, call: Call): Call =>
    async function* list(...args) {
      strike(name, 'before');
      yield* call(...args) as AsyncIterable<unknown>;
      strike(name, 'after');
    };
  const instrument = (name: string, port: Port): void => {
    for (const method of methodsOf(port)) {
      const value = port[method];
      if (typeof value !== 'function' || never.has(method)) continue;
      const call = value.bind(port) as Call;
      const full = `${name}.${method}`;
      port[method] =
        method === 'list' && name === 'storage' ? listing(full, call) : around(full, call);
    }
  };

  for (const [name, port] of Object.entries(ports)) instrument(name, port as Port);
  return {
    arm: (n, when) => {
      left = n;
      moment = when;
      struck = undefined;
    },
    disarm: () => {
      left = 0;
      return struck;
    },
  };
}
