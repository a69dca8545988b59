// The story that `clubhouse demo` tells: two sites on this machine, one real exchange, each step shown as it happens.
// Nothing is faked: the commands are the product's own, in processes of their own, and the files go through both servers.

import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import archiver from 'archiver';
import unzipper from 'unzipper';
import { makeKeyPair } from '../../app.ts';
import { AppError } from '../../core/errors.ts';
import {
  chinesePatient,
  ctSeries,
  screenCapture,
  secrets,
  showPatient,
  type MadeUpFile,
} from './images.ts';
import { Narrator } from './narrator.ts';
import { DemoReceiver } from './receiver.ts';
import { DemoClient } from './sender.ts';
import { DemoSite, freePort } from './site.ts';

const final = ['delivered', 'held', 'partial', 'failed'];
const zipName = 'li_weisheng_19530817.zip';

export interface Demo {
  readonly folder: string;
  readonly peking: DemoSite;
  readonly michigan: DemoSite;
  readonly receiver: DemoReceiver;
  stop(): Promise<void>;
}

interface Scene {
  readonly folder: string;
  readonly narrator: Narrator;
  readonly peking: DemoSite;
  readonly michigan: DemoSite;
}

/**
 * Plays the whole story; both servers are up when it returns. On an error, or when `signal` fires (Ctrl-C in the middle),
 * they are stopped and nothing runs any more.
 */
