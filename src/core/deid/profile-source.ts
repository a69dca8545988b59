// A profile as a person writes it (SPEC 7): YAML, read strictly, each mistake with its line. What the words mean is
// decided in core/deid/profile.ts.

import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { ruleActions } from './action.ts';
import { allOptions, type Option } from './options.ts';

const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const text = z.string({ error: 'write this in quotes' }).min(1);

const ruleSchema = z.strictObject({
  /** Tag `(gggg,eeee)`, with x for any digit, or keyword. */
  tag: text.optional(),
  keyword: text.optional(),
  /** `0018`, `60xx`. */
  group: text.optional(),
  vr: text.optional(),
  /** Private creator; alone, or with `tag: (gggg,xxee)`. */
  creator: text.optional(),
  /** `RequestAttributesSequence/ScheduledProcedureStepDescription`; with `*` + `/` in front at any depth. */
  path: text.optional(),
  action: z.enum(ruleActions),
  value: scalar.optional(),
  when: text.optional(),
});

const optionSchema = z.enum(allOptions as [Option, ...Option[]]);

const profileSchema = z.strictObject({
  extends: text.optional(),
  options: z.array(optionSchema).optional(),
  subject: z
    .strictObject({
      code: z.enum(['random', 'sequential', 'hmac', 'csv']).optional(),
      prefix: z
        .string()
        .regex(/^[A-Za-z0-9_-]{0,16}$/, 'at most 16 letters, digits, - and _')
        .optional(),
      issuer: z.string().max(64).optional(),
    })
    .optional(),
  dates: z.strictObject({ wholeWeeks: z.boolean().optional() }).optional(),
  burnedIn: z.enum(['hold', 'allow']).optional(),
  noPatientId: z.enum(['hold', 'study']).optional(),
  otherFiles: z.enum(['hold', 'encrypt', 'drop']).optional(),
  names: z.enum(['code', 'scrub', 'keep']).optional(),
  onExclusion: z.enum(['publish', 'all-or-nothing']).optional(),
  rules: z.array(ruleSchema).optional(),
});

export type ProfileSource = z.infer<typeof profileSchema>;
export type RuleSource = z.infer<typeof ruleSchema>;

/** A parsed profile that can still say on which line something stands. */
export interface ReadProfile {
  readonly source: ProfileSource;
  readonly lineOf: (path: readonly (string | number)[]) => number;
}

export const profileError = (name: string, line: number, what: string): AppError =>
  new AppError('PROFILE_INVALID', { detail: `${name}, line ${line}: ${what}` });

export interface Mistake {
  readonly line: number;
  readonly what: string;
}

/** Told at once; who mends these sees the rest the next time. */
const mostMistakes = 10;

/** At least one; in the order of their lines. */
export function profileErrors(name: string, mistakes: readonly Mistake[]): AppError {
  const [first, ...others] = mistakes.toSorted((a, b) => a.line - b.line).slice(0, mostMistakes);
  const more = others.map(({ line, what }) => `; line ${line}: ${what}`).join('');
  return profileError(name, first?.line ?? 1, `${first?.what ?? 'not valid'}${more}`);
}

/** Throws PROFILE_INVALID with the profile's name, the line and what to do. */
export function readProfile(yaml: string, name: string): ReadProfile {
  const lines = new LineCounter();
  const document = parseDocument(yaml, { lineCounter: lines, uniqueKeys: true });
  const broken = document.errors[0];
  if (broken !== undefined) {
    const what = broken.message.split('\n')[0]?.replace(/ at line \d+.*$/, '') ?? 'not YAML';
    throw profileError(name, lines.linePos(broken.pos[0]).line, what);
  }
  const lineOf = (path: readonly (string | number)[]): number =>
    lines.linePos(offsetOf(document, path)).line;
  const result = profileSchema.safeParse(document.contents === null ? {} : document.toJS());
  if (!result.success) throw schemaError(result.error, name, lineOf);
  return { source: result.data, lineOf };
}

function schemaError(
  error: z.ZodError,
  name: string,
  lineOf: (path: readonly (string | number)[]) => number,
): AppError {
  const mistakes = error.issues.flatMap((issue) => {
    const path = issue.path.map((key) => (typeof key === 'symbol' ? '' : key));
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        line: lineOf([...path, key]),
        what: `unknown key "${key}"`,
      }));
    }
    const where = path.filter((key) => typeof key === 'string').join('.');
    const what = where === '' ? issue.message : `${where}: ${issue.message}`;
    return [{ line: lineOf(path), what }];
  });
  return profileErrors(name, mistakes);
}

/** Where the key of a path stands; the nearest parent where the path leads nowhere. */
function offsetOf(document: Document, path: readonly (string | number)[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === step);
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset;
      next = pair?.value;
    } else if (isSeq(node) && typeof step === 'number') {
      next = node.items[step];
      if (isNode(next)) offset = next.range?.[0] ?? offset;
    }
    if (!isNode(next)) break;
    node = next;
  }
  return offset;
}
