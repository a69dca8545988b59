// `npm run torture [-- --kills N --seconds S --seed X]` (and `-- audit --kills N`: a process that only appends to the audit trail): two real sites, clients that upload, cancel, resume, overwrite and remove,
// servers that are killed at any moment, a line that breaks, disks that fill up. At the end it compares what clients were promised with what was
// published and delivered. Its last line has the figures; it ends with 1 if any of them is not 0.

import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import yargs from 'yargs';
import { killAppenders } from '../test/support/audit-kills.ts';
import { Person } from '../test/support/people.ts';
import { Site } from '../test/support/site.ts';
import { chanceOf } from './torture/chance.ts';
import { Disk } from './torture/disk.ts';
import { Receiver } from './torture/contents.ts';
import { Killer } from './torture/killer.ts';
import { Ledger } from './torture/ledger.ts';
import { Line } from './torture/line.ts';
import { noFigures, Reconciler, type Account } from './torture/reconcile.ts';
import { Obstacle } from './torture/obstacle.ts';
import { Sender, type Behaviour } from './torture/sender.ts';
import { Watcher } from './torture/watcher.ts';

const settings = [
  'intake: { settle: 300ms }',
  'replication: { every: 1s }',
  'workers: 2',
  'log: { level: info }',
].join('\n');

const outgoing = 'ji_brain/club_house/From_PUHSC_To_UMHS';

interface Options {
  readonly kills: number;
  readonly seconds: number;
  readonly senders: number;
  readonly seed: string;
  readonly disk: number;
  readonly keep: boolean;
}

interface Sites {
  readonly peking: Site;
  readonly michigan: Site;
  readonly alice: Person;
  readonly receiver: Receiver;
  readonly line: Line;
  readonly disks: readonly [Disk, Disk];
}

async function main(): Promise<number> {
  if (process.argv[2] === 'audit') return tortureAudit();
  const options = await yargs(process.argv.slice(2))
    .option('kills', { type: 'number', default: 30, describe: 'How often a server is killed' })
    .option('seconds', { type: 'number', default: 75, describe: 'How long clients upload' })
    .option('senders', { type: 'number', default: 8, describe: 'Clients at once' })
    .option('seed', { type: 'string', default: randomBytes(4).toString('hex') })
    .option('disk', {
      type: 'number',
      default: 0,
      describe:
        'Megabytes of a small disk for each site, filled now and then (needs root); 3 for each kill are enough',
    })
    .option('keep', { type: 'boolean', default: false, describe: 'Leave the sites on disk' })
    .strict()
    .parse();
  say(`seed ${options.seed}: ${options.kills} kills in ${options.seconds} s`);
  let isFaulty = true;
  const sites = await makeSites(options, () => isFaulty);
  const account: Account = { figures: noFigures(), lines: [] };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Servers and small disks do not outlive a run that is stopped.
    process.once(signal, () => void end(sites, options.keep).finally(() => process.exit(130)));
  }
  try {
    const summary = await torture(sites, options, account, () => (isFaulty = false));
    for (const line of account.lines.slice(0, 50)) say(`  ${line}`);
    const figures = Object.entries(account.figures).map(([name, count]) => `${name} ${count}`);
    say(`torture: ${summary}; ${figures.join(', ')}`);
    return Object.values(account.figures).every((count) => count === 0) ? 0 : 1;
  } finally {
    sites.line.close();
    await end(sites, options.keep);
  }
}

/** Kills of a process that appends, each with a look whether the trail is whole and has all that was committed. */
async function tortureAudit(): Promise<number> {
  const { kills } = await yargs(process.argv.slice(3))
    .option('kills', { type: 'number', default: 1000, describe: 'How often it is killed' })
    .strict()
    .parse();
  const result = await killAppenders(kills, () => Math.random() * 40, 50);
  const figures = `${result.lost} lost, ${result.falseAlarms} false alarms`;
  say(`torture: audit, ${result.kills} kills, ${result.entries} entries; ${figures}`);
  return result.lost + result.falseAlarms === 0 ? 0 : 1;
}

