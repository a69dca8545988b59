// What was searched already and found clean: the slices of a series repeat nearly all of their values, and what they are
// searched for is the same. A value counts as known only for exactly the same terms, UIDs aside, which no known value holds.

import type { LeakTerms } from './leak-terms.ts';

/** Values of one set of terms. */
export interface KnownValues {
  has(key: string): boolean;
  /** Of a part in which nothing was found. */
  add(keys: readonly string[]): void;
}

const maxValues = 4000;
/** Longer values, and longer lists of terms, are not worth the memory. */
export const maxKnownLength = 512;
const maxSignature = 100_000;

let last: { readonly signature: string; readonly values: Set<string> } | undefined;

/** `codes`: what is not searched for, see Expected. */
export function knownValues(terms: LeakTerms, codes: readonly string[]): KnownValues {
  const { uids: _, ...rest } = terms;
  const signature = written([codes, rest]);
  if (signature.length > maxSignature) return { has: () => false, add: () => undefined };
  if (last?.signature !== signature) last = { signature, values: new Set<string>() };
  const { values } = last;
  return {
    has: (key) => values.has(key),
    add: (keys) => {
      if (values.size + keys.length > maxValues) values.clear();
      for (const key of keys) values.add(key);
    },
  };
}

/** Everything that is in it, lengths included, so that no two different ones are written alike. */
function written(value: unknown): string {
  if (typeof value === 'string') return `${value.length}"${value}`;
  if (Symbol.iterator in Object(value)) {
    let text = '[';
    for (const one of value as Iterable<unknown>) text += written(one);
    return `${text}]`;
  }
  if (typeof value !== 'object' || value === null) return `${String(value)},`;
  let text = '{';
  for (const key in value) text += `${key}:${written(value[key as keyof typeof value])}`;
  return `${text}}`;
}
