// How long another sender's single file waits behind very many small ones of one sender, on a real server with the settings as
// shipped: from its CLOSE to `published` (SPEC 10: nobody is blocked because of somebody else).

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Database from 'better-sqlite3';
import type { InferredOptionTypes } from 'yargs';
import { ctSlice } from '../../test/support/dicom.ts';
import { addRecipient } from '../../test/support/exchange.ts';
import { KeyRing, Person } from '../../test/support/people.ts';
import { connectSsh, openSftp, type RawClient } from '../../test/support/sftp-client.ts';
import { Site } from '../../test/support/site.ts';
import { writeJson } from './support/report.ts';

export const about = 'A single file behind very many of another sender, from CLOSE to published';

export const options = {
  files: { type: 'number', default: 10000, requiresArg: true, describe: 'Of the one sender' },
  workers: { type: 'number', default: 1, requiresArg: true, describe: 'Worker threads' },
} as const;

const together = 32;
const patienceMs = 600_000;

export async function run(args: InferredOptionTypes<typeof options>): Promise<void> {
  const site = await Site.make('PUHSC', `workers: ${args.workers}`);
  const people = [await Person.make('alice'), await Person.make('bob')] as const;
  const keys = await KeyRing.make();
  try {
    await site.run(['project', 'add', 'brain', '--partner', 'UMHS']);
    for (const { name, publicKey } of people) {
      await site.run(['user', 'add', name, '--project', 'brain', '--key', publicKey]);
    }
    await addRecipient(site, 'UMHS', keys, 'Receiver <receiver@umhs.example.org>');
    await site.start();
    const [alice, bob] = await Promise.all(people.map((person) => connected(site, person)));
    if (alice === undefined || bob === undefined) throw new Error('nobody is connected');
    const facts = await measure(site, alice, bob, args.files);
    for (const client of [alice, bob]) client.end();
    const { uploadedMs, waiting, publishedMs, throughMs } = facts;
    const seconds = (ms: number): string => (ms / 1000).toFixed(2);
    process.stdout.write(
      `${args.files} slices of one sender came in ${seconds(uploadedMs)} s; ${waiting} of them were not through when the other's\n` +
        `single file was closed. It was published ${seconds(publishedMs)} s later (intake.settle is 5 s), all after ${seconds(throughMs)} s.\n`,
    );
    writeJson('fairness', { ...args, ...facts });
  } finally {
    await site.remove();
    for (const one of [...people, keys]) await one.remove();
  }
}

const connected = async (site: Site, { name, key }: Person): Promise<RawClient> =>
  openSftp(await connectSsh({ port: site.port, username: name, privateKey: await readFile(key) }));

async function measure(site: Site, alice: RawClient, bob: RawClient, files: number) {
  const begun = Date.now();
  let next = 0;
  const send = async (): Promise<void> => {
    while (next < files) {
      next += 1;
      await put(alice, `gpg/${next}.dcm`, ctSlice({ instanceNumber: next }));
    }
  };
  await Promise.all(Array.from({ length: together }, send));
  const uploadedMs = Date.now() - begun;
  await put(bob, 'gpg/single.dcm', ctSlice({ instanceNumber: 1, studyUID: '1.2.826.0.1.9' }));
  const closedAt = Date.now();
  const database = new Database(join(site.home, 'data/state/clubhouse.db'), { readonly: true });
  try {
    const published = database
      .prepare(`select count(*) from job where state = 'published'`)
      .pluck();
    const single = database
      .prepare(
        `select job."publishedAt" from job join upload on upload.id = job."uploadId"
         where upload.path like '%/single.dcm'`,
      )
      .pluck();
    const waiting = files - Number(published.get());
    const publishedMs = Number(await until(() => single.get() ?? undefined)) - closedAt;
    await until(() => (Number(published.get()) > files ? true : undefined));
    return { uploadedMs, waiting, publishedMs, throughMs: Date.now() - closedAt };
  } finally {
    database.close();
  }
}

async function put(client: RawClient, path: string, bytes: Uint8Array): Promise<void> {
  const status = await client.put(path, bytes);
  if (status !== 'OK') throw new Error(`the server answered ${status}`);
}

async function until<T>(look: () => T | undefined): Promise<T> {
  for (const end = Date.now() + patienceMs; Date.now() < end; await sleep(50)) {
    const found = look();
    if (found !== undefined) return found;
  }
  throw new Error('it was never published');
}
