// One user with many sessions, and with requests that cost more than they look: everybody else goes on, and what the server keeps
// for them stays small.

import { existsSync, readdirSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { createShares } from '../../src/adapters/sftp-server/shares.ts';
import { AppError } from '../../src/core/errors.ts';
import type { Storage } from '../../src/flow/ports/storage.ts';
import { openSftp, until } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { insider, servesOthers, socketOf } from '../support/ssh-messages.ts';

t.setTimeout(120_000);

/** A share of which each turn takes `ms()`. */
function tried(ms: () => number): { share: ReturnType<typeof shareOf>; turn(): void } {
  let at = 0;
  let soon: (() => void)[] = [];
  const share = shareOf(
    () => at,
    (run) => soon.push(run),
  );
  const turn = (): void => {
    at += ms();
    for (const run of soon.splice(0)) run();
  };
  return { share, turn };
}
const shareOf = (now: () => number, soon: (run: () => void) => unknown) =>
  createShares(now, soon).of('alice');

/** Requests until the share is spent. */
function spendAll({ share }: ReturnType<typeof tried>): number {
  let count = 0;
  while (!share.isSpent) {
    share.spend();
    count += 1;
  }
  return count;
}

void t.test('what a turn may hold follows from how long turns are', async (t) => {
  let ms = 1;
  const one = tried(() => ms);
  const first = spendAll(one);
  one.turn();
  t.equal(spendAll(one), first, 'short turns stay as they are');
  ms = 50;
  for (let count = 0; count < 10; count += 1) {
    one.turn();
    spendAll(one);
  }
  one.turn();
  const least = spendAll(one);
  t.ok(least < first / 8 && least > 0, `${least} of ${first}`);
  ms = 1;
  for (let count = 0; count < 10; count += 1) {
    one.turn();
    spendAll(one);
  }
  one.turn();
  t.equal(spendAll(one), first, 'and grows again');
  ms = 50;
  one.turn();
  one.share.spend();
  one.turn();
  one.share.spend();
  one.turn();
  t.ok(spendAll(one) >= first / 2, 'who takes little is not made to pay for others');
});

void t.test('sessions that wait go on in the order of asking, each in its turn', async (t) => {
  const one = tried(() => 1);
  const seen: string[] = [];
  const session = (name: string): (() => void) => {
    const goOn = (): void => {
      seen.push(name);
      spendAll(one);
      one.share.wait(goOn);
    };
    return goOn;
  };
  spendAll(one);
  for (const name of ['a', 'b', 'c']) one.share.wait(session(name));
  for (let count = 0; count < 6; count += 1) one.turn();
  t.equal(seen.join(''), 'abcabc');
  spendAll(one);
  let isThere = false;
  void one.share.turn()?.then(() => (isThere = true));
  t.notOk(isThere);
});

void t.test('thirty sessions of one user have one turn together', async (t) => {
  let done = 0;
  const server = await startServer({}, (storage) => ({
    ...storage,
    facts: (path) => {
      done += 1;
      return storage.facts(path);
    },
  }));
  t.teardown(() => server.close());
  const connections = await Promise.all([1, 2, 3].map(() => insider(server)));
  const sessions = await Promise.all(
    connections.flatMap(({ ssh }) => Array.from({ length: 9 }, () => openSftp(ssh))),
  );
  const each = 1000;
  const path = '/home/ji_brain/alice';
  const requests = Buffer.concat(
    Array.from({ length: each }, (_, n) => encode(fxp.LSTAT, 1_000_000 + n, path)),
  );
  let answered = 0;
  const all = each * sessions.length * encode(fxp.ATTRS, 1, 0xf, 0n, 0n, 0, 0n).length;
  let most = 0;
  const turn = (): void => {
    most = Math.max(most, done);
    done = 0;
    if (answered < all) setImmediate(turn);
  };
  for (const { channel } of sessions) {
    channel.on('data', (bytes: Buffer) => (answered += bytes.length));
    channel.write(requests);
  }
  turn();
  t.ok(await until(() => answered >= all, 60_000), 'all are answered');
  t.ok(most > 1 && most <= 600, `${most} in one turn`);
  await servesOthers(t, server);
  for (const { ssh } of connections) ssh.destroy();
});

/** Counts what is open, and how many pieces of listings were read; hashes wait for `goOn`. */
function counting(): {
  wrap: (storage: Storage) => Storage;
  open: number;
  pieces: number;
  goOn(): void;
} {
  let goOn: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (goOn = resolve));
  const counts = {
    open: 0,
    pieces: 0,
    goOn: () => goOn(),
    wrap: (storage: Storage): Storage => ({
      ...storage,
      open: async (path, how) => {
        const file = await storage.open(path, how);
        if (how.write) return file;
        counts.open += 1;
        const readInto = file.readInto.bind(file);
        const close = file.close.bind(file);
        file.readInto = (target, offset) => gate.then(() => readInto(target, offset));
        file.close = () => {
          counts.open -= 1;
          return close();
        };
        return file;
      },
      list: async function* (path) {
        for await (const entries of storage.list(path)) {
          counts.pieces += 1;
          yield entries;
        }
      },
    }),
  };
  return counts;
}

