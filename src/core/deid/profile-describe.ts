// What a profile does, attribute by attribute, with the rule that says so: for `profile show`, so that an IRB can read
// the whole list before the first file comes.

import { formatTag, type Tag } from '../dicom/dataset.ts';
import { dictionary, lookup } from '../dicom/dictionary.ts';
import { formatCondition } from './condition.ts';
import { createPolicy } from './policy.ts';
import type { Profile } from './profile.ts';
import { formatPattern, formatSelector } from './selector.ts';
import { tableTags } from './table-action.ts';

export interface DescribedAttribute {
  /** `(0010,0010)`, or how the rule selects. */
  readonly tag: string;
  readonly keyword: string;
  readonly action: string;
  /** The fixed value of `replace`. */
  readonly value: string;
  /** `''`: always. */
  readonly when: string;
  /** `PS3.15 E.1-1`, `research.yaml line 12`. */
  readonly origin: string;
}

/**
 * Every attribute of the dictionary and of the table, and every one that a rule names, in the order of tags; then whole groups, and
 * the rules that select by group, VR, creator, path or condition, in their order (later ones win).
 */
export function describeProfile(profile: Profile): readonly DescribedAttribute[] {
  const policy = createPolicy(profile).unconditional();
  const attributes = [...shownOf(profile)]
    .sort(([, a], [, b]) => a - b)
    .map(([shown, tag]): DescribedAttribute => {
      const entry = lookup(tag);
      const vr = entry?.vrs[0] ?? 'UN';
      const { action, origin } = policy.decide({ tag, vr, creator: undefined, path: [] });
      return {
        ...{ tag: shown, keyword: entry?.keyword ?? '', action: action.kind },
        ...{ value: action.kind === 'replace' ? action.value : '', when: '', origin },
      };
    });
  return [...attributes, ...groups(profile), ...broadRules(profile)];
}

/** How an attribute is shown, and a tag to ask for it. */
function shownOf(profile: Profile): ReadonlyMap<string, Tag> {
  const shown = new Map<string, Tag>();
  const one = (tag: Tag): unknown => shown.set(formatTag(tag), tag);
  for (const { tag, mask } of dictionary()) {
    // 0000, 0002 and 0004 are no part of a dataset; FFFE are its brackets
    if (tag >>> 16 < 8 || tag >>> 16 === 0xfffe) continue;
    if (mask === 0xffffffff) one(tag);
    // not the first of them, which a rule of its own may name
    else shown.set(formatPattern({ tag, mask }), (tag | (~mask & 0x001e1110)) >>> 0);
  }
  tableTags().forEach(one);
  for (const { selector } of profile.rules) {
    if (selector.kind === 'tag' && selector.pattern.mask === 0xffffffff) one(selector.pattern.tag);
  }
  return shown;
}

/** What is said about whole groups. */
function groups(profile: Profile): readonly DescribedAttribute[] {
  const safe = profile.options.includes('retain-safe-private');
  const privateAction = safe ? 'keep those of PS3.15 E.3.10-1, remove the others' : 'remove';
  const curves = createPolicy(profile)
    .unconditional()
    .decide({ tag: 0x501e3110, vr: 'UN', creator: undefined, path: [] });
  return (
    [
      ['(50xx,xxxx)', curves.action.kind, curves.origin],
      ['(0000,xxxx)', 'remove', 'no part of an image'],
      ['(0002,xxxx)', 'rebuild', 'no part of an image'],
      ['(0004,xxxx)', 'remove', 'no part of an image'],
      ['private', privateAction, 'PS3.15 E.1-1'],
      ['unknown', 'remove', 'not in the dictionary'],
    ] as const
  ).map(([tag, action, origin]) => ({ tag, keyword: '', action, value: '', when: '', origin }));
}

const broadRules = (profile: Profile): readonly DescribedAttribute[] =>
  profile.rules
    .filter(
      ({ selector, when }) =>
        when.length > 0 || selector.kind !== 'tag' || selector.pattern.mask !== 0xffffffff,
    )
    .map(({ selector, action, when, origin }) => ({
      tag: selector.kind === 'tag' ? formatPattern(selector.pattern) : formatSelector(selector),
      keyword: selector.kind === 'tag' ? (lookup(selector.pattern.tag)?.keyword ?? '') : '',
      action: action.kind,
      value: action.kind === 'replace' ? action.value : '',
      when: formatCondition(when),
      origin,
    }));
