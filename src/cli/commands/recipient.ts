// `clubhouse recipient`: the public keys that a project's files are encrypted to.

import type { Recipient } from '../../app.ts';
import { demandPartner, onApp, readInput, type Noun } from '../context.ts';
import {
  ask,
  iso,
  isTerminal,
  print,
  printJson,
  printTable,
  shortTime,
  UsageError,
} from '../output.ts';

const toJson = ({ armored: _, projectId: __, ...recipient }: Recipient): object => ({
  ...recipient,
  expiresAt: iso(recipient.expiresAt),
  createdAt: iso(recipient.createdAt),
});

const project = { type: 'string', demandOption: true, requiresArg: true } as const;
const partner = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  describe: 'Code of the site whose receivers have this key',
} as const;

export const recipientCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'add',
        'Add a public key; its fingerprint must be confirmed',
        (a) =>
          a
            .option('project', project)
            .option('partner', partner)
            .option('key', {
              ...project,
              describe: 'File with one public key; - is standard input',
            })
            .option('fingerprint', {
              type: 'string',
              requiresArg: true,
              describe: 'As the receiver told it over another channel; asked for on a terminal',
            })
            .example(
              '$0 recipient add --project brain --partner UMHS --key receiver.asc --fingerprint "0A1B …"',
              '',
            ),
        onApp(async (app, args) => {
          if (args.fingerprint === undefined && !isTerminal()) {
            throw new UsageError('--fingerprint is required when nobody can be asked for it');
          }
          const file = await readInput(args.key);
          const key = await app.recipients.inspect(file);
          const until = key.expiresAt?.toISOString().slice(0, 10) ?? 'never';
          print(`Fingerprint ${spaced(key.fingerprint)}`);
          print(`User ID ${key.userId}; ${key.algorithm}; expires ${until}`);
          const confirmed =
            args.fingerprint ??
            (await ask('Type the fingerprint that the receiver told you over another channel: '));
          const { recipient, isNew } = await app.recipients.add({
            project: args.project,
            partner: args.partner,
            file,
            confirmed,
          });
          const what = isNew ? 'Added the key' : 'It was there; updated the key';
          print(`${what} for project ${recipient.project} and partner ${recipient.partner}.`);
          const { partners } = await app.projects.show(args.project);
          if (partners.includes(recipient.partner)) return;
          print(
            `${recipient.partner} is no partner of it yet: clubhouse project set ${recipient.project} --add-partner ${recipient.partner}`,
          );
        }),
      )
      .command(
        'list',
        'All keys',
        (a) =>
          a
            .option('project', { type: 'string', requiresArg: true })
            .option('partner', { type: 'string', requiresArg: true })
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 recipient list --project brain', ''),
        onApp(async (app, args) => {
          const all = await app.recipients.list({
            ...(args.project === undefined ? {} : { project: args.project }),
            ...(args.partner === undefined ? {} : { partner: args.partner }),
          });
          // A key may come before its partner.
          if (all.length === 0) await demandPartner(app, args.partner);
          if (args.json) return printJson(all.map(toJson));
          return printTable(
            ['PROJECT', 'PARTNER', 'FINGERPRINT', 'EXPIRES', 'USER ID'],
            all.map((r) => [
              r.project,
              r.partner,
              r.fingerprint,
              r.expiresAt === null ? 'never' : shortTime(r.expiresAt).slice(0, 10),
              r.userId,
            ]),
            'No keys yet; add one with clubhouse recipient add.',
          );
        }),
      )
      .command(
        'remove',
        'Nothing more is encrypted to this key',
        (a) =>
          a
            .option('project', project)
            .option('partner', partner)
            .option('fingerprint', project)
            .example('$0 recipient remove --project brain --partner UMHS --fingerprint 0A1B…', ''),
        onApp(async (app, args) => {
          const gone = await app.recipients.remove(args);
          print(`Removed the key ${gone.fingerprint} from project ${gone.project}.`);
        }),
      )
      .demandCommand(1, 'recipient add, list or remove?'),
};

/** In groups of four, as other programs show it. */
const spaced = (fingerprint: string): string => fingerprint.replace(/(.{4})(?=.)/g, '$1 ');
