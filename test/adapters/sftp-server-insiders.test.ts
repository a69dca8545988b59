// Attacks on the SSH layer and on SFTP by somebody who has an account, from an address of their own. While each goes on,
// somebody else logs in and uploads within five seconds.

import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { maximumDataBytes, packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { namesIn, until, type RawClient } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import {
  inside,
  insider,
  message,
  say,
  servesOthers,
  socketOf,
  string,
  uint32,
} from '../support/ssh-messages.ts';

const server = await startServer();
t.teardown(() => server.close());
t.setTimeout(180_000);
const own = join(server.home, 'ji_brain/alice');

/** The server's number of the channel. */
const numberOf = ({ channel }: RawClient): Buffer =>
  uint32((channel as unknown as { outgoing: { id: number } }).outgoing.id);

const isGone = ({ ssh }: RawClient): Promise<boolean> =>
  until(() => socketOf(ssh).destroyed, 10_000);

/** Asks for new keys. */
const rekey = ({ ssh }: RawClient): void => inside(ssh)._protocol.rekey();

/** How often the server answered with this message of the connection protocol. */
function countAnswers(client: RawClient, names: readonly string[]): Record<string, number> {
  const { _handlers: handlers } = inside(client.ssh)._protocol;
  const counts: Record<string, number> = {};
  for (const name of names) {
    const before = handlers[name];
    counts[name] = 0;
    handlers[name] = (...args) => {
      counts[name] = (counts[name] ?? 0) + 1;
      if (name !== 'CHANNEL_OPEN_CONFIRMATION') before?.(...args);
    };
  }
  return counts;
}

void t.test('five thousand channels: a few are opened, and the rest are refused', async (t) => {
  const alice = await insider(server);
  const counts = countAnswers(alice, ['CHANNEL_OPEN_CONFIRMATION', 'CHANNEL_OPEN_FAILURE']);
  for (let count = 0; count < 5000; count += 1) {
    const fields = [string('session'), uint32(100 + count), uint32(1 << 20), uint32(32_768)];
    if (!say(alice.ssh, message.CHANNEL_OPEN, ...fields)) break;
  }
  await servesOthers(t, server);
  t.ok(await until(() => (counts['CHANNEL_OPEN_FAILURE'] ?? 0) >= 4990, 20_000));
  t.equal(counts['CHANNEL_OPEN_CONFIRMATION'], 9, 'ten with the first one');
  t.same(await alice.list('.'), ['gpg', 'receipts'], 'and that one still works');
  alice.end();
});

void t.test('other kinds of channels are none', async (t) => {
  const alice = await insider(server);
  const counts = countAnswers(alice, ['CHANNEL_OPEN_CONFIRMATION', 'CHANNEL_OPEN_FAILURE']);
  const kinds = [
    'direct-tcpip',
    'forwarded-tcpip',
    'x11',
    'auth-agent@openssh.com',
    'tun@openssh.com',
  ];
  kinds.push('direct-streamlocal@openssh.com', '', 'x'.repeat(1000));
  for (const kind of kinds) {
    const to = [string('127.0.0.1'), uint32(22), string('127.0.0.1'), uint32(1)];
    say(alice.ssh, message.CHANNEL_OPEN, string(kind), ...[7, 1 << 20, 1024].map(uint32), ...to);
  }
  t.ok(await until(() => counts['CHANNEL_OPEN_FAILURE'] === kinds.length));
  t.equal(counts['CHANNEL_OPEN_CONFIRMATION'], 0);
  await servesOthers(t, server);
  alice.end();
});

void t.test('windows that are widened without measure change nothing', async (t) => {
  const alice = await insider(server);
  for (let count = 0; count < 2000; count += 1) {
    say(alice.ssh, message.WINDOW_ADJUST, numberOf(alice), uint32(0xffffffff));
  }
  const put = await alice.put('gpg/window.dcm', 'window').catch(String);
  await servesOthers(t, server);
  t.equal(put, 'OK');
  t.equal(readFileSync(join(own, 'gpg/window.dcm'), 'utf8'), 'window');
  alice.cut();
});

void t.test('data beyond the window ends the connection, and is not kept', async (t) => {
  const alice = await insider(server);
  const handle = await alice.open('gpg/over.dcm', 0x1a);
  // The middle of one packet is said again and again; nothing can be done with it before its end.
  alice.raw(encode(fxp.WRITE, 9, handle, 0n, Buffer.alloc(maximumDataBytes)).subarray(0, 1000));
  const before = process.memoryUsage().rss;
  const part = Buffer.alloc(30_000);
  let sent = 0;
  while (sent < 64 << 20 && say(alice.ssh, message.CHANNEL_DATA, numberOf(alice), string(part))) {
    sent += part.length;
    if (sent % (part.length * 40) === 0) await until(() => false, 1);
  }
  await servesOthers(t, server);
  t.ok(await isGone(alice));
  t.ok(process.memoryUsage().rss - before < 200 << 20);
});

void t.test('data in packets of one byte each', async (t) => {
  const alice = await insider(server);
  const packet = encode(fxp.MKDIR, 5, 'gpg/tiny', 0);
  for (const byte of packet)
    say(alice.ssh, message.CHANNEL_DATA, numberOf(alice), string(Buffer.of(byte)));
  for (let count = 0; count < 3000; count += 1) {
    say(alice.ssh, message.CHANNEL_DATA, numberOf(alice), string(''));
  }
  t.ok(await until(() => readdirSync(join(own, 'gpg')).includes('tiny')));
  await servesOthers(t, server);
  alice.end();
});

/** A folder and an open file that nobody would close. */
const sayLate = (alice: RawClient): void => {
  const both = [encode(fxp.MKDIR, 5, 'gpg/late', 0), encode(fxp.OPEN, 6, 'gpg/late.dcm', 0x1a, 0)];
  for (const late of both) say(alice.ssh, message.CHANNEL_DATA, numberOf(alice), string(late));
};

/** Said on an open channel; its connection may go on or end, nothing else may happen. */
const oddEnds: Readonly<Record<string, (alice: RawClient) => void>> = {
  'an end, again and again': (alice) => {
    for (let count = 0; count < 500; count += 1)
      say(alice.ssh, message.CHANNEL_EOF, numberOf(alice));
  },
  'data behind the end': (alice) => {
    say(alice.ssh, message.CHANNEL_EOF, numberOf(alice));
    sayLate(alice);
  },
  'data behind the close': (alice) => {
    say(alice.ssh, message.CHANNEL_CLOSE, numberOf(alice));
    sayLate(alice);
  },
  'an end in the middle of a packet': (alice) => {
    alice.raw(encode(fxp.MKDIR, 5, 'gpg/late', 0).subarray(0, 12));
    say(alice.ssh, message.CHANNEL_EOF, numberOf(alice));
  },
  'data for channels that there are not': (alice) => {
    for (const id of [1, 9, 4999, 0x7fffffff, 0xffffffff]) {
      say(alice.ssh, message.CHANNEL_DATA, uint32(id), string('x'));
      say(alice.ssh, message.CHANNEL_CLOSE, uint32(id));
      say(alice.ssh, message.WINDOW_ADJUST, uint32(id), uint32(1));
    }
  },
  'errors as data': (alice) => {
    for (const kind of [0, 1, 2, 0xffffffff]) {
      const fields = [numberOf(alice), uint32(kind), string(Buffer.alloc(20_000))];
      for (let count = 0; count < 20; count += 1) {
        say(alice.ssh, message.CHANNEL_EXTENDED_DATA, ...fields);
      }
    }
  },
  'the subsystem again': (alice) => {
    for (let count = 0; count < 200; count += 1) {
      say(
        alice.ssh,
        message.CHANNEL_REQUEST,
        numberOf(alice),
        string('subsystem'),
        1,
        string('sftp'),
      );
    }
  },
  'an environment without end': (alice) => {
    const fields = [string('env'), 0, string('NAME'), string('x'.repeat(1000))];
    for (let count = 0; count < 3000; count += 1) {
      if (!say(alice.ssh, message.CHANNEL_REQUEST, numberOf(alice), ...fields)) break;
    }
  },
  'signals and windows of a terminal': (alice) => {
    for (const name of ['signal', 'window-change', 'break', 'xon-xoff', 'exit-status', '']) {
      say(alice.ssh, message.CHANNEL_REQUEST, numberOf(alice), string(name), 1, string('KILL'));
    }
  },
  'a login behind the login': (alice) => {
    const fields = [string('bob'), string('ssh-connection'), string('none')];
    for (let count = 0; count < 200; count += 1)
      say(alice.ssh, message.USERAUTH_REQUEST, ...fields);
  },
  'a service behind the login': (alice) => {
    for (const name of ['ssh-userauth', 'ssh-connection', 'evil']) {
      say(alice.ssh, message.SERVICE_REQUEST, string(name));
    }
  },
  'numbers that mean nothing': (alice) => {
    for (let number = 100; number < 256; number += 1) say(alice.ssh, number, uint32(number));
  },
};

for (const [what, attack] of Object.entries(oddEnds)) {
  void t.test(`${what} on a channel`, async (t) => {
    const alice = await insider(server);
    attack(alice);
    await until(() => false, 50);
    await servesOthers(t, server);
    t.notOk(readdirSync(join(own, 'gpg')).join().includes('late'), 'nothing was done of it');
    t.notOk(readdirSync(join(server.home, 'ji_brain')).includes('mallory'));
    alice.cut();
  });
}

void t.test('requests of a whole connection that nobody reads the answers of', async (t) => {
  const alice = await insider(server);
  socketOf(alice.ssh).pause();
  const before = process.memoryUsage().rss;
  for (let count = 0; count < 20_000; count += 1) {
    if (!say(alice.ssh, message.GLOBAL_REQUEST, string('keepalive@openssh.com'), 1)) break;
  }
  await servesOthers(t, server);
  t.ok(process.memoryUsage().rss - before < 100 << 20);
  alice.cut();
});

void t.test('new keys in the middle of an upload lose nothing', async (t) => {
  const alice = await insider(server);
  const bytes = randomBytes(12 << 20);
  const handle = await alice.open('gpg/rekeyed.dcm', 0x1a);
  const step = 1 << 18;
  const answers: Promise<string>[] = [];
  for (let at = 0; at < bytes.length; at += step / 2) {
    answers.push(alice.write(handle, at, bytes.subarray(at, at + step / 2)));
    if (at % (4 * step) === 0) {
      await Promise.all(answers);
      await new Promise<void>((done) => {
        alice.ssh.once('handshake', () => done());
        rekey(alice);
      });
    }
  }
  for (const answer of answers) t.equal(await answer, 'OK');
  t.equal(await alice.close(handle), 'OK');
  t.ok(readFileSync(join(own, 'gpg/rekeyed.dcm')).equals(bytes));
  await servesOthers(t, server);
  alice.end();
});

void t.test('new keys again and again end the connection', async (t) => {
  const alice = await insider(server);
  let exchanges = 0;
  const again = (): void => {
    exchanges += 1;
    if (!socketOf(alice.ssh).destroyed) rekey(alice);
  };
  alice.ssh.on('handshake', again);
  again();
  await servesOthers(t, server);
  t.ok(await until(() => socketOf(alice.ssh).destroyed, 60_000));
  t.ok(exchanges < 250, `${exchanges} exchanges`);
});

void t.test('an exchange of keys that is begun and left does not keep anybody', async (t) => {
  const alice = await insider(server);
  say(
    alice.ssh,
    message.KEXINIT,
    Buffer.alloc(16),
    ...Array.from({ length: 10 }, () => string('')),
  );
  await servesOthers(t, server);
  alice.cut();
});

void t.test('paths of every length', async (t) => {
  const alice = await insider(server);
  const long = [
    ['./'.repeat(1500), /^answer of type 104/],
    ['../'.repeat(1000), /^answer of type 104/],
    ['x/'.repeat(1500), /^answer of type 104|^NO_SUCH_FILE|^FAILURE: This name/],
    ['y'.repeat(255), /^answer of type 104/],
    ['y'.repeat(256), /^FAILURE: This name cannot be used/],
    ['王'.repeat(86), /^FAILURE: This name cannot be used/],
    ['/'.repeat(3072), /^answer of type 104/],
    ['/'.repeat(3073), /^FAILURE: This name cannot be used/],
    ['z/'.repeat(100_000), /^FAILURE: This name cannot be used/],
  ] as const;
  for (const [path, says] of long) {
    for (const type of [fxp.REALPATH, fxp.STAT, fxp.MKDIR]) {
      const answer = await alice.status(type, path, 0);
      if (type === fxp.REALPATH) t.match(answer, says, `${path.length} of ${path.slice(0, 3)}`);
      t.notMatch(answer, /INTERNAL|\bE[A-Z]{4,}/);
    }
  }
  await servesOthers(t, server);
  alice.end();
});

void t.test(
  'a folder listed through a slit, and by somebody who leaves in the middle',
  async (t) => {
    mkdirSync(join(own, 'crowd'), { recursive: true });
    for (let count = 0; count < 3000; count += 1)
      writeFileSync(join(own, 'crowd', `f${count}`), '');
    const alice = await insider(server);
    const handle = await alice.openFolder('crowd');
    const seen: string[] = [];
    for (;;) {
      // Several at a time: each name comes once all the same.
      const replies = await Promise.all([1, 2, 3].map(() => alice.ask(fxp.READDIR, handle)));
      const names = replies.filter(({ type }) => type === fxp.NAME);
      seen.push(...names.flatMap(({ body }) => namesIn(body)));
      if (names.length < replies.length) break;
    }
    t.equal(seen.length, 3002);
    t.equal(new Set(seen).size, 3002);
    for (let count = 0; count < 50; count += 1) {
      const other = await alice.openFolder('crowd');
      await alice.ask(fxp.READDIR, other);
    }
    alice.cut();
    await servesOthers(t, server);
  },
);

void t.test('thousands of files held open: so many, then a sentence, and room again', async (t) => {
  const alice = await insider(server);
  const opened = await Promise.all(
    Array.from({ length: 3000 }, () => alice.status(fxp.OPENDIR, 'gpg')),
  );
  const tooMany = opened.filter((answer) => answer.startsWith('FAILURE: Too many open files'));
  t.equal(opened.length - tooMany.length, 512);
  await servesOthers(t, server);
  t.match(await alice.status(fxp.OPEN, 'gpg/more.dcm', 0x1a, 0), /^FAILURE: Too many open files/);
  t.notOk(readdirSync(join(own, 'gpg')).includes('more.dcm'));
  alice.cut();
  t.ok(
    await until(async () => {
      const again = await insider(server);
      const stored = await again.put('gpg/more.dcm', 'room').catch(String);
      again.end();
      return stored === 'OK';
    }),
  );
  t.equal(readFileSync(join(own, 'gpg/more.dcm'), 'utf8'), 'room');
});

void t.test('requests that are answered at once leave everybody else their turn', async (t) => {
  const alice = await insider(server);
  const path = '/home/ji_brain/alice/turns';
  const made = await alice.open(path, 0x1a);
  await alice.write(made, 0, Buffer.alloc(1_000));
  await alice.close(made);
  const handle = await alice.open(path, 1);
  const count = 20_000;
  const requests = {
    READ: { bytesEach: 14, request: (id: number) => encode(fxp.READ, id, handle, 0n, 1) },
    FSTAT: { bytesEach: 41, request: (id: number) => encode(fxp.FSTAT, id, handle) },
  };
  for (const [name, { bytesEach, request }] of Object.entries(requests)) {
    const all = Buffer.concat(Array.from({ length: count }, (_, n) => request(1_000_000 + n)));
    let answered = 0;
    let turns = 0;
    alice.channel.on('data', (bytes: Buffer) => (answered += bytes.length));
    const turn = (): void => {
      turns += 1;
      if (answered < count * bytesEach) setImmediate(turn);
    };
    turn();
    alice.channel.write(all);
    t.ok(await until(() => answered >= count * bytesEach, 20_000));
    t.ok(turns >= count / 256, `${name}: ${turns} turns`);
    await until(() => false, 500);
    alice.channel.removeAllListeners('data');
  }
  alice.ssh.destroy();
});