export async function playStory(
  folder: string,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<Demo> {
  const site = async (code: string): Promise<DemoSite> => {
    const home = join(folder, code.toLowerCase());
    return new DemoSite(code, { home, port: await freePort() }, signal);
  };
  const scene = { folder, narrator, peking: await site('PUHSC'), michigan: await site('UMHS') };
  const { peking, michigan } = scene;
  const stop = async (): Promise<void> => {
    await Promise.all([peking.stop(), michigan.stop()]);
  };
  try {
    await setUp(scene);
    const receiver = await addReceiver(scene);
    await introduce(scene);
    await Promise.all([peking.start(), michigan.start()]);
    narrator.good('both servers run (clubhouse serve)');
    const uploads = await send(scene);
    await watch(scene, uploads);
    await readReceipt(scene);
    await receive(scene, receiver);
    return { folder, peking, michigan, receiver, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function setUp({ folder, narrator, peking, michigan }: Scene): Promise<void> {
  narrator.step('Two sites, each with its own server, keys and database');
  await both(
    narrator,
    [peking, () => peking.init('UMHS')],
    [michigan, () => michigan.init('PUHSC')],
  );
  narrator.step('A project that both know; Alice sends in Peking, Bob receives in Michigan');
  const people = async (site: DemoSite, partner: string, person: string): Promise<Said[]> => {
    await makeKeyPair(join(folder, person), person);
    return [
      await ran(site, ['project', 'add', 'brain', '--partner', partner]),
      await ran(site, ['user', 'add', person, '--project', 'brain', '--key', `${person}.pub`]),
    ];
  };
  await both(
    narrator,
    [peking, () => people(peking, 'UMHS', 'alice')],
    [michigan, () => people(michigan, 'PUHSC', 'bob')],
  );
}

async function addReceiver({ folder, narrator, peking }: Scene): Promise<DemoReceiver> {
  narrator.step('Bob makes an OpenPGP key on his workstation; only its public half travels');
  const receiver = await DemoReceiver.make(folder);
  narrator.say('The administrator in Peking compares the fingerprint with Bob by telephone.');
  const add = ['recipient', 'add', '--project', 'brain', '--partner', 'UMHS'];
  const key = ['--key', basename(receiver.publicFile), '--fingerprint', receiver.fingerprint];
  show(narrator, peking, [await ran(peking, [...add, ...key])]);
  return receiver;
}

async function introduce({ narrator, peking, michigan }: Scene): Promise<void> {
  narrator.step('The two servers get to know each other');
  narrator.say('Each pins the host key of the other, and lets the other replicator in by its key.');
  const meet = async (site: DemoSite, other: DemoSite): Promise<Said[]> => {
    const { fingerprint } = await other.hostKey();
    const key = join(basename(other.home), 'keys', 'replicator_ed25519.pub');
    const where = ['--host', '127.0.0.1', '--port', String(other.port)];
    return [
      await ran(site, ['partner', 'add', other.code, ...where, '--host-key', fingerprint]),
      await ran(site, ['partner', 'accept', other.code, '--key', key]),
    ];
  };
  await both(
    narrator,
    [peking, () => meet(peking, michigan)],
    [michigan, () => meet(michigan, peking)],
  );
}

interface Upload {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly what: string;
}

async function send({ folder, narrator, peking }: Scene): Promise<readonly Upload[]> {
  narrator.step(
    'Alice uploads by SFTP, into her private folder; names and contents tell who it is',
  );
  const series = ctSeries();
  const uploads: Upload[] = [
    ...series.slice(0, 2).map((file) => ({ ...file, what: 'CT image of Li Weisheng' })),
    {
      name: zipName,
      bytes: await zip(join(folder, 'upload.zip'), series.slice(2)),
      what: `zip with ${series.length - 2} more of this series`,
    },
    { ...chinesePatient(), what: 'CT image of 王小东, in GB18030' },
    { ...screenCapture(), what: 'screen capture, the name is in the picture' },
  ];
  const client = await DemoClient.connect({
    port: peking.port,
    user: 'alice',
    key: join(folder, 'alice'),
  });
  await client.makeFolder('gpg/LI_WEISHENG_PUMC-0047112');
  for (const { name, bytes } of uploads) await client.put(`gpg/${name}`, bytes);
  client.close();
  await writeFile(join(folder, 'sample.dcm'), series[0]?.bytes ?? '', { mode: 0o600 });
  narrator.table(
    uploads.map(({ name, bytes, what }) => [`gpg/${name}`, `${bytes.length} bytes`, what]),
  );
  return uploads;
}

async function watch({ narrator, peking }: Scene, uploads: readonly Upload[]): Promise<void> {
  narrator.step('Clubhouse de-identifies, checks, encrypts, publishes and delivers, by itself');
  narrator.say('What happens to the fields of the first image:');
  const preview = ran(peking, ['profile', 'preview', 'sample.dcm', '--profile', 'basic']);
  const [said, jobs] = await Promise.all([
    preview,
    peking.jobsWhen(
      (rows) => rows.length === uploads.length && rows.every((row) => final.includes(row.state)),
    ),
  ]);
  show(narrator, peking, [said]);
  narrator.say('And what became of the uploads, in From_PUHSC_To_UMHS:');
  narrator.table([
    ['UPLOADED AS', 'STATE', 'IS CALLED NOW'],
    ...[...jobs]
      .sort((a, b) => (a.upload < b.upload ? -1 : 1))
      .map(({ upload, state, reason, output }) => [
        upload.replace('/home/ji_brain/alice/', ''),
        state === 'delivered' ? state : `${state}: ${reason ?? ''}`,
        output?.replace(/^.*\/(?=gpg-alice\/)/, '') ?? '(nothing left the private folder)',
      ]),
  ]);
  const held = jobs.filter((job) => job.state === 'held');
  if (held.length !== 1 || jobs.some((job) => job.state === 'failed')) {
    throw new AppError('INTERNAL', { detail: 'the demo did not go as it should' });
  }
  narrator.say('One was held. The administrator looks why:');
  const id = held[0]?.id ?? '';
  show(narrator, peking, [await ran(peking, ['held', 'show', id])]);
}

async function readReceipt({ folder, narrator, peking }: Scene): Promise<void> {
  narrator.step('Alice reads the receipt of her zip, in her folder receipts');
  const client = await DemoClient.connect({
    port: peking.port,
    user: 'alice',
    key: join(folder, 'alice'),
  });
  const name = (await client.list('receipts')).find((one) => one.startsWith(zipName)) ?? '';
  narrator.command(`get receipts/${name}`, 'sftp');
  narrator.output((await client.get(`receipts/${name}`)).toString('utf8'));
  client.close();
}

async function receive(
  { folder, narrator, michigan }: Scene,
  receiver: DemoReceiver,
): Promise<void> {
  narrator.step('Bob downloads from his own server in Michigan, and decrypts');
  const root = '/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-alice';
  const client = await DemoClient.connect({
    port: michigan.port,
    user: 'bob',
    key: join(folder, 'bob'),
  });
  narrator.say(`In ${root}:`);
  const images: Uint8Array[] = [];
  for (const entry of await client.list(root)) {
    const isZip = entry.endsWith('.zip.gpg');
    const names = isZip ? [entry] : await client.list(`${root}/${entry}`);
    for (const name of names) {
      const path = isZip ? name : `${entry}/${name}`;
      const message = await client.get(`${root}/${path}`);
      const clear = await receiver.decrypt(message);
      if (isZip) {
        narrator.good(`${path} decrypts, and holds`);
        for (const file of (await unzipper.Open.buffer(Buffer.from(clear))).files) {
          images.push(await file.buffer());
          narrator.output(`  ${file.path}`);
        }
      } else {
        await writeFile(join(folder, 'one.dcm.gpg'), message, { mode: 0o600 });
        images.push(clear);
        narrator.good(`${path} decrypts: ${showPatient(clear)}`);
      }
    }
  }
  client.close();
  const found = secrets.filter((one) => images.some((image) => Buffer.from(image).includes(one)));
  if (images.length !== 9 || found.length > 0) {
    throw new AppError('INTERNAL', { detail: 'what arrived in Michigan is not what should' });
  }
  narrator.good(
    `${images.length} images arrived; no name, ID, birth date, address or original UID is in any of them`,
  );
}

/** A command and what it printed. */
interface Said {
  readonly command: string;
  readonly output: string;
}

async function ran(site: DemoSite, args: readonly string[]): Promise<Said> {
  return { command: `clubhouse ${args.join(' ')}`, output: await site.run(args) };
}

function show(narrator: Narrator, site: DemoSite, all: readonly Said[]): void {
  for (const { command, output } of all) {
    narrator.command(command, site.code);
    narrator.output(output, 24);
  }
}

/** The same work at both sites, at the same time; shown one after the other. */
async function both(
  narrator: Narrator,
  ...parts: readonly (readonly [DemoSite, () => Promise<readonly Said[]>])[]
): Promise<void> {
  const said = parts.map(([, work]) => work());
  await Promise.allSettled(said);
  for (const [i, [site]] of parts.entries()) show(narrator, site, (await said[i]) ?? []);
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
