// `clubhouse partner`: the partner institutions and their servers.

import type { App, PartnerView } from '../../app.ts';
import { onApp, readInput, readNetworks, readSize, type Noun } from '../context.ts';
import { readWindow } from '../../core/send-window.ts';
import { sizeText } from '../../core/sizes.ts';
import { iso, print, printJson, printTable, shortTime, UsageError } from '../output.ts';

const toJson = (partner: PartnerView): object => ({
  code: partner.code,
  host: partner.address?.host ?? null,
  port: partner.address?.port ?? null,
  user: partner.address?.user ?? null,
  hostKey: partner.address?.hostKey ?? null,
  verify: partner.verify,
  alarm: partner.alarm === undefined ? null : { ...partner.alarm, at: iso(partner.alarm.at) },
  limitBytesPerSecond: partner.limitBytes ?? null,
  window: partner.window ?? null,
  lastPassAt: iso(partner.lastPassAt),
  lastSuccessAt: iso(partner.lastSuccessAt),
  projects: partner.projects,
  acceptedKeys: partner.acceptedKeys.map(({ fingerprint, algorithm, sources }) => ({
    fingerprint,
    algorithm,
    from: sources ?? [],
  })),
});

const code = { type: 'string', demandOption: true, describe: 'Code of the partner' } as const;
const needed = { type: 'string', demandOption: true, requiresArg: true } as const;

const limitOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Send no faster, e.g. 20MB/s; none takes it back',
} as const;
const windowOption = {
  type: 'string',
  requiresArg: true,
  describe:
    "Send at these hours only, in the site's time zone, e.g. 20:00-06:00; always takes it back",
} as const;

function readLimit(text: string): number | null {
  try {
    return readSize(text.replace(/\/s$/, ''));
  } catch {
    throw new UsageError('--limit is written 20MB/s, or none');
  }
}

/** Looked at before anything is changed. */
function readPace(args: {
  readonly limit: string | undefined;
  readonly window: string | undefined;
}): { limitBytes?: number | null; window?: string | null } {
  const { limit, window } = args;
  if (window !== undefined && window !== 'always') readWindow(window, 'UTC');
  return {
    ...(limit === undefined ? {} : { limitBytes: readLimit(limit) }),
    ...(window === undefined ? {} : { window: window === 'always' ? null : window }),
  };
}

async function removeKey(
  app: App,
  args: { readonly code: string; readonly key: unknown; readonly from: unknown },
  fingerprint: string,
): Promise<void> {
  if (args.key !== undefined || args.from !== undefined) {
    throw new UsageError('--remove goes with neither --key nor --from');
  }
  const left = await app.partners.removeKey(args.code, fingerprint);
  const others = left === 1 ? 'one other key still opens' : `${left} other keys still open`;
  const rest = left === 0 ? `${args.code} has no key left and cannot log in here` : others;
  print(`Removed the key ${fingerprint} of ${args.code}; its sessions end; ${rest}.`);
}

