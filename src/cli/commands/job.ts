// `clubhouse job`: the processing of uploads, one row an upload and partner.

import { demandUser, onApp, type Noun } from '../context.ts';
import { print, printJson, printTable, UsageError } from '../output.ts';
import { uploadStates, type UploadState } from '../../core/upload.ts';

const id = {
  type: 'string',
  demandOption: true,
  describe: 'Id of the job, or its beginning',
} as const;
const json = { type: 'boolean', default: false, describe: 'For programs' } as const;

const isState = (text: string): text is UploadState =>
  (uploadStates as readonly string[]).includes(text);

function readState(args: { state: string | undefined; failed: boolean }): UploadState | undefined {
  const state = args.failed ? 'failed' : args.state;
  if (state !== undefined && !isState(state)) {
    throw new UsageError(`--state is one of ${uploadStates.join(', ')}`);
  }
  return state;
}

export const jobCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'list',
        'One row per upload and partner, in every state',
        (a) =>
          a
            .option('project', { type: 'string', requiresArg: true })
            .option('member', { type: 'string', requiresArg: true })
            .option('state', { type: 'string', requiresArg: true, describe: 'e.g. waiting' })
            .option('failed', {
              type: 'boolean',
              default: false,
              describe: 'Same as --state failed',
            })
            .option('json', json)
            .example('$0 job list --project brain --state waiting', ''),
        onApp(async (app, args) => {
          const state = readState(args);
          if (args.project !== undefined) await app.projects.show(args.project);
          const rows = await app.jobs.list({
            ...(args.project === undefined ? {} : { project: args.project }),
            ...(args.member === undefined ? {} : { member: args.member }),
            ...(state === undefined ? {} : { state }),
          });
          // Who was removed still has jobs.
          if (rows.length === 0) await demandUser(app, args.member);
          if (args.json) return printJson(rows);
          return printTable(
            ['ID', 'STATE', 'REASON', 'PARTNER', 'UPLOAD', 'UPDATED'],
            rows.map((row) => [
              row.id,
              row.state,
              row.reason ?? '',
              row.partner,
              row.upload,
              row.updatedAt.slice(0, 16).replace('T', ' '),
            ]),
            'No jobs.',
          );
        }),
      )
      .command(
        'show <id>',
        'Everything about one job',
        (a) => a.positional('id', id).option('json', json).example('$0 job show 0198…', ''),
        onApp(async (app, args) => {
          const job = await app.jobs.show(args.id);
          if (args.json) return printJson(job);
          const { delivery, ...rest } = job;
          for (const [key, value] of Object.entries(rest)) {
            print(`${key}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`);
          }
          if (delivery === null) return;
          const { receipt, ...facts } = delivery;
          print(`delivery: ${JSON.stringify(facts)}`);
          if (receipt !== null) print(`${receipt.statement}${receipt.signature}`.trimEnd());
        }),
      )
      .command(
        'retry <ids..>',
        'Try a failed or waiting job again, or one between two tries, at once',
        (a) =>
          a
            .positional('ids', { ...id, array: true, describe: 'Ids of jobs, or their beginnings' })
            .example('$0 job retry 0198…', ''),
        onApp(async (app, args) => {
          for (const one of args.ids) {
            const job = await app.jobs.retry(one, 'cli');
            print(`Job ${job.id} is ${job.state}.`);
          }
        }),
      )
      .demandCommand(1, 'job list, show or retry?'),
};
