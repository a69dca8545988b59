// A project's field list as a spreadsheet saves it, with a head line in English or Chinese.

import type { ImportRow } from '../core/deid/profile-import.ts';
import { AppError } from '../core/errors.ts';
import { cellOf, readSheet } from './spreadsheet.ts';

/** What lists call their columns. */
const columns = {
  tag: ['tag', '标签', '标记', 'dicom tag', 'dicom标签'],
  keyword: ['keyword', 'attribute', 'name', '关键字', '关键词', '属性', '字段'],
  action: ['action', '动作', '操作', '处理', '处理方式'],
  value: ['value', '值', '替换值'],
  creator: ['creator', 'private creator', '私有创建者', '创建者'],
  when: ['when', 'condition', '条件'],
} as const;

/** Throws BAD_INPUT with the line. */
export const readFieldList = (bytes: Uint8Array): readonly ImportRow[] =>
  readSheet(bytes).map((row) => {
    const { line } = row;
    const tag = cellOf(row, columns.tag) ?? cellOf(row, columns.keyword);
    const action = cellOf(row, columns.action);
    if (tag === undefined || action === undefined) {
      throw new AppError('BAD_INPUT', {
        detail: `row ${line} has no tag or no action; the columns are tag (or keyword), action, value, and perhaps creator and when`,
      });
    }
    return {
      tag,
      action,
      value: cellOf(row, columns.value),
      creator: cellOf(row, columns.creator),
      when: cellOf(row, columns.when),
      line,
    };
  });