export const partnerCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'add <code>',
        "Say where a partner's server is, and pin its host key",
        (a) =>
          a
            .positional('code', code)
            .option('host', { ...needed, describe: 'Name or address of its SFTP server' })
            .option('port', { type: 'number', default: 22, requiresArg: true })
            .option('user', {
              type: 'string',
              requiresArg: true,
              describe: 'Name to log in with there (else our code)',
            })
            .option('host-key', { ...needed, describe: 'Its fingerprint, SHA256:…' })
            .option('verify', {
              choices: ['hash', 'size'] as const,
              describe: 'How an arrival is proven where the partner is not Clubhouse',
            })
            .option('limit', limitOption)
            .option('window', windowOption)
            .check(({ port }) => {
              if (Number.isInteger(port) && port >= 1 && port <= 65_535) return true;
              throw new Error('--port is a number from 1 to 65535');
            })
            .example(
              '$0 partner add UMHS --host sftp.umhs.example --port 2222 --host-key SHA256:…',
              '',
            ),
        onApp(async (app, args) => {
          const { code, host, port, user, hostKey, verify } = args;
          const pace = readPace(args);
          const result = await app.partners.add({ code, host, port, user, hostKey, verify });
          await app.partners.setPace(code, pace);
          const what = result === 'added' ? 'Added' : 'It was there; updated';
          print(
            `${what} partner ${code} at ${host}, port ${port}; try it with partner test ${code}.`,
          );
        }),
      )
      .command(
        'set <code>',
        'How fast and at which hours files go to a partner',
        (a) =>
          a
            .positional('code', code)
            .option('limit', limitOption)
            .option('window', windowOption)
            .example('$0 partner set UMHS --limit 20MB/s --window 20:00-06:00', ''),
        onApp(async (app, args) => {
          if (args.limit === undefined && args.window === undefined) {
            throw new UsageError('nothing to set; see partner set --help');
          }
          await app.partners.setPace(args.code, readPace(args));
          const partner = (await app.partners.list()).find(({ code }) => code === args.code);
          const limit = partner?.limitBytes;
          const speed = limit === undefined ? 'without limit' : `up to ${sizeText(limit)} a second`;
          print(`Files go to ${args.code} ${speed}, ${partner?.window ?? 'at any time'}.`);
        }),
      )
      .command(
        'list',
        'All partners',
        (a) =>
          a
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 partner list', ''),
        onApp(async (app, args) => {
          const all = await app.partners.list();
          if (args.json) return printJson(all.map(toJson));
          return printTable(
            ['CODE', 'SERVER', 'LAST GOOD PASS', 'PROJECTS', 'ALARM', 'LOGS IN HERE WITH'],
            all.map((p) => [
              p.code,
              p.address === undefined ? 'not added yet' : `${p.address.host}:${p.address.port}`,
              shortTime(p.lastSuccessAt),
              p.projects.join(' '),
              p.alarm?.code ?? '',
              p.acceptedKeys.map(({ fingerprint }) => fingerprint).join(' ') || 'no key',
            ]),
            'No partners yet; see clubhouse partner add --help.',
          );
        }),
      )
      .command(
        'test <code>',
        "Log in at a partner's server and write a small file there",
        (a) => a.positional('code', code).example('$0 partner test UMHS', ''),
        onApp(async (app, args) => {
          const { hostKey, proof, project } = await app.replication.test(args.code);
          print(
            `The server of ${args.code} answers with the pinned host key ${hostKey}; our login works.`,
          );
          print(
            project === undefined
              ? 'No project names it yet, so writing was not tried.'
              : `Writing into the folder of project ${project} works; arrivals are proven by ${proof}.`,
          );
        }),
      )
      .command(
        'remove <code>',
        "Forget a partner's server and keys; what is owed to it stays",
        (a) => a.positional('code', code).example('$0 partner remove UMHS', ''),
        onApp(async (app, args) => {
          await app.partners.remove(args.code);
          print(`Removed partner ${args.code}; nothing goes there and nobody logs in from there.`);
        }),
      )
      .command(
        'accept <code>',
        "Let a partner's replicator log in here, or take one of its keys back",
        (a) =>
          a
            .positional('code', code)
            .option('key', {
              type: 'string',
              requiresArg: true,
              describe: "The partner's replicator_ed25519.pub; - is standard input",
            })
            .option('from', {
              type: 'string',
              array: true,
              requiresArg: true,
              describe: 'Network from which this key opens, e.g. 192.0.2.0/24, or any',
            })
            .option('remove', {
              type: 'string',
              requiresArg: true,
              describe: 'SHA256:… as partner list shows it: this key opens no more',
            })
            .example('$0 partner accept UMHS --key replicator_ed25519.pub', '')
            .example('$0 partner accept UMHS --remove SHA256:…', ''),
        onApp(async (app, args) => {
          if (args.remove !== undefined) return removeKey(app, args, args.remove);
          if (args.key === undefined) throw new UsageError('which key? --key or --remove');
          const text = (await readInput(args.key)).toString('utf8');
          const { key, result } = await app.partners.accept(
            args.code,
            text,
            readNetworks(args.from),
          );
          const what = result === 'added' ? 'Accepted' : 'It was accepted already:';
          return print(
            `${what} the key ${key.fingerprint}; ${args.code} logs in here as ${args.code}.`,
          );
        }),
      )
      .demandCommand(1, 'partner add, set, list, test, remove or accept?'),
};
