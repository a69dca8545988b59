// `clubhouse held`: what a rule or a doubt kept from being passed on.

import { onApp, type Noun } from '../context.ts';
import { print, printJson, printTable, UsageError } from '../output.ts';

const id = {
  type: 'string',
  demandOption: true,
  describe: 'Id of the job, or its beginning',
} as const;
const ids = { ...id, array: true, describe: 'Ids of jobs, or their beginnings' } as const;
const json = { type: 'boolean', default: false, describe: 'For programs' } as const;
const reason = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'Why; kept in the audit trail. Write no patient data into it',
} as const;

export const heldCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'list',
        'Held files, and published ones of which entries were left out',
        (a) =>
          a
            .option('project', { type: 'string', requiresArg: true })
            .option('json', json)
            .example('$0 held list --project brain', ''),
        onApp(async (app, args) => {
          if (args.project !== undefined) await app.projects.show(args.project);
          const rows = await app.jobs.held(
            args.project === undefined ? {} : { project: args.project },
          );
          if (args.json) return printJson(rows);
          return printTable(
            ['ID', 'REASON', 'RELEASABLE', 'MEMBER', 'UPLOAD', 'LEFT OUT'],
            rows.map((row) => [
              row.id,
              row.reason ?? '',
              row.releasable ? 'yes' : 'no',
              row.member,
              row.upload,
              row.exclusions.length === 0 ? '' : String(row.exclusions.length),
            ]),
            'Nothing is held.',
          );
        }),
      )
      .command(
        'show <id>',
        'One held file, with what to do',
        (a) => a.positional('id', id).option('json', json).example('$0 held show 0198…', ''),
        onApp(async (app, args) => {
          const job = await app.jobs.show(args.id);
          const row = (await app.jobs.held()).find((one) => one.id === job.id);
          if (args.json) return printJson(row ?? job);
          print(`${job.upload}: ${job.state}, ${job.reason ?? 'no reason'}`);
          if (row !== undefined) print(row.text);
          if (job.detail !== null) print(`detail: ${job.detail}`);
          for (const one of job.exclusions) print(`left out: ${one.name} (${one.reason})`);
          if (row?.releasable === true) print(`clubhouse held release ${job.id} --reason TEXT`);
        }),
      )
      .command(
        'release <ids..>',
        'Override the one rule that holds it, for this content',
        (a) =>
          a
            .positional('ids', ids)
            .option('reason', reason)
            .example('$0 held release 0198… --reason "looked at it, no text in the image"', ''),
        onApp(async (app, args) => {
          if (args.reason.trim() === '') throw new UsageError('--reason says why');
          for (const one of args.ids) {
            const job = await app.jobs.release(one, args.reason, 'cli');
            print(`Released job ${job.id}; it is ${job.state}.`);
          }
        }),
      )
      .command(
        'reject <ids..>',
        'It is never passed on',
        (a) =>
          a
            .positional('ids', ids)
            .option('reason', { ...reason, demandOption: false, default: '' })
            .example('$0 held reject 0198… --reason "wrong study"', ''),
        onApp(async (app, args) => {
          for (const one of args.ids) {
            const job = await app.jobs.reject(one, args.reason, 'cli');
            print(`Rejected job ${job.id}; it is never passed on.`);
          }
        }),
      )
      .demandCommand(1, 'held list, show, release or reject?'),
};
