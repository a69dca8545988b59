// Breaks what clients send, at every layer and the same way for the same seed: SFTP packets on a channel, SSH messages
// behind a right login, bytes before any login. The attacker comes from 127.0.0.2. Allowed is that this connection ends, or
// that it gets typed answers; the server lives, its memory stays bounded, nothing appears beside its tree, and somebody
// else uploads within five seconds. Used by `npm run fuzz -- sftp`, and by a test for a moment.

import { readdirSync } from 'node:fs';
import { createConnection } from 'node:net';
import ssh2 from 'ssh2';
import { createPacketReader, packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { chance, type Failure } from './fuzz.ts';
import { connect, connectSsh } from './sftp-client.ts';
import { startServer } from './sftp-server.ts';
import { attacker, say } from './ssh-messages.ts';

type Pick = (below: number) => number;
type Field = number | bigint | string | Uint8Array;

const proofEvery = 15;
const mostGrowthBytes = 400 << 20;
const mostMs = 5_000;

export interface SftpFuzz {
  tryOne(seed: number): Promise<Failure | undefined>;
  close(): Promise<void>;
}

export async function startSftpFuzz(): Promise<SftpFuzz> {
  const server = await startServer({
    startups: { begin: 5_000, percent: 30, full: 10_000 },
    strangersPerSource: 5_000,
    connectionsPerUser: 500,
    loginGraceMs: 1_500,
    idleMs: 5_000,
  });
  const before = process.memoryUsage.rss();
  const beside = readdirSync(server.root).sort().join();
  let count = 0;

  /** What must hold after any attack. */
  const proof = async (): Promise<string | undefined> => {
    const lost = server.log.lines.find((line) => line.startsWith('error'));
    server.log.lines.length = 0;
    if (lost !== undefined) return `an error that is not typed: ${lost}`;
    if (readdirSync(server.root).sort().join() !== beside) return 'something lies beside the tree';
    if (process.memoryUsage.rss() - before > mostGrowthBytes) return 'took too much memory';
    const begun = Date.now();
    const bob = await connect(server, 'bob');
    const stored = await bob.put('/home/ji_brain/bob/gpg/after.dcm', 'fine');
    const read = await bob.get('/home/ji_brain/bob/gpg/after.dcm');
    bob.end();
    if (stored !== 'OK' || read !== 'fine') return `somebody else is told ${stored}`;
    return Date.now() - begun > mostMs ? 'somebody else has to wait' : undefined;
  };

  const attack = async (random: () => number): Promise<string | undefined> => {
    const pick: Pick = (below) => Math.floor(random() * below);
    const layer = pick(10);
    if (layer < 3) return beforeLogin(server.port, pick);
    const user = server.users.get('alice');
    const client = await connectSsh({
      port: server.port,
      localAddress: attacker,
      username: 'alice',
      privateKey: user?.key.privateKey ?? '',
    });
    client.on('error', () => undefined);
    return layer < 5 ? onMessages(client, pick) : onPackets(client, pick);
  };

  return {
    tryOne: async (seed) => {
      const text = await attack(chance(seed)).catch((error: unknown) => String(error));
      count += 1;
      const wrong = text ?? (count % proofEvery === 0 ? await proof() : undefined);
      return wrong === undefined ? undefined : { seed, text: wrong };
    },
    close: () => server.close(),
  };
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const lengths = [
  0, 1, 4, 0xff, 0x7fff, 0x8000, 0x3ffff, 0x40001, 0x7fffffff, 0x80000000, 0xffffffff,
];

function broken(bytes: Buffer, pick: Pick): Buffer {
  if (bytes.length < 5 || pick(3) === 0) return bytes;
  const at = pick(Math.min(bytes.length, 64));
  switch (pick(6)) {
    case 0:
      bytes[at] = pick(256);
      return bytes;
    case 1:
      return Buffer.from(bytes.subarray(0, at));
    case 2:
      return Buffer.concat([bytes, Buffer.alloc(pick(300), pick(256))]);
    case 3:
      bytes.writeUInt32BE(lengths[pick(lengths.length)] ?? 0, Math.min(at, bytes.length - 4));
      return bytes;
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes]);
    default:
      bytes[4] = pick(256);
      return bytes;
  }
}

// --- SFTP packets --------------------------------------------------------------------------------------------

