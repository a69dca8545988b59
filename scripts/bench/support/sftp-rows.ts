// What the SFTP bench measures: one row a kind of transfer, with the target that it is to reach beside sshd.

import { rm, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { lftp, rclone, sftp, type Client } from './sftp-clients.ts';
import type { Place, Target } from './sftp-servers.ts';
import { openSlowLine } from './slow-line.ts';

export interface Material {
  readonly folder: string;
  /** The large file. */
  readonly big: string;
  readonly bigMb: number;
  /** A folder of small files. */
  readonly small: string;
  readonly smallFiles: number;
  /** Four files for four clients. */
  readonly quarters: readonly string[];
  readonly logins: number;
  /** `put -f` for sshd: Clubhouse answers CLOSE after fsync. */
  readonly isDurable: boolean;
}

export interface Row {
  readonly name: string;
  readonly title: (material: Material) => string;
  /** Speed beside sshd at least, server CPU at most. */
  readonly target: { readonly wall: number; readonly cpu?: number };
  /** It writes, so it is measured in gpg/ too. */
  readonly writes: boolean;
  /** Once a round and server, not measured. */
  before?(target: Target, place: Place, material: Material): Promise<void>;
  run(target: Target, place: Place, material: Material): Promise<void>;
}

/** sshd has no durable CLOSE of its own: `put -f` asks it for one. */
const put = (target: Target, { isDurable }: Material): string =>
  isDurable && target.name === 'sshd' ? 'put -f' : 'put';

const upload = (cipher: string) => (target: Target, place: Place, material: Material) =>
  sftp(target, [`${put(target, material)} ${material.big} ${place.remote}/big`], {
    folder: material.folder,
    cipher,
  });

async function manyLogins(target: Target, material: Material): Promise<void> {
  const client: Client = (to, folder) => sftp(to, ['pwd'], { folder });
  let left = material.logins;
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await client(target, material.folder);
    }
  };
  await Promise.all([one(), one(), one(), one()]);
}

const oneWayMs = 20;

const big = ({ bigMb }: Material): string => `${bigMb} MB`;
const small = ({ smallFiles }: Material): string => `${smallFiles} × 100 KB`;

export const rows: readonly Row[] = [
  {
    name: 'upload',
    title: (material) => `upload ${big(material)}, aes128-gcm`,
    target: { wall: 1.8, cpu: 0.6 },
    writes: true,
    run: upload('aes128-gcm@openssh.com'),
  },
  {
    name: 'upload256',
    title: (material) => `upload ${big(material)}, aes256-gcm`,
    target: { wall: 1.8, cpu: 0.6 },
    writes: true,
    run: upload('aes256-gcm@openssh.com'),
  },
  {
    name: 'download',
    title: (material) => `download ${big(material)}`,
    target: { wall: 1.5, cpu: 0.8 },
    writes: false,
    before: (target, place, material) =>
      sftp(target, [`put ${material.big} ${place.remote}/big`], { folder: material.folder }),
    run: (target, place, material) =>
      sftp(target, [`get ${place.remote}/big ${join(material.folder, 'got')}`], {
        folder: material.folder,
      }),
  },
  {
    name: 'small',
    title: (material) => `${small(material)}, put -r`,
    target: { wall: 1.5, cpu: 1.1 },
    writes: true,
    run: (target, place, material) =>
      sftp(target, [`${put(target, material)} -r ${material.small} ${place.remote}/small`], {
        folder: material.folder,
      }),
  },
  {
    name: 'rclone',
    title: (material) => `${small(material)}, rclone ×8`,
    target: { wall: 1.1, cpu: 1 },
    writes: true,
    run: (target, place, { small: from }) => rclone(target, from, `${place.remote}/rclone`),
  },
  {
    name: 'lftp',
    title: (material) => `${small(material)}, lftp ×4`,
    target: { wall: 1.1, cpu: 1 },
    writes: true,
    run: (target, place, { small: from }) => lftp(target, from, `${place.remote}/lftp`),
  },
  {
    name: 'four',
    title: ({ bigMb }) => `4 × ${Math.round(bigMb * 0.3)} MB at once`,
    target: { wall: 1.4, cpu: 0.55 },
    writes: true,
    run: async (target, place, material) => {
      const { folder, quarters } = material;
      await Promise.all(
        quarters.map((file, index) =>
          sftp(target, [`${put(target, material)} ${file} ${place.remote}/q${index}`], { folder }),
        ),
      );
    },
  },
  {
    name: 'logins',
    title: ({ logins }) => `${logins} logins, four at a time`,
    target: { wall: 1.5, cpu: 0.3 },
    writes: false,
    run: (target, _place, material) => manyLogins(target, material),
  },
  {
    name: 'latency',
    title: ({ bigMb }) => `upload ${Math.round(bigMb * 0.3)} MB at ${2 * oneWayMs} ms round trip`,
    target: { wall: 2.5 },
    writes: true,
    run: async (target, place, material) => {
      const line = await openSlowLine(target.port, oneWayMs);
      const { folder, quarters } = material;
      try {
        const lines = [`${put(target, material)} ${quarters[0] ?? ''} ${place.remote}/far`];
        await sftp(target, lines, { folder, port: line.port });
      } finally {
        await line.close();
      }
    },
  },
];

let turns = 0;

/** A new folder in a place, made behind the server's back: files that were never there before, as senders' mostly are. */
export async function freshPlace(place: Place): Promise<Place> {
  turns += 1;
  const name = `turn-${turns}`;
  const fresh = { remote: `${place.remote}/${name}`, disk: join(place.disk, name) };
  for (const client of ['rclone', 'lftp']) {
    await mkdir(join(fresh.disk, client), { recursive: true, mode: 0o700 });
  }
  return fresh;
}

export const emptyPlace = (place: Place): Promise<void> =>
  rm(place.disk, { recursive: true, force: true });
