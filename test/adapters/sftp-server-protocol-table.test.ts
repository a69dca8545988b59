// The table of SFTP requests (test/support/protocol-cases.ts) against our server and against OpenSSH's, byte for byte the
// same requests, with a look at the disk after each row; then what is too large for a row of a table.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { deliveryReceiptName } from '../../src/core/delivery-receipt.ts';
import { openFlag, packetType as fxp, Reader } from '../../src/adapters/sftp-server/codec.ts';
import { encode } from '../../src/adapters/sftp-server/encode.ts';
import { missing } from '../support/programs.ts';
import {
  ownCases,
  protocolCases,
  type Field,
  type Picture,
  type ProtocolCase,
} from '../support/protocol-cases.ts';
import {
  connect,
  connectSsh,
  namesIn,
  openSftp,
  statusName,
  type RawClient,
  type Reply,
} from '../support/sftp-client.ts';
import { startServer } from '../support/sftp-server.ts';
import { startSshd } from '../support/sshd.ts';

interface Peer {
  readonly name: 'ours' | 'sshd';
  readonly client: RawClient;
  /** The folder of the cases as the client says it, and on the disk. */
  readonly base: string;
  readonly disk: string;
}

async function startPeers(): Promise<readonly Peer[]> {
  const server = await startServer();
  const ours = await connect(server, 'alice');
  t.teardown(async () => {
    ours.end();
    await server.close();
  });
  const folder = 'ji_brain/alice';
  const peer: Peer = {
    name: 'ours',
    client: ours,
    base: `/home/${folder}`,
    disk: join(server.home, folder),
  };
  if (missing('sshd') !== false) return [peer];
  const sshd = await startSshd();
  const ssh = await connectSsh({
    port: sshd.address.port,
    username: sshd.address.user,
    privateKey: readFileSync(sshd.keyPath),
  });
  const client = await openSftp(ssh);
  t.teardown(async () => {
    client.end();
    await sshd.close();
  });
  return [peer, { name: 'sshd', client, base: sshd.folder, disk: sshd.folder }];
}

const peers = await startPeers();

function furnish(disk: string, before: Picture): void {
  mkdirSync(disk);
  for (const [name, content] of Object.entries(before)) {
    if (name.endsWith('/')) mkdirSync(join(disk, name));
    else writeFileSync(join(disk, name), content, 'latin1');
  }
}

/** Names are read as bytes: not all of them are UTF-8. */
function pictureOf(disk: string, below = ''): Picture {
  const there = Buffer.from(join(disk, below), 'latin1');
  return Object.fromEntries(
    readdirSync(there, { withFileTypes: true, encoding: 'latin1' }).flatMap((entry) => {
      const path = Buffer.from(join(disk, below, entry.name), 'latin1');
      const name = `${below}${Buffer.from(entry.name, 'latin1').toString()}`;
      if (entry.isDirectory()) {
        return [[`${name}/`, ''], ...Object.entries(pictureOf(disk, `${below}${entry.name}/`))];
      }
      if (entry.isSymbolicLink()) return [[name, 'link']];
      const { size } = lstatSync(path);
      return [[name, size > 200 ? `${size} bytes` : readFileSync(path, 'utf8')]];
    }),
  );
}

/** An answer in the words of the table. */
function inWords({ type, body }: Reply, folder: string): string {
  switch (type) {
    case fxp.STATUS: {
      const name = statusName[body.uint32()] ?? 'unknown';
      const text = body.string().toString();
      return name === 'OK' || name === 'EOF' ? name : `${name}: ${text}`;
    }
    case fxp.HANDLE:
      return 'HANDLE';
    case fxp.DATA: {
      const data = body.string();
      return `DATA ${data.length > 200 ? `${data.length} bytes` : data.toString('latin1')}`;
    }
    case fxp.ATTRS: {
      const flags = body.uint32();
      const size = body.uint64();
      if (flags & 2) body.uint64();
      const mode = body.uint32();
      const modes = (mode & 0o777).toString(8);
      return (mode & 0o170000) === 0o40000 ? 'ATTRS folder' : `ATTRS file ${size} ${modes}`;
    }
    case fxp.NAME:
      return `NAME ${namesIn(body)
        .map((name) => name.replace(folder, '@'))
        .join(' ')}`;
    case fxp.EXTENDED_REPLY: {
      let bytes = 0;
      try {
        for (; ; bytes += 1) body.byte();
      } catch {
        return `REPLY ${bytes}`;
      }
    }
    default:
      return `an answer of type ${type}`;
  }
}