const paths: readonly (string | Uint8Array)[] = [
  ...[
    '.',
    '/',
    '..',
    '',
    'gpg',
    'gpg/f',
    'gpg/f/g',
    'receipts',
    '/home/ji_brain/bob/gpg/x',
    'gpg//f/./../f',
  ],
  ...[
    '/home/ji_brain/club_house/From_PUHSC_To_UMHS/gpg-x',
    'gpg/..\\x',
    '/proc/self/mem',
    '~',
    'gpg/\0f',
  ],
  ...['x'.repeat(300), 'gpg/'.repeat(2000), 'gpg/王\u202e'],
  Uint8Array.of(0xff, 0xfe, 0x2f, 0xc0, 0xaf),
];
const extensions = [
  ...['posix-rename@openssh.com', 'statvfs@openssh.com', 'fsync@openssh.com', 'limits@openssh.com'],
  ...['lsetstat@openssh.com', 'expand-path@openssh.com', 'check-file-name', 'check-file-handle'],
  ...[
    'home-directory',
    'users-groups-by-id@openssh.com',
    'copy-data',
    'hardlink@openssh.com',
    '',
    'x',
  ],
];
const offsets = [
  0n,
  1n,
  4096n,
  1n << 31n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 64n) - 1n,
];

function packet(pick: Pick, handles: readonly Buffer[]): Buffer {
  const path = (): string | Uint8Array => paths[pick(paths.length)] ?? '';
  const handle = (): Buffer => handles[pick(handles.length)] ?? Buffer.from([0, 0, 0, pick(4)]);
  const offset = (): bigint => offsets[pick(offsets.length)] ?? 0n;
  const number = (): number => lengths[pick(lengths.length)] ?? 0;
  const data = (): Buffer => Buffer.alloc(pick(3) === 0 ? 40_000 : pick(200), pick(256));
  const id = pick(1000);
  const shapes: readonly (() => readonly [number, ...Field[]])[] = [
    () => [fxp.OPEN, id, path(), pick(64), pick(16), number()],
    () => [fxp.OPEN, id, 'gpg/f', 0x1a, 0],
    () => [fxp.CLOSE, id, handle()],
    () => [fxp.READ, id, handle(), offset(), number()],
    () => [fxp.WRITE, id, handle(), offset(), data()],
    () => [fxp.LSTAT, id, path()],
    () => [fxp.FSTAT, id, handle()],
    () => [fxp.SETSTAT, id, path(), number(), offset(), number()],
    () => [fxp.FSETSTAT, id, handle(), pick(16), offset(), number(), number()],
    () => [fxp.OPENDIR, id, path()],
    () => [fxp.READDIR, id, handle()],
    () => [fxp.REMOVE, id, path()],
    () => [fxp.MKDIR, id, path(), 0],
    () => [fxp.RMDIR, id, path()],
    () => [fxp.REALPATH, id, path()],
    () => [fxp.RENAME, id, path(), path()],
    () => [fxp.SYMLINK, id, path(), path()],
    () => [
      fxp.EXTENDED,
      id,
      extensions[pick(extensions.length)] ?? '',
      path(),
      'sha256',
      offset(),
      offset(),
      number(),
    ],
    () => [fxp.EXTENDED, id, 'check-file-handle', handle(), 'sha256', offset(), offset(), number()],
    () => [fxp.INIT, number()],
    () => [pick(256), id, data()],
  ];
  const shape = shapes[pick(shapes.length)];
  return encode(...(shape?.() ?? ([fxp.REALPATH, id, '.'] as const)));
}

const answers: ReadonlySet<number> = new Set([
  ...[fxp.VERSION, fxp.STATUS, fxp.HANDLE, fxp.DATA, fxp.NAME, fxp.ATTRS, fxp.EXTENDED_REPLY],
]);

async function onPackets(client: ssh2.Client, pick: Pick): Promise<string | undefined> {
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.subsys('sftp', (error, opened) =>
      error === undefined ? resolve(opened) : reject(error),
    );
  });
  let wrong: string | undefined;
  const handles: Buffer[] = [];
  const reader = createPacketReader();
  let received = 0;
  const isGone = new Promise<void>((resolve) => client.once('close', () => resolve()));
  channel.on('error', () => undefined);
  channel.on('data', (chunk: Buffer) => {
    reader.feed(chunk);
    try {
      for (let reply = reader.next(); reply !== undefined; reply = reader.next()) {
        received += 1;
        if (!answers.has(reply.type)) wrong ??= `an answer of type ${reply.type}`;
        if (reply.type === fxp.HANDLE) handles.push(Buffer.from(reply.body.string()));
        if (reply.type === fxp.STATUS && reply.body.uint32() > 8) wrong ??= 'an unknown status';
      }
    } catch (error) {
      wrong ??= `an answer that is none: ${String(error)}`;
    }
  });
  if (pick(10) > 0) channel.write(encode(fxp.INIT, 3));
  for (let turn = 0; turn < 4; turn += 1) {
    const parts = Array.from({ length: 1 + pick(12) }, () => {
      const whole = packet(pick, handles);
      return pick(6) === 0 ? broken(whole, pick) : whole;
    });
    const all = Buffer.concat(parts);
    const cut = pick(all.length + 1);
    channel.write(Buffer.from(all.subarray(0, cut)));
    if (pick(2) === 0) await wait(1);
    if (channel.writable) channel.write(Buffer.from(all.subarray(cut)));
    const had = received;
    await Promise.race([isGone, until(() => received > had, 20)]);
  }
  if (pick(2) === 0) client.destroy();
  else client.end();
  await Promise.race([isGone, wait(1000)]);
  client.destroy();
  return wrong;
}

