// `clubhouse replicate`: what goes to the partners.

import type { PartnerStanding } from '../../app.ts';
import { AppError } from '../../core/errors.ts';
import { demandPartner, manyOf, onApp, type Noun } from '../context.ts';
import { iso, print, printJson, printTable, shortTime } from '../output.ts';

/** Lines on a terminal; --json has them all. */
const shownTroubles = 100;

const toJson = ({ alarm, oldestPendingAt, ...row }: PartnerStanding): object => ({
  ...row,
  alarm: alarm === undefined ? null : { ...alarm, at: iso(alarm.at) },
  oldestPendingAt: iso(oldestPendingAt),
  lastPassAt: iso(row.lastPassAt),
  lastSuccessAt: iso(row.lastSuccessAt),
  passes: row.passes.map((pass) => ({
    ...pass,
    startedAt: iso(pass.startedAt),
    endedAt: iso(pass.endedAt),
    error: pass.error ?? null,
  })),
  troubles: row.troubles.map((one) => ({
    ...one,
    reason: one.reason ?? null,
    dueAt: iso(one.dueAt),
  })),
});

export const replicateCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'now',
        'A pass to each partner at once; ends when it has ended',
        (a) =>
          a
            .option('partner', { type: 'string', array: true, requiresArg: true })
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 replicate now --partner UMHS', ''),
        onApp(async (app, args) => {
          const wanted = manyOf(args.partner);
          for (const code of wanted) await demandPartner(app, code);
          const results = await app.replication.now(wanted.length === 0 ? undefined : wanted);
          if (args.json) {
            printJson(
              results.map(({ error, overridden, ...row }) => ({
                ...row,
                overriddenWindow: overridden ?? null,
                error: error?.code ?? null,
              })),
            );
          } else {
            if (results.length === 0) print('No partner has a server yet; see partner add.');
            for (const { partner, delivered, failed, overridden } of results) {
              if (overridden !== undefined) {
                print(
                  `partner ${partner}: its window ${overridden} is closed; asked for all the same`,
                );
              }
              print(`partner ${partner}: ${delivered} delivered, ${failed} failed`);
            }
          }
          for (const { partner, failed, error } of results) {
            if (error !== undefined) throw error;
            if (failed === 0) continue;
            throw new AppError('REMOTE_REFUSED', {
              detail: `${failed} files to ${partner}; see replicate status`,
            });
          }
        }),
      )
      .command(
        'status',
        'What is owed to each partner, and how the last passes went',
        (a) =>
          a
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 replicate status', ''),
        onApp(async (app, args) => {
          const all = await app.replication.status();
          if (args.json) return printJson(all.map(toJson));
          printTable(
            ['PARTNER', 'TO SEND', 'DELIVERED', 'FAILED', 'CONFLICT', 'LAST PASS', 'ALARM'],
            all.map((p) => [
              p.partner,
              String(p.pending),
              String(p.delivered),
              String(p.failed),
              String(p.conflict),
              shortTime(p.lastPassAt),
              p.alarm?.code ?? '',
            ]),
            'No partners yet; see clubhouse partner add --help.',
          );
          for (const one of all.flatMap((p) => p.troubles).slice(0, shownTroubles)) {
            print(`! ${one.partner} ${one.path}: ${one.state} ${one.reason ?? ''}`.trimEnd());
          }
        }),
      )
      .demandCommand(1, 'replicate now or status?'),
};
