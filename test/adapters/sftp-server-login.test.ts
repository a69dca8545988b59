// Who gets in, and who is put out again: keys, passwords, forged signatures, limits, and what SSH offers besides SFTP.

import { createConnection } from 'node:net';
import ssh2 from 'ssh2';
import type { AuthHandlerMiddleware, PublicKeyAuthContext } from 'ssh2';
import t from 'tap';
import { isSigned } from '../../src/adapters/sftp-server/auth.ts';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import { connect, connectSsh, openSftp, until } from '../support/sftp-client.ts';
import { makeKey, startServer, type TestKey } from '../support/sftp-server.ts';
import { attacker, bareSocket, servesOthers } from '../support/ssh-messages.ts';

const server = await startServer({ channels: 3, connectionsPerUser: 4 });
t.teardown(() => server.close());
const { port, users, accounts } = server;
const keyOf = (name: string): string => users.get(name)?.key.privateKey ?? '';

void t.test('password and key log in, and each login is recorded', async (t) => {
  accounts.logins.length = 0;
  const byPassword = await connectSsh({ port, username: 'alice', password: 'secret of alice' });
  const byKey = await connectSsh({ port, username: 'alice', privateKey: keyOf('alice') });
  t.same(accounts.logins, [
    { name: 'alice', method: 'password', accepted: true },
    { name: 'alice', method: 'publickey', accepted: true },
  ]);
  byPassword.end();
  byKey.end();
});

void t.test(
  'wrong password, unknown user, foreign key and empty password are refused',
  async (t) => {
    const attempts = [
      { username: 'alice', password: 'wrong' },
      { username: 'alice', password: '' },
      { username: 'mallory', password: 'secret of alice' },
      { username: 'alice', privateKey: keyOf('bob') },
      { username: 'mallory', privateKey: keyOf('alice') },
      { username: 'x'.repeat(500), password: 'x' },
      { username: 'alice' },
    ];
    for (const attempt of attempts) {
      await t.rejects(connectSsh({ port, localAddress: attacker, ...attempt }));
    }
    t.ok(accounts.logins.filter(({ accepted }) => accepted).length <= 2);
    await servesOthers(t, server);
  },
);

void t.test('an account that has expired tells its owner so, and nobody else', async (t) => {
  const alice = users.get('alice');
  if (alice === undefined) return t.fail();
  alice.expiredAt = Date.UTC(2026, 0, 31, 12);
  t.teardown(() => delete alice.expiredAt);
  const says = /This account has ended; ask .* \(account expired on 2026-01-31\)/;
  const known = [{ password: 'secret of alice' }, { privateKey: keyOf('alice') }];
  for (const login of known) {
    await t.rejects(connectSsh({ port, username: 'alice', ...login }), { message: says, code: 14 });
    t.match(accounts.logins.at(-1), { name: 'alice', accepted: false });
  }
  const heard: string[] = [];
  const others = [
    { password: 'guess' },
    { privateKey: keyOf('bob') },
    { authHandler: impostor(alice.key) },
  ];
  for (const login of others) {
    const from = { port, localAddress: attacker, username: 'alice' };
    await connectSsh({ ...from, ...login }).catch((error: Error) => {
      heard.push(error.message);
    });
  }
  t.equal(heard.length, others.length);
  t.notMatch(heard.join(), says, 'a guess, and a key whose private half is not there');
  return undefined;
});

void t.test('a forged signature is refused: only a verified one counts', async (t) => {
  const { key } = users.get('alice') ?? { key: makeKey() };
  const authHandler = impostor(key);
  await t.rejects(connectSsh({ port, localAddress: attacker, username: 'alice', authHandler }));
  t.same(accounts.logins.at(-1), { name: 'alice', method: 'publickey', accepted: false });
  await servesOthers(t, server);
});

/** The public half of alice's key, signed with another: what a client sends that stole a public key. */
function impostor({ privateKey }: TestKey): AuthHandlerMiddleware {
  const forged = ssh2.utils.parseKey(makeKey().privateKey);
  const pretender = ssh2.utils.parseKey(privateKey);
  if (forged instanceof Error || pretender instanceof Error) throw new Error('no key');
  (pretender as unknown as { sign: unknown }).sign = forged.sign.bind(forged);
  const attempts = [{ type: 'publickey', username: 'alice', key: pretender }];
  return ((_left, _partial, next) => {
    (next as (attempt: unknown) => void)(attempts.pop() ?? false);
  }) as AuthHandlerMiddleware;
}

