// An IRB's list (tag or keyword, action, value) as a profile (SPEC 5, `profile import`). The caller reads the CSV; here
// the rows become YAML that a person can go on editing, and each mistake names its row.

import { stringify } from 'yaml';
import { AppError } from '../errors.ts';
import { ruleActions, type RuleAction } from './action.ts';
import { compileProfile } from './profile.ts';
import { parseTagPattern } from './selector.ts';

export interface ImportRow {
  /** `(0010,0010)`, `00100010`, `PatientName`, `(60xx,3000)`. */
  readonly tag: string;
  readonly action: string;
  readonly value?: string | undefined;
  /** As in the CSV, from 1; for messages. */
  readonly line: number;
}

/** Words that lists really use. */
const synonyms: Readonly<Record<string, RuleAction>> = {
  blank: 'empty',
  clear: 'empty',
  delete: 'remove',
  drop: 'remove',
  hash: 'hash-uid',
  k: 'keep',
  none: 'keep',
  pseudonymize: 'pseudonym',
  retain: 'keep',
  shift: 'shift-date',
  u: 'hash-uid',
  x: 'remove',
  z: 'empty',
};

/**
 * The YAML of a profile that extends `basic` with one rule a row. Of several rows for one attribute the last wins.
 * Throws PROFILE_INVALID naming the row.
 */
export function profileFromRows(rows: readonly ImportRow[], base = 'basic'): string {
  const rules = new Map<string, { tag: string; action: RuleAction; value?: string }>();
  for (const row of rows) {
    const rule = ruleOf(row);
    rules.delete(rule.tag);
    rules.set(rule.tag, rule);
    check(rule, row.line);
  }
  return stringify({ extends: base, rules: [...rules.values()] }, { lineWidth: 0 });
}

function ruleOf(row: ImportRow): { tag: string; action: RuleAction; value?: string } {
  const word = row.action.trim().toLowerCase();
  const action = (ruleActions as readonly string[]).includes(word)
    ? (word as RuleAction)
    : synonyms[word];
  if (action === undefined) {
    throw rowError(row.line, `the action is not one of ${ruleActions.join(', ')}`);
  }
  const tag = row.tag.trim();
  const pattern = parseTagPattern(tag);
  if (pattern === undefined) throw rowError(row.line, 'not a keyword or tag of the standard');
  const digits = /^[\dA-Fa-fx]{8}$/.test(tag) ? `(${tag.slice(0, 4)},${tag.slice(4)})` : tag;
  const value = row.value?.trim() ?? '';
  return value === '' || action !== 'replace'
    ? { tag: digits, action }
    : { tag: digits, action, value };
}

const rowError = (line: number, what: string): AppError =>
  new AppError('PROFILE_INVALID', { detail: `row ${line}: ${what}` });

/** What a rule by itself can get wrong is told with its row rather than with a line of YAML nobody has seen. */
function check(rule: { tag: string; action: RuleAction; value?: string }, line: number): void {
  try {
    compileProfile(stringify({ rules: [rule] }), 'row', () => undefined);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw rowError(line, (error.detail ?? '').replace(/^row, line \d+: /, ''));
  }
}
