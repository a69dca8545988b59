// `clubhouse user`: the members' accounts.

import type { App, MemberView } from '../../app.ts';
import { manyOf, onApp, readInput, readPassword, type Noun } from '../context.ts';
import { iso, print, printJson, printTable, shortTime, UsageError, warn } from '../output.ts';
import { userKeyCommand } from './user-key.ts';
import { addUserSet, limitOptions, limitsIn, nameOption, tellLimits } from './user-set.ts';
import { publicAddress, welcomeText } from './user-welcome.ts';

const toJson = (member: MemberView): object => ({
  ...member,
  keys: member.keys.map(({ fingerprint, algorithm, comment, sources }) => ({
    fingerprint,
    algorithm,
    comment,
    from: sources ?? [],
  })),
  expiresAt: iso(member.expiresAt),
  from: member.sources,
  sources: undefined,
  locks: member.locks.map(({ source, until }) => ({ source, until: iso(until) })),
  createdAt: iso(member.createdAt),
});

const jsonOption = { type: 'boolean', default: false, describe: 'For programs' } as const;
const stdinOption = {
  type: 'boolean',
  default: false,
  describe: 'Read the password from standard input',
} as const;

const waysIn = (member: MemberView): string => {
  const keys = member.keys.length === 1 ? '1 key' : `${member.keys.length} keys`;
  const password = member.hasPassword ? 'a password' : 'no password';
  return `${keys}, ${password}`;
};

function warnAboutPassword(password: string | undefined): void {
  if (password !== undefined && password !== '' && password.length < 12) {
    warn('the password has less than 12 characters; a longer one, or a key, is safer');
  }
}

/** From standard input; else a new account that has no key is asked for one on a terminal. */
async function passwordFor(
  app: App,
  args: {
    readonly name: string;
    readonly project: readonly string[] | undefined;
    passwordStdin: boolean;
  },
  hasKey: boolean,
): Promise<string | undefined> {
  const { name, passwordStdin } = args;
  if (passwordStdin) return readPassword(true, '');
  if (hasKey || (await app.members.list()).some((member) => member.name === name)) return undefined;
  // Nobody should type a password twice and then hear that the project does not exist.
  for (const project of manyOf(args.project)) await app.projects.show(project);
  return readPassword(false, `Password for ${name} (only Return for none yet): `);
}

