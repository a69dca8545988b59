// One rule of a profile: from the words of the YAML to a selector, an action and a condition, with every mistake that
// can be known without a file: unknown names, actions that do not fit the VR, rules that can never fire.

import type { VR } from '../dicom/dataset.ts';
import { entries, isForbiddenGroup, lookup } from '../dicom/dictionary.ts';
import { isVR } from '../dicom/element-header.ts';
import { mayTakeAway, misfit, type Action } from './action.ts';
import { parseCondition, type Condition } from './condition.ts';
import { encodeText } from './encode-value.ts';
import { profileErrors, type Mistake, type RuleSource } from './profile-source.ts';
import {
  allTags,
  covers,
  exactTag,
  formatSelector,
  isKnownPattern,
  parseGroup,
  parseTagPattern,
  type Selector,
  type TagPattern,
} from './selector.ts';

export interface ProfileRule {
  readonly selector: Selector;
  readonly action: Action;
  /** Empty: always. */
  readonly when: Condition;
  /** `research.yaml line 12`, for `profile show`; no part of the hash. */
  readonly origin: string;
}

/** What Clubhouse writes itself or cannot do without, with the actions that a rule may still name. */
const reserved: readonly { tag: number; may: readonly Action['kind'][]; why: string }[] = [
  { tag: 0x00080005, may: ['keep', 'hold'], why: 'text would be read in the wrong character set' },
  { tag: 0x00080016, may: ['keep', 'hold'], why: 'a file without it is not DICOM' },
  { tag: 0x00080018, may: ['keep', 'hash-uid', 'hold'], why: 'a file without it is not DICOM' },
  { tag: 0x00120062, may: [], why: 'Clubhouse writes it' },
  { tag: 0x00120063, may: [], why: 'Clubhouse writes it' },
  { tag: 0x00120064, may: [], why: 'Clubhouse writes it' },
  { tag: 0x00280303, may: [], why: 'Clubhouse writes it' },
  { tag: 0x7fe00010, may: ['keep', 'hold'], why: 'pixels are passed on as they are or held' },
  { tag: 0x7fe00008, may: ['keep', 'hold'], why: 'pixels are passed on as they are or held' },
  { tag: 0x7fe00009, may: ['keep', 'hold'], why: 'pixels are passed on as they are or held' },
];

/** Is this one of the attributes that broad rules (by VR, by group) do not reach? */
export const isReserved = (tag: number): boolean => reserved.some((entry) => entry.tag === tag);

/** The rule, or what is wrong with it. */
export function compileRule(rule: RuleSource): Omit<ProfileRule, 'origin'> | string {
  const selector = compileSelector(rule);
  if (typeof selector === 'string') return selector;
  const action = compileAction(rule, selector);
  if (typeof action === 'string') return action;
  const when = rule.when === undefined ? [] : parseCondition(rule.when);
  if (typeof when === 'string') return when;
  const clash = reserved.find(
    ({ tag, may }) => reaches(selector, tag) && !may.includes(action.kind),
  );
  if (clash !== undefined) {
    return `${formatSelector(selector)} cannot be given to "${action.kind}": ${clash.why}`;
  }
  return { selector, action, when };
}

/** Is it this very attribute that a rule is about, where it is Clubhouse's own? In an item that is the character set alone. */
function reaches(selector: Selector, tag: number): boolean {
  if (exactTag(selector) !== tag) return false;
  if (selector.kind !== 'path' || tag === 0x00080005) return true;
  return selector.anywhere || selector.steps.length === 1;
}

function compileSelector(rule: RuleSource): Selector | string {
  const given = [rule.tag, rule.keyword, rule.group, rule.vr, rule.path].filter(
    (part) => part !== undefined,
  );
  if (given.length > 1 || (given.length === 0 && rule.creator === undefined)) {
    return 'a rule needs exactly one of tag, keyword, group, vr, path, or a creator with or without a tag';
  }
  if (rule.creator !== undefined) return privateSelector(rule.creator, rule);
  if (rule.vr !== undefined) {
    return isVR(rule.vr) ? { kind: 'vr', vr: rule.vr } : `"${rule.vr}" is not a VR`;
  }
  if (rule.path !== undefined) return pathSelector(rule.path);
  const text = rule.tag ?? rule.keyword ?? rule.group ?? '';
  const pattern = rule.group === undefined ? parseTagPattern(text) : parseGroup(text);
  if (pattern === undefined) return unknownTag(text);
  return knownSelector(pattern, text, rule.action === 'remove' || rule.action === 'hold');
}

const unknownTag = (text: string): string =>
  `"${text}" is not a keyword, and not a tag like "(0008,1030)" in quotes`;

function knownSelector(pattern: TagPattern, text: string, careful: boolean): Selector | string {
  if (pattern.mask === 0xffffffff && (pattern.tag & 0xffff) === 0) {
    return `${text} is a group length; they are always dropped`;
  }
  if (pattern.tag >>> 16 === 0x0002 && pattern.mask >>> 16 === 0xffff) {
    return `${text} belongs to the file meta information, which Clubhouse writes anew`;
  }
  if (pattern.mask >>> 16 === 0xffff && isForbiddenGroup(pattern.tag)) {
    return `${text} stands in no dataset`;
  }
  if (!isKnownPattern(pattern) && !careful) {
    return (pattern.tag >>> 16) & 1
      ? `${text} is private; name its creator too: { creator: "…", tag: "(0029,xx10)", … }`
      : `${text} is not in the standard's dictionary; such attributes are removed`;
  }
  return { kind: 'tag', pattern };
}

