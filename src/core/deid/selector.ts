// Which elements a profile's rule is about: by tag, keyword, repeating group, group, VR, private creator or path in
// sequences (SPEC 7), as plain data. Also whether one selector takes in another, so that a rule that can never fire
// is found when the profile is read.

import { isPrivate, type Tag, type VR } from '../dicom/dataset.ts';
import { entryOfKeyword, lookup } from '../dicom/dictionary.ts';

/** `(tag & mask) === tag`; mask 0xffffffff is one tag. */
export interface TagPattern {
  readonly tag: Tag;
  readonly mask: number;
}

export type Selector =
  | { readonly kind: 'tag'; readonly pattern: TagPattern }
  | { readonly kind: 'vr'; readonly vr: VR }
  /** The element's block digits do not count: `(0029,xx10)` is mask 0xffff00ff. */
  | { readonly kind: 'private'; readonly creator: string; readonly pattern: TagPattern }
  /** Sequences from the outside in, then the attribute. `anywhere`: the path may begin at any depth. */
  | { readonly kind: 'path'; readonly steps: readonly TagPattern[]; readonly anywhere: boolean };

/** Where an element stands. */
export interface Place {
  readonly tag: Tag;
  readonly vr: VR;
  /** Private creator of its block; undefined for standard elements. */
  readonly creator: string | undefined;
  /** The sequences around it, from the outside in. */
  readonly path: readonly Tag[];
}

export const allTags: TagPattern = { tag: 0, mask: 0 };

const patternMatches = (pattern: TagPattern, tag: Tag): boolean =>
  (tag & pattern.mask) >>> 0 === pattern.tag;

export function selects(selector: Selector, place: Place): boolean {
  switch (selector.kind) {
    case 'tag':
      return patternMatches(selector.pattern, place.tag);
    case 'vr':
      return selector.vr === place.vr;
    case 'private':
      return place.creator === selector.creator && patternMatches(selector.pattern, place.tag);
    case 'path': {
      const all = [...place.path, place.tag];
      const start = all.length - selector.steps.length;
      if (start < 0 || (start > 0 && !selector.anywhere)) return false;
      return selector.steps.every((step, i) => patternMatches(step, all[start + i] ?? 0));
    }
  }
}

const within = (inner: TagPattern, outer: TagPattern): boolean =>
  (inner.mask & outer.mask) >>> 0 === outer.mask && patternMatches(outer, inner.tag);

/** The one attribute that a selector names, at the top level or below; undefined for a broad one and for private ones. */
export function exactTag(selector: Selector): Tag | undefined {
  if (selector.kind !== 'tag' && selector.kind !== 'path') return undefined;
  const pattern = selector.kind === 'tag' ? selector.pattern : selector.steps.at(-1);
  return pattern?.mask === 0xffffffff ? pattern.tag : undefined;
}

/** Does `outer` select everything that `inner` selects, if attributes have the VR that the standard gives them? */
export function covers(outer: Selector, inner: Selector): boolean {
  if (outer.kind === 'tag') {
    if (inner.kind === 'vr') return outer.pattern.mask === 0;
    const pattern = inner.kind === 'path' ? inner.steps.at(-1) : inner.pattern;
    return pattern !== undefined && within(pattern, outer.pattern);
  }
  if (outer.kind === 'vr') {
    const vrs = inner.kind === 'vr' ? [inner.vr] : (lookup(exactTag(inner) ?? 0)?.vrs ?? []);
    return vrs.length === 1 && vrs[0] === outer.vr;
  }
  if (outer.kind === 'private') {
    return (
      inner.kind === 'private' &&
      inner.creator === outer.creator &&
      within(inner.pattern, outer.pattern)
    );
  }
  if (inner.kind !== 'path') return false;
  const shift = inner.steps.length - outer.steps.length;
  if (shift < 0 || (!outer.anywhere && (shift > 0 || inner.anywhere))) return false;
  return outer.steps.every((step, i) => within(inner.steps[shift + i] ?? allTags, step));
}

/**
 * `(0010,0010)`, `00100010`, `(60xx,3000)`, `(0029,xx10)` or a keyword. Undefined where it is none of them.
 */
export function parseTagPattern(text: string): TagPattern | undefined {
  const match = /^\(?([\dA-Fa-fx]{4}),?\s*([\dA-Fa-fx]{4})\)?$/.exec(text.trim());
  if (match === null) {
    const entry = entryOfKeyword(text.trim());
    return entry === undefined ? undefined : { tag: entry.tag, mask: entry.mask };
  }
  return digitsPattern(`${match[1]}${match[2]}`);
}

/** `0018`, `60xx`. */
export function parseGroup(text: string): TagPattern | undefined {
  const match = /^\(?([\dA-Fa-fx]{4})\)?$/.exec(text.trim());
  return match === null ? undefined : digitsPattern(`${match[1]}xxxx`);
}

function digitsPattern(digits: string): TagPattern {
  const mask = Number.parseInt(digits.replaceAll(/[^x]/g, 'F').replaceAll('x', '0'), 16);
  return { tag: Number.parseInt(digits.replaceAll('x', '0'), 16), mask };
}

/** As people write it: `(0010,0010)`, `(60xx,3000)`. */
export function formatPattern(pattern: TagPattern): string {
  const digits = pattern.tag.toString(16).padStart(8, '0').toUpperCase();
  const mask = pattern.mask.toString(16).padStart(8, '0');
  const shown = digits.replaceAll(/./g, (digit, i: number) => (mask[i] === '0' ? 'x' : digit));
  return `(${shown.slice(0, 4)},${shown.slice(4)})`;
}

/** For people, in messages and in `profile show`. */
export function formatSelector(selector: Selector): string {
  switch (selector.kind) {
    case 'tag':
      return formatPattern(selector.pattern);
    case 'vr':
      return `VR ${selector.vr}`;
    case 'private':
      return `${selector.creator} ${formatPattern(selector.pattern)}`;
    case 'path':
      return `${selector.anywhere ? '*/' : ''}${selector.steps.map(formatPattern).join('/')}`;
  }
}

/** Does the dictionary know at least one attribute for the pattern? */
export function isKnownPattern(pattern: TagPattern): boolean {
  if (isPrivate(pattern.tag) && (pattern.mask & 0x00010000) !== 0) return false;
  if (pattern.mask !== 0xffffffff) return true;
  return lookup(pattern.tag) !== undefined;
}
