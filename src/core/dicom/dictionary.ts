// What the standard knows about a tag (PS3.6): keyword, VR, multiplicity. The walker needs it for implicit VR, the
// de-identification to tell known attributes from unknown ones, profiles to accept keywords.

import { elementOf, groupOf, isPrivate, type Tag, type VR } from './dataset.ts';
import { dictionaryTable } from './dictionary-table.ts';

export interface DictionaryEntry {
  /** With mask 0xffffffff one tag; else every tag with `(tag & mask) === entry.tag`, e.g. overlays 60xx. */
  readonly tag: Tag;
  readonly mask: number;
  /** `''` for the few retired attributes without one. */
  readonly keyword: string;
  /** As printed, e.g. `['US', 'SS']`; empty where the standard gives none. */
  readonly vrs: readonly VR[];
  /** As printed: `1`, `1-n`, `2`. */
  readonly vm: string;
}

const exact = new Map<Tag, DictionaryEntry>();
const patterns: DictionaryEntry[] = [];
const byKeyword = new Map<string, DictionaryEntry>();

/** Attributes of VR PN. */
const personNames = new Set<Tag>();

const hex = (digits: string): number => Number.parseInt(digits, 16);

for (const line of dictionaryTable.split('\n')) {
  const [digits = '', keyword = '-', vrs = '-', ...vm] = line.split(' ');
  const isPattern = digits.includes('x');
  const entry: DictionaryEntry = {
    tag: hex(isPattern ? digits.replaceAll('x', '0') : digits),
    mask: isPattern ? hex(digits.replace(/[^x]/g, 'F').replaceAll('x', '0')) : 0xffffffff,
    keyword: keyword === '-' ? '' : keyword,
    vrs: vrs === '-' ? [] : (vrs.split('/') as VR[]),
    vm: vm.join(' '),
  };
  if (entry.vrs[0] === 'PN') personNames.add(entry.tag);
  if (isPattern) patterns.push(entry);
  else exact.set(entry.tag, entry);
  if (entry.keyword !== '') byKeyword.set(entry.keyword, entry);
}

/** The attribute of the standard, repeating groups included; undefined for private, group length and unknown tags. */
export function lookup(tag: Tag): DictionaryEntry | undefined {
  const entry = exact.get(tag);
  if (entry !== undefined) return entry;
  // repeating groups are even; odd ones of the same range are private (PS3.5 §7.6, §7.8)
  if (isPrivate(tag)) return undefined;
  return patterns.find((pattern) => (tag & pattern.mask) >>> 0 === pattern.tag);
}

/** Every attribute of the standard. */
export const entries = (): readonly DictionaryEntry[] => [...exact.values(), ...patterns];

/** All of them, in no order. */
export const dictionary = (): readonly DictionaryEntry[] => [...exact.values(), ...patterns];

/** Does the standard say that the attribute is a person's name? */
export const isPersonName = (tag: Tag): boolean => personNames.has(tag);

/** By keyword as the standard spells it. A repeating group comes with its mask. */
export const entryOfKeyword = (keyword: string): DictionaryEntry | undefined =>
  byKeyword.get(keyword);

/** The tag of a keyword; undefined for unknown keywords and for repeating groups (see `entryOfKeyword`). */
export function tagOfKeyword(keyword: string): Tag | undefined {
  const entry = byKeyword.get(keyword);
  return entry !== undefined && entry.mask === 0xffffffff ? entry.tag : undefined;
}

/** `PatientName`, or `''` where the standard has no name for the tag. */
export const keywordOf = (tag: Tag): string => lookup(tag)?.keyword ?? '';

/** gggg,0010–00FF of an odd group: says whose the block is (PS3.5 §7.8.1). */
export const isPrivateCreator = (tag: Tag): boolean =>
  isPrivate(tag) && elementOf(tag) >= 0x10 && elementOf(tag) <= 0xff;

/** gggg,0000 (PS3.5 §7.2); in datasets retired. */
export const isGroupLength = (tag: Tag): boolean => elementOf(tag) === 0;

/**
 * The VR of a tag where the file does not say it (PS3.5 §6.2, annex A.1). Where the standard leaves a choice that depends
 * on other elements, the widest form is taken: values are passed on as bytes anyway.
 */
export function implicitVR(tag: Tag): VR {
  if (isGroupLength(tag)) return 'UL';
  if (isPrivate(tag)) return isPrivateCreator(tag) ? 'LO' : 'UN';
  const vrs = lookup(tag)?.vrs ?? [];
  if (vrs.includes('OW')) return 'OW';
  return vrs[0] ?? 'UN';
}

/**
 * Groups that no dataset may have (PS3.5 §7.1; 0002 belongs to the head, FFFE to items). 0001 to 0007 are forbidden as
 * well, but real files have them: they count as private.
 */
export function isForbiddenGroup(tag: Tag): boolean {
  const group = groupOf(tag);
  return group === 0 || group === 2 || group === 0xfffe || group === 0xffff;
}
