// clubhouse demo: the product explained by one real exchange between two sites on this machine.

import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Noun } from '../context.ts';
import { Narrator } from '../demo/narrator.ts';
import type { Demo } from '../demo/story.ts';
import { GivenUp } from '../output.ts';

export const demoCommand: Noun = {
  builder: (y) =>
    y
      .option('once', { type: 'boolean', default: false, describe: 'End when the story is told' })
      .example('$0 demo --once', 'tells the story, removes everything, and ends'),
  handler: async (args) => {
    const folder = await mkdtemp(join(tmpdir(), 'clubhouse-demo-'));
    const stop = new AbortController();
    const abort = (): void => stop.abort();
    // Kept until the folder is gone: a second Ctrl-C must not leave servers behind.
    for (const signal of signals) process.on(signal, abort);
    try {
      await play(folder, args['once'] === true, stop.signal);
    } catch (error) {
      if (stop.signal.aborted) throw new GivenUp('the demo was stopped; everything is removed');
      throw error;
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      for (const signal of signals) process.off(signal, abort);
    }
  },
};

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function play(folder: string, isOnce: boolean, signal: AbortSignal): Promise<void> {
  // What only the demo needs is not loaded for every command.
  const { playStory } = await import('../demo/story.ts');
  const narrator = new Narrator((text) => process.stdout.write(text), process.stdout.isTTY);
  narrator.title('Clubhouse: two hospitals on this machine, one real exchange');
  narrator.say(
    `Everything happens in ${folder}, takes about half a minute, and is removed at the end. All patients are made up. Lines with $ are commands as people type them; the word in front says at which site.`,
  );
  const played = await playStory(folder, narrator, signal);
  try {
    if (isOnce) {
      narrator.blank();
      narrator.say(
        'That was all; everything is removed. Without --once both servers stay up, to try them by hand.',
      );
      return;
    }
    await invite(narrator, played);
    if (!signal.aborted) await once(signal, 'abort');
    narrator.blank();
    narrator.say('Stopping; everything is removed.');
  } finally {
    await played.stop();
  }
}

/** Prints what can be typed in another terminal now. */
async function invite(narrator: Narrator, { folder, peking, michigan }: Demo): Promise<void> {
  const lines = [await peking.hostKey(), await michigan.hostKey()].map(({ line }) => `${line}\n`);
  await writeFile(join(folder, 'known_hosts'), lines.join(''), { mode: 0o600 });
  await mkdir(join(folder, 'gnupg'), { mode: 0o700 });
  const program = process.argv[1] ?? 'clubhouse';
  await writeFile(
    join(folder, 'clubhouse'),
    `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(program)} "$@"\n`,
    { mode: 0o700 },
  );
  const sftp = (port: number, person: string): string =>
    `sftp -P ${port} -i ${person} -o IdentitiesOnly=yes -o UserKnownHostsFile=known_hosts ${person}@127.0.0.1`;
  narrator.step('Now you: open another terminal');
  narrator.command(`cd ${folder}`);
  narrator.say('Alice in Peking: put a DICOM file into gpg/, then look into receipts/.');
  narrator.command(sftp(peking.port, 'alice'));
  narrator.say('Bob in Michigan: his files are in /home/ji_brain/club_house/From_PUHSC_To_UMHS.');
  narrator.command(sftp(michigan.port, 'bob'));
  narrator.say('Bob decrypts with GnuPG; one.dcm.gpg was downloaded above.');
  narrator.command('gpg --homedir gnupg --import bob-private.asc');
  narrator.command('gpg --homedir gnupg --output one.dcm --decrypt one.dcm.gpg');
  narrator.say('The administrators:');
  narrator.command('./clubhouse status --home puhsc');
  narrator.command('./clubhouse job list --home puhsc');
  narrator.command('./clubhouse doctor --home umhs');
  narrator.blank();
  narrator.say('Ctrl-C here ends the servers and removes everything.');
}

const quoted = (path: string): string => `'${path.replaceAll("'", "'\\''")}'`;
