// `clubhouse backup`: an encrypted copy of the whole instance.

import { onApp, readInput, type Noun } from '../context.ts';
import { counted, megabytes, print, printJson } from '../output.ts';

export const backupCommand: Noun = {
  builder: (y) =>
    y
      .positional('dir', {
        type: 'string',
        demandOption: true,
        describe: 'Folder for the backup, on another disk',
      })
      .option('encrypt-to', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'File with the OpenPGP public key of who may restore it; - is standard input',
      })
      .option('files', {
        type: 'boolean',
        default: true,
        describe: 'With the uploads and published files; --no-files: configuration, keys, database',
      })
      .option('json', { type: 'boolean', default: false, describe: 'The manifest, for programs' })
      .example('$0 backup /mnt/backup --encrypt-to it-department.asc', ''),
  handler: onApp(async (app, args) => {
    const { dir, encryptTo, files, json } = args as typeof args & {
      dir: string;
      encryptTo: string;
      files: boolean;
      json: boolean;
    };
    const key = await readInput(encryptTo);
    const made = await app.backUp({ folder: dir, key, files });
    if (json) return printJson(made);
    const out =
      made.leftOut === 0
        ? ''
        : `; ${counted(made.leftOut, 'file')} that changed meanwhile ${made.leftOut === 1 ? 'is' : 'are'} not in it`;
    return print(
      `Backed up to ${made.name}: ${counted(made.entries, 'file')} and folders, ${megabytes(made.sizeBytes)}, encrypted to ${made.fingerprint}${out}.`,
    );
  }),
};
