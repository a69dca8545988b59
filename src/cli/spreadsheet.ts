// Lists as spreadsheets save them: CSV by commas, semicolons or tabs; in UTF-8 with a mark or without, in UTF-16, or in
// GBK, which a Chinese Excel writes where it does not say so.

import { parse } from 'csv-parse/sync';
import { AppError } from '../core/errors.ts';

/** A BOM decides; else UTF-8 where the bytes are that, else GB 18030, which takes in GBK and GB 2312. */
function decodeSheet(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('gb18030').decode(bytes);
  }
}

/** Which of them separates the columns: the one that the head line has most of. */
function delimiterOf(text: string): string {
  const [head = ''] = text.split(/\r?\n/, 1);
  const count = (one: string): number => head.split(one).length;
  return [',', ';', '\t'].reduce((best, one) => (count(one) > count(best) ? one : best));
}

export interface SheetRow {
  /** As in the file, the head line is 1. */
  readonly line: number;
  /** By the head line's words, lower case; trimmed. */
  readonly cells: Readonly<Record<string, string | undefined>>;
}

/** Throws BAD_INPUT with the line, never with its content, which may name patients. */
export function readSheet(bytes: Uint8Array): readonly SheetRow[] {
  const text = decodeSheet(bytes);
  let rows: { record: Record<string, string>; info: { lines: number } }[];
  try {
    rows = parse(text, {
      bom: true,
      columns: (heads: string[]) => heads.map((head) => head.trim().toLowerCase()),
      delimiter: delimiterOf(text),
      info: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      trim: true,
    });
  } catch (error) {
    // The library's own message quotes the line.
    const line = (error as { lines?: unknown }).lines;
    const where = typeof line === 'number' ? ` at line ${line}` : '';
    throw new AppError('BAD_INPUT', { detail: `the file is not CSV with a head line${where}` });
  }
  return rows.map(({ record, info }) => ({ line: info.lines, cells: record }));
}

/** The first of the columns that has something in this row. */
export const cellOf = ({ cells }: SheetRow, names: readonly string[]): string | undefined =>
  names.map((name) => cells[name]).find((cell) => cell !== undefined && cell !== '');
