// Exchanges of keys that cost whoever asks for them nothing: those who are logged in go on, and who comes from elsewhere gets in.

import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { createHandshakes, type Handshakes } from '../../src/adapters/sftp-server/handshakes.ts';
import { shareReads } from '../../src/adapters/sftp-server/shared-socket.ts';
import { until } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { bareSocket, message, servesOthers, string, uint32 } from '../support/ssh-messages.ts';

t.setTimeout(120_000);

/** Lanes on a clock of their own; each piece takes as many milliseconds as it has bytes. */
function tried() {
  let at = 0;
  const seen: string[] = [];
  let due: { at: number; run: () => void }[] = [];
  const later = (run: () => void, ms: number): unknown => due.push({ at: at + ms, run });
  const handshakes = createHandshakes({ now: () => at, soon: (run) => later(run, 0), later });
  let refused = 0;
  const lane = (source: string, name = source) =>
    handshakes.lane(
      source,
      (bytes) => {
        seen.push(name);
        at += bytes.length;
      },
      () => (refused += 1),
    );
  /** Until nothing is due, or until then. */
  const run = (untilMs = Infinity): void => {
    for (;;) {
      due.sort((a, b) => a.at - b.at);
      const [first] = due;
      if (first === undefined || first.at > untilMs) break;
      due = due.slice(1);
      at = Math.max(at, first.at);
      first.run();
    }
  };
  return { lane, run, seen, now: () => at, refused: () => refused };
}

void t.test('a burst is heard at once, and what goes beyond it gets a share', async (t) => {
  const one = tried();
  const lanes = Array.from({ length: 100 }, (_, n) => one.lane('hospital', String(n)));
  for (const lane of lanes) lane.push(Buffer.alloc(3));
  one.run();
  t.equal(one.now(), 300, 'a hundred logins at once do not wait');
  t.same(one.seen.slice(0, 3), ['0', '1', '2']);
  for (const lane of lanes) lane.push(Buffer.alloc(30));
  const before = one.now();
  one.run();
  const took = one.now() - before;
  t.ok(took > 8_000 && took < 12_000, `three seconds of work take ${took} ms`);
});

void t.test('sources take turns, and a lane keeps its order', async (t) => {
  const one = tried();
  const flood = Array.from({ length: 50 }, () => one.lane('flood'));
  for (const lane of flood) lane.push(Buffer.alloc(50));
  one.run(1000);
  const other = one.lane('other');
  other.push(Buffer.alloc(1));
  other.push(Buffer.alloc(2));
  t.ok(other.isBusy);
  const heard = one.seen.length;
  one.run(2000);
  const places = one.seen.slice(heard).flatMap((name, at) => (name === 'other' ? [at] : []));
  t.same(places, [1, 3], 'behind one of the flood each');
  t.notOk(other.isBusy);
});

void t.test('who talks a byte at a time costs no more for it', async (t) => {
  const one = tried();
  const lane = one.lane('drip');
  const byte = Buffer.alloc(1);
  const began = performance.now();
  for (let n = 0; n < 64 * 1024; n += 1) lane.push(byte);
  t.ok(performance.now() - began < 1000, 'what waits is not counted anew each time');
  t.equal(one.refused(), 0);
  lane.push(byte);
  t.equal(one.refused(), 1);
  t.notOk(lane.isBusy);
});

void t.test('who is in is not kept, who is gone is not heard, who talks on is left', async (t) => {
  const one = tried();
  const flood = Array.from({ length: 50 }, () => one.lane('flood'));
  for (const lane of flood) lane.push(Buffer.alloc(500));
  const [member, gone, talker] = [one.lane('flood', 'member'), one.lane('x'), one.lane('y')];
  member.push(Buffer.alloc(1));
  gone.push(Buffer.alloc(1));
  gone.end();
  for (let count = 0; count < 70; count += 1) talker.push(Buffer.alloc(1000));
  t.ok(one.refused() > 0);
  member.free();
  one.run(1);
  t.ok(one.seen.includes('member'));
  t.notOk(one.seen.includes('x'));
});

void t.test('a socket says nothing before its turn, and all of it in order', async (t) => {
  const said: string[] = [];
  let goOn: () => void = () => undefined;
  const held: Handshakes = {
    lane: (_source, pass) => {
      const pieces: Buffer[] = [];
      goOn = () => {
        for (const piece of pieces.splice(0)) pass(piece);
      };
      return {
        push: (bytes) => void pieces.push(bytes),
        free: () => undefined,
        get isBusy() {
          return pieces.length > 0;
        },
        end: () => undefined,
      };
    },
  };
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    const shared = shareReads(accepted, held, 'somewhere');
    shared.socket.on('data', (piece: Buffer) => {
      said.push(piece.toString());
      shared.lend({ mayHold: () => false, ready: (bytes) => bytes.length });
    });
    shared.socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = bareSocket((server.address() as AddressInfo).port, 'one ');
  await until(() => false, 50);
  socket.write('two ');
  await until(() => false, 50);
  t.same(said, [], 'it waits');
  goOn();
  t.same(said.join(''), 'one two ');
  socket.write('three');
  t.ok(await until(() => said.join('') === 'one two three'), 'and then it does not');
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const clear = (payload: Buffer): Buffer => {
  const padding = 16 - ((payload.length + 5) % 8);
  const head = Buffer.concat([uint32(payload.length + padding + 1), Buffer.of(padding)]);
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
};
const gcm = 'aes128-gcm@openssh.com';
const etm = 'hmac-sha2-256-etm@openssh.com';

/** All that a client has to say for an exchange of this group, of which it computes nothing. */
function request(group: number, bytes: number): Buffer {
  const kex = `diffie-hellman-group${group}-sha512`;
  const lists = [kex, 'rsa-sha2-512', gcm, gcm, etm, etm, 'none', 'none', '', ''];
  const offer = [Buffer.of(message.KEXINIT), Buffer.alloc(16, 7), ...lists.map(string)];
  const number = Buffer.concat([Buffer.of(0x0f), Buffer.alloc(bytes - 1, 0x5a)]);
  return Buffer.concat([
    Buffer.from('SSH-2.0-x\r\n'),
    clear(Buffer.concat([...offer, Buffer.alloc(5)])),
    clear(Buffer.concat([Buffer.of(30), string(number)])),
  ]);
}

void t.test('a flood of exchanges leaves everybody else their turn', async (t) => {
  const server = await startServer({ startups: { begin: 100, percent: 30, full: 200 } });
  t.teardown(() => server.close());
  let answered = 0;
  const sockets = Array.from({ length: 60 }, () => bareSocket(server.port));
  await until(() => sockets.every(({ connecting }) => !connecting));
  for (const socket of sockets) {
    let bytes = 0;
    socket.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > 1500 && bytes - piece.length <= 1500) answered += 1;
    });
    socket.write(request(16, 512));
  }
  await until(() => false, 500);
  await servesOthers(t, server);
  t.ok(await until(() => answered > 5, 20_000), 'they are answered, too');
  for (const socket of sockets) socket.destroy();
  t.notOk(existsSync(join(server.home, 'ji_brain/alice')));
});

void t.test('the group that costs most is not offered', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const socket = bareSocket(server.port, request(18, 1024));
  let bytes = 0;
  socket.on('data', (piece: Buffer) => (bytes += piece.length));
  t.ok(await until(() => socket.destroyed, 10_000), 'it has to go');
  t.ok(bytes < 1500, 'and nothing was computed for it');
  await servesOthers(t, server);
});
