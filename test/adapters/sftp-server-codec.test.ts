// The packet reader, fed whole, cut at random and byte by byte; and the parts of the server that are plain functions.

import t from 'tap';
import { longName } from '../../src/adapters/sftp-server/listing.ts';
import {
  createPacketReader,
  maximumPacketBytes,
  packetType,
  readAttributes,
  type Packet,
} from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { allRequests, requestOf } from '../../src/adapters/sftp-server/table.ts';
import { Reader } from '../../src/adapters/sftp-server/codec.ts';

const stream = Buffer.concat([
  encode(packetType.INIT, 3),
  encode(packetType.OPEN, 1, '/a', 26, 0),
  encode(packetType.WRITE, 2, 'hand', 7n, Buffer.alloc(5000, 'x')),
  encode(packetType.WRITE, 3, 'hand', 9n, ''),
  encode(packetType.WRITE, 4, 'hand', 11n, 'data', 'junk behind'),
  encode(packetType.CLOSE, 5, 'hand'),
  encode(250, 6),
]);

const describe = ({ type, id, body, data, dataBytes }: Packet): string => {
  if (type !== packetType.WRITE) return `${type} ${id}`;
  return `${type} ${id} ${body.text()} ${body.uint64()} ${dataBytes} ${data.length} ${data.toString('latin1', 0, 4)}`;
};

function readAll(chunks: readonly Buffer[]): string[] {
  const reader = createPacketReader();
  const found: string[] = [];
  for (const chunk of chunks) {
    reader.feed(chunk);
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      found.push(describe(packet));
    }
  }
  return found;
}

void t.test('packets come out the same however the stream is cut', async (t) => {
  const whole = readAll([stream]);
  t.same(whole, [
    '1 3',
    '3 1',
    '6 2 hand 7 5000 5000 xxxx',
    '6 3 hand 9 0 0 ',
    '6 4 hand 11 4 4 data',
    '4 5',
    '250 6',
  ]);
  for (let round = 0; round < 50; round += 1) {
    const cuts = Array.from({ length: 5 }, () => Math.floor(Math.random() * stream.length)).sort(
      (a, b) => a - b,
    );
    const chunks = [0, ...cuts].map((from, index) =>
      stream.subarray(from, cuts[index] ?? stream.length),
    );
    t.same(readAll(chunks), whole, `cut at ${cuts.join()}`);
  }
  t.same(readAll([...stream].map((byte) => Buffer.of(byte))), whole);
});

void t.test('broken packets are BAD_MESSAGE as soon as that can be known', async (t) => {
  const cases: readonly (readonly [string, Buffer])[] = [
    ['too long', Buffer.from([0, 4, 0, 1])],
    ['top bit', Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ['too short', Buffer.from([0, 0, 0, 4])],
    ['WRITE without fields', encode(packetType.WRITE, 1)],
    ['WRITE with a handle that is too long', encode(packetType.WRITE, 1, 0xfffffff0)],
    ['WRITE with too little data', encode(packetType.WRITE, 1, 'abcd', 0n, 5, 1)],
  ];
  for (const [name, bytes] of cases)
    t.throws(() => readAll([bytes]), { code: 'BAD_MESSAGE' }, name);
  t.same(readAll([encode(packetType.OPEN, 1, Buffer.alloc(maximumPacketBytes - 9))]), ['3 1']);
  t.throws(() => new Reader(encode(1, 5).subarray(5)).uint64(), { code: 'BAD_MESSAGE' });
});

void t.test('attributes are read by their flags', async (t) => {
  const fields = encode(0, 15, 77n, 1, 2, 0o644, 5, 6).subarray(5);
  t.same(readAttributes(new Reader(fields)), {
    sizeBytes: 77n,
    times: { accessed: 5, modified: 6 },
  });
  t.same(readAttributes(new Reader(encode(0, 0).subarray(5))), {
    sizeBytes: undefined,
    times: undefined,
  });
});

void t.test(
  'the table holds every request of version 3, and refuses what is not in it',
  async (t) => {
    for (const type of [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]) {
      t.not(requestOf(type, new Reader(Buffer.alloc(0))).name, 'unknown', `type ${type}`);
    }
    t.equal(requestOf(21, new Reader(Buffer.alloc(0))).on, 'refused');
    const changing = ['OPEN', 'SETSTAT', 'FSETSTAT', 'REMOVE', 'MKDIR', 'RMDIR', 'lsetstat'];
    for (const row of allRequests) {
      if (row.on !== 'path' && row.on !== 'handle') continue;
      const mayChange =
        typeof row.right === 'function' || !['see', 'read', 'nothing'].includes(row.right);
      t.equal(mayChange, changing.includes(row.name), `${row.name} asks for ${String(row.right)}`);
    }
  },
);

void t.test('long names look as ls -l does', async (t) => {
  const now = new Date(2026, 5, 15, 12, 0).getTime();
  const shown = {
    sizeBytes: 1234,
    mode: 0o100600,
    accessedMs: 0,
    modifiedMs: new Date(2026, 5, 3, 9, 5).getTime(),
  };
  t.equal(
    longName('a b', shown, now),
    '-rw-------    1 clubhouse clubhouse     1234 Jun  3 09:05 a b',
  );
  const old = { ...shown, mode: 0o40500, modifiedMs: new Date(2020, 0, 31).getTime() };
  t.equal(longName('d', old, now), 'dr-x------    1 clubhouse clubhouse     1234 Jan 31  2020 d');
});