void t.test('what is not a whole, fitting, verified signature is none', async (t) => {
  const { key } = users.get('alice') ?? { key: makeKey() };
  const parsed = ssh2.utils.parseKey(key.privateKey);
  if (parsed instanceof Error) return t.fail();
  const blob = Buffer.from('what was signed');
  const signature = parsed.sign(blob) as Buffer;
  const attempt = (some: object): PublicKeyAuthContext =>
    ({
      key: { algo: 'ssh-ed25519', data: key.blob },
      blob,
      signature,
      hashAlgo: undefined,
      ...some,
    }) as unknown as PublicKeyAuthContext;
  t.equal(isSigned(attempt({})), true);
  const wrong: readonly [string, object][] = [
    ['no blob', { blob: undefined }],
    ['no signature', { signature: undefined }],
    ['empty blob', { blob: Buffer.alloc(0) }],
    ['empty signature', { signature: Buffer.alloc(0) }],
    ['another blob', { blob: Buffer.from('something else') }],
    ['a cut signature', { signature: signature.subarray(1) }],
    ['verify gives an Error', { hashAlgo: 'no-such-hash' }],
    ['another kind', { key: { algo: 'ssh-rsa', data: key.blob } }],
    ['no key', { key: { algo: 'ssh-ed25519', data: Buffer.from('nonsense') } }],
    ['a private key', { key: { algo: 'ssh-ed25519', data: Buffer.from(key.privateKey) } }],
  ];
  for (const [name, some] of wrong) t.equal(isSigned(attempt(some)), false, name);
  return undefined;
});

void t.test('after six failures the connection ends', async (t) => {
  let tries = 0;
  const client = new ssh2.Client();
  const ended = new Promise<void>((resolve) => client.on('close', () => resolve()));
  client.on('error', () => undefined);
  client.connect({
    host: '127.0.0.1',
    localAddress: attacker,
    port,
    username: 'alice',
    authHandler: (_left, _partial, next) => {
      tries += 1;
      next({ type: 'password', username: 'alice', password: `wrong ${tries}` });
    },
  });
  await ended;
  t.ok(tries <= 7, `${tries} tries`);
  await servesOthers(t, server);
});

void t.test(
  'shell, exec, pty, environment, agent, forwarding and other subsystems are refused at once',
  async (t) => {
    const client = await connectSsh({ port, username: 'alice', privateKey: keyOf('alice') });
    const refused = (run: (done: (error: Error | undefined) => void) => void): Promise<boolean> =>
      new Promise((resolve) => run((error) => resolve(error !== undefined)));
    t.ok(await refused((done) => client.exec('id', done)));
    t.ok(await refused((done) => client.shell(done)));
    t.ok(await refused((done) => client.subsys('netconf', done)));
    client.end();
    const other = await connectSsh({ port, username: 'alice', privateKey: keyOf('alice') });
    t.ok(await refused((done) => other.forwardOut('127.0.0.1', 1, '127.0.0.1', 22, done)));
    t.ok(await refused((done) => other.forwardIn('127.0.0.1', 0, done)));
    t.ok(await refused((done) => other.openssh_forwardOutStreamLocal('/tmp/x', done)));
    const sftp = await openSftp(other);
    t.same(await sftp.list('.'), ['gpg', 'receipts'], 'SFTP works after all that');
    other.end();
    await servesOthers(t, server);
  },
);

void t.test('only so many channels and connections are open at a time', async (t) => {
  const client = await connectSsh({ port, username: 'alice', privateKey: keyOf('alice') });
  const open = [await openSftp(client), await openSftp(client), await openSftp(client)];
  await t.rejects(openSftp(client));
  open[0]?.channel.end();
  await until(async () => {
    try {
      await openSftp(client);
      return true;
    } catch {
      return false;
    }
  });
  t.pass('a closed channel makes room');
  client.end();
  await new Promise<void>((resolve) => client.once('close', () => resolve()));
  const many = [];
  for (let index = 0; index < 4; index += 1) many.push(await connect(server, 'bob'));
  await t.rejects(connect(server, 'bob'), 'the fifth connection of one user');
  t.ok(
    await connect(server, 'alice').then((other) => (other.end(), true)),
    'others are not concerned',
  );
  for (const one of many) one.end();
});

void t.test('disabling an account ends its live sessions, and open uploads are lost', async (t) => {
  const alice = await connect(server, 'alice');
  await alice.open('/home/ji_brain/alice/gpg/open.dcm', 0x1a);
  const user = users.get('alice');
  if (user === undefined) return t.fail();
  user.isDisabled = true;
  accounts.changed();
  await alice.gone;
  t.ok(
    await until(() => server.intake.events.includes('lost intake ji_brain/alice/gpg/open.dcm 0')),
  );
  await t.rejects(connect(server, 'alice'));
  user.isDisabled = false;
  accounts.changed();
  const again = await connect(server, 'alice');
  t.ok(again);
  again.end();
  return undefined;
});

