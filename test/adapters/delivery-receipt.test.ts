// Delivery receipts end to end: our server signs, our client believes only what is signed, and OpenSSH's own tool agrees.

import t from 'tap';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRemotes } from '../../src/adapters/sftp-remote/remote.ts';
import { packetType as fxp } from '../../src/adapters/sftp-server/codec.ts';
import {
  deliveryReceiptName,
  isReceiptFor,
  readStatement,
  statementText,
  type DeliveryReceipt,
} from '../../src/core/delivery-receipt.ts';
import { AppError } from '../../src/core/errors.ts';
import { armorSshsig, fingerprintOfBlob, sshsigBlob, sshsigInput } from '../../src/core/sshsig.ts';
import { missing, run } from '../support/programs.ts';
import { connect } from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';

const never = new AbortController().signal;
const bytes = Buffer.from('a sealed file');
const sha256 = createHash('sha256').update(bytes).digest('hex');
const incoming = 'ji_brain/club_house/From_UMHS_To_PUHSC';
const path = `/home/${incoming}/gpg-bob/1.gpg`;
const expected = { from: 'UMHS', to: 'PUHSC', path, sizeBytes: bytes.length, sha256 };

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => value,
    (error: unknown) => (error instanceof AppError ? error.code : String(error)),
  );

void t.test('a partner signs what it has on its disk, and nothing else', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const put = async (at: string): Promise<void> => {
    await mkdir(join(server.home, at, '..'), { recursive: true });
    await writeFile(join(server.home, at), bytes);
  };
  await put(`${incoming}/gpg-bob/1.gpg`);
  const remotes = createRemotes({ keyPath: await server.keyFile('UMHS'), timeoutMs: 5_000 });
  const address = { host: '127.0.0.1', port: server.port, user: 'UMHS' };
  const shown = await remotes.connect({ ...address, hostKey: 'SHA256:x' }, never).then(
    () => '',
    (error: unknown) => (error instanceof AppError ? (error.detail ?? '') : ''),
  );
  const hostKey = shown.slice(shown.lastIndexOf('SHA256:'));
  const remote = await remotes.connect({ ...address, hostKey }, never);
  t.teardown(() => remote.close());

  await t.test('in a form that ssh-keygen verifies', { skip: missing('ssh-keygen') }, async (t) => {
    const receipt = await remote.receipt(expected);
    t.match(readStatement(receipt?.statement ?? ''), { ...expected, verifiedAt: Number });
    const folder = t.testdir();
    const scan = await run('ssh-keyscan', [
      '-p',
      String(server.port),
      '-t',
      'ed25519',
      '127.0.0.1',
    ]);
    const key = scan.stdout.toString().split(' ').slice(1, 3).join(' ').trim();
    await writeFile(join(folder, 'signers'), `PUHSC ${key}\n`);
    await writeFile(join(folder, 'receipt.sig'), armorSshsig(receipt?.signature ?? bytes));
    const verify = (statement: string) =>
      run(
        'ssh-keygen',
        ['-Y', 'verify', '-f', join(folder, 'signers'), '-I', 'PUHSC'].concat([
          ...['-n', deliveryReceiptName, '-s', join(folder, 'receipt.sig')],
        ]),
        { input: statement },
      );
    const good = await verify(receipt?.statement ?? '');
    t.equal(good.code, 0, good.stderr);
    t.not((await verify(`${receipt?.statement ?? ''} `)).code, 0);
  });

  const refused = [
    { name: 'another content', ask: { sha256: '0'.repeat(64) } },
    { name: 'another size', ask: { sizeBytes: bytes.length + 1 } },
    { name: 'a file that is not there', ask: { path: `${path}.x` } },
    { name: 'another sender', ask: { from: 'MAYO' } },
    { name: 'another receiver', ask: { to: 'MAYO' } },
    {
      name: 'a temporary name',
      ask: { path: `/home/${incoming}/.clubhouse-1.part` },
      file: `${incoming}/.clubhouse-1.part`,
    },
    {
      name: 'the other direction',
      ask: { path: '/home/ji_brain/club_house/From_PUHSC_To_UMHS/1.gpg' },
      file: 'ji_brain/club_house/From_PUHSC_To_UMHS/1.gpg',
    },
  ];
  for (const { name, ask, file } of refused) {
    await t.test(`not for ${name}`, async (t) => {
      if (file !== undefined) await put(file);
      t.equal(await failureOf(remote.receipt({ ...expected, ...ask })), 'REMOTE_RECEIPT');
    });
  }

  await t.test('together with the rename that gives the name', async (t) => {
    await put(`${incoming}/gpg-bob/.clubhouse-2.part`);
    const there = `/home/${incoming}/gpg-bob/2.gpg`;
    const [, receipt] = await Promise.all([
      remote.replace(`/home/${incoming}/gpg-bob/.clubhouse-2.part`, there),
      remote.receipt({ ...expected, path: there }),
    ]);
    t.match(receipt?.statement, `Path: ${there}\n`);
  });

  await t.test('many in flight', async (t) => {
    const all = await Promise.all(Array.from({ length: 50 }, () => remote.receipt(expected)));
    t.equal(new Set(all.map((one) => one?.statement)).size, 50, 'each has its own nonce');
  });

  await t.test(
    'a member gets none, nor does who asks for a key that is not the server’s',
    async (t) => {
      const alice = await connect(server, 'alice');
      t.teardown(() => alice.end());
      const partner = await connect(server, 'UMHS');
      t.teardown(() => partner.end());
      const fields = [BigInt(bytes.length), Buffer.from(sha256, 'hex'), Buffer.alloc(16)] as const;
      const ask = (client: typeof alice, key: string) =>
        client.status(fxp.EXTENDED, deliveryReceiptName, path, key, ...fields);
      t.match(await ask(alice, hostKey), /^PERMISSION_DENIED/);
      t.match(await ask(partner, 'SHA256:unknown'), /^OP_UNSUPPORTED/);
      await rm(join(server.home, incoming, 'gpg-bob/1.gpg'));
      t.match(await ask(partner, hostKey), /^NO_SUCH_FILE/);
    },
  );
});

