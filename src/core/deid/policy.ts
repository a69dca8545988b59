// Which action an element gets: PS3.15's table under the profile's options, the project's rules on top, and a careful
// answer for what the table does not list. Built once for a profile; `forFile` then fixes the conditions for one
// file, and for nearly all elements the answer is one look into a map.

import { isPrivate, type DataSet, type Tag, type VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { mayTakeAway, misfit, temporal, type Action } from './action.ts';
import { holds } from './condition.ts';
import type { Option } from './options.ts';
import { safePrivateVR } from './private-blocks.ts';
import type { Profile } from './profile.ts';
import { isReserved, type ProfileRule } from './profile-rules.ts';
import { exactTag, selects, type Place } from './selector.ts';
import { actionOfRow, tableRow } from './table-action.ts';
import { remarkAction } from './unlisted-remarks.ts';
import { takenFor } from './vr-fit.ts';

/** An action, and who said so. */
export interface Decision {
  readonly action: Action;
  /** `rule`: the project's own words; `table`: PS3.15 E.1-1; `default`: neither lists it. */
  readonly by: 'rule' | 'table' | 'default';
  /** For people: `research.yaml line 12`, `PS3.15 E.1-1`. */
  readonly origin: string;
  /** What is kept, but came under a VR that is not its own: the one to judge and to write it by. */
  readonly takeAs?: VR;
}

export interface FilePolicy {
  readonly profile: Profile;
  readonly options: ReadonlySet<Option>;
  decide(place: Place): Decision;
}

export interface Policy {
  readonly profile: Profile;
  /** `header`: the file's top level as it came, which the rules' conditions look at. */
  forFile(header: DataSet): FilePolicy;
  /** As if no condition held; for `profile show`. */
  unconditional(): FilePolicy;
}

/** Does the profile keep an attribute of this tag as it is, in these sequences? What it keeps on purpose identifies nobody. */
export function isKeptBy(policy: FilePolicy): (tag: Tag, path?: readonly Tag[]) => boolean {
  let known = keptBy.get(policy);
  if (known === undefined) keptBy.set(policy, (known = new Map<Tag, boolean>()));
  const kept = known;
  const hasPaths = policy.profile.rules.some((rule) => rule.selector.kind === 'path');
  const decide = (tag: Tag, path: readonly Tag[]): boolean => {
    const vr = lookup(tag)?.vrs[0] ?? 'UN';
    return policy.decide({ tag, vr, creator: undefined, path }).action.kind === 'keep';
  };
  return (tag, path = []) => {
    if (hasPaths && path.length > 0) return decide(tag, path);
    let answer = kept.get(tag);
    if (answer !== undefined) return answer;
    if (kept.size >= maxKnown) kept.clear();
    answer = decide(tag, []);
    kept.set(tag, answer);
    return answer;
  };
}

const keptBy = new WeakMap<FilePolicy, Map<Tag, boolean>>();
/** The same few thousand tags in every file; a hostile one may bring any. */
const maxKnown = 20_000;

const remove: Action = { kind: 'remove' };
const keep: Action = { kind: 'keep' };
const empty: Action = { kind: 'empty' };

export function createPolicy(profile: Profile): Policy {
  const options = new Set(profile.options);
  const make = (active: (rule: ProfileRule) => boolean): FilePolicy => {
    const rules = profile.rules.filter(active).reverse(); // the later one wins
    return { profile, options, decide: decider(rules, options) };
  };
  // conditions are few and repeat from file to file: one policy for each outcome of them
  const conditional = profile.rules.filter((rule) => rule.when.length > 0);
  const made = new Map<string, FilePolicy>();
  const forOutcome = (outcome: ReadonlyMap<ProfileRule, boolean>): FilePolicy => {
    const key = [...outcome.values()].join();
    const known = made.get(key);
    if (known !== undefined) return known;
    const policy = make((rule) => outcome.get(rule) ?? true);
    if (made.size < 64) made.set(key, policy);
    return policy;
  };
  return {
    profile,
    forFile: (header) =>
      forOutcome(new Map(conditional.map((rule) => [rule, holds(rule.when, header)]))),
    unconditional: () => forOutcome(new Map(conditional.map((rule) => [rule, false]))),
  };
}

/** Private creators whose decisions are kept, and how long their names may be (LO: 64 characters). */
const maxCreators = 64;
const maxCreator = 128;

function decider(
  rules: readonly ProfileRule[],
  options: ReadonlySet<Option>,
): (place: Place) => Decision {
  const hasPaths = rules.some((rule) => rule.selector.kind === 'path');
  // by private creator, on which its elements hang, with a mark before it; `''` are those without one
  const known = new Map<string, Map<Tag, Map<VR, Decision>>>();
  const fresh = (place: Place): Decision => {
    for (const rule of rules) {
      if (!selects(rule.selector, place) || !isApplicable(rule, place, options)) continue;
      return { action: rule.action, by: 'rule', origin: rule.origin };
    }
    return byStandard(place, options, (tag) => decide({ ...place, tag, vr: 'OW' }));
  };
  const decide = (place: Place): Decision => {
    if (hasPaths && place.path.length > 0) return fresh(place);
    const creator = place.creator === undefined ? '' : `=${place.creator}`;
    if (creator.length > maxCreator) return fresh(place);
    let byTag = known.get(creator);
    if (byTag === undefined && known.size >= maxCreators) known.clear();
    if (byTag === undefined) known.set(creator, (byTag = new Map<Tag, Map<VR, Decision>>()));
    let byVR = byTag.get(place.tag);
    if (byVR === undefined && byTag.size >= maxKnown) byTag.clear();
    if (byVR === undefined) byTag.set(place.tag, (byVR = new Map<VR, Decision>()));
    let decision = byVR.get(place.vr);
    if (decision === undefined) byVR.set(place.vr, (decision = fresh(place)));
    return decision;
  };
  return decide;
}

/**
 * Broad rules (by VR, group, creator) do not reach what only a rule by its very tag may change. Nor do they bring back what
 * nobody knows: unknown attributes, and private ones whose creator no rule and no list of safe ones names.
 */
function isApplicable(rule: ProfileRule, place: Place, options: ReadonlySet<Option>): boolean {
  const { selector, action } = rule;
  if (exactTag(selector) !== undefined) return true;
  const isKnown =
    selector.kind === 'private' ||
    lookup(place.tag) !== undefined ||
    safeVR(place, options) !== undefined;
  if (!isKnown && !mayTakeAway(action)) return false;
  return !isReserved(place.tag) && misfit(action, place.vr) === undefined;
}

/** The VR of a private attribute that the standard's list of safe ones names, where the profile goes by that list. */
const safeVR = ({ creator, tag }: Place, options: ReadonlySet<Option>): VR | undefined =>
  options.has('retain-safe-private') && creator !== undefined
    ? safePrivateVR(creator, tag)
    : undefined;

function byStandard(
  place: Place,
  options: ReadonlySet<Option>,
  decideOther: (tag: Tag) => Decision,
): Decision {
  if (isPrivate(place.tag)) {
    const listed = safeVR(place, options);
    if (listed !== undefined) return kept(place.vr, [listed], 'table', 'PS3.15 E.3.10-1');
    return { action: remove, by: 'table', origin: 'PS3.15 E.1-1, private attributes' };
  }
  const row = tableRow(place.tag);
  if (row !== undefined) {
    const vrs = lookup(place.tag)?.vrs ?? [];
    const action = actionOfRow(row, place.tag, vrs[0] ?? place.vr, options);
    if (action.kind === 'keep') return kept(place.vr, vrs, 'table', 'PS3.15 E.1-1');
    return { action, by: 'table', origin: 'PS3.15 E.1-1' };
  }
  return unlisted(place, options, decideOther);
}

/** Kept where the VR can be believed. */
function kept(vr: VR, expected: readonly VR[], by: Decision['by'], origin: string): Decision {
  const takeAs = takenFor(vr, expected);
  if (takeAs === undefined) return { action: remove, by, origin };
  return takeAs === vr ? { action: keep, by, origin } : { action: keep, by, origin, takeAs };
}

/**
 * What the table does not list is kept by the standard; where a careful reader would doubt (SPEC 7: "in doubt"), it is
 * not: names of persons, links, dates, UIDs of instances, and overlays whose bitmap goes.
 */
function unlisted(
  place: Place,
  options: ReadonlySet<Option>,
  decideOther: (tag: Tag) => Decision,
): Decision {
  const because = (action: Action, why: string): Decision => ({
    action,
    by: 'default',
    origin: why,
  });
  const entry = lookup(place.tag);
  if (entry === undefined) return because(remove, 'not in the dictionary');
  const group = place.tag >>> 16;
  // 0000 and 0002 are no part of a dataset, 0004 is a DICOMDIR's
  if (group < 8) return because(remove, 'no part of an image');
  if (group >>> 8 === 0x60) {
    const bitmap = decideOther(((group << 16) | 0x3000) >>> 0).action.kind;
    if (bitmap !== 'keep') return because(remove, 'goes with OverlayData');
  }
  const vr = entry.vrs[0] ?? 'UN';
  if (vr === 'PN') return because(empty, 'names of persons');
  if (vr === 'UR') return because(remove, 'links name hosts');
  if (temporal.has(vr)) return because(unlistedDate(options), 'dates and times');
  if (vr === 'UI' && !isClassUID(entry.keyword) && !options.has('retain-uids')) {
    return because({ kind: 'hash-uid' }, 'UIDs of instances');
  }
  const remarks = remarkAction(place.tag, entry.keyword, options);
  if (remarks !== undefined) return because(remarks, 'remarks, orders and people');
  return kept(place.vr, entry.vrs, 'default', 'not listed in PS3.15 E.1-1');
}

function unlistedDate(options: ReadonlySet<Option>): Action {
  if (options.has('retain-longitudinal-modified-dates')) return { kind: 'shift-date' };
  return options.has('retain-longitudinal-full-dates') ? keep : empty;
}

/** UIDs of kinds of things (SOP classes, coding schemes), which identify nobody, also private ones. */
const isClassUID = (keyword: string): boolean =>
  /Class(es)?(UID|Supported|In|$)|SyntaxUID|CodingSchemeUID|ContextUID|MappingResourceUID/.test(
    keyword,
  );