function privateSelector(written: string, rule: RuleSource): Selector | string {
  // blanks around it are padding, in a file too
  const creator = written.trim();
  if (creator === '' || creator.length > 64 || creator.includes('\\')) {
    return `"${written}" cannot be a private creator (VR LO, one value of up to 64 characters)`;
  }
  if (rule.keyword ?? rule.group ?? rule.vr ?? rule.path) {
    return 'a creator goes with a tag like "(0029,xx10)", or alone';
  }
  if (rule.tag === undefined) return { kind: 'private', creator, pattern: allTags };
  const match = /^\(?([\dA-Fa-f]{4}),?([\dA-Fa-fx]{2})([\dA-Fa-f]{2})\)?$/.exec(rule.tag);
  const group = Number.parseInt(match?.[1] ?? '0', 16);
  if (match === null || (group & 1) === 0) {
    return `"${rule.tag}" is not a private tag like "(0029,xx10)"`;
  }
  // the block is given by the file's own creator element (PS3.5 §7.8.1), so its digits do not count
  const element = Number.parseInt(match[3] ?? '0', 16);
  return {
    kind: 'private',
    creator,
    pattern: { tag: ((group << 16) | element) >>> 0, mask: 0xffff00ff },
  };
}

function pathSelector(path: string): Selector | string {
  const anywhere = path.startsWith('*/');
  const names = (anywhere ? path.slice(2) : path).split('/');
  const steps: TagPattern[] = [];
  for (const [index, name] of names.entries()) {
    const pattern = parseTagPattern(name);
    if (pattern === undefined || !isKnownPattern(pattern)) return unknownTag(name);
    if (index < names.length - 1 && lookup(pattern.tag)?.vrs[0] !== 'SQ') {
      return `"${name}" is not a sequence, so nothing can stand in it`;
    }
    steps.push(pattern);
  }
  return { kind: 'path', steps, anywhere };
}

function compileAction(rule: RuleSource, selector: Selector): Action | string {
  if (rule.value !== undefined && rule.action !== 'replace') {
    return `"value" belongs to the action replace, not to ${rule.action}`;
  }
  const action: Action =
    rule.action !== 'replace'
      ? { kind: rule.action }
      : rule.value === undefined
        ? { kind: 'dummy' }
        : { kind: 'replace', value: rule.value };
  const vr = vrOf(selector);
  if (vr === undefined) {
    return fitsNothing(selector, action)
      ? `this rule for ${formatSelector(selector)} can never fire: it selects nothing that can be given to "${rule.action}"`
      : action;
  }
  const wrong = misfit(action, vr);
  if (wrong !== undefined) return `${formatSelector(selector)}: ${wrong}`;
  if (action.kind === 'replace' && encodeText(vr, action.value, false) === undefined) {
    return `the value does not fit VR ${vr} (PS3.5 section 6.2; replacements are ASCII)`;
  }
  return action;
}

/** Of a group or a range of tags: does the action fit none of the standard's attributes in it? What is unknown may go or hold. */
function fitsNothing(selector: Selector, action: Action): boolean {
  if (selector.kind !== 'tag' || mayTakeAway(action)) return false;
  const { tag, mask } = selector.pattern;
  return !entries().some(
    (entry) =>
      ((entry.tag ^ tag) & entry.mask & mask) === 0 &&
      !isReserved(entry.tag) &&
      entry.vrs.some((vr) => misfit(action, vr) === undefined),
  );
}

/** The VR that a selector is about, where it is one. */
function vrOf(selector: Selector): VR | undefined {
  switch (selector.kind) {
    case 'vr':
      return selector.vr;
    case 'private':
      return undefined;
    case 'tag':
    case 'path': {
      const pattern = selector.kind === 'tag' ? selector.pattern : selector.steps.at(-1);
      if (pattern === undefined || (pattern.mask & 0xffff) !== 0xffff) return undefined;
      return lookup(pattern.tag)?.vrs[0];
    }
  }
}

/** A rule that a later one of the same profile always overrules was meant otherwise by whoever wrote it. */
export function refuseDeadRules(
  rules: readonly ProfileRule[],
  name: string,
  lineOf: (index: number) => number,
): void {
  const mistakes = rules.flatMap((rule, index): Mistake[] => {
    const by = rules.findIndex((later, at) => at > index && overrules(later, rule));
    if (by === -1) return [];
    const what = `this rule for ${formatSelector(rule.selector)} can never fire, line ${lineOf(by)} overrules it; remove one of them`;
    return [{ line: lineOf(index), what }];
  });
  if (mistakes.length > 0) throw profileErrors(name, mistakes);
}

function overrules(later: ProfileRule, rule: ProfileRule): boolean {
  if (!covers(later.selector, rule.selector)) return false;
  const own = new Set(rule.when.map((test) => JSON.stringify(test)));
  if (!later.when.every((test) => own.has(JSON.stringify(test)))) return false;
  if (exactTag(later.selector) !== undefined) return true;
  // a broad rule passes over what its action does not fit, and over what is Clubhouse's own
  const tag = exactTag(rule.selector);
  if (tag !== undefined) {
    const vrs = lookup(tag)?.vrs ?? [];
    return !isReserved(tag) && vrs.every((vr) => misfit(later.action, vr) === undefined);
  }
  if (rule.selector.kind === 'private' && later.selector.kind !== 'private') {
    return mayTakeAway(later.action);
  }
  return rule.selector.kind === 'vr' || fitsAny(later.action);
}

const fitsAny = ({ kind }: Action): boolean =>
  ['remove', 'empty', 'dummy', 'keep', 'hold'].includes(kind);