export const userCommand: Noun = {
  builder: (y) =>
    addUserSet(y)
      .command(
        'add <name>',
        'Make an account, or change the one that is there',
        (a) =>
          a
            .positional('name', nameOption)
            .option('project', {
              type: 'string',
              array: true,
              requiresArg: true,
              describe: 'Name of a project; may be repeated',
            })
            .option('key', {
              type: 'string',
              requiresArg: true,
              describe: 'File with an SSH public key; - is standard input',
            })
            .option('password-stdin', stdinOption)
            .options(limitOptions)
            .example('$0 user add alice --project brain --key alice.pub', '')
            .example('$0 user add bob --project brain', 'asks for a password on the terminal')
            .example('$0 user add bob --project brain --password-stdin < secret.txt', ''),
        onApp(async (app, args) => {
          if (args.key === '-' && args.passwordStdin) {
            throw new UsageError('--key - and --password-stdin cannot both read standard input');
          }
          const key = args.key === undefined ? undefined : await readInput(args.key);
          const password = await passwordFor(app, args, key !== undefined);
          warnAboutPassword(password);
          const { member, isNew } = await app.members.add({
            name: args.name,
            projects: manyOf(args.project),
            ...(key === undefined ? {} : { key: key.toString('utf8') }),
            ...(password === undefined ? {} : { password }),
            ...limitsIn(args),
          });
          const what = isNew ? 'Added' : 'It was there; updated';
          print(
            `${what} user ${member.name}: projects ${member.projects.join(', ')}; ${waysIn(member)}.`,
          );
          tellLimits(member);
          if (member.state === 'disabled') print('It is disabled; user enable lets it in again.');
          if (member.keys.length === 0 && !member.hasPassword) {
            print('It cannot log in yet: clubhouse user passwd, or user key add.');
          }
        }),
      )
      .command(
        'list',
        'All accounts',
        (a) => a.option('json', jsonOption).example('$0 user list --json', ''),
        onApp(async (app, args) => {
          const members = await app.members.list();
          if (args.json) return printJson(members.map(toJson));
          return printTable(
            ['NAME', 'STATE', 'PROJECTS', 'LOGIN', 'EXPIRES'],
            members.map((m) => [
              m.name,
              m.state,
              m.projects.join(' '),
              waysIn(m),
              m.expiresAt === null ? 'never' : shortTime(m.expiresAt).slice(0, 10),
            ]),
            'No users yet; make one with clubhouse user add NAME --project P.',
          );
        }),
      )
      .command(
        'show <name>',
        'One account',
        (a) =>
          a
            .positional('name', nameOption)
            .option('json', jsonOption)
            .example('$0 user show alice', ''),
        onApp(async (app, args) => {
          const member = await app.members.show(args.name);
          if (args.json) return printJson(toJson(member));
          print(`user ${member.name}: ${member.state}; projects ${member.projects.join(', ')}`);
          print(`expires ${iso(member.expiresAt) ?? 'never'}; ${waysIn(member)}`);
          tellLimits(member);
          for (const { source, until } of member.locks) {
            print(`wrong passwords from ${source}: no password from there until ${iso(until)}`);
          }
          for (const key of member.keys) {
            const from = key.sources?.length ? ` from ${key.sources.join(' ')}` : '';
            print(`key ${key.fingerprint} ${key.algorithm} ${key.comment}`.trimEnd() + from);
          }
        }),
      )
      .command(
        'disable <name>',
        'Nobody logs in with this account; sessions end',
        (a) => a.positional('name', nameOption).example('$0 user disable alice', ''),
        onApp(async (app, args) => {
          await app.members.setState(args.name, 'disabled');
          print(`Disabled user ${args.name}; its sessions end.`);
        }),
      )
      .command(
        'enable <name>',
        'Let a disabled account log in again',
        (a) => a.positional('name', nameOption).example('$0 user enable alice', ''),
        onApp(async (app, args) => {
          await app.members.setState(args.name, 'active');
          print(`Enabled user ${args.name}.`);
        }),
      )
      .command(
        'passwd <name>',
        'Set the password',
        (a) =>
          a
            .positional('name', nameOption)
            .option('password-stdin', stdinOption)
            .example('$0 user passwd alice', 'asks on the terminal')
            .example('$0 user passwd alice --password-stdin < secret.txt', ''),
        onApp(async (app, args) => {
          await app.members.show(args.name);
          const password = await readPassword(args.passwordStdin, `Password for ${args.name}: `);
          if (password === undefined) throw new UsageError('no password; use --password-stdin');
          warnAboutPassword(password);
          await app.members.setPassword(args.name, password);
          print(`Set the password of user ${args.name}.`);
        }),
      )
      .command(
        'unlock <name>',
        'Forget wrong passwords and the lock that they brought',
        (a) => a.positional('name', nameOption).example('$0 user unlock alice', ''),
        onApp(async (app, args) => {
          await app.members.unlock(args.name);
          print(`Unlocked user ${args.name}.`);
        }),
      )
      .command(
        'remove <name>',
        'End an account; its folders move to data/removed',
        (a) => a.positional('name', nameOption).example('$0 user remove alice', ''),
        onApp(async (app, args) => {
          const { id, withdrawn } = await app.members.remove(args.name);
          const uploads = withdrawn === 1 ? '1 upload' : `${withdrawn} uploads`;
          const also = withdrawn === 0 ? '' : `; ${uploads} not yet processed were withdrawn`;
          print(`Removed user ${args.name}; its folders are in data/removed/${id}${also}.`);
        }),
      )
      .command(
        'welcome <name>',
        'A text to send to the researcher: how to connect and upload',
        (a) => a.positional('name', nameOption).example('$0 user welcome alice > alice.txt', ''),
        onApp(async (app, args) => {
          const member = await app.members.show(args.name);
          print(welcomeText(member, app.config, await app.hostKeys()));
          if (publicAddress(app.config) === undefined) {
            warn('the name of the server is not known; set listen.publicHost in the configuration');
          }
        }),
      )
      .command(userKeyCommand)
      .demandCommand(
        1,
        'user add, set, list, show, disable, enable, passwd, unlock, remove, welcome or key?',
      ),
};