async function torture(
  sites: Sites,
  options: Options,
  account: Account,
  mend: () => void,
): Promise<string> {
  const { peking, michigan, receiver, line, disks } = sites;
  const ledger = new Ledger();
  const chance = chanceOf(`${options.seed} killer`);
  const here = join(peking.home, 'data', 'home', outgoing);
  const there = join(michigan.home, 'data', 'home', outgoing);
  const watchers = [new Watcher(here, receiver, ledger), new Watcher(there, receiver, ledger)];
  const [published, arrived] = watchers as [Watcher, Watcher];
  let isOver = false;
  const isDone = (): boolean => isOver;
  await Promise.all([peking.start(), michigan.start()]);
  const watching = Promise.all([published.run(isDone, false), arrived.run(isDone, true)]);
  const obstacle = new Obstacle(join(there, 'gpg-alice'));
  const killer = new Killer({ sender: peking, receiver: michigan, line, disks, obstacle, chance });
  const senders = await makeSenders(sites, options, ledger, () => killer.wished);
  const sending = Promise.all(senders.map((sender) => sender.run()));
  await killer.run(options.kills, options.seconds);
  mend();
  clientsAreOver = true;
  // Each ends what it began. One that cannot, say on a disk that stays full, has no promise and is not waited for.
  await Promise.race([sending, sleep(300_000, undefined, { ref: false })]);
  await comeToRest(peking, ledger);
  isOver = true;
  await watching;
  const { unreached } = killer;
  const open = await judge({ sites, published, arrived, ledger, account, unreached });
  const looks = published.looks + arrived.looks;
  say(`  kills: ${killer.summary.join(', ')}`);
  if (killer.unmet.length > 0) say(`  steps that were not met: ${killer.unmet.join(', ')}`);
  if (open > 0) say(`  ${open} clients could not end what they began; is the disk large enough?`);
  const acknowledged = ledger.tracks.filter((track) => track.ending === 'acknowledged').length;
  return `${ledger.tracks.length} files (${acknowledged} acknowledged), ${killer.kills} kills, ${killer.fills} full disks, ${line.cuts} cuts, ${looks} looks`;
}

let clientsAreOver = false;

async function makeSenders(
  { peking, alice }: Sites,
  options: Options,
  ledger: Ledger,
  wished: () => readonly Behaviour[],
): Promise<readonly Sender[]> {
  const privateKey = await readFile(alice.key);
  return Array.from({ length: options.senders }, (_, i) => {
    const chance = chanceOf(`${options.seed} sender ${i}`);
    const isOver = (): boolean => clientsAreOver;
    const place = { port: peking.port, privateKey, outgoing: `/home/${outgoing}` };
    return new Sender({ ...place, ledger, chance, isOver, wished });
  });
}

/** Answers how many clients could not end what they began. */
async function judge(what: {
  readonly sites: Sites;
  readonly published: Watcher;
  readonly arrived: Watcher;
  readonly ledger: Ledger;
  readonly account: Account;
  readonly unreached: readonly string[];
}): Promise<number> {
  const { sites, published, arrived, ledger, account } = what;
  const reconciler = new Reconciler(account, ledger);
  reconciler.contents(await published.look(false), await arrived.look(true));
  for (const watcher of [published, arrived]) {
    for (const { kind, where, what } of watcher.findings)
      reconciler.tell(kind, `${where}: ${what}`);
    for (const name of await watcher.temporaries()) reconciler.tell('orphans', name);
  }
  for (const step of what.unreached) reconciler.tell('unreached', step);
  await reconciler.leftovers(sites.peking);
  await reconciler.receipts(sites.peking);
  await reconciler.audit(sites.peking);
  await reconciler.audit(sites.michigan);
  return reconciler.open(sites.disks.some(({ isSmall }) => isSmall));
}

/** Nothing moved for so long: it never will. The only time limit, so that a slow machine is not taken for a fault. */
const standstillMs = 120_000;

