// `clubhouse restore`: an instance out of a backup. The private key stays with its owner: gpg is asked to decrypt, or the key
// comes from a file, and its passphrase from the terminal or standard input.

import { resolveHome } from '../../config.ts';
import { readInput, type Noun } from '../context.ts';
import { askHidden, counted, isTerminal, print, readStdin, UsageError, warn } from '../output.ts';

export const restoreCommand: Noun = {
  builder: (y) =>
    y
      .positional('dir', {
        type: 'string',
        demandOption: true,
        describe: 'Folder with backups, of which the newest is taken; - is what gpg -d gives',
      })
      // Else yargs takes a lone - for an empty text.
      .nargs('dir', 1)
      .option('key', {
        type: 'string',
        requiresArg: true,
        describe: 'File with the OpenPGP private key; without it, gpg is asked to decrypt',
      })
      .option('passphrase-stdin', {
        type: 'boolean',
        default: false,
        describe: 'Read its passphrase from standard input',
      })
      .example('$0 restore /mnt/backup --home /srv/clubhouse-new', 'with the key in your gpg')
      .example('gpg -d backup.tar.gpg | $0 restore - --home /srv/clubhouse-new', ''),
  handler: async (args) => {
    const { dir, key, passphraseStdin } = args as typeof args & {
      dir: string;
      key?: string;
      passphraseStdin: boolean;
    };
    const users = [dir === '-', key === '-', passphraseStdin].filter((is) => is).length;
    if (users > 1) throw new UsageError('only one thing can come from standard input');
    if (dir === '-' && key !== undefined)
      throw new UsageError('with - there is nothing to decrypt');
    const passphrase = passphraseStdin
      ? (await readStdin()).toString('utf8').replace(/\r?\n$/, '')
      : undefined;
    const { restore } = await import('../../app-backup.ts');
    const home = resolveHome(args.home);
    const done = await restore({
      home,
      from: dir,
      key: key === undefined ? undefined : await readInput(key),
      passphrase,
      ask: async () => {
        if (isTerminal()) return askHidden('Passphrase of the private key: ');
        throw new UsageError('the key has a passphrase: give it with --passphrase-stdin');
      },
    });
    if (done.lost > 0) {
      warn(
        `${counted(done.lost, 'upload')} was published and not yet delivered, and is not in the backup; see job list --failed`,
      );
    }
    print(
      `Restored ${done.facts.site} of ${done.facts.createdAt} to ${home}, host key ${done.hostKey}. ` +
        'Make sure that the old server is off; then run clubhouse doctor, and clubhouse serve.',
    );
  },
};
