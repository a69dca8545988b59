// `npm run clients [-- --mb 300 --files 10000 --client NAME]`: every program that senders use against a real server: upload,
// download, overwrite, resume, rename, listing, odd names, zero bytes, large files and many (test/support/client-*.ts). Prints
// a table; ends with 1 if a byte is not where it has to be. What is missing on this machine is named and left out.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  actionsOf,
  clientActions,
  faultsOf,
  furnish,
  opsAt,
  type ClientAction,
} from '../test/support/client-actions.ts';
import {
  corePrograms,
  morePrograms,
  type ClientProgram,
  type Login,
} from '../test/support/client-programs.ts';
import { Person } from '../test/support/people.ts';
import { Site } from '../test/support/site.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** What went wrong with one program, a line for each action. */
async function drive(
  site: Site,
  alice: Person,
  program: ClientProgram,
  all: readonly ClientAction[],
): Promise<number> {
  const work = await mkdtemp(join(tmpdir(), 'clubhouse-client-'));
  const host = '127.0.0.1';
  const login: Login = { host, port: site.port, user: 'alice', keyFile: alice.key, work };
  let faulty = 0;
  try {
    const actions = actionsOf(program, all);
    await furnish(login, program, actions);
    // Below gpg/ each file is a job; ten thousand from each program would only measure those.
    for (const action of actions) {
      const isMany = Object.keys(action.files).length > 1000;
      const place = `ji_brain/alice/${isMany ? '' : 'gpg/'}${program.name.replaceAll(' ', '-')}`;
      await alice.sftp(site, [`mkdir /home/${place}`]);
      const started = Date.now();
      const done = await program.run(login, opsAt(action.ops, `/home/${place}`));
      const seconds = ((Date.now() - started) / 1000).toFixed(1);
      const disk = join(site.home, 'data/home', place);
      const faults = [...(await faultsOf(action, login, disk, done.stdout.toString()))];
      if (done.code !== 0) faults.push(`exit ${done.code}: ${done.stderr.slice(-300)}`);
      if (faults.length > 0) faulty += 1;
      say(
        `| ${program.name} | ${action.name} | ${seconds} s | ${faults.length === 0 ? 'right' : faults.join('; ')} |`,
      );
    }
    for (const [what, why] of Object.entries(program.cannot)) {
      say(`| ${program.name} | ${what} | | cannot: ${why} |`);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return faulty;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      mb: { type: 'string', default: '300' },
      files: { type: 'string', default: '10000' },
      client: { type: 'string' },
    },
  });
  const wanted = [...corePrograms, ...morePrograms].filter(
    ({ name }) => values.client === undefined || name === values.client,
  );
  const actions = clientActions(Number(values.mb) * 1_000_000, Number(values.files));
  const site = await Site.make('PUHSC', 'workers: 1');
  const alice = await Person.make('alice');
  let faulty = 0;
  try {
    await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
    await site.run(['user', 'add', 'alice', '--project', 'brain', '--key', alice.publicKey]);
    await site.start();
    say('| program | action | time | bytes |\n| --- | --- | --- | --- |');
    for (const program of wanted) {
      const absent = program.missing();
      if (absent === false) faulty += await drive(site, alice, program, actions);
      else say(`| ${program.name} | | | left out: ${absent} |`);
    }
  } finally {
    await site.remove();
    await alice.remove();
  }
  say(`clients: ${faulty} actions failed`);
  return faulty === 0 ? 0 : 1;
}

process.exitCode = await main();
