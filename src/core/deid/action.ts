// What can be done with an attribute: a closed set, as data, so that a profile can be printed, hashed, compared and
// sent to a worker thread without anything being done.

import type { VR } from '../dicom/dataset.ts';

export type Action =
  /** PS3.15 X: the element goes. */
  | { readonly kind: 'remove' }
  /** PS3.15 Z: zero length. */
  | { readonly kind: 'empty' }
  /** PS3.15 D: a dummy that is valid for the VR. A sequence keeps its items, their text becomes dummies. */
  | { readonly kind: 'dummy' }
  /** A fixed value, ASCII. */
  | { readonly kind: 'replace'; readonly value: string }
  /** PS3.15 K: stays bit for bit; a sequence stays and its items are de-identified. */
  | { readonly kind: 'keep' }
  /** The subject code. */
  | { readonly kind: 'pseudonym' }
  /** PS3.15 U: each UID becomes a keyed 2.25 one. */
  | { readonly kind: 'hash-uid' }
  /** PS3.15 C of dates: moved by the subject's offset. Times stay. */
  | { readonly kind: 'shift-date' }
  /** PS3.15 C of text: words of the allow-list stay, the rest is masked. */
  | { readonly kind: 'clean' }
  /** The file is held where the element has a value. */
  | { readonly kind: 'hold' };

export type ActionKind = Action['kind'];

/** The actions that a profile's rule may name (SPEC 7); `replace` without a value is a dummy. */
export const ruleActions = [
  'remove',
  'empty',
  'replace',
  'keep',
  'pseudonym',
  'hash-uid',
  'shift-date',
  'clean',
  'hold',
] as const;
export type RuleAction = (typeof ruleActions)[number];

/** After these something of a sequence is left: its items, de-identified in turn. */
export const leavesItems: ReadonlySet<ActionKind> = new Set([
  'keep',
  'clean',
  'dummy',
  'hash-uid',
  'shift-date',
]);

/** Takes the value away or the file out of the way, so that it is safe for what nobody knows. */
export const mayTakeAway = ({ kind }: Action): boolean => kind === 'remove' || kind === 'hold';

/** VRs whose value a person may have typed as free text (PS3.5 §6.2). */
export const freeText: ReadonlySet<VR> = new Set(['LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT']);
/** VRs of characters with a narrow repertoire. */
export const strictText: ReadonlySet<VR> = new Set([
  'AE',
  'AS',
  'CS',
  'DA',
  'DS',
  'DT',
  'IS',
  'TM',
  'UI',
]);
export const temporal: ReadonlySet<VR> = new Set(['DA', 'DT', 'TM']);

/** How freely a VR can be written into: a number is not to be replaced by a text, nor a code by free text. */
export const textRank = (vr: VR): number => (freeText.has(vr) ? 2 : strictText.has(vr) ? 1 : 0);

/** Why an action makes no sense for a VR, or undefined where it does. */
export function misfit(action: Action, vr: VR): string | undefined {
  switch (action.kind) {
    case 'remove':
    case 'empty':
    case 'dummy':
    case 'keep':
    case 'hold':
      return undefined;
    case 'replace':
      return vr === 'SQ' ? 'a sequence cannot be replaced by a value' : undefined;
    case 'pseudonym':
      return freeText.has(vr) && vr !== 'UR' ? undefined : `pseudonym needs a text, this is ${vr}`;
    case 'hash-uid':
      return vr === 'UI' || vr === 'SQ' ? undefined : `hash-uid needs a UID, this is ${vr}`;
    case 'shift-date':
      return temporal.has(vr) || vr === 'SQ'
        ? undefined
        : `shift-date needs a date or time, this is ${vr}`;
    case 'clean':
      return freeText.has(vr) || vr === 'SQ' || vr === 'CS'
        ? undefined
        : `clean needs a text or a sequence, this is ${vr}`;
  }
}
