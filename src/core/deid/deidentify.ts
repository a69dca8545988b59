// De-identifies one part of a DICOM file: everything before the pixels, or everything behind them. Pure: the dataset in,
// a new dataset out, every element decided by the policy at every depth; what no rule covers is not passed on by chance
// (SPEC 7). Values that stay are the very bytes that came.

import {
  formatTag,
  type DataSet,
  type Element,
  type Encoding,
  type SequenceElement,
  type Tag,
  type ValueElement,
} from '../dicom/dataset.ts';
import { openHiddenSequence } from '../dicom/dataset-reader.ts';
import { isGroupLength, isPrivateCreator } from '../dicom/dictionary.ts';
import { unreachable } from '../errors.ts';
import type { HoldReason } from '../reasons.ts';
import { leavesItems, type ActionKind } from './action.ts';
import { standardCodeItem } from './code-item.ts';
import type { ActionCounts, DeidInput, Level, TextMode, Work } from './deid-work.ts';
import { padText } from './encode-value.ts';
import { identifyingIn, type Identifying } from './identifying-words.ts';
import { datesOf } from './keep-strict.ts';
import { markTags, marks } from './marks.ts';
import { isKeptBy, type Decision, type FilePolicy } from './policy.ts';
import { creatorsOf, creatorTag, safePrivateVR } from './private-blocks.ts';
import { profileHash } from './profile.ts';
import { charsetsOf, effectiveVR, firstValue, trimPadding } from './reading.ts';
import { dummySequence, rewriteValue } from './rewrite-value.ts';
import { hashUIDs } from './uid.ts';

export type { ActionCounts, DeidInput };

export interface DeidResult {
  readonly dataset: DataSet;
  /** For the file meta information, which is written anew; `''` where the file has none at all. */
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  /** A rule of the profile says that the file must not go on. */
  readonly hold: { readonly reason: HoldReason; readonly tag: Tag } | undefined;
  readonly actions: ActionCounts;
}

export function deidentify(input: DeidInput): DeidResult {
  const done: Done = [];
  let hold: DeidResult['hold'];
  let identifying: Identifying | undefined;
  let dates: ReadonlySet<string> | undefined;
  const work: Work = {
    input,
    identifying: () => (identifying ??= identifyingIn(input.header, isKeptBy(input.policy))),
    dates: () => (dates ??= datesOf(input.header, isKeptBy(input.policy))),
    count: (tag, kind) => {
      done.push(tag, kind);
    },
    hold: (tag) => {
      hold ??= { reason: 'rule', tag };
    },
  };
  const top: Level = {
    encoding: input.head.encoding,
    charsets: charsetsOf(input.header),
    path: [],
    mode: 'stay',
    isStandardCode: () => false,
  };
  let elements = rewriteElements(input.dataset, top, work);
  if (input.part === 'header') elements = withOurs(elements, input);
  return { dataset: { elements }, ...metaUIDs(input), hold, actions: countsOf(done) };
}

/** Tag and kind of action in turn, as they were done. */
type Done = (Tag | ActionKind)[];

/** In the slices of a series the same is done, one after the other. */
let last: { readonly done: Done; readonly counts: ActionCounts } | undefined;

