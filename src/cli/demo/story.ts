// The story that `clubhouse demo` tells: two sites on this machine, one real exchange, each step shown as it happens.
// Nothing is faked: the commands are the product's own, in processes of their own, and the files go through both servers.

import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import archiver from 'archiver';
import ssh2 from 'ssh2';
import { AppError } from '../../core/errors.ts';
import { chinesePatient, ctSeries, screenCapture, showPatient, type MadeUpFile } from './images.ts';
import { Narrator } from './narrator.ts';
import { DemoReceiver } from './receiver.ts';
import { DemoClient } from './sender.ts';
import { DemoSite, freePort, type DemoJob } from './site.ts';

const waitMs = 90_000;
const final = ['delivered', 'held', 'partial', 'failed'];

export interface Demo {
  readonly folder: string;
  readonly peking: DemoSite;
  readonly michigan: DemoSite;
  readonly receiver: DemoReceiver;
  stop(): Promise<void>;
}

interface Upload {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly what: string;
}

/**
 * Plays the whole story; both servers are up when it returns. On an error, or when `stopped` comes first (Ctrl-C in the
 * middle), they are stopped.
 */
export async function playStory(
  folder: string,
  narrator: Narrator,
  stopped: Promise<unknown>,
): Promise<Demo> {
  const peking = new DemoSite('PUHSC', join(folder, 'puhsc'), await freePort());
  const michigan = new DemoSite('UMHS', join(folder, 'umhs'), await freePort());
  const stop = async (): Promise<void> => {
    await Promise.all([peking.stop(), michigan.stop()]);
  };
  const play = async (): Promise<Demo> => {
    await setUp(folder, narrator, peking, michigan);
    const receiver = await addReceiver(folder, narrator, peking);
    await introduce(narrator, peking, michigan);
    await Promise.all([peking.start(), michigan.start()]);
    const uploads = await send(folder, narrator, peking);
    await process(narrator, peking, uploads);
    await receive(folder, narrator, michigan, receiver);
    return { folder, peking, michigan, receiver, stop };
  };
  const interrupted = stopped.then(() => {
    throw new AppError('BUSY', { detail: 'the demo was stopped' });
  });
  try {
    return await Promise.race([play(), interrupted]);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function setUp(
  folder: string,
  narrator: Narrator,
  peking: DemoSite,
  michigan: DemoSite,
): Promise<void> {
  narrator.step('Two sites, each with its own server, keys and database');
  for (const [site, partner] of [
    [peking, 'UMHS'],
    [michigan, 'PUHSC'],
  ] as const) {
    narrator.command(
      `clubhouse init --site ${site.code} --partner ${partner} --listen 127.0.0.1:${site.port}`,
    );
    await site.init(partner);
  }
  narrator.step('A project that both know, a sender in Peking, a receiver in Michigan');
  for (const [site, partner, person] of [
    [peking, 'UMHS', 'alice'],
    [michigan, 'PUHSC', 'bob'],
  ] as const) {
    await makeKey(join(folder, `${person}_ed25519`), person);
    await told(narrator, site, ['project', 'add', 'brain', '--partner', partner]);
    await told(narrator, site, [
      ...['user', 'add', person, '--project', 'brain', '--key'],
      join(folder, `${person}_ed25519.pub`),
    ]);
  }
}

async function addReceiver(
  folder: string,
  narrator: Narrator,
  peking: DemoSite,
): Promise<DemoReceiver> {
  narrator.step('The receiver makes an OpenPGP key; only its public half travels');
  const receiver = await DemoReceiver.make(folder);
  narrator.say(
    'On a real workstation Kleopatra or gpg does this. The administrator in Peking compares the fingerprint with the receiver by telephone.',
  );
  await told(narrator, peking, [
    ...['recipient', 'add', '--project', 'brain', '--partner', 'UMHS'],
    ...['--key', receiver.publicFile, '--fingerprint', receiver.fingerprint],
  ]);
  return receiver;
}

async function introduce(narrator: Narrator, peking: DemoSite, michigan: DemoSite): Promise<void> {
  narrator.step(
    'The two servers get to know each other: pinned host keys, one key for each replicator',
  );
  for (const [site, other] of [
    [peking, michigan],
    [michigan, peking],
  ] as const) {
    const { fingerprint } = await other.hostKey();
    await told(narrator, site, [
      ...['partner', 'add', other.code, '--host', '127.0.0.1', '--port', String(other.port)],
      ...['--host-key', fingerprint],
    ]);
    await told(narrator, site, [
      ...['partner', 'accept', other.code, '--key'],
      join(other.home, 'keys', 'replicator_ed25519.pub'),
    ]);
  }
}

async function send(
  folder: string,
  narrator: Narrator,
  peking: DemoSite,
): Promise<readonly Upload[]> {
  narrator.step('The sender uploads by SFTP, into a private folder');
  const series = ctSeries();
  const uploads: Upload[] = [
    ...series.slice(0, 4).map((file) => ({ ...file, what: 'CT image of Li Weisheng (made up)' })),
    {
      name: 'li_weisheng_19530817.zip',
      bytes: await zip(join(folder, 'upload.zip'), series.slice(4)),
      what: 'zip of the rest of the series; the name is in its paths too',
    },
    { ...chinesePatient(), what: 'patient with a Chinese name, in GB18030' },
    { ...screenCapture(), what: 'screen capture with the name burned into the picture' },
  ];
  const client = await DemoClient.connect({
    port: peking.port,
    user: 'alice',
    key: join(folder, 'alice_ed25519'),
  });
  await client.makeFolder('gpg/LI_WEISHENG_PUMC-0047112');
  for (const { name, bytes } of uploads) await client.put(`gpg/${name}`, bytes);
  client.close();
  const first = uploads[0];
  if (first !== undefined)
    await writeFile(join(folder, 'sample.dcm'), first.bytes, { mode: 0o600 });
  narrator.table(
    uploads.map(({ name, bytes, what }) => [`gpg/${name}`, `${bytes.length} bytes`, what]),
  );
  narrator.say('Which fields go? The preview shows what happens to each field of the first image:');
  await told(narrator, peking, [
    'profile',
    'preview',
    join(folder, 'sample.dcm'),
    '--profile',
    'basic',
  ]);
  return uploads;
}

async function process(
  narrator: Narrator,
  peking: DemoSite,
  uploads: readonly Upload[],
): Promise<void> {
  narrator.step(
    'Clubhouse de-identifies, checks, encrypts, publishes and delivers, with no command at all',
  );
  const jobs = await settled(peking, uploads.length);
  narrator.table([
    ['uploaded as', 'state', 'is called now'],
    ...jobs.map((job) => [
      job.upload.replace('/home/ji_brain/alice/', ''),
      job.reason === null || job.state === 'delivered' ? job.state : `${job.state}: ${job.reason}`,
      job.output ?? 'never left the private folder',
    ]),
  ]);
  const held = jobs.filter((job) => job.state === 'held');
  if (held.length !== 1 || jobs.some((job) => job.state === 'failed')) {
    throw new AppError('INTERNAL', { detail: 'the demo did not go as it should; see serve.log' });
  }
  narrator.say('Why was one held?');
  await told(narrator, peking, ['held', 'list']);
}

async function receive(
  folder: string,
  narrator: Narrator,
  michigan: DemoSite,
  receiver: DemoReceiver,
): Promise<void> {
  narrator.step('The receiver downloads in Michigan and decrypts');
  const root = '/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice';
  const client = await DemoClient.connect({
    port: michigan.port,
    user: 'bob',
    key: join(folder, 'bob_ed25519'),
  });
  let shown = 0;
  let zips = 0;
  for (const entry of await client.list(root)) {
    if (entry.endsWith('.zip.gpg')) {
      await receiver.decrypt(await client.get(`${root}/${entry}`));
      zips += 1;
      continue;
    }
    for (const name of await client.list(`${root}/${entry}`)) {
      const message = await client.get(`${root}/${entry}/${name}`);
      const clear = await receiver.decrypt(message);
      if (shown === 0) await writeFile(join(folder, 'one.dcm.gpg'), message, { mode: 0o600 });
      shown += 1;
      narrator.good(`${entry}/${name} decrypts; ${showPatient(clear)}`);
    }
  }
  client.close();
  if (shown !== 5 || zips !== 1) {
    throw new AppError('INTERNAL', { detail: 'not everything arrived in Michigan' });
  }
  narrator.good('the zip decrypts as well');
}

async function settled(site: DemoSite, count: number): Promise<readonly DemoJob[]> {
  const end = Date.now() + waitMs;
  for (;;) {
    const jobs = await site.jobs();
    if (jobs.length === count && jobs.every((job) => final.includes(job.state))) {
      return [...jobs].sort((a, b) => (a.upload < b.upload ? -1 : 1));
    }
    if (Date.now() > end) throw new AppError('INTERNAL', { detail: 'the demo took too long' });
    await sleep(250);
  }
}

/** Shows a command, runs it, and shows what it printed. */
async function told(narrator: Narrator, site: DemoSite, args: readonly string[]): Promise<void> {
  narrator.command(`clubhouse ${args.join(' ')}      # at ${site.code}`);
  narrator.output(await site.run(args), 24);
}

async function makeKey(path: string, comment: string): Promise<void> {
  const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment });
  await writeFile(path, pair.private, { mode: 0o600 });
  await writeFile(`${path}.pub`, `${pair.public}\n`, { mode: 0o600 });
}

async function zip(path: string, files: readonly MadeUpFile[]): Promise<Uint8Array> {
  const archive = archiver('zip', { zlib: { level: 6 } });
  const chunks: Buffer[] = [];
  for (const { name, bytes } of files) archive.append(Buffer.from(bytes), { name });
  await archive.finalize();
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  await pipeline([bytes], createWriteStream(path, { mode: 0o600 }));
  return bytes;
}