async function until(isSo: () => boolean, ms: number): Promise<void> {
  for (let left = ms; left > 0 && !isSo(); left -= 5) await wait(5);
}

// --- SSH messages behind a login -----------------------------------------------------------------------------

function message(pick: Pick): Buffer {
  const types = [
    1, 2, 3, 4, 5, 6, 20, 21, 30, 31, 50, 51, 52, 60, 61, 80, 81, 82, 90, 91, 92, 93, 94, 95, 96,
    97, 98, 99, 100,
  ];
  const number = (): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(pick(2) === 0 ? pick(3) : (lengths[pick(lengths.length)] ?? 0));
    return bytes;
  };
  const text = (): Buffer => {
    const words = [
      'session',
      'subsystem',
      'sftp',
      'exec',
      'env',
      'direct-tcpip',
      'pty-req',
      'tcpip-forward',
      'x11',
    ];
    const word = Buffer.from(words[pick(words.length)] ?? '');
    const size = Buffer.alloc(4);
    size.writeUInt32BE(pick(4) === 0 ? (lengths[pick(lengths.length)] ?? 0) : word.length);
    return Buffer.concat([size, word]);
  };
  const fields = Array.from({ length: pick(7) }, () =>
    pick(3) === 0 ? text() : pick(3) === 0 ? Buffer.alloc(1 + pick(9), pick(256)) : number(),
  );
  return Buffer.concat([Buffer.from([types[pick(types.length)] ?? 0]), ...fields]);
}

async function onMessages(client: ssh2.Client, pick: Pick): Promise<undefined> {
  const isGone = new Promise<void>((resolve) => client.once('close', () => resolve()));
  if (pick(2) === 0)
    client.subsys('sftp', (_error, channel) => channel?.on('error', () => undefined));
  for (let count = 1 + pick(12); count > 0; count -= 1) {
    if (!say(client, message(pick))) break;
    if (pick(3) === 0) await wait(1);
  }
  await Promise.race([isGone, wait(15)]);
  client.destroy();
  return undefined;
}

// --- bytes before a login ------------------------------------------------------------------------------------

/** The first bytes of an honest client: its greeting and its offer, in the clear. */
function opening(pick: Pick): Buffer {
  const lists = [
    ...['curve25519-sha256', 'ssh-ed25519', 'aes128-gcm@openssh.com', 'aes128-gcm@openssh.com'],
    ...['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-256-etm@openssh.com', 'none', 'none', '', ''],
  ].map((list) => {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(pick(30) === 0 ? (lengths[pick(lengths.length)] ?? 0) : list.length);
    return Buffer.concat([size, Buffer.from(list)]);
  });
  const payload = Buffer.concat([
    Buffer.from([20]),
    Buffer.alloc(16, 7),
    ...lists,
    Buffer.alloc(5),
  ]);
  const padding = 8 - ((payload.length + 5) % 8) + 8;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length + padding + 1);
  head[4] = padding;
  const offer = Buffer.concat([head, payload, Buffer.alloc(padding)]);
  const ecdh = Buffer.concat([
    Buffer.from([0, 0, 0, 44, 6, 30, 0, 0, 0, 32]),
    Buffer.alloc(38, pick(256)),
  ]);
  return Buffer.concat([broken(offer, pick), pick(2) === 0 ? broken(ecdh, pick) : Buffer.alloc(0)]);
}

async function beforeLogin(port: number, pick: Pick): Promise<undefined> {
  const greetings = [
    'SSH-2.0-x\r\n',
    'SSH-1.99-x\n',
    'SSH-2.0-',
    'GET / HTTP/1.1\r\n\r\n',
    'x'.repeat(9000),
    '\0\n',
    '',
  ];
  const socket = createConnection({ port, host: '127.0.0.1', localAddress: attacker });
  const isGone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  const bytes = Buffer.concat([
    Buffer.from(pick(3) > 0 ? 'SSH-2.0-x\r\n' : (greetings[pick(greetings.length)] ?? '')),
    pick(4) > 0 ? opening(pick) : Buffer.alloc(pick(5000), pick(256)),
  ]);
  const cut = pick(bytes.length + 1);
  socket.write(bytes.subarray(0, cut));
  if (pick(2) === 0) await wait(1);
  socket.write(bytes.subarray(cut));
  await Promise.race([isGone, wait(10)]);
  // Some stay, and the time for logging in has to end them.
  if (pick(4) > 0) socket.destroy();
  else socket.unref();
  return undefined;
}
