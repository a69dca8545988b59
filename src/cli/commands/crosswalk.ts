// `clubhouse crosswalk`: who is behind which subject code. What is exported is the very thing that everything else hides.

import { AppError } from '../../core/errors.ts';
import { onApp, readInput, type Noun } from '../context.ts';
import { cellOf, readSheet } from '../spreadsheet.ts';
import { iso, isTerminal, print, printData, printJson, warn } from '../output.ts';

const project = { type: 'string', demandOption: true, requiresArg: true } as const;

export const crosswalkCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'export',
        'All codes of a project with their patients, as CSV; audited',
        (a) =>
          a
            .option('project', project)
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 crosswalk export --project brain > crosswalk.csv', ''),
        onApp(async (app, args) => {
          const rows = await app.crosswalk.export(args.project);
          if (isTerminal()) warn('this list names patients; it must not leave this site');
          if (args.json) {
            return printJson(rows.map((row) => ({ ...row, createdAt: iso(row.createdAt) })));
          }
          printData('code,patientID,issuer,patientName,birthDate,sex,dateOffsetDays,createdAt');
          for (const row of rows) {
            const { code, patientID, issuer, patientName, birthDate, sex } = row;
            const cells = [code, patientID, issuer, patientName, birthDate, sex];
            printData([...cells.map(cell), row.dateOffsetDays, iso(row.createdAt)].join(','));
          }
        }),
      )
      .command(
        'import <file>',
        'Codes that were given elsewhere: CSV with patientID, code and perhaps issuer',
        (a) =>
          a
            .positional('file', { type: 'string', demandOption: true })
            .option('project', project)
            .example('$0 crosswalk import codes.csv --project brain', ''),
        onApp(async (app, args) => {
          const rows = readRows(await readInput(args.file));
          const { added, unchanged } = await app.crosswalk.import(args.project, rows);
          print(
            `Added ${added} codes to project ${args.project}; ${unchanged} were there already.`,
          );
        }),
      )
      .demandCommand(1, 'crosswalk export or import?'),
};

/**
 * Quoted always; what a spreadsheet would take for a formula gets an apostrophe in front, and so does what looks like one with
 * its apostrophe: `bare` takes back just what was added.
 */
const cell = (text: string): string =>
  `"${text.replace(/^'*[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
const bare = (text: string): string => text.replace(/^'(?='*[=+\-@\t\r])/, '');

function readRows(bytes: Uint8Array): { patientID: string; issuer: string; code: string }[] {
  return readSheet(bytes).map((row) => {
    const patientID = cellOf(row, [
      'patientid',
      'patient id',
      'id',
      '患者id',
      '患者编号',
      '病人id',
      '病历号',
    ]);
    const code = cellOf(row, ['code', 'subject code', '编码', '受试者编号', '代码']);
    if (patientID === undefined || code === undefined) {
      throw new AppError('BAD_INPUT', { detail: `row ${row.line} has no patientID or no code` });
    }
    const issuer = cellOf(row, ['issuer', '发布者']) ?? '';
    return { patientID: bare(patientID), issuer: bare(issuer), code: bare(code) };
  });
}
