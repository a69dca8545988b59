// `clubhouse project`: the collaborations.

import type { Project, ProjectChange } from '../../app.ts';
import { sizeText } from '../../core/sizes.ts';
import { manyOf, onApp, readProfileOption, readSize, type Noun } from '../context.ts';
import { UsageError, iso, print, printJson, printTable } from '../output.ts';

const toJson = (project: Project): object => ({
  ...project,
  legalHold:
    project.legalHold === null
      ? null
      : { ...project.legalHold, since: iso(project.legalHold.since) },
  createdAt: iso(project.createdAt),
});

const say = (project: Project): string =>
  `project ${project.name}: profile ${project.profile}, ` +
  (project.partners.length === 0 ? 'no partner yet' : `partners ${project.partners.join(', ')}`);

const jsonOption = { type: 'boolean', default: false, describe: 'For programs' } as const;
const nameOption = { type: 'string', demandOption: true, describe: 'Without ji_' } as const;
const profileOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Name of a profile, or a YAML file, which is copied to config/profiles',
} as const;

const quotaOption = {
  type: 'string',
  requiresArg: true,
  describe: 'Room for everything in its folders, e.g. 500GB, or none',
} as const;

const holdText = ({ reason, since }: NonNullable<Project['legalHold']>): string =>
  `LEGAL HOLD since ${iso(since)}: ${reason}; no raw file is removed`;

function readHold(args: {
  legalHold: 'on' | 'off' | undefined;
  reason: string | undefined;
}): Pick<ProjectChange, 'legalHold'> {
  const reason = args.reason?.trim() ?? '';
  if (args.legalHold === undefined) {
    if (args.reason !== undefined) throw new UsageError('--reason goes with --legal-hold');
    return {};
  }
  if (reason === '') throw new UsageError('--legal-hold needs a --reason');
  return { legalHold: { isOn: args.legalHold === 'on', reason } };
}

function settingsIn(args: {
  readonly quota: string | undefined;
  readonly directDicom: 'hold' | 'allow' | undefined;
}): Pick<ProjectChange, 'settings'> {
  const settings = {
    ...(args.directDicom === undefined ? {} : { directDicom: args.directDicom }),
    ...(args.quota === undefined ? {} : { quotaBytes: readSize(args.quota) }),
  };
  return Object.keys(settings).length === 0 ? {} : { settings };
}

function tellSettings({ settings, legalHold }: Project): void {
  const { quotaBytes, directDicom } = settings;
  const room = quotaBytes === null ? 'no quota' : `quota ${sizeText(quotaBytes)}`;
  print(
    `${room} for all of its folders; DICOM put into the shared folder as it is: ${directDicom}`,
  );
  if (legalHold !== null) print(holdText(legalHold));
}

export const projectCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'add <name>',
        'Make a project, or change the one that is there',
        (a) =>
          a
            .positional('name', nameOption)
            .option('profile', profileOption)
            .option('partner', {
              type: 'string',
              array: true,
              requiresArg: true,
              describe: 'Code of a partner; may be repeated',
            })
            .option('quota', quotaOption)
            .example('$0 project add brain --profile basic --partner UMHS', ''),
        onApp(async (app, args) => {
          const profile = await readProfileOption(app, args.profile, args.name);
          const { project, isNew } = await app.projects.add({
            name: args.name,
            ...(profile === undefined ? {} : { profile }),
            partners: manyOf(args.partner),
            ...settingsIn({ quota: args.quota, directDicom: undefined }),
          });
          print(`${isNew ? 'Added' : 'It was there; updated'} ${say(project)}.`);
        }),
      )
      .command(
        'list',
        'All projects',
        (a) => a.option('json', jsonOption).example('$0 project list --json', ''),
        onApp(async (app, args) => {
          const projects = await app.projects.list();
          if (args.json) return printJson(projects.map(toJson));
          return printTable(
            ['NAME', 'STATE', 'PROFILE', 'PARTNERS'],
            projects.map((p) => [p.name, p.state, p.profile, p.partners.join(' ')]),
            'No projects yet; make one with clubhouse project add NAME.',
          );
        }),
      )
      .command(
        'show <name>',
        'One project',
        (a) =>
          a
            .positional('name', nameOption)
            .option('json', jsonOption)
            .example('$0 project show brain', ''),
        onApp(async (app, args) => {
          const project = await app.projects.show(args.name);
          if (args.json) return printJson(toJson(project));
          print(`${say(project)}; ${project.state}; made ${iso(project.createdAt)}`);
          return tellSettings(project);
        }),
      )
      .command(
        'set <name>',
        'Change a project',
        (a) =>
          a
            .positional('name', nameOption)
            .option('profile', profileOption)
            .option('add-partner', { type: 'string', array: true, requiresArg: true })
            .option('remove-partner', { type: 'string', array: true, requiresArg: true })
            .option('direct-dicom', {
              choices: ['hold', 'allow'] as const,
              describe: 'DICOM that is put into the shared folder as it is',
            })
            .option('quota', quotaOption)
            .option('legal-hold', {
              choices: ['on', 'off'] as const,
              describe: 'While it is on, no raw file of the project is removed by retention',
            })
            .option('reason', { type: 'string', requiresArg: true, describe: 'Of --legal-hold' })
            .example('$0 project set brain --legal-hold on --reason "IRB inquiry 12"', '')
            .example('$0 project set brain --profile research-ct-mr', '')
            .example('$0 project set phantom --direct-dicom allow', '')
            .example('$0 project set brain --quota 500GB', ''),
        onApp(async (app, args) => {
          const wanted = {
            addPartners: manyOf(args.addPartner),
            removePartners: manyOf(args.removePartner),
            ...readHold(args),
            ...settingsIn(args),
          };
          if (args.profile === undefined && Object.values(wanted).flat().length === 0) {
            throw new UsageError('what is to change? --profile, --quota or another option');
          }
          const profile = await readProfileOption(app, args.profile, args.name);
          const change = { ...(profile === undefined ? {} : { profile }), ...wanted };
          const project = await app.projects.set(args.name, change);
          print(`Changed ${say(project)}.`);
          tellSettings(project);
        }),
      )
      .command(
        'archive <name>',
        'End a project: nobody sees it over SFTP any more, nothing is deleted',
        (a) => a.positional('name', nameOption).example('$0 project archive brain', ''),
        onApp(async (app, args) => {
          const project = await app.projects.archive(args.name);
          print(`Archived project ${project.name}; project add brings it back.`);
        }),
      )
      .demandCommand(1, 'project add, list, show, set or archive?'),
};
