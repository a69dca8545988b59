// What PS3.15 Table E.1-1 says about an attribute, under a profile's options. The rows are data; this is the reading
// of their codes (PS3.15 §E.1.1): a compound code gives the one that never loses conformance and never keeps: D where
// there is a D, else Z, never K.

import type { Tag, VR } from '../dicom/dataset.ts';
import { lookup } from '../dicom/dictionary.ts';
import { AppError } from '../errors.ts';
import type { Action } from './action.ts';
import { temporal } from './action.ts';
import { confidentialityTable, type ConfidentialityRow } from './confidentiality-table.ts';
import type { Option } from './options.ts';

/** The subject's own attributes: the table says Z or D, and SPEC 7 says with what. */
const pseudonymTags: ReadonlySet<Tag> = new Set([0x00100010, 0x00100020, 0x00120040]);

/** TimezoneOffsetFromUTC: belongs to the times of day, which stay when dates are moved, or intervals would be wrong. */
const timezone: Tag = 0x00080201;

/**
 * UnformattedTextValue: the words of graphic annotations (PS3.3 §C.10.5). Table E.1-1 gives them to the option about descriptors
 * alone; the one about graphics is for annotations as well (PS3.15 §E.3.3), and their sequence has no other words.
 */
const annotationText: Tag = 0x00700006;

const byTag = new Map<Tag, ConfidentialityRow>();
const byPattern: { mask: number; value: number; row: ConfidentialityRow }[] = [];
for (const row of confidentialityTable) {
  if (row[0] === 'private') continue; // by core/deid/private-blocks
  if (row[0].includes('x')) {
    const mask = Number.parseInt(row[0].replaceAll(/[^x]/g, 'f').replaceAll('x', '0'), 16);
    const value = Number.parseInt(row[0].replaceAll('x', '0'), 16);
    byPattern.push({ mask, value, row });
  } else byTag.set(Number.parseInt(row[0], 16), row);
}

/** The row of an attribute, also by a repeating group; undefined where the table does not list it. */
export function tableRow(tag: Tag): ConfidentialityRow | undefined {
  const exact = byTag.get(tag);
  if (exact !== undefined) return exact;
  // odd groups in 50xx and 60xx are private, not repeating (PS3.5 §7.6)
  if ((tag >>> 16) & 1) return undefined;
  return byPattern.find(({ mask, value }) => (tag & mask) >>> 0 === value)?.row;
}

/** All tags that the table lists one by one. */
export const tableTags = (): readonly Tag[] => [...byTag.keys()];

/** The dates, times of day aside, that the two options about longitudinal information speak of. */
export const longitudinalDates = (): readonly Tag[] =>
  [...byTag]
    .filter(([tag, row]) => row[3].includes('retain-longitudinal') && isDate(tag))
    .map(([tag]) => tag);

const isDate = (tag: Tag): boolean => ['DA', 'DT'].includes(lookup(tag)?.vrs[0] ?? '');

function basicAction(code: string): Action {
  const codes = code.split('/');
  if (codes.includes('D')) return { kind: 'dummy' };
  // X/Z/U*: the instances referred to are kept with new UIDs, so that references stay whole (SPEC 7)
  if (codes.includes('U') || codes.includes('U*')) return { kind: 'hash-uid' };
  if (codes.includes('Z')) return { kind: 'empty' };
  if (code === 'X') return { kind: 'remove' };
  throw new AppError('INTERNAL', { detail: `unknown code ${code} in Table E.1-1` });
}

/**
 * Under several options the careful reading wins: C of the modified dates before K (a date that one option keeps and
 * another moves is moved), then K, then C of the cleaning options, then the Basic Profile.
 */
export function actionOfRow(
  row: ConfidentialityRow,
  tag: Tag,
  vr: VR,
  options: ReadonlySet<Option>,
): Action {
  if (pseudonymTags.has(tag)) return { kind: 'pseudonym' };
  const codes = new Map<Option, string>();
  for (const entry of row[3] === '' ? [] : row[3].split(' ')) {
    const [option, code] = entry.split('=') as [Option, string];
    if (options.has(option)) codes.set(option, code);
  }
  if (tag === annotationText && options.has('clean-graphics')) codes.set('clean-graphics', 'C');
  if (
    codes.delete('retain-longitudinal-modified-dates') &&
    (temporal.has(vr) || tag === timezone)
  ) {
    return { kind: 'shift-date' };
  }
  const letters = [...codes.values()];
  if (letters.includes('K')) return { kind: 'keep' };
  const code = basicAction(row[2]);
  // a dummy UID that is the same in every item would join what is told apart by it
  const basic: Action = code.kind === 'dummy' && vr === 'UI' ? { kind: 'hash-uid' } : code;
  if (!letters.includes('C')) return basic;
  if (letters.some((letter) => letter !== 'C')) {
    throw new AppError('INTERNAL', { detail: `unknown code of an option in Table E.1-1` });
  }
  return cleanable(vr) ? { kind: 'clean' } : basic;
}

// Overlay and curve data, application entity titles and numbers cannot be cleaned by words: they get what the
// Basic Profile says.
const cleanable = (vr: VR): boolean =>
  ['CS', 'LO', 'LT', 'SH', 'SQ', 'ST', 'UC', 'UT'].includes(vr);
