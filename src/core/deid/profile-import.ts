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
  /** Whose private attribute it is; without it a private tag is refused. */
  readonly creator?: string | undefined;
  /** A condition, as in a rule. */
  readonly when?: string | undefined;
  /** As in the CSV, from 1; for messages. */
  readonly line: number;
}

interface ImportRule {
  readonly tag: string;
  readonly creator?: string;
  readonly action: RuleAction;
  readonly value?: string;
  readonly when?: string;
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
  保留: 'keep',
  不变: 'keep',
  删除: 'remove',
  移除: 'remove',
  清空: 'empty',
  置空: 'empty',
  替换: 'replace',
  假名: 'pseudonym',
  假名化: 'pseudonym',
  编码替换: 'pseudonym',
  哈希: 'hash-uid',
  散列: 'hash-uid',
  平移: 'shift-date',
  偏移: 'shift-date',
  日期偏移: 'shift-date',
  清洗: 'clean',
  清理: 'clean',
  扣留: 'hold',
  暂停: 'hold',
};

/** Told at once. */
const mostMistakes = 10;

/**
 * The YAML of a profile that extends `basic` with one rule a row. Of several rows for one attribute, creator and condition the
 * last wins. Throws PROFILE_INVALID naming each wrong row.
 */
export function profileFromRows(rows: readonly ImportRow[], base = 'basic'): string {
  const rules = new Map<string, ImportRule>();
  const mistakes: string[] = [];
  for (const row of rows) {
    try {
      const rule = ruleOf(row);
      check(rule, row.line);
      const key = JSON.stringify([rule.tag, rule.creator, rule.when]);
      rules.delete(key);
      rules.set(key, rule);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      mistakes.push(error.detail ?? '');
    }
  }
  if (mistakes.length > 0) {
    throw new AppError('PROFILE_INVALID', { detail: mistakes.slice(0, mostMistakes).join('; ') });
  }
  // those without a condition first: a later one that always holds would overrule them
  const all = [...rules.values()].sort(
    (a, b) => Number(a.when !== undefined) - Number(b.when !== undefined),
  );
  return stringify({ extends: base, rules: all }, { lineWidth: 0 });
}

function ruleOf(row: ImportRow): ImportRule {
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
  const digits = /^\(?([\dA-Fa-fx]{4})[, ]*([\dA-Fa-fx]{4})\)?$/.exec(tag);
  const value = row.value?.trim() ?? '';
  return {
    ...(row.creator === undefined ? {} : { creator: row.creator }),
    tag: digits === null ? tag : `(${digits[1]},${digits[2]})`,
    action,
    ...(value === '' || action !== 'replace' ? {} : { value }),
    ...(row.when === undefined ? {} : { when: row.when }),
  };
}

const rowError = (line: number, what: string): AppError =>
  new AppError('PROFILE_INVALID', { detail: `row ${line}: ${what}` });

/** What a rule by itself can get wrong is told with its row rather than with a line of YAML nobody has seen. */
function check(rule: ImportRule, line: number): void {
  try {
    compileProfile(stringify({ rules: [rule] }), 'row', () => undefined);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw rowError(line, (error.detail ?? '').replace(/^row, line \d+: /, ''));
  }
}
