// `clubhouse init`: a new instance in an empty folder.

import { resolveHome } from '../../config.ts';
import { checkSite } from '../../core/codes.ts';
import type { Noun } from '../context.ts';
import { print, UsageError } from '../output.ts';

export const initCommand: Noun = {
  builder: (y) =>
    y
      .option('site', { type: 'string', requiresArg: true, default: 'PUHSC', describe: 'Our code' })
      .option('partner', {
        type: 'string',
        requiresArg: true,
        describe: 'Code of the partner that new projects get',
      })
      .option('listen', {
        type: 'string',
        requiresArg: true,
        describe: 'Address and port of the SFTP server, e.g. 0.0.0.0:2222',
      })
      .example(
        '$0 init --site PUHSC --partner UMHS --listen 0.0.0.0:2222',
        'in the current folder',
      ),
  handler: async (args) => {
    const { site, partner, listen } = args as typeof args & {
      site: string;
      partner?: string;
      listen?: string;
    };
    const { initInstance } = await import('../../app.ts');
    const { paths, config, hostKey } = await initInstance(resolveHome(args.home), {
      site: checkSite(site),
      partner: partner === undefined ? undefined : checkSite(partner),
      listen: listen === undefined ? undefined : readListen(listen),
    });
    const other = config.partner ?? 'UMHS';
    print(`Made the instance of ${config.site} in ${paths.home}.`);
    print(`Its host key is ${hostKey}; give it to your partner, over a channel that you trust.`);
    print(`Settings are in ${paths.config}, keys in ${paths.keys} (keep master.key safe). Next:`);
    print(`  clubhouse project add brain --partner ${other}`);
    print('  clubhouse user add alice --project brain --key alice.pub');
    print(`  clubhouse recipient add --project brain --partner ${other} --key receiver.asc`);
    print(`  clubhouse partner add ${other} --host HOST --port 2222 --host-key SHA256:…`);
    print(`  clubhouse partner accept ${other} --key replicator.pub`);
    print('  clubhouse serve');
  },
};

/** `host:port`, `[::1]:2222`. */
function readListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new UsageError('--listen is an address and a port, such as 127.0.0.1:2222');
  }
  return { host, port };
}
