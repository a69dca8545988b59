// `clubhouse trace FILE`: everything that ever happened to one file.

import { AppError } from '../../core/errors.ts';
import type { App } from '../../app.ts';
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
    const trace = await app.trace(String(args['file']));
    const { uploads, jobs, deliveries, entries } = trace;
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
    for (const line of traceLines(trace, await actorNames(app))) print(line);
  }),
};

type Trace = Awaited<ReturnType<App['trace']>>;

/** Uploads with the same end of their path, and generations of one, are told one after the other, each with what became of it. */
export function* traceLines(trace: Trace, name: (actor: string) => string): Iterable<string> {
  const jobs = groupBy(trace.jobs, (job) => job.uploadId);
  const deliveries = groupBy(trace.deliveries, (one) => one.jobId);
  const entries = groupBy(trace.entries, (row) => row.object);
  for (const { id, path, generation, bytes, createdAt } of trace.uploads) {
    const mine = jobs.get(id) ?? [];
    yield `${path}, generation ${generation}, ${bytes} bytes, ${shortTime(createdAt)}`;
    for (const job of mine) {
      const where = job.output === null ? '' : ` as ${job.output}`;
      const state = [job.state, job.reason ?? ''].join(' ').trim();
      yield `to ${job.partner || 'nobody yet'}: ${state}${where}`;
      for (const one of deliveries.get(job.id) ?? []) yield* proofLines(one);
    }
    const about = [id, ...mine.map((job) => job.id)].flatMap((one) => entries.get(one) ?? []);
    for (const row of about.sort((a, b) => a.seq - b.seq)) {
      yield `${iso(row.at) ?? ''} ${name(row.actor)} ${row.action} ${JSON.stringify(row.detail)}`;
    }
  }
}

function* proofLines({ evidence, receipt }: Trace['deliveries'][number]): Iterable<string> {
  if (receipt !== null) {
    yield `signed by the partner's host key ${receipt.hostKey}:`;
    yield `${receipt.statement}${receipt.signature}`.trimEnd();
  } else if (evidence !== null) {
    yield `arrival proven by ${evidence}; the partner signs no receipts`;
  }
}

function groupBy<Row>(rows: readonly Row[], key: (row: Row) => string): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(key(row));
    if (group === undefined) groups.set(key(row), [row]);
    else group.push(row);
  }
  return groups;
}