function countsOf(done: Done): ActionCounts {
  const isSame = last?.done.length === done.length && last.done.every((one, i) => one === done[i]);
  if (last !== undefined && isSame) return last.counts;
  const byTag = new Map<Tag, Partial<Record<ActionKind, number>>>();
  for (let i = 0; i < done.length; i += 2) {
    const [tag, kind] = [done[i] as Tag, done[i + 1] as ActionKind];
    let counts = byTag.get(tag);
    if (counts === undefined) byTag.set(tag, (counts = {}));
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  const counts = Object.fromEntries([...byTag].map(([tag, some]) => [nameOf(tag), some]));
  last = done.length > maxDone ? undefined : { done, counts };
  return counts;
}

const maxDone = 10_000;

// the same few thousand tags in every file
const names = new Map<Tag, string>();
function nameOf(tag: Tag): string {
  let name = names.get(tag);
  if (name === undefined) {
    if (names.size > 20_000) names.clear();
    names.set(tag, (name = formatTag(tag)));
  }
  return name;
}

/** Puts in the marks and, where the file has none, the attributes that every image must have (PS3.3 §C.7.1.1). */
function withOurs(elements: readonly Element[], input: DeidInput): readonly Element[] {
  const { policy, subject, head } = input;
  const ours = [...marksOf(policy, head.encoding)];
  for (const [tag, vr] of [
    [0x00100010, 'PN'],
    [0x00100020, 'LO'],
  ] as const) {
    if (input.dataset.elements.some((element) => element.tag === tag)) continue;
    ours.push({ kind: 'value', tag, vr, value: padText(subject.code, vr), offset: -1 });
  }
  const rest = elements.filter((element) => !markTags.has(element.tag));
  return [...rest, ...ours].sort((a, b) => a.tag - b.tag);
}

/** The same in all files under one policy. */
const marked = new WeakMap<FilePolicy, Map<string, readonly Element[]>>();
function marksOf(policy: FilePolicy, encoding: Encoding): readonly Element[] {
  let known = marked.get(policy);
  if (known === undefined) marked.set(policy, (known = new Map<string, readonly Element[]>()));
  const how = `${encoding.explicitVR} ${encoding.bigEndian}`;
  let made = known.get(how);
  if (made === undefined) {
    made = marks(policy, profileHash(policy.profile), encoding);
    known.set(how, made);
  }
  return made;
}

/** From the dataset, or from the file meta information where the dataset has none. */
function metaUIDs(input: DeidInput): { sopClassUID: string; sopInstanceUID: string } {
  const { header, head, policy, uidKey } = input;
  const uidIn = (dataset: DataSet, tag: Tag): string => {
    const uid = trimPadding(firstValue(dataset, tag, []));
    return /^[\d.]{1,64}$/.test(uid) ? uid : ''; // anything else may be anybody's name
  };
  const read = (tag: Tag, metaTag: Tag): string => uidIn(header, tag) || uidIn(head.meta, metaTag);
  const instance = read(0x00080018, 0x00020003);
  const place = { tag: 0x00080018, vr: 'UI', creator: undefined, path: [] } as const;
  const kept = policy.decide(place).action.kind === 'keep';
  return {
    sopClassUID: read(0x00080016, 0x00020002),
    sopInstanceUID: kept ? instance : hashUIDs(instance, uidKey),
  };
}

function rewriteElements(dataset: DataSet, level: Level, work: Work): readonly Element[] {
  const creators = creatorsOf(dataset);
  const used = new Set<Tag>();
  const out: Element[] = [];
  for (const element of dataset.elements) {
    const { tag } = element;
    if (isGroupLength(tag) || isPrivateCreator(tag)) continue;
    const block = creatorTag(tag);
    const creator = block === undefined ? undefined : creators.get(block);
    const kept = rewriteElement(element, creator, level, work);
    if (kept === undefined) continue;
    if (block !== undefined) used.add(block);
    out.push(kept);
  }
  if (used.size === 0) return out;
  // a creator stays only with a surviving child, and a child never without its creator
  const owners = dataset.elements.filter(({ tag }) => used.has(tag) && creators.has(tag));
  return [...out, ...owners].sort((a, b) => a.tag - b.tag);
}

function rewriteElement(
  element: Element,
  creator: string | undefined,
  level: Level,
  work: Work,
): Element | undefined {
  const { tag } = element;
  const place = { tag, vr: effectiveVR(tag, element.vr), creator, path: level.path };
  const decision = work.input.policy.decide(place);
  if (isPixelsOfNothing(tag, level.path) && decision.by !== 'rule') {
    work.count(tag, 'remove');
    return undefined;
  }
  switch (element.kind) {
    case 'value': {
      const hidden = creator === undefined ? 'none' : hiddenSequence(element, decision, creator);
      if (hidden === 'none') return rewriteValue(element, decision, creator, level, work);
      if (hidden !== 'unreadable') return rewriteSequence(hidden, decision, level, work);
      work.count(tag, 'remove');
      return undefined;
    }
    case 'sequence':
      return rewriteSequence(element, decision, level, work);
    case 'fragments':
      // an icon's pixels; anything else in fragments is not understood
      if (decision.action.kind === 'keep' && tag === 0x7fe00010) return element;
      work.count(tag, 'remove');
      return undefined;
  }
}

/** Below the top level only an icon has pixels (PS3.3 §C.7.6.1.1.6); others are shown by nobody, and may be anything. */
const isPixelsOfNothing = (tag: Tag, path: readonly Tag[]): boolean =>
  tag >>> 16 === 0x7fe0 && path.length > 0 && (tag !== 0x7fe00010 || path.at(-1) !== 0x00880200);

/**
 * A private sequence whose VR the file does not say: implicit little endian, or UN (PS3.5 §6.2.2). Only who knows what the
 * creator puts there, or who sees an item, can open it; what then cannot be read to its last byte does not stay.
 */
function hiddenSequence(
  element: ValueElement,
  { action }: Decision,
  creator: string,
): SequenceElement | 'none' | 'unreadable' {
  const { tag, vr, value } = element;
  if (vr !== 'UN' || !leavesItems.has(action.kind)) return 'none';
  const looksSo = value.length >= 8 && itemStart.every((byte, i) => value[i] === byte);
  if (!looksSo && (safePrivateVR(creator, tag) !== 'SQ' || value.length === 0)) return 'none';
  return openHiddenSequence(element) ?? 'unreadable';
}

const itemStart: readonly number[] = [0xfe, 0xff, 0x00, 0xe0];

function rewriteSequence(
  element: SequenceElement,
  { action, by }: Decision,
  level: Level,
  work: Work,
): Element | undefined {
  const { tag, encoding } = element;
  const below = (mode: TextMode): Element => ({
    ...element,
    items: element.items.map((item) => rewriteItem(item, encoding, tag, mode, level, work)),
  });
  if (action.kind === 'keep') return below(by === 'rule' ? 'stay' : level.mode);
  // what is said about UIDs and dates is meant for those inside
  if (action.kind === 'hash-uid' || action.kind === 'shift-date') return below(level.mode);
  work.count(tag, action.kind);
  switch (action.kind) {
    case 'clean':
      return below(level.mode === 'dummy' ? 'dummy' : 'clean');
    case 'dummy':
      return dummySequence(element) ?? below('dummy');
    case 'empty':
      // optional there, and then with an item (PS3.3 §C.7.2.1); below other sequences it may be empty
      if (tag === 0x00081110 && by === 'table' && level.path.length === 0) return undefined;
      return { ...element, items: [] };
    case 'hold':
      if (element.items.length > 0) work.hold(tag);
      return undefined;
    case 'remove':
    case 'replace':
    case 'pseudonym':
      return undefined;
    default:
      return unreachable(action);
  }
}

function rewriteItem(
  item: DataSet,
  encoding: Encoding,
  tag: Tag,
  mode: TextMode,
  level: Level,
  work: Work,
): DataSet {
  // an item may name a character set of its own (PS3.3 §C.12.1.1.2)
  const own = charsetsOf(item);
  const below: Level = {
    encoding,
    charsets: own.length > 0 ? own : level.charsets,
    path: [...level.path, tag],
    mode,
    isStandardCode: () => standardCodeItem(item),
  };
  return { elements: rewriteElements(item, below, work) };
}