async function answers(
  { client }: Peer,
  folder: string,
  asks: ProtocolCase['asks'],
): Promise<readonly string[]> {
  const replies: Promise<Reply>[] = [];
  const handles = new Map<number, Buffer>();
  const handleOf = async (index: number): Promise<Buffer> => {
    const known = handles.get(index);
    if (known !== undefined) return known;
    const reply = await (replies[index] as Promise<Reply>);
    const handle = reply.type === fxp.HANDLE ? Buffer.from(reply.body.fork().string()) : undefined;
    if (handle === undefined) throw new Error(`request ${index} gave no handle`);
    handles.set(index, handle);
    return handle;
  };
  const bytesOf = async (field: Field): Promise<number | bigint | string | Uint8Array> => {
    if (typeof field !== 'object' || field instanceof Uint8Array) return field;
    if ('handleOf' in field) return handleOf(field.handleOf);
    return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(field.path)]);
  };
  for (const [type, ...fields] of asks) {
    const bytes = [];
    for (const field of fields) bytes.push(await bytesOf(field));
    replies.push(client.ask(type, ...bytes));
  }
  return (await Promise.all(replies)).map((reply) => inWords(reply, folder));
}

/** Ours is held to the words; of OpenSSH's statuses only the name counts. */
const fits = (peer: Peer, actual: string, wanted: string): boolean =>
  peer.name === 'ours' || !/^[A-Z_]+: /.test(wanted)
    ? actual === wanted || (/^[A-Z_]+(:|$)|^ATTRS/.test(wanted) && actual.startsWith(wanted))
    : actual.split(':')[0] === wanted.split(':')[0];

let count = 0;
for (const one of [...protocolCases, ...ownCases]) {
  void t.test(one.name, async (t) => {
    count += 1;
    const isOwn = ownCases.includes(one);
    for (const peer of peers.filter(({ name }) => !isOwn || name === 'ours')) {
      const folder = `case-${count}`;
      furnish(join(peer.disk, folder), one.before ?? {});
      const differs = peer.name === 'sshd' ? one.differs : undefined;
      const wanted = differs?.gives ?? one.gives;
      const actual = await answers(peer, `${peer.base}/${folder}`, one.asks);
      t.same(
        actual.map((answer, index) =>
          fits(peer, answer, wanted[index] ?? '') ? wanted[index] : answer,
        ),
        wanted,
        peer.name,
      );
      const after = differs?.after ?? one.after ?? one.before ?? {};
      t.same(pictureOf(join(peer.disk, folder)), after, `${peer.name}: the disk`);
    }
  });
}

void t.test('10,000 files are listed in pieces, each name once', async (t) => {
  const expected = Array.from({ length: 10_000 }, (_, index) => `${index}.dcm`).sort();
  for (const { name, client, base, disk } of peers.slice(0, 1)) {
    mkdirSync(join(disk, 'many'));
    execFileSync('touch', expected, { cwd: join(disk, 'many') });
    t.same(await client.list(`${base}/many`), expected, name);
    const handle = await client.openFolder(`${base}/many`);
    const replies = await Promise.all(
      Array.from({ length: 120 }, () => client.ask(fxp.READDIR, handle)),
    );
    const pieces = replies.filter(({ type }) => type === fxp.NAME).map(({ body }) => namesIn(body));
    t.ok(pieces.length > 10, 'in pieces, to READDIRs that came together');
    const listed = pieces.flat().filter((file) => !file.startsWith('.'));
    t.same(listed.sort(), expected, `${name}, together`);
    await client.close(handle);
  }
});

