// The power goes at every step of the flow, and whatever was not fsynced is lost with it: what was acknowledged survives,
// nothing is published by half, and the database (synchronous FULL) speaks of files that are there.

import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import Database from 'better-sqlite3';
import { sql } from '../../src/adapters/sql/kysely.ts';
import { makeRig, openFor, place, rename, sha256, upload, type Rig } from '../support/fakes.ts';
import { layOut, PowerCutDisk, type Luck, type Moment } from '../support/power-cut.ts';

const outgoing = 'home/ji_brain/club_house/From_PUHSC_To_UMHS';

interface Cut {
  readonly moment: Moment;
  readonly database: Buffer;
  readonly log: Buffer;
  readonly now: number;
  /** By name: everything that was sent, and how much of that was acknowledged. */
  readonly promised: ReadonlyMap<
    string,
    { readonly sent: readonly string[]; readonly answered: number }
  >;
}

class Recorder {
  readonly cuts: Cut[] = [];
  readonly #rig: Rig;
  readonly #disk: PowerCutDisk;
  readonly #sent = new Map<string, { sent: string[]; answered: number }>();
  readonly #seen = new Set<string>();
  readonly stop: () => void;

  constructor(rig: Rig) {
    this.#rig = rig;
    this.#disk = new PowerCutDisk(rig.folder, ['home', 'spool']);
    const look = (): void => this.look();
    this.stop = this.#disk.watch(look);
    for (const port of [rig.uploads, rig.jobs, rig.parts.receipts] as object[]) {
      for (const [name, call] of Object.entries(port)) {
        const run = (call as (...args: unknown[]) => Promise<unknown>).bind(port);
        Object.assign(port, {
          [name]: async (...args: unknown[]) => {
            const answer = await run(...args);
            look();
            return answer;
          },
        });
      }
    }
  }

  async send(name: string, text: string, work: () => Promise<void>): Promise<void> {
    const one = this.#sent.get(name) ?? { sent: [], answered: 0 };
    one.sent.push(text);
    this.#sent.set(name, one);
    await work();
    one.answered = one.sent.length;
    this.look();
  }

