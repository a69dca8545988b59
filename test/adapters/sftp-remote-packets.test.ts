// What the sender takes from inside ssh2: memory for packets that is used again. A new version of ssh2 that is otherwise
// inside must be noticed here; then `reusePackets` says no, and the slower way is taken.

import t from 'tap';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import ssh2, { type Client as ClientType } from 'ssh2';
import { SftpChannel } from '../../src/adapters/sftp-remote/channel.ts';
import { handleOf } from '../../src/adapters/sftp-remote/small-file.ts';
import { createPieces, flightBytesFor, writeAll } from '../../src/adapters/sftp-remote/transfer.ts';
import { noAttributes, string, uint32 } from '../../src/adapters/sftp-remote/wire.ts';
import { createSlabs, reusePackets } from '../../src/adapters/ssh2-packets.ts';
import { sourceOf } from '../support/fake-remote.ts';
import { missing } from '../support/programs.ts';
import { startSshd } from '../support/sshd.ts';

const { Client } = ssh2;

void t.test('memory is not used again before the socket has sent it', async (t) => {
  const socket = { bytesWritten: 0, writableLength: 0 };
  const slabs = createSlabs(socket);
  const take = (bytes = 200 * 1024): Buffer => {
    const packet = slabs.take(bytes);
    socket.bytesWritten += packet.length;
    socket.writableLength += packet.length;
    return packet;
  };
  const login = Array.from({ length: 200 }, () => {
    const packet = take(100);
    socket.writableLength = 0;
    return packet.buffer;
  });
  t.ok(new Set(login).size <= 2, 'what was sent is used again');
  t.ok(
    login.every(({ byteLength }) => byteLength <= 32 * 1024),
    'and who sends little takes little',
  );
  const taken = Array.from({ length: 6 }, () => take());
  for (const [index, packet] of taken.entries()) packet.fill(index);
  t.ok(taken.every((packet, index) => packet.every((byte) => byte === index)));
  socket.writableLength = 2 * 200 * 1024;
  const next = Array.from({ length: 5 }, () => take());
  const sent = new Set(taken.slice(0, 4).map(({ buffer }) => buffer));
  t.ok(
    next.some(({ buffer }) => sent.has(buffer)),
    'what was sent comes again',
  );
  for (const packet of next) packet.fill(99);
  t.ok(
    taken.slice(4).every((packet, index) => packet.every((byte) => byte === 4 + index)),
    'what waits is left',
  );
  t.equal(slabs.take(600 * 1024).length, 600 * 1024, 'a packet that is larger has its own');
});

void t.test('an ssh2 that is otherwise inside is left alone', async (t) => {
  const socket = connect({ host: '127.0.0.1', port: 1 });
  socket.on('error', () => undefined);
  const strange = [{}, { _protocol: {} }, { _protocol: { _packetRW: { write: {} } } }];
  for (const client of strange) t.notOk(reusePackets(client as unknown as ClientType, socket));
  const alloc = (): Buffer => Buffer.alloc(1);
  const write = { allocStart: 9, alloc };
  const moved = { _protocol: { _kexinit: undefined, _packetRW: { write } } };
  t.notOk(reusePackets(moved as unknown as ClientType, socket));
  t.equal(write.alloc, alloc);
});

for (const cipher of ['aes128-gcm@openssh.com', 'aes256-ctr'] as const) {
  void t.test(
    `every byte arrives with ${cipher}, also over new keys`,
    { skip: missing('sshd') },
    async (t) => {
      const server = await startSshd(['ed25519'], ['RekeyLimit 3M']);
      t.teardown(() => server.close());
      const { host, port, user: username } = server.address;
      const socket = connect({ host, port });
      const client = new Client();
      t.teardown(() => client.end());
      const privateKey = await readFile(server.keyPath, 'utf8');
      const algorithms = { cipher: [cipher], compress: ['none' as const] };
      await new Promise((resolve, reject) => {
        client.once('ready', () => resolve(undefined));
        client.once('error', reject);
        client.connect({ sock: socket, username, privateKey, algorithms });
      });
      t.ok(reusePackets(client, socket), 'ssh2 is as we know it');
      const stream = await new Promise<Duplex>((resolve, reject) => {
        client.subsys('sftp', (error, channel) =>
          error === undefined ? resolve(channel) : reject(error),
        );
      });
      const channel = new SftpChannel(stream);
      await channel.start();
      const bytes = randomBytes(12_345_678);
      const path = join(server.folder, 'file');
      const open = [string(path), uint32(0x02 | 0x08), noAttributes];
      const handle = handleOf(await channel.request('OPEN', open, 'HANDLE'));
      let keys = 0;
      client.on('handshake', () => (keys += 1));
      const how = { offset: 0, sizeBytes: bytes.length, pieces: createPieces(255 * 1024, 4 << 20) };
      await writeAll([{ channel, handle }], sourceOf(bytes), how, new AbortController().signal);
      await channel.request('CLOSE', [handle], 'STATUS');
      t.ok(keys >= 2, 'keys were exchanged meanwhile');
      t.ok(bytes.equals(await readFile(path)));
    },
  );
}

void t.test('the longer the line, the more of a file is under way, up to a bound', async (t) => {
  t.equal(flightBytesFor(0.2), 4 << 20);
  t.ok(flightBytesFor(20) >= 20 * 400_000, 'a fast line is never idle');
  t.equal(flightBytesFor(40), 16_000_000);
  t.equal(flightBytesFor(10_000), 16 << 20, 'memory has its bound');
});
