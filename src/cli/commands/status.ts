// `clubhouse status`: one look at the whole instance.

import { onApp, type Noun } from '../context.ts';
import { counted, iso, print, printJson, shortTime } from '../output.ts';

export const statusCommand: Noun = {
  builder: (y) =>
    y
      .option('json', { type: 'boolean', default: false, describe: 'For programs' })
      .example('$0 status', ''),
  handler: onApp(async (app, args) => {
    const status = await app.status();
    if (args['json'] === true) {
      return printJson({
        ...status,
        partners: status.partners.map((p) => ({ ...p, lastSuccessAt: iso(p.lastSuccessAt) })),
      });
    }
    const runs = status.serving ? 'serve runs' : 'serve does not run';
    const [projects, users] = [counted(status.projects, 'project'), counted(status.users, 'user')];
    print(`${status.site}: ${runs}; ${projects}, ${users}`);
    for (const hostKey of status.hostKeys) print(`host key ${hostKey}`);
    const counts = Object.entries(status.jobs).filter(([, count]) => count > 0);
    print(`jobs: ${counts.map(([state, count]) => `${count} ${state}`).join(', ') || 'none'}`);
    for (const partner of status.partners) {
      const last = shortTime(partner.lastSuccessAt);
      const failed = partner.failed === 0 ? '' : `, ${partner.failed} failed`;
      const alarm = partner.alarm === null ? '' : `; ALARM ${partner.alarm}`;
      print(
        `partner ${partner.code}: ${partner.pending} to send${failed}, last good pass ${last}${alarm}`,
      );
    }
    for (const line of status.attention) print(`! ${line}`);
  }),
};
