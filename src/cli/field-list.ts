// A project's field list as a spreadsheet exports it: CSV with a head line, comma or semicolon, a BOM or not.

import { parse } from 'csv-parse/sync';
import type { ImportRow } from '../core/deid/profile-import.ts';
import { AppError } from '../core/errors.ts';

/** Throws BAD_INPUT with the line. */
export function readFieldList(text: string): readonly ImportRow[] {
  const [head = ''] = text.split('\n', 1);
  const delimiter = head.includes(';') && !head.includes(',') ? ';' : ',';
  let rows: Record<string, string>[];
  try {
    rows = parse(text, {
      bom: true,
      columns: (heads: string[]) => heads.map((one) => one.trim().toLowerCase()),
      delimiter,
      skip_empty_lines: true,
      trim: true,
    });
  } catch (cause) {
    const line = (cause as { lines?: unknown }).lines;
    throw new AppError('BAD_INPUT', { cause, detail: `the CSV is broken at line ${String(line)}` });
  }
  return rows.map((row, index) => {
    const tag = row['tag'] || row['keyword'];
    const action = row['action'];
    if (tag === undefined || tag === '' || action === undefined || action === '') {
      throw new AppError('BAD_INPUT', {
        detail: `row ${index + 2} has no tag or no action; the columns are tag (or keyword), action, value`,
      });
    }
    return { tag, action, value: row['value'] || undefined, line: index + 2 };
  });
}
