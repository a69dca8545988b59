// `clubhouse user key`: the SSH keys with which a member logs in.

import { onApp, readInput, type Command } from '../context.ts';
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
            .example('$0 user key add alice --key alice.pub', ''),
        onApp(async (app, args) => {
          const text = (await readInput(args.key)).toString('utf8');
          const { key, isNew } = await app.members.addKey(args.name, text);
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
          const shown = keys.map(({ fingerprint, algorithm, comment }) => ({
            fingerprint,
            algorithm,
            comment,
          }));
          if (args.json) return printJson(shown);
          return printTable(
            ['FINGERPRINT', 'ALGORITHM', 'COMMENT'],
            shown.map((key) => [key.fingerprint, key.algorithm, key.comment]),
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