void t.test('listings and hashes that nobody takes are few', async (t) => {
  const counts = counting();
  const server = await startServer({}, counts.wrap);
  t.teardown(() => server.close());
  const own = join(server.home, 'ji_brain/alice');
  mkdirSync(join(own, 'crowd'), { recursive: true });
  for (let count = 0; count < 3000; count += 1) {
    writeFileSync(join(own, 'crowd', `${count}${'n'.repeat(200)}`), '');
  }
  const alice = await insider(server);
  const handles = await Promise.all(Array.from({ length: 40 }, () => alice.openFolder('crowd')));
  socketOf(alice.ssh).pause();
  const requests = handles.flatMap((handle, at) =>
    Array.from({ length: 25 }, (_, n) => encode(fxp.READDIR, 1000 + 100 * at + n, handle)),
  );
  alice.channel.write(Buffer.concat(requests));
  await until(() => false, 1500);
  t.ok(counts.pieces > 20 && counts.pieces <= 220, `${counts.pieces} pieces of 1000`);
  await servesOthers(t, server);
  alice.cut();

  const other = await insider(server);
  await other.put('big', Buffer.alloc(1000, 1));
  const proofs = Array.from({ length: 200 }, () =>
    other.ask(fxp.EXTENDED, 'check-file-name', 'big', 'sha256', 0n, 0n, 0),
  );
  await until(() => counts.open > 1, 500);
  t.equal(counts.open, 1, 'files are opened in turn');
  await servesOthers(t, server);
  counts.goOn();
  for (const proof of proofs) t.equal((await proof).type, fxp.EXTENDED_REPLY);
  t.ok(await until(() => counts.open === 0));
  other.end();
  t.ok(existsSync(join(own, 'big')));
  t.equal(readdirSync(join(own, 'crowd')).length, 3000);
});

void t.test('more ids than a listing has are not looked up', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const alice = await insider(server);
  const ask = (count: number): Promise<string> =>
    alice.status(fxp.EXTENDED, 'users-groups-by-id@openssh.com', Buffer.alloc(4 * count), '');
  t.match(await ask(256), /answer of type 201/);
  t.match(await ask(257), /FAILURE/);
  await servesOthers(t, server);
  alice.end();
});

void t.test('a disk that is full fills no log', async (t) => {
  const server = await startServer({}, (storage) => ({
    ...storage,
    makeFolder: async (path) => {
      if (path.endsWith('crowd')) throw new AppError('DISK_FULL', { detail: 'ENOSPC' });
      return storage.makeFolder(path);
    },
  }));
  t.teardown(() => server.close());
  const alice = await insider(server);
  for (let count = 0; count < 200; count += 1) {
    t.match(await alice.status(fxp.MKDIR, 'crowd', 0), /^FAILURE/);
  }
  const lines = server.log.lines.filter((line) => line.startsWith('error'));
  t.equal(lines.length, 10);
  t.notOk(lines.some((line) => line.includes('crowd')));
  t.notOk(existsSync(join(server.home, 'ji_brain/alice/crowd')));
  t.ok(
    server.intake.events.every((event) => !event.startsWith('make')),
    'nothing was made',
  );
  alice.end();
});
