// How much memory the SFTP server takes: idle with two workers, during an upload, and for each upload that is stalled by a
// slow disk while its client sends on and reads no answer.

import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { packetType } from '../../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../../src/adapters/sftp-server/encode.ts';
import { openSftp } from '../../../test/support/sftp-client.ts';
import { sftp } from './sftp-clients.ts';
import type { Material } from './sftp-rows.ts';
import { startClubhouse, type ClubhouseTarget } from './sftp-servers.ts';
import { makeSlices } from './images.ts';
import { join } from 'node:path';

export interface Memory {
  readonly idleMb: number;
  readonly uploadMb: number;
  readonly stalledMb: number;
  readonly stalledUploads: number;
}

function fieldMb(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1] ?? 0) / 1024;
}

/** The high-water mark counts from here on. */
const forget = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5');

export async function measureMemory(
  folder: string,
  keyFile: string,
  material: Material,
): Promise<Memory> {
  const server = await startClubhouse(folder, keyFile, { settle: '1s' });
  let idleMb: number;
  let uploadMb: number;
  try {
    await wakeWorkers(server, material);
    idleMb = fieldMb(server.pid, 'VmRSS');
    forget(server.pid);
    const { remote } = server.places.own;
    await sftp(server, [`put ${material.big} ${remote}/big`], { folder: material.folder });
    uploadMb = fieldMb(server.pid, 'VmHWM') - idleMb;
  } finally {
    await server.stop();
  }
  const stalledUploads = 8;
  const stalledMb = await measureStalled(folder, keyFile, stalledUploads);
  return { idleMb, uploadMb, stalledMb, stalledUploads };
}

/** Both worker threads have de-identified something, then everything has been quiet for a while. */
async function wakeWorkers(server: ClubhouseTarget, material: Material): Promise<void> {
  const slices = join(material.folder, 'wake');
  await makeSlices(slices, 20);
  const lines = [`put -r ${slices} ${server.places.gpg.remote}/wake`];
  await sftp(server, lines, { folder: material.folder });
  await server.site.settled(['published', 'held', 'waiting'], 20);
  await sleep(5000);
}

async function measureStalled(folder: string, keyFile: string, count: number): Promise<number> {
  const imports = new URL('slow-disk.js', import.meta.url).href;
  const server = await startClubhouse(folder, keyFile, { settle: '1h', imports });
  const clients: ssh2.Client[] = [];
  try {
    await sftp(server, ['pwd'], { folder });
    await sleep(3000);
    const before = fieldMb(server.pid, 'VmRSS');
    forget(server.pid);
    for (let n = 0; n < count; n += 1) clients.push(await deafUpload(server, n));
    await sleep(8000);
    return (fieldMb(server.pid, 'VmHWM') - before) / count;
  } finally {
    for (const client of clients) client.destroy();
    await server.stop();
  }
}

const pieceBytes = 255 * 1024;
const piece = Buffer.alloc(pieceBytes, 7);

/** Opens a file, stops reading, and sends WRITEs for as long as there is room for them. */
async function deafUpload(server: ClubhouseTarget, n: number): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  client.on('error', () => undefined);
  const privateKey = readFileSync(server.keyFile);
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve);
    client.once('error', reject);
    client.connect({ host: '127.0.0.1', port: server.port, username: server.user, privateKey });
  });
  const raw = await openSftp(client);
  const handle = await raw.open(`${server.places.own.remote}/deaf-${n}`, 0x1a);
  let offset = 0;
  const send = (): void => {
    for (let sent = 0; sent < 300; sent += 1) {
      const more = raw.channel.write(encode(packetType.WRITE, sent, handle, BigInt(offset), piece));
      offset += pieceBytes;
      if (!more) break;
    }
  };
  raw.channel.on('drain', send);
  raw.channel.pause();
  send();
  return client;
}