  look(): void {
    const at = join(this.#rig.folder, 'clubhouse.db');
    const database = fs.readFileSync(at);
    const log = fs.readFileSync(`${at}-wal`);
    const promised = new Map(
      [...this.#sent].map(([name, { sent, answered }]) => [name, { sent: [...sent], answered }]),
    );
    for (const luck of ['no names', 'all names'] as const satisfies Luck[]) {
      const moment = this.#disk.moment(luck);
      const mark = sha256(
        JSON.stringify([
          [...moment.folders].map(([key, entries]) => [key, [...entries]]),
          [...moment.contents].map(([key, { bytes }]) => [key, sha256(bytes)]),
          sha256(database) + sha256(log),
          [...promised],
        ]),
      );
      if (this.#seen.has(mark)) continue;
      this.#seen.add(mark);
      this.cuts.push({ moment, database, log, now: this.#rig.clock.now(), promised });
    }
  }
}

/** Starts again from what survived. */
async function after(cut: Cut): Promise<Rig> {
  return makeRig({
    isFast: true,
    width: 1,
    prepare: (folder, clock) => {
      clock.advance(cut.now - clock.now());
      const moved = layOut(cut.moment, folder);
      const at = join(folder, 'clubhouse.db');
      fs.writeFileSync(at, cut.database);
      fs.writeFileSync(`${at}-wal`, cut.log);
      const database = new Database(at);
      // A real disk keeps the numbers of its inodes.
      for (const table of ['upload', 'delivery']) {
        const change = database.prepare(`update ${table} set inode = 'new ' || ? where inode = ?`);
        for (const { was, is } of moved) change.run(is, was);
        database.exec(`update ${table} set inode = substr(inode, 5) where inode like 'new %'`);
      }
      database.close();
    },
  });
}

const published = (rig: Rig) =>
  rig.db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.output', 'job.outputSha256', 'upload.path', 'upload.sha256'])
    .where('job.state', '=', 'published')
    .execute();

/** No file under its final name that is not whole; none that the database speaks of is missing. */
async function isSound(rig: Rig): Promise<string | undefined> {
  for (const file of fs.readdirSync(join(rig.folder, outgoing), { recursive: true })) {
    const at = join(rig.folder, outgoing, String(file));
    if (!fs.statSync(at).isFile()) continue;
    if (!/^sealed \d+: \d+$/.test(fs.readFileSync(at, 'utf8'))) return `half of ${String(file)}`;
  }
  for (const { output, outputSha256 } of await published(rig)) {
    const at = join(rig.folder, outgoing, output ?? '');
    if (!fs.existsSync(at)) return `no ${output}`;
    // A successor may have taken its place, and its row not yet.
    const isOther = sha256(fs.readFileSync(at)) !== outputSha256;
    const inWork = await rig.db
      .selectFrom('job')
      .select('id')
      .where('state', '=', 'processing')
      .where('output', '=', output)
      .executeTakeFirst();
    if (isOther && inWork === undefined) return `another ${output}`;
  }
  return undefined;
}

const isUnderWay = async (rig: Rig): Promise<boolean> =>
  (await rig.db
    .selectFrom('job')
    .select('id')
    .where('state', 'in', ['settling', 'queued', 'processing'])
    .executeTakeFirst()) !== undefined;

/** Each acknowledged upload is published once, with its last acknowledged content or a newer one. */
async function isKept(rig: Rig, cut: Cut): Promise<string | undefined> {
  await rig.recover();
  for (let round = 0; round < 5 && (await isUnderWay(rig)); round += 1) {
    rig.clock.advance(round < 2 ? 6_000 : 31_000);
    while (await rig.worker.turn()) await rig.worker.idle();
  }
  const unsound = await isSound(rig);
  if (unsound !== undefined) return unsound;
  const rows = await published(rig);
  for (const [name, { sent, answered }] of cut.promised) {
    if (answered === 0) continue;
    const mine = rows.filter((row) => row.path.replace(/\.part$/, '') === place(name).path);
    const good = sent.slice(answered - 1).map((text) => sha256(text));
    if (mine.length !== 1) return `${name}: ${JSON.stringify(await rig.states())}`;
    if (!good.includes(mine[0]?.sha256 ?? '')) return `${name}: an older content`;
  }
  const files = fs.readdirSync(join(rig.folder, outgoing), {
    recursive: true,
    withFileTypes: true,
  });
  const count = files.filter((file) => file.isFile()).length;
  return count === rows.length ? undefined : `${count} files of ${rows.length} publications`;
}

async function record(t: Test): Promise<readonly Cut[]> {
  const rig = await makeRig({ isFast: true, width: 1 });
  t.teardown(() => rig.close());
  const { rows } = await sql<{ synchronous: number }>`pragma synchronous`.execute(rig.db);
  t.equal(rows[0]?.synchronous, 2, 'FULL');
  const recorder = new Recorder(rig);
  await recorder.send('a.dcm', 'the first', () => upload(rig, 'a.dcm', 'the first'));
  await rig.settle();
  await recorder.send('b.dcm', 'renamed', async () => {
    await upload(rig, 'b.dcm.part', 'renamed');
    await rename(rig, 'b.dcm.part', 'b.dcm');
  });
  await recorder.send('a.dcm', 'the second one', () => upload(rig, 'a.dcm', 'the second one'));
  await rig.settle();
  recorder.stop();
  return recorder.cuts;
}

void t.test('the power goes at each step, and nothing that was acknowledged is lost', async (t) => {
  const cuts = await record(t);
  for (const [n, cut] of cuts.entries()) {
    const rig = await after(cut);
    const wrong = (await isSound(rig)) ?? (await isKept(rig, cut));
    if (wrong !== undefined) t.fail(`cut ${n + 1} of ${cuts.length}, ${cut.moment.luck}: ${wrong}`);
    await rig.close();
  }
  t.ok(cuts.length > 40, `${cuts.length} cuts`);
});

void t.test('a file that is opened to add to it keeps what was acknowledged', async (t) => {
  const rig = await makeRig({ isFast: true });
  t.teardown(() => rig.close());
  await upload(rig, '>plan.txt', 'no patient');
  await rig.settle();
  const disk = new PowerCutDisk(rig.folder, ['home', 'spool']);
  const moments: Moment[] = [];
  const stop = disk.watch(() => moments.push(disk.moment('no names'), disk.moment('all names')));
  const handle = await openFor(rig, '>plan.txt');
  stop();
  t.ok(moments.length > 0, 'it got a copy of its own');
  for (const [n, moment] of moments.entries()) {
    const folder = join(rig.folder, `cut-${n}`);
    layOut(moment, folder);
    t.equal(fs.readFileSync(join(folder, outgoing, 'plan.txt'), 'utf8'), 'no patient');
  }
  await handle.end('close');
});
