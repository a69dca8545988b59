// `clubhouse profile`: the rules of de-identification.

import { basename } from 'node:path';
import type { PreviewRow } from '../../core/deid/preview.ts';
import { profileFromRows } from '../../core/deid/profile-import.ts';
import { readFieldList } from '../field-list.ts';
import { demandFile, onApp, readInput, type Noun } from '../context.ts';
import { print, printJson, printTable } from '../output.ts';

const json = { type: 'boolean', default: false, describe: 'For programs' } as const;
/** What changes, before and after; what stays is only counted. */
function printSideBySide(rows: readonly (PreviewRow & { readonly action: string })[]): void {
  const changed = rows.filter((row) => row.change !== 'kept');
  const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
  printTable(
    ['TAG', 'ATTRIBUTE', 'BEFORE', 'AFTER', 'ACTION'],
    changed.map((row) => [row.tag, row.keyword, short(row.before), short(row.after), row.action]),
    'Nothing changes.',
  );
  print(`${rows.length - changed.length} others stay as they are.`);
}

/** Of private attributes a few words more are said than the kind. */
const kindOf = (action: string): string => action.split(' ')[0] ?? '';

function countedActions(attributes: readonly { readonly action: string }[]): string {
  const counts = new Map<string, number>();
  for (const { action } of attributes) {
    const kind = kindOf(action);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([action, count]) => `${count} ${action}`).join(', ') || 'none';
}

const stem = (file: string): string => basename(file).replace(/\.(ya?ml|csv)$/, '');

export const profileCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'list',
        'Shipped profiles, and those in config/profiles',
        (a) => a.option('json', json).example('$0 profile list', ''),
        onApp(async (app, args) => {
          const all = await app.profiles.list();
          if (args.json) return printJson(all);
          return printTable(
            ['NAME', 'ORIGIN', 'HASH', 'PROJECTS', 'MISTAKE'],
            all.map((p) => [
              p.name,
              p.origin,
              p.hash?.slice(0, 12) ?? 'not valid',
              p.projects.join(' '),
              p.mistake ?? '',
            ]),
            'No profiles.',
          );
        }),
      )
      .command(
        'show <name>',
        'What a profile does with every attribute, and which rule says so',
        (a) =>
          a
            .positional('name', { type: 'string', demandOption: true })
            .option('action', {
              type: 'string',
              requiresArg: true,
              describe: 'Only what gets this action, e.g. keep: all that stays',
            })
            .option('json', json)
            .example('$0 profile show basic --action keep', ''),
        onApp(async (app, args) => {
          const { profile, hash, attributes: all } = await app.describeProfile(args.name);
          const attributes = all.filter(
            ({ action }) => args.action === undefined || kindOf(action) === args.action,
          );
          if (args.json) return printJson({ ...profile, hash, attributes });
          print(`profile ${profile.name}, ${hash}`);
          print(
            `extends ${profile.bases.join(' → ') || 'nothing'}; options ${profile.options.join(', ') || 'none'}`,
          );
          const { subject, dates } = profile;
          print(
            `subject ${subject.code}, prefix ${subject.prefix || 'none'}, issuer ${subject.issuer || 'none'}; ` +
              `dates moved in ${dates.wholeWeeks ? 'whole weeks' : 'days'}`,
          );
          print(
            `burnedIn ${profile.burnedIn}; noPatientId ${profile.noPatientId}; otherFiles ` +
              `${profile.otherFiles}; names ${profile.names}; onExclusion ${profile.onExclusion}`,
          );
          print('A sequence that is kept has what is in it judged by the same list.');
          printTable(
            ['TAG', 'ATTRIBUTE', 'ACTION', 'WHEN', 'FROM'],
            attributes.map((one) => [
              one.tag,
              one.keyword,
              one.value === '' ? one.action : `${one.action} "${one.value}"`,
              one.when,
              one.origin,
            ]),
            'No attributes.',
          );
          print(`${attributes.length} attributes and rules: ${countedActions(attributes)}`);
        }),
      )
      .command(
        'check <file>',
        'Find the mistakes of a profile file, with their lines',
        (a) =>
          a
            .positional('file', { type: 'string', demandOption: true })
            .example('$0 profile check my-profile.yaml', ''),
        onApp(async (app, args) => {
          const text = (await readInput(args.file)).toString('utf8');
          const profile = await app.profiles.check(text, stem(args.file));
          print(
            `${args.file} is valid: ${profile.rules.length} rules, extends ${profile.bases[0] ?? 'nothing'}.`,
          );
        }),
      )
      .command(
        'import <file>',
        'Make a profile from a field list (CSV with tag or keyword, action, value; creator, when)',
        (a) =>
          a
            .positional('file', { type: 'string', demandOption: true })
            .option('name', {
              type: 'string',
              requiresArg: true,
              describe: 'Else that of the file',
            })
            .example('$0 profile import fields.csv --name brain', ''),
        onApp(async (app, args) => {
          const rows = readFieldList(await readInput(args.file));
          const name = args.name ?? stem(args.file);
          const changed = await app.profiles.keep(name, profileFromRows(rows), undefined);
          const what = changed ? 'Made' : 'It was there already:';
          print(`${what} config/profiles/${name}.yaml with ${rows.length} rules.`);
        }),
      )
      .command(
        'preview <files..>',
        'Show what a profile would do with files; nothing is written or sent',
        (a) =>
          a
            .positional('files', { type: 'string', array: true, demandOption: true })
            .option('profile', { type: 'string', default: 'basic', requiresArg: true })
            .option('json', json)
            .example('$0 profile preview scan.dcm --profile brain', ''),
        onApp(async (app, args) => {
          for (const file of args.files) await demandFile(file);
          const previews = await app.previewFiles(args.files, args.profile);
          if (args.json) return printJson(previews);
          for (const one of previews) {
            print(`${one.file}: ${one.outcome}`);
            if (one.rows.length > 0) printSideBySide(one.rows);
            else {
              for (const { tag, keyword, action, count } of one.actions) {
                print(`  ${tag} ${keyword} ${action}${count > 1 ? ` ×${count}` : ''}`);
              }
            }
            for (const { name, reason } of one.leftOut) print(`  left out: ${name} (${reason})`);
          }
        }),
      )
      .demandCommand(1, 'profile list, show, check, import or preview?'),
};
