// `clubhouse audit`: the trail of everything that mattered.

import { actorNames, onApp, type Noun } from '../context.ts';
import { iso, print, printData, printJson, printTable, shortTime } from '../output.ts';
import { AppError } from '../../core/errors.ts';

export const auditCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'list',
        'The newest entries',
        (a) =>
          a
            .option('object', {
              type: 'string',
              requiresArg: true,
              describe: 'Id of what it is about',
            })
            .option('limit', {
              type: 'number',
              requiresArg: true,
              describe: 'Else 50; --json: all',
            })
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 audit list --limit 20', ''),
        onApp(async (app, args) => {
          const limit = args.limit ?? (args.json ? undefined : 50);
          const rows = await app.audit.list({
            ...(args.object === undefined ? {} : { object: args.object }),
            ...(limit === undefined ? {} : { limit }),
          });
          if (args.json) return printJson(rows.map((row) => ({ ...row, at: iso(row.at) })));
          const name = await actorNames(app);
          return printTable(
            ['SEQ', 'AT', 'ACTOR', 'ACTION', 'OBJECT', 'DETAIL'],
            rows.map((row) => [
              String(row.seq),
              shortTime(row.at),
              name(row.actor),
              row.action,
              row.object,
              JSON.stringify(row.detail),
            ]),
            'No entries.',
          );
        }),
      )
      .command(
        'verify',
        'Check that no entry was changed or removed',
        (a) => a.example('$0 audit verify', ''),
        onApp(async (app) => {
          const broken = await app.audit.firstBroken();
          if (broken === undefined) return print('The audit trail is whole.');
          throw new AppError('CONFLICT', {
            detail: `the audit trail is broken from entry ${broken} on`,
          });
        }),
      )
      .command(
        'export',
        'Every entry as one line of JSON',
        (a) => a.example('$0 audit export > audit.jsonl', ''),
        onApp(async (app) => {
          for (const row of await app.audit.list({})) {
            printData(JSON.stringify({ ...row, at: iso(row.at) }));
          }
        }),
      )
      .demandCommand(1, 'audit list, verify or export?'),
};
