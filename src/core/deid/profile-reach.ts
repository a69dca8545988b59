// A rule for something inside a sequence that the same profile takes away never fires, and whoever wrote it believes that it
// does: it is refused with its line, like a rule that a later one overrules.

import { lookup } from '../dicom/dictionary.ts';
import type { Tag } from '../dicom/dataset.ts';
import { leavesItems } from './action.ts';
import { createPolicy, type FilePolicy } from './policy.ts';
import type { Profile } from './profile.ts';
import type { ProfileRule } from './profile-rules.ts';
import { profileError } from './profile-source.ts';
import { formatSelector, selects, type Place } from './selector.ts';

/** Throws PROFILE_INVALID for the first of `own`, the rules of the profile itself, that stands in a sequence that goes. */
export function refuseUnreachable(
  profile: Profile,
  own: readonly ProfileRule[],
  lineOf: (index: number) => number,
): void {
  if (!own.some(({ selector }) => selector.kind === 'path')) return;
  const policy = createPolicy(profile).unconditional();
  for (const [index, rule] of own.entries()) {
    const gone = sequenceThatGoes(rule, profile, policy);
    if (gone === undefined) continue;
    throw profileError(
      profile.name,
      lineOf(index),
      `this rule for ${formatSelector(rule.selector)} can never fire: ${gone.keyword} gets "${gone.action}" ` +
        `(${gone.origin}); keep that sequence by a rule of its own, or remove this one`,
    );
  }
}

function sequenceThatGoes(
  { selector }: ProfileRule,
  profile: Profile,
  policy: FilePolicy,
): { keyword: string; action: string; origin: string } | undefined {
  if (selector.kind !== 'path') return undefined;
  const path: Tag[] = [];
  for (const { tag, mask } of selector.steps.slice(0, -1)) {
    // of a whole group of sequences one may well stay
    if (mask >>> 0 !== 0xffffffff) return undefined;
    const place: Place = { tag, vr: 'SQ', creator: undefined, path: [...path] };
    const { action, origin } = policy.decide(place);
    if (!leavesItems.has(action.kind) && !mayStay(place, profile)) {
      return { keyword: lookup(tag)?.keyword ?? '', action: action.kind, origin };
    }
    path.push(tag);
  }
  return undefined;
}

/** Does a rule keep it under some condition? */
const mayStay = (place: Place, { rules }: Profile): boolean =>
  rules.some(
    ({ selector, action, when }) =>
      when.length > 0 && leavesItems.has(action.kind) && selects(selector, place),
  );
