// `clubhouse user key`: the SSH keys with which a member logs in.

import { onApp, readInput, readNetworks, type Command } from '../context.ts';
import { print, printJson, printTable } from '../output.ts';

const nameOption = { type: 'string', demandOption: true, describe: 'Name of the account' } as const;

export const userKeyCommand: Command = {
  command: 'key',
  describe: 'SSH keys of an account',
  builder: (y) =>
    y
      .command(
        'add <name>',
        'Add a public key',
        (a) =>
          a
            .positional('name', nameOption)
            .option('key', {
              type: 'string',
              demandOption: true,
              requiresArg: true,
              describe: 'File with an SSH public key; - is standard input',
            })
            .option('from', {
              type: 'string',
              array: true,
              requiresArg: true,
              describe: 'Network from which this key opens, e.g. 192.0.2.0/24, or any',
            })
            .example('$0 user key add alice --key alice.pub', '')
            .example('$0 user key add alice --key alice.pub --from 192.0.2.0/24', ''),
        onApp(async (app, args) => {
          const text = (await readInput(args.key)).toString('utf8');
          const { key, isNew } = await app.members.addKey(args.name, text, readNetworks(args.from));
          const what = isNew ? 'Added the key' : 'It was there already: the key';
          print(`${what} ${key.fingerprint} of user ${args.name}.`);
        }),
      )
      .command(
        'list <name>',
        'The keys of an account',
        (a) =>
          a
            .positional('name', nameOption)
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .example('$0 user key list alice', ''),
        onApp(async (app, args) => {
          const { keys } = await app.members.show(args.name);
          const shown = keys.map(({ fingerprint, algorithm, comment, sources }) => ({
            fingerprint,
            algorithm,
            comment,
            from: sources ?? [],
          }));
          if (args.json) return printJson(shown);
          return printTable(
            ['FINGERPRINT', 'ALGORITHM', 'FROM', 'COMMENT'],
            shown.map((key) => [
              key.fingerprint,
              key.algorithm,
              key.from.length === 0 ? 'any' : key.from.join(' '),
              key.comment,
            ]),
            `User ${args.name} has no keys.`,
          );
        }),
      )
      .command(
        'remove <name>',
        'Nobody logs in with this key any more',
        (a) =>
          a
            .positional('name', nameOption)
            .option('fingerprint', {
              type: 'string',
              demandOption: true,
              requiresArg: true,
              describe: 'SHA256:… as user key list shows it',
            })
            .example('$0 user key remove alice --fingerprint SHA256:…', ''),
        onApp(async (app, args) => {
          await app.members.removeKey(args.name, args.fingerprint);
          print(`Removed the key ${args.fingerprint} of user ${args.name}.`);
        }),
      )
      .demandCommand(1, 'user key add, list or remove?'),
  handler: () => {},
};
