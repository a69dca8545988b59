// `clubhouse user set`: until when, from where, with how much room and in which projects an account is used.

import type { Argv } from 'yargs';
import type { MemberLimits, MemberView } from '../../app.ts';
import { sizeText } from '../../core/sizes.ts';
import { manyOf, onApp, readDate, readNetworks, readSize, type Globals } from '../context.ts';
import { print, shortTime, UsageError } from '../output.ts';

export const nameOption = {
  type: 'string',
  demandOption: true,
  describe: 'Name of the account',
} as const;

export const limitOptions = {
  expires: {
    type: 'string',
    requiresArg: true,
    describe: 'Last day of the account, e.g. 2026-12-31, or never',
  },
  from: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe: 'Network from which it logs in, e.g. 192.0.2.0/24, or any; may be repeated',
  },
  quota: {
    type: 'string',
    requiresArg: true,
    describe: 'Room for its own folders, e.g. 50GB, or none',
  },
} as const;

export function limitsIn(args: {
  readonly expires: string | undefined;
  readonly from: readonly string[] | undefined;
  readonly quota: string | undefined;
}): MemberLimits {
  const sources = readNetworks(args.from);
  return {
    ...(args.expires === undefined ? {} : { expiresAt: readDate(args.expires) }),
    ...(sources === undefined ? {} : { sources }),
    ...(args.quota === undefined ? {} : { quotaBytes: readSize(args.quota) }),
  };
}

/** Only what is out of the ordinary. */
export function tellLimits(member: MemberView): void {
  if (member.sources.length > 0) print(`logs in from ${member.sources.join(' ')} alone`);
  if (member.quotaBytes !== null) print(`quota ${sizeText(member.quotaBytes)}`);
  tellExpiry(member);
}

function tellExpiry({ expiresAt }: MemberView): void {
  if (expiresAt !== null && expiresAt <= Date.now()) {
    print('It has expired; user set --expires lets it in again.');
  }
}

/** All of them: what was taken back shows too. */
function limitsText({ expiresAt, sources, quotaBytes }: MemberView): string {
  const until = expiresAt === null ? 'never' : shortTime(expiresAt).slice(0, 10);
  const from = sources.length === 0 ? 'any network' : sources.join(' ');
  const room = quotaBytes === null ? 'no quota' : `quota ${sizeText(quotaBytes)}`;
  return `expires ${until}; logs in from ${from}; ${room}`;
}

function tellLeft({ name, projects }: MemberView, left: readonly string[]): void {
  const from = left.length === 1 ? `project ${left.join()}` : `projects ${left.join(', ')}`;
  print(
    `Changed user ${name}: out of ${from}; what it uploaded there goes on, its folder stays. Still in ${projects.join(', ')}.`,
  );
}

export const addUserSet = (y: Argv<Globals>): Argv<Globals> =>
  y.command(
    'set <name>',
    'Change until when, from where and with how much room it is used, or end its part in a project',
    (a) =>
      a
        .positional('name', nameOption)
        .options(limitOptions)
        .option('remove-project', {
          type: 'string',
          array: true,
          requiresArg: true,
          describe: 'Take it out of this project; what it uploaded goes on. May be repeated',
        })
        .example('$0 user set alice --from 192.0.2.0/24 --quota 50GB', '')
        .example('$0 user set alice --from any --quota none --expires never', '')
        .example('$0 user set alice --remove-project brain', ''),
    onApp(async (app, args) => {
      const limits = limitsIn(args);
      const leaves = manyOf(args.removeProject);
      const isLimited = Object.keys(limits).length > 0;
      if (!isLimited && leaves.length === 0) {
        throw new UsageError('what is to change? --expires, --from, --quota or --remove-project');
      }
      const { member, left } = await app.members.set(args.name, { ...limits, leaves });
      if (left.length > 0) tellLeft(member, left);
      else if (!isLimited) {
        print(`User ${member.name} is not in ${leaves.join(', ')}; nothing changed.`);
      }
      if (isLimited) print(`Changed user ${member.name}: ${limitsText(member)}.`);
      tellExpiry(member);
    }),
  );
