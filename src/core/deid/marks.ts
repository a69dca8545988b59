// What an output says about its own de-identification (PS3.15 §E.1.1 steps 5 to 8, PS3.3 §C.7.1.1 and §C.12.1.1).

import type { Element, Encoding, Tag, VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import type { ActionKind } from './action.ts';
import { padText } from './encode-value.ts';
import { basicProfileCode, optionCodes, type MarkCode } from './options.ts';
import type { FilePolicy } from './policy.ts';
import { longitudinalDates } from './table-action.ts';

const made = (tag: Tag, vr: VR, text: string): Element => ({
  kind: 'value',
  tag,
  vr,
  value: padText(text, vr),
  offset: -1,
});

/** An item of a code sequence (PS3.3 §8.8). */
export const codeItem = (code: MarkCode, scheme: string): { readonly elements: Element[] } => ({
  elements: [
    made(0x00080100, 'SH', code.value),
    made(0x00080102, 'SH', scheme),
    made(0x00080104, 'LO', code.meaning),
  ],
});

/** The tags of the marks: what a file brings under them is replaced. */
export const markTags: ReadonlySet<Tag> = new Set([0x00120062, 0x00120063, 0x00120064, 0x00280303]);

/**
 * LongitudinalTemporalInformationModified (PS3.3 §C.12.1.1): what became of the dates that the two options speak of, by an
 * option or by a rule of the project. One that is moved says more than others that stay, and those more than what is gone.
 */
function temporalMark(policy: FilePolicy): 'MODIFIED' | 'UNMODIFIED' | 'REMOVED' {
  const { options } = policy;
  const byRule = new Set<ActionKind>();
  for (const tag of longitudinalDates()) {
    const vr = lookup(tag)?.vrs[0] ?? 'DA';
    const { action, by } = policy.decide({ tag, vr, creator: undefined, path: [] });
    if (by === 'rule') byRule.add(action.kind);
  }
  if (options.has('retain-longitudinal-modified-dates') || byRule.has('shift-date')) {
    return 'MODIFIED';
  }
  const isKept = options.has('retain-longitudinal-full-dates') || byRule.has('keep');
  return isKept ? 'UNMODIFIED' : 'REMOVED';
}

/** Marks for the top level, in ascending order. `profileHash`: hex, shown by its first 12 digits. */
export function marks(
  policy: FilePolicy,
  profileHash: string,
  encoding: Encoding,
): readonly Element[] {
  const options = [...policy.options].sort();
  const codes = [basicProfileCode, ...options.map((option) => optionCodes[option])];
  const method = `Clubhouse; PS3.15 2026d Basic Profile; profile ${profileHash.slice(0, 12)}`;
  return [
    made(0x00120062, 'CS', 'YES'),
    made(0x00120063, 'LO', method),
    {
      kind: 'sequence',
      tag: 0x00120064,
      vr: 'SQ',
      items: codes.map((code) => codeItem(code, 'DCM')),
      encoding,
      offset: -1,
    },
    made(0x00280303, 'CS', temporalMark(policy)),
  ];
}