void t.test('only the pinned key’s word about this very delivery counts', async (t) => {
  const string = (value: string | Uint8Array): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(value.length);
    return Buffer.concat([length, Buffer.from(value)]);
  };
  const makeSigner = () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const x = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
    const blob = Buffer.concat([string('ssh-ed25519'), string(x)]);
    return {
      fingerprint: fingerprintOfBlob(blob),
      sign: (statement: string, namespace: string = deliveryReceiptName): DeliveryReceipt => {
        const input = sshsigInput(namespace, Buffer.from(statement));
        const raw = { algorithm: 'ssh-ed25519', bytes: sign(null, input, privateKey) } as const;
        return { statement, signature: sshsigBlob(blob, namespace, raw) };
      },
    };
  };
  const theirs = makeSigner();
  const other = makeSigner();
  const asked = { ...expected, nonce: 'a1'.repeat(16) };
  const verifiedAt = Date.UTC(2001, 0, 1); // Their clock may be wrong.
  const good = statementText({ ...asked, verifiedAt });
  const signed = theirs.sign(good);
  const broken = Buffer.from(signed.signature);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  const cases: readonly (readonly [string, DeliveryReceipt, boolean])[] = [
    ['as asked', signed, true],
    ['by another key', other.sign(good), false],
    ['for another purpose', theirs.sign(good, 'file'), false],
    ['with another nonce', theirs.sign(good.replace('a1a1', 'b2b2')), false],
    ['about another path', theirs.sign(good.replace('1.gpg', '2.gpg')), false],
    ['with a line more', theirs.sign(`${good}Path: /x\n`), false],
    ['altered afterwards', { ...signed, statement: good.replace('2001', '2002') }, false],
    ['with a broken signature', { ...signed, signature: broken }, false],
    ['with a cut signature', { ...signed, signature: signed.signature.subarray(0, 60) }, false],
    ['with none', { ...signed, signature: new Uint8Array(0) }, false],
  ];
  for (const [name, receipt, holds] of cases) {
    t.equal(isReceiptFor(receipt, asked, theirs.fingerprint), holds, name);
  }
});