/** Until nothing is owed any more, or nothing moves. */
async function comeToRest(site: Site, ledger: Ledger): Promise<void> {
  const abandoned = new Set(
    ledger.tracks
      .filter(({ ending }) => ending === 'abandoned' || ending === 'open')
      .flatMap(({ paths }) => paths),
  );
  const over = ['delivered', 'superseded', 'withdrawn', 'held', 'failed', 'rejected'];
  let [seen, since] = ['', Date.now()];
  await retryUnlucky(site);
  for (;;) {
    await sleep(1000);
    await site.run(['replicate', 'now']).catch(() => undefined);
    const open = (await site.jobs())
      .filter(
        (job) =>
          !over.includes(job.state) && !(job.state === 'partial' && abandoned.has(job.upload)),
      )
      .map((job) => `${job.id} ${job.state}`);
    const chores = await choresOf(site);
    if (open.length === 0 && chores.length === 0) return;
    const now = [...open, ...chores].join();
    if (now !== seen) [seen, since] = [now, Date.now()];
    else if (Date.now() - since > standstillMs) return;
  }
}

/** What was in work at each of eight kills is failed, and says so: its administrator has it tried again. */
async function retryUnlucky(site: Site): Promise<void> {
  const failed = (await site.jobs()).filter(
    ({ state, reason }) => state === 'failed' && reason === 'WORKER_DIED',
  );
  for (const { id } of failed) await site.run(['job', 'retry', id]);
  if (failed.length > 0) say(`  ${failed.length} jobs were in work at each kill: tried again`);
}

/** What comes last: receipts to be written, and the spool to be swept. */
async function choresOf(site: Site): Promise<readonly string[]> {
  const database = new Database(join(site.home, 'data/state/clubhouse.db'), { readonly: true });
  try {
    const due = database.prepare('select id from upload where "receiptDue" = 1').pluck().all();
    const spool: string[] = [];
    for (const area of ['claims', 'outputs', 'scratch']) {
      spool.push(...(await readdir(join(site.home, 'data/spool', area))));
    }
    return [...due.map(String), ...spool];
  } finally {
    database.close();
  }
}

async function makeSites(options: Options, isFaulty: () => boolean): Promise<Sites> {
  const disks = [Disk.make(options.disk), Disk.make(options.disk)] as const;
  const peking = await Site.make('PUHSC', settings, disks[0].folder);
  const michigan = await Site.make('UMHS', settings, disks[1].folder);
  const alice = await Person.make('alice');
  const receiver = await Receiver.make();
  const line = await Line.open(michigan.port, chanceOf(`${options.seed} line`), isFaulty);
  await peking.run(['project', 'add', 'brain', '--partner', 'UMHS']);
  await michigan.run(['project', 'add', 'brain', '--partner', 'PUHSC']);
  await peking.run(['user', 'add', 'alice', '--project', 'brain', '--key', alice.publicKey]);
  const key = await alice.file('bob.asc', receiver.publicKey);
  await peking.run([
    ...['recipient', 'add', '--project', 'brain', '--partner', 'UMHS'],
    ...['--key', key, '--fingerprint', receiver.fingerprint],
  ]);
  await peking.run([
    ...['partner', 'add', 'UMHS', '--host', '127.0.0.1', '--port', String(line.port)],
    ...['--user', 'PUHSC', '--host-key', await michigan.hostKey()],
  ]);
  const replicatorKey = join(peking.home, 'keys', 'replicator_ed25519.pub');
  await michigan.run(['partner', 'accept', 'PUHSC', '--key', replicatorKey]);
  return { peking, michigan, alice, receiver, line, disks };
}

async function end({ peking, michigan, alice, disks }: Sites, isKept: boolean): Promise<void> {
  if (isKept) {
    await Promise.all([peking.stop('SIGKILL'), michigan.stop('SIGKILL')]);
    say(`kept: ${peking.home} ${michigan.home}`);
    return;
  }
  await Promise.all([peking.remove(), michigan.remove(), alice.remove()]);
  for (const disk of disks) disk.remove();
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exit(await main());
