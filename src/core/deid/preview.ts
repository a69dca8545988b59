// What a profile would change in one file, side by side: for `profile preview`, which an administrator reads on their own
// terminal. The rows hold a patient's values, so they go nowhere else.

import { formatTag, type DataSet, type Element } from '../dicom/dataset.ts';
import { keywordOf } from '../dicom/dictionary.ts';
import { decodeValues } from '../dicom/text.ts';
import { freeText, strictText } from './action.ts';
import { charsetsOf, effectiveVR } from './reading.ts';

export interface PreviewRow {
  /** `(0040,0275)[1] > (0040,0007)`. */
  readonly tag: string;
  readonly keyword: string;
  readonly vr: string;
  readonly before: string;
  readonly change: 'kept' | 'changed' | 'removed' | 'added';
  readonly after: string;
}

/** One row for each element of either, in the order of tags; items of sequences below their sequence. */
export const preview = (original: DataSet, clean: DataSet): readonly PreviewRow[] =>
  compare(original, clean, charsetsOf(original), '');

function compare(
  original: DataSet | undefined,
  clean: DataSet | undefined,
  charsets: readonly string[],
  path: string,
): readonly PreviewRow[] {
  const before = byTag(original);
  const after = byTag(clean);
  const tags = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b);
  return tags.flatMap((tag) => {
    const [from, to] = [before.get(tag), after.get(tag)];
    const shown = { from: show(from, charsets), to: show(to, charsets) };
    const row: PreviewRow = {
      tag: `${path}${formatTag(tag)}`,
      keyword: keywordOf(tag),
      vr: (to ?? from)?.vr ?? '',
      before: shown.from,
      change:
        from === undefined
          ? 'added'
          : to === undefined
            ? 'removed'
            : isSame(from, to)
              ? 'kept'
              : 'changed',
      after: shown.to,
    };
    return [row, ...itemRows(from, to, charsets, row.tag)];
  });
}

function itemRows(
  from: Element | undefined,
  to: Element | undefined,
  charsets: readonly string[],
  path: string,
): readonly PreviewRow[] {
  const [old, made] = [itemsOf(from), itemsOf(to)];
  const count = Math.max(old.length, made.length);
  return Array.from({ length: count }, (_, i) =>
    compare(old[i], made[i], charsets, `${path}[${i + 1}] > `),
  ).flat();
}

const itemsOf = (element: Element | undefined): readonly DataSet[] =>
  element?.kind === 'sequence' ? element.items : [];

const byTag = (dataset: DataSet | undefined): ReadonlyMap<number, Element> =>
  new Map((dataset?.elements ?? []).map((element) => [element.tag, element]));

function isSame(from: Element, to: Element): boolean {
  if (from.kind === 'value' && to.kind === 'value')
    return Buffer.compare(from.value, to.value) === 0;
  return (
    from.kind === to.kind && (from.kind !== 'sequence' || from.items.length === itemsOf(to).length)
  );
}

function show(element: Element | undefined, charsets: readonly string[]): string {
  if (element === undefined) return '';
  if (element.kind === 'sequence') return `${element.items.length} items`;
  if (element.kind === 'fragments') return `${element.fragments.length} fragments`;
  const vr = effectiveVR(element.tag, element.vr);
  if (!freeText.has(vr) && !strictText.has(vr)) return `${element.value.length} bytes`;
  // nothing that a file holds may steer the terminal
  const text = decodeValues(element.value, charsets, vr)
    .join('\\')
    .replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ');
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
