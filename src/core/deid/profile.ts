// A profile, resolved: what to do with every attribute, as plain data that can be hashed, shown and sent to a worker
// thread as JSON. Everything that can be found wrong is found here, before a file is touched.

import { createHash } from 'node:crypto';
import type { Option } from './options.ts';
import { refuseUnreachable } from './profile-reach.ts';
import { compileRule, refuseDeadRules, type ProfileRule } from './profile-rules.ts';
import {
  profileError,
  profileErrors,
  readProfile,
  type Mistake,
  type ProfileSource,
  type ReadProfile,
} from './profile-source.ts';

export interface Profile {
  readonly name: string;
  /** The profiles that it stands on, nearest first; no part of the hash. */
  readonly bases: readonly string[];
  /** Sorted. */
  readonly options: readonly Option[];
  readonly subject: {
    readonly code: 'random' | 'sequential' | 'hmac' | 'csv';
    readonly prefix: string;
    /** Issuer of PatientID for files that name none. */
    readonly issuer: string;
  };
  readonly dates: { readonly wholeWeeks: boolean };
  readonly burnedIn: 'hold' | 'allow';
  readonly noPatientId: 'hold' | 'study';
  readonly otherFiles: 'hold' | 'encrypt' | 'drop';
  readonly names: 'code' | 'scrub' | 'keep';
  readonly onExclusion: 'publish' | 'all-or-nothing';
  /** Later ones win. */
  readonly rules: readonly ProfileRule[];
}

/** Gives the text of another profile by the name in `extends`; undefined where there is none. */
export type ProfileResolver = (name: string) => { name: string; yaml: string } | undefined;

/** PS3.15 Table E.1-1 and nothing else: what every profile stands on. */
const foundation: Profile = {
  name: 'PS3.15 E.1-1',
  bases: [],
  options: [],
  subject: { code: 'random', prefix: 'JI-', issuer: '' },
  dates: { wholeWeeks: false },
  burnedIn: 'hold',
  noPatientId: 'hold',
  otherFiles: 'hold',
  names: 'code',
  onExclusion: 'publish',
  rules: [],
};

/**
 * Reads a profile with all that it extends. Throws PROFILE_INVALID naming the profile, the line and what to do.
 * `basic`, where the resolver does not know it, is PS3.15 Table E.1-1 as it stands.
 */
export function compileProfile(yaml: string, name: string, resolve: ProfileResolver): Profile {
  return compile(yaml, name, resolve, []);
}

function compile(
  yaml: string,
  name: string,
  resolve: ProfileResolver,
  above: readonly string[],
): Profile {
  const { source, lineOf } = readProfile(yaml, name);
  const base = baseOf(source, name, resolve, above, lineOf(['extends']));
  const rules = compileRules(source, name, lineOf);
  refuseDeadRules(rules, name, (index) => lineOf(['rules', index]));
  const options = mergeOptions(source, base, name, lineOf(['options']));
  const profile: Profile = Object.freeze({
    name,
    bases: base === foundation ? [] : [base.name, ...base.bases],
    options,
    subject: {
      code: source.subject?.code ?? base.subject.code,
      prefix: source.subject?.prefix ?? base.subject.prefix,
      issuer: source.subject?.issuer ?? base.subject.issuer,
    },
    dates: { wholeWeeks: source.dates?.wholeWeeks ?? base.dates.wholeWeeks },
    burnedIn: source.burnedIn ?? base.burnedIn,
    noPatientId: source.noPatientId ?? base.noPatientId,
    otherFiles: source.otherFiles ?? base.otherFiles,
    names: source.names ?? base.names,
    onExclusion: source.onExclusion ?? base.onExclusion,
    rules: [...base.rules, ...rules],
  });
  refuseUnreachable(profile, rules, (index) => lineOf(['rules', index]));
  return profile;
}

function compileRules(
  { rules = [] }: ProfileSource,
  name: string,
  lineOf: ReadProfile['lineOf'],
): readonly ProfileRule[] {
  const mistakes: Mistake[] = [];
  const compiled = rules.flatMap((rule, index): ProfileRule[] => {
    const line = lineOf(['rules', index]);
    const result = compileRule(rule);
    if (typeof result !== 'string') return [{ ...result, origin: `${name} line ${line}` }];
    mistakes.push({ line, what: result });
    return [];
  });
  if (mistakes.length > 0) throw profileErrors(name, mistakes);
  return compiled;
}

function baseOf(
  source: ProfileSource,
  name: string,
  resolve: ProfileResolver,
  above: readonly string[],
  line: number,
): Profile {
  if (source.extends === undefined) return foundation;
  const found = resolve(source.extends);
  if (found === undefined) {
    if (source.extends === 'basic') return foundation;
    throw profileError(
      name,
      line,
      `there is no profile "${source.extends}"; see clubhouse profile list`,
    );
  }
  if (found.name === name || above.includes(found.name)) {
    throw profileError(name, line, 'profiles extend each other in a circle');
  }
  return compile(found.yaml, found.name, resolve, [...above, name]);
}

/** A profile adds its options to those of its base; of the two about dates, its own takes the place of the base's. */
function mergeOptions(
  source: ProfileSource,
  base: Profile,
  name: string,
  line: number,
): readonly Option[] {
  const own = source.options ?? [];
  const dates: readonly Option[] = [
    'retain-longitudinal-full-dates',
    'retain-longitudinal-modified-dates',
  ];
  const ownDates = own.filter((option) => dates.includes(option));
  if (new Set(ownDates).size > 1) {
    throw profileError(name, line, 'dates are kept or moved, not both; choose one option');
  }
  const inherited = base.options.filter(
    (option) => ownDates.length === 0 || !dates.includes(option),
  );
  return [...new Set([...inherited, ...own])].sort();
}

/** SHA-256, hex, of all that has an influence on outputs: not of names and line numbers. */
export function profileHash(profile: Profile): string {
  const { name: _, bases: __, rules, ...rest } = profile;
  const essence = { ...rest, rules: rules.map(({ origin: ___, ...rule }) => rule) };
  return createHash('sha256').update(canonical(essence)).digest('hex');
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}
