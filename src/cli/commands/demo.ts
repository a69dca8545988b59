// clubhouse demo: the product explained by one real exchange between two sites on this machine.

import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Noun } from '../context.ts';
import { Narrator } from '../demo/narrator.ts';
import type { Demo } from '../demo/story.ts';

export const demoCommand: Noun = {
  builder: (y) =>
    y
      .option('once', { type: 'boolean', default: false, describe: 'End when the story is told' })
      .example('$0 demo --once', 'tells the story, removes everything, and ends'),
  handler: async (args) => {
    const folder = await mkdtemp(join(tmpdir(), 'clubhouse-demo-'));
    try {
      await play(folder, args['once'] === true);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function play(folder: string, isOnce: boolean): Promise<void> {
  // What only the demo needs is not loaded for every command.
  const { playStory } = await import('../demo/story.ts');
  const narrator = new Narrator((text) => process.stdout.write(text), process.stdout.isTTY);
  const stopped = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  narrator.title('Clubhouse: two hospitals on this machine');
  narrator.say(`Everything is in ${folder} and is removed at the end. All patients are made up.`);
  const played = await playStory(folder, narrator, stopped);
  try {
    if (isOnce) {
      narrator.step('Done. Without --once the two servers stay up, to try them by hand');
      return;
    }
    await invite(narrator, played);
    await stopped;
    narrator.say('Stopping.');
  } finally {
    await played.stop();
  }
}

/** Prints what can be typed in another terminal now. */
async function invite(
  narrator: Narrator,
  { folder, peking, michigan, receiver }: Demo,
): Promise<void> {
  const known = join(folder, 'known_hosts');
  const lines = [await peking.hostKey(), await michigan.hostKey()].map(({ line }) => `${line}\n`);
  await writeFile(known, lines.join(''), { mode: 0o600 });
  const sftp = (port: number, person: string): string =>
    `sftp -P ${port} -i ${join(folder, `${person}_ed25519`)} -o IdentitiesOnly=yes -o UserKnownHostsFile=${known} ${person}@127.0.0.1`;
  narrator.step('Now try it yourself, in another terminal');
  narrator.say('As the sender in Peking (put a DICOM file into gpg/, then look into receipts/):');
  narrator.command(sftp(peking.port, 'alice'));
  narrator.say(
    'As the receiver in Michigan (the files are in /home/ji_brain/club_house/From_PUHSC_To_UMHS):',
  );
  narrator.command(sftp(michigan.port, 'bob'));
  narrator.say('Decrypt with GnuPG, in a key ring of its own:');
  const ring = join(folder, 'gnupg');
  narrator.command(
    `mkdir -m 700 ${ring} && gpg --homedir ${ring} --import ${receiver.privateFile}`,
  );
  narrator.command(`gpg --homedir ${ring} --decrypt ${join(folder, 'one.dcm.gpg')} > one.dcm`);
  narrator.say('As the administrator in Peking:');
  narrator.command(`node ${process.argv[1] ?? 'clubhouse'} status --home ${peking.home}`);
  narrator.blank();
  narrator.say('Ctrl-C ends the demo.');
}