void t.test('long names are those of ls -l', async (t) => {
  for (const { name, client, base, disk } of peers) {
    furnish(join(disk, 'long'), { 'a b': 'hello', 'd/': '' });
    const handle = await client.openFolder(`${base}/long`);
    const lines: string[] = [];
    for (;;) {
      const { type, body } = await client.ask(fxp.READDIR, handle);
      if (type !== fxp.NAME) break;
      for (let left = body.uint32(); left > 0; left -= 1) {
        body.string();
        lines.push(body.string().toString());
        body.uint32();
        for (const width of [8, 8, 4, 8]) for (let n = width; n > 0; n -= 1) body.byte();
      }
    }
    await client.close(handle);
    const shape = (bits: string, size: string, file: string): RegExp =>
      new RegExp(
        `^${bits}[rwx-]{9} +\\d+ \\S+ +\\S+ +${size} \\w{3} +\\d+ +\\d\\d:\\d\\d ${file}$`,
      );
    for (const wanted of [
      shape('-', '5', 'a b'),
      shape('d', '\\d+', 'd'),
      shape('d', '\\d+', '\\.'),
    ]) {
      t.ok(
        lines.some((line) => wanted.test(line)),
        `${name}: ${wanted.source}`,
      );
    }
  }
});

void t.test(
  'check-file tells the SHA-256 of ranges and blocks, by name and by handle',
  async (t) => {
    const [{ client, base, disk }] = peers as [Peer];
    const content = Buffer.from(Array.from({ length: 2000 }, (_, index) => index % 251));
    writeFileSync(join(disk, 'ranges'), content);
    const handle = await client.open(`${base}/ranges`, openFlag.READ);
    const sha256 = (from: number, to: number): Buffer =>
      createHash('sha256').update(content.subarray(from, to)).digest();
    const cases: readonly (readonly [offset: bigint, length: bigint, block: number, Buffer[]])[] = [
      [0n, 0n, 0, [sha256(0, 2000)]],
      [500n, 0n, 0, [sha256(500, 2000)]],
      [500n, 100n, 0, [sha256(500, 600)]],
      [0n, 0n, 1000, [sha256(0, 1000), sha256(1000, 2000)]],
      [100n, 700n, 256, [sha256(100, 356), sha256(356, 612), sha256(612, 800)]],
      [1900n, 5000n, 0, [sha256(1900, 2000)]],
      [5000n, 0n, 0, [sha256(0, 0)]],
    ];
    for (const [offset, length, block, hashes] of cases) {
      for (const [name, target] of [
        ['check-file-name', `${base}/ranges`],
        ['check-file-handle', handle],
      ] as const) {
        const reply = await client.ask(fxp.EXTENDED, name, target, 'sha256', offset, length, block);
        t.equal(reply.type, fxp.EXTENDED_REPLY);
        t.equal(reply.body.string().toString(), 'sha256');
        const told = hashes.map(() =>
          Buffer.from(Array.from({ length: 32 }, () => reply.body.byte())),
        );
        t.same(told, hashes, `${name} ${offset} ${length} ${block}`);
      }
    }
    const huge = await client.status(
      fxp.EXTENDED,
      'check-file-name',
      `${base}/ranges`,
      'sha256',
      1n << 63n,
      0n,
      0,
    );
    t.match(huge, /^FAILURE/);
    await client.close(handle);
  },
);

void t.test('users-groups-by-id names the owner that listings show', async (t) => {
  const [{ client }] = peers as [Peer];
  const ids = (...numbers: readonly number[]): Buffer =>
    Buffer.concat(numbers.map((number) => encode(0, number).subarray(5)));
  const ask = (users: Buffer, groups: Buffer): Promise<Reply> =>
    client.ask(fxp.EXTENDED, 'users-groups-by-id@openssh.com', users, groups);
  const { body } = await ask(ids(0, 1000), ids(1000));
  const [users, groups] = [new Reader(body.string()), new Reader(body.string())];
  t.same([users.text(), users.text(), groups.text()], ['', 'clubhouse', 'clubhouse']);
  const many = await ask(Buffer.alloc(100_000), ids());
  t.match(inWords(many, ''), /^FAILURE/);
});

void t.test('each extension that is offered is in the table', async (t) => {
  const [{ client }] = peers as [Peer];
  const asked = protocolCases.flatMap(({ asks }) =>
    asks.flatMap(([type, name]) => (type === fxp.EXTENDED ? [name] : [])),
  );
  // `check-file` names the hashes of the two requests; check-file-handle and home-directory and the receipt have tests of
  // their own.
  const elsewhere = ['check-file', 'check-file-handle', deliveryReceiptName];
  t.same(
    client.offers.filter((name) => !asked.includes(name) && !elsewhere.includes(name)),
    [],
  );
  for (const refused of ['hardlink@openssh.com', 'copy-data']) {
    t.notOk(client.offers.includes(refused), refused);
  }
});