void t.test('a live session sees a project come and go', async (t) => {
  const user = users.get('alice');
  if (user === undefined) return t.fail();
  const before = user.principal;
  const alice = await connect(server, 'alice');
  user.principal = {
    ...before,
    projects: [...before.projects, { id: 'p-new', name: 'new', partners: [] }],
  };
  accounts.changed();
  t.ok(await until(async () => (await alice.list('/home')).includes('ji_new')));
  t.same(await alice.list('/home/ji_new/alice'), ['gpg', 'receipts']);
  const handle = await alice.open('/home/ji_new/alice/gpg/x', 0x1a);
  user.principal = before;
  accounts.changed();
  t.ok(await until(() => server.intake.events.includes('lost intake ji_new/alice/gpg/x 0')));
  t.match(await alice.write(handle, 0, Buffer.from('x')), /^FAILURE: The file handle/);
  t.equal(await alice.size('/home/ji_new/alice/gpg/x'), 'NO_SUCH_FILE: No such file or folder');
  alice.end();
  return undefined;
});

/** What the server offers to a client that greets so. */
const offerTo = (software: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () =>
      socket.write(`SSH-2.0-${software}\r\n`),
    );
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('none,') || text.includes('none\0')) {
        socket.destroy();
        resolve(text);
      }
    });
    socket.on('error', reject);
  });

void t.test(
  'the offer is modern: no SHA-1, no NIST curves, no MAC but etm, no compression',
  async (t) => {
    const offer = await offerTo('test');
    for (const name of [
      'curve25519-sha256',
      'ssh-ed25519',
      'rsa-sha2-512',
      'kex-strict-s-v00@openssh.com',
      'aes128-gcm@openssh.com',
      'etm@openssh.com',
    ]) {
      t.ok(offer.includes(name), `offers ${name}`);
    }
    t.notMatch(offer, /nistp|sha1|ssh-rsa|ssh-dss|zlib|cbc|md5|hmac-sha2-(?:256|512)(?!-etm)/);
  },
);

void t.test('a libssh2 that knows no etm MAC is offered SHA-2 ones, and nobody else', async (t) => {
  const plain = /hmac-sha2-256,hmac-sha2-512/;
  for (const software of ['libssh2_1.10.0', 'libssh2_1.8.0-20190401', 'libssh2_0.18']) {
    const offer = await offerTo(software);
    t.match(offer, plain, software);
    t.match(offer, /hmac-sha2-256-etm@openssh\.com/);
    t.notMatch(offer, /nistp|sha1|ssh-rsa|ssh-dss|zlib|cbc|md5|ripemd/);
  }
  const others = [
    'libssh2_1.11.0',
    'libssh2_1.100',
    'xlibssh2_1.10.0',
    'OpenSSH_9.2',
    'libssh_0.10',
  ];
  for (const software of others) t.notMatch(await offerTo(software), plain, software);
});

void t.test(
  'strangers leave after the grace time, and garbage ends its own connection',
  async (t) => {
    const strict = await startServer({ loginGraceMs: 1500 });
    const sockets = [
      bareSocket(strict.port),
      bareSocket(strict.port, 'SSH-2.0-x\r\n'),
      bareSocket(strict.port, 'GET / HTTP/1.0\r\n\r\n'),
      bareSocket(
        strict.port,
        Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(64, 0xff)]),
      ),
    ];
    t.ok(await until(() => sockets.every(({ destroyed }) => destroyed)), 'silence, and garbage');
    await servesOthers(t, strict);
    const alice = await connect(strict, 'alice');
    await new Promise((resolve) => setTimeout(resolve, 1800));
    t.same(await alice.list('.'), ['gpg', 'receipts'], 'who is in stays in');
    t.equal((await alice.ask(fxp.STAT, '.')).type, fxp.ATTRS);
    alice.end();
    await strict.close();
  },
);

void t.test('an idle connection ends, one that works does not', async (t) => {
  const strict = await startServer({ idleMs: 300 });
  const idle = await connect(strict, 'alice');
  let isGone = false;
  void idle.gone.then(() => {
    isGone = true;
  });
  const working = await connect(strict, 'bob');
  t.ok(await until(async () => ((await working.list('.')).length === 2 ? isGone : false)));
  t.same(await working.list('.'), ['ji_brain', 'ji_heart']);
  working.end();
  await strict.close();
});

void t.test('host keys that cannot be used are said so at once', async (t) => {
  const { createSftpServer } = await import('../../src/adapters/sftp-server/listen.ts');
  const make = (hostKeys: string[]) =>
    createSftpServer({
      ...server,
      config: { host: '127.0.0.1', port: 0, site: 'PUHSC', hostKeys },
      clock: { now: () => 0, sleep: async () => undefined },
    });
  await t.rejects(make(['/nowhere/host_key']).listen(), { code: 'CONFIG_INVALID' });
  await t.rejects(make(['-----BEGIN OPENSSH PRIVATE KEY-----\nx']).listen(), {
    code: 'CONFIG_INVALID',
  });
});
