// `clubhouse trace FILE`: everything that ever happened to one file.

import { AppError } from '../../core/errors.ts';
import { actorNames, onApp, type Noun } from '../context.ts';
import { iso, print, printJson, shortTime } from '../output.ts';

export const traceCommand: Noun = {
  builder: (y) =>
    y
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'Its path for the client or the end of it, the published name, or an id',
      })
      .option('json', { type: 'boolean', default: false, describe: 'For programs' })
      .example('$0 trace /home/ji_brain/alice/gpg/series/1.dcm', '')
      .example('$0 trace CT_2_14_a1b2c3d4.dcm.gpg', ''),
  handler: onApp(async (app, args) => {
    const { uploads, jobs, deliveries, entries } = await app.trace(String(args['file']));
    if (args['json'] === true) {
      return printJson({
        uploads: uploads.map((row) => ({
          ...row,
          createdAt: iso(row.createdAt),
          rawRemovedAt: iso(row.rawRemovedAt),
        })),
        jobs: jobs.map((row) => ({
          ...row,
          publishedAt: iso(row.publishedAt),
          deliveredAt: iso(row.deliveredAt),
        })),
        deliveries,
        entries: entries.map((row) => ({ ...row, at: iso(row.at) })),
      });
    }
    if (uploads.length === 0) throw new AppError('NOT_FOUND', { detail: 'no such file was seen' });
    for (const one of uploads) {
      print(
        `${one.path}, generation ${one.generation}, ${one.bytes} bytes, ${shortTime(one.createdAt)}`,
      );
    }
    for (const job of jobs) {
      const where = job.output === null ? '' : ` as ${job.output}`;
      print(`to ${job.partner || 'nobody yet'}: ${job.state} ${job.reason ?? ''}${where}`);
    }
    for (const { evidence, receipt } of deliveries) {
      if (receipt !== null) {
        print(`signed by the partner's host key ${receipt.hostKey}:`);
        print(`${receipt.statement}${receipt.signature}`.trimEnd());
      } else if (evidence !== null) {
        print(`arrival proven by ${evidence}; the partner signs no receipts`);
      }
    }
    const name = await actorNames(app);
    for (const row of entries) {
      print(`${iso(row.at) ?? ''} ${name(row.actor)} ${row.action} ${JSON.stringify(row.detail)}`);
    }
  }),
};
