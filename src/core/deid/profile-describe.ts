// What a profile does, attribute by attribute, with the rule that says so: for `profile show`, so that an IRB can read
// the whole list before the first file comes.

import { formatTag, type Tag } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
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
 * Every attribute of the table and every one that a rule names, in the order of tags; then the rules that select by
 * group, VR, creator, path or condition, in their order (later ones win).
 */
export function describeProfile(profile: Profile): readonly DescribedAttribute[] {
  const policy = createPolicy(profile).unconditional();
  const tags = new Set<Tag>(tableTags());
  for (const { selector } of profile.rules) {
    if (selector.kind === 'tag' && selector.pattern.mask === 0xffffffff)
      tags.add(selector.pattern.tag);
  }
  const attributes = [...tags]
    .sort((a, b) => a - b)
    .map((tag): DescribedAttribute => {
      const entry = lookup(tag);
      const vr = entry?.vrs[0] ?? 'UN';
      const { action, origin } = policy.decide({ tag, vr, creator: undefined, path: [] });
      return {
        tag: formatTag(tag),
        keyword: entry?.keyword ?? '',
        action: action.kind,
        value: action.kind === 'replace' ? action.value : '',
        when: '',
        origin,
      };
    });
  return [...attributes, ...groups(profile), ...broadRules(profile)];
}

/** What the table says about whole groups. */
function groups(profile: Profile): readonly DescribedAttribute[] {
  const policy = createPolicy(profile).unconditional();
  const safe = profile.options.includes('retain-safe-private');
  const repeating = (
    [
      [0x50003000, '(50xx,xxxx)'],
      [0x60003000, '(60xx,3000)'],
      [0x60004000, '(60xx,4000)'],
    ] as const
  ).map(([tag, shown]) => {
    const vr = lookup(tag)?.vrs[0] ?? 'UN';
    const { action, origin } = policy.decide({ tag, vr, creator: undefined, path: [] });
    const keyword = lookup(tag)?.keyword ?? '';
    return { tag: shown, keyword, action: action.kind, value: '', when: '', origin };
  });
  return [
    ...repeating,
    {
      tag: 'private',
      keyword: '',
      action: safe ? 'keep those of PS3.15 E.3.10-1, remove the others' : 'remove',
      value: '',
      when: '',
      origin: 'PS3.15 E.1-1',
    },
    {
      tag: 'unknown',
      keyword: '',
      action: 'remove',
      value: '',
      when: '',
      origin: 'not in the dictionary',
    },
  ];
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
