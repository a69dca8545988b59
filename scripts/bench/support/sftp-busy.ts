// Speed of an upload while both worker threads de-identify: the transfer of one must not wait for the work on another's
// files. sshd's upload runs in the same minutes beside the same workers, so the machine is as full for it.

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeMultiFrame } from './images.ts';
import { sftp } from './sftp-clients.ts';
import { printRow, type Measured, type Once } from './sftp-report.ts';
import type { Material } from './sftp-rows.ts';
import { startClubhouse, startOpenSsh, type ClubhouseTarget, type Target } from './sftp-servers.ts';

const target = { wall: 1 };

export async function measureBusy(
  folder: string,
  keyFile: string,
  material: Material,
  rounds: number,
): Promise<Measured> {
  const peer = await startOpenSsh(folder, keyFile);
  const ours = await startClubhouse(folder, keyFile, { settle: '1s', workers: 2 });
  const pairs: { ours: Once; peer: Once }[] = [];
  try {
    const key = await recipientFor(ours, material);
    await ours.site.run(key);
    for (let round = 0; round < rounds; round += 1) {
      const names = await fillWorkers(ours, material, round);
      const a = await once(peer, material);
      const b = await once(ours, material);
      pairs.push({ peer: a, ours: b });
      await ours.site.settled(['published', 'held', 'delivered', 'withdrawn'], 1);
      await makeRoom(ours, material, names);
    }
  } finally {
    await ours.stop();
    await peer.stop();
  }
  const title = `upload ${material.bigMb} MB while both workers de-identify`;
  const result = { row: 'busy', title, medium: 'memory', place: 'own', target, rounds: pairs };
  printRow(result);
  return result;
}

async function recipientFor(_ours: ClubhouseTarget, { folder }: Material): Promise<string[]> {
  const { generateKey, readKey } = await import('openpgp');
  const { writeFile } = await import('node:fs/promises');
  const key = await generateKey({ userIDs: [{ name: 'Bench' }], format: 'armored' });
  const path = join(folder, 'recipient.asc');
  await writeFile(path, key.publicKey);
  const fingerprint = (await readKey({ armoredKey: key.publicKey })).getFingerprint();
  const what = ['--project', 'bench', '--partner', 'UMHS', '--key', path];
  return ['recipient', 'add', ...what, '--fingerprint', fingerprint];
}

/** Both workers get files that take longer than the uploads that are measured; returns when both are at it. */
async function fillWorkers(
  ours: ClubhouseTarget,
  material: Material,
  round: number,
): Promise<readonly string[]> {
  const folder = join(material.folder, 'frames');
  await mkdir(folder, { recursive: true });
  const file = join(folder, 'frames.dcm');
  if (round === 0) await makeMultiFrame(file, material.bigMb * 2 ** 20);
  const names = [0, 1, 2, 3].map((n) => `${round}-${n}.dcm`);
  const lines = names.map((name) => `put ${file} ${ours.places.gpg.remote}/${name}`);
  await sftp(ours, lines, { folder: material.folder });
  const isAtWork = async (): Promise<boolean> =>
    (await ours.site.jobs()).filter(({ state }) => state === 'processing').length >= 2;
  for (let tries = 0; tries < 300 && !(await isAtWork()); tries += 1) await sleep(100);
  return names;
}

/** A round takes eight times the large file, more than many a memory disk has twice. */
async function makeRoom(
  ours: ClubhouseTarget,
  { folder }: Material,
  names: readonly string[],
): Promise<void> {
  await sftp(
    ours,
    names.map((name) => `rm ${ours.places.gpg.remote}/${name}`),
    { folder },
  );
  const shared = join(ours.site.home, 'data/home/ji_bench/club_house');
  for await (const found of filesNamed(shared, /\.gpg$/)) await rm(found);
}

async function* filesNamed(folder: string, name: RegExp): AsyncGenerator<string> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && name.test(entry.name)) yield join(entry.parentPath, entry.name);
  }
}

async function once(to: Target, material: Material): Promise<Once> {
  const cpu = await to.cpuSeconds();
  const start = performance.now();
  await sftp(to, [`put ${material.big} ${to.places.own.remote}/big`], { folder: material.folder });
  const wallSeconds = (performance.now() - start) / 1000;
  return { wallSeconds, cpuSeconds: (await to.cpuSeconds()) - cpu };
}
