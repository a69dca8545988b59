// A running SFTP server for tests: real storage in a temporary folder, accounts and intake that are told what to say and
// remember what they were asked.

import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { createSftpServer } from '../../src/adapters/sftp-server/listen.ts';
import type { ServerLimits } from '../../src/adapters/sftp-server/limits.ts';
import { createStorage } from '../../src/adapters/storage.ts';
import { systemClock } from '../../src/adapters/clock.ts';
import type { Accounts, Expired, Principal } from '../../src/flow/ports/accounts.ts';
import type { Log } from '../../src/flow/ports/clock.ts';
import type { Change, Intake, WritePlace } from '../../src/flow/ports/intake.ts';
import type { Storage } from '../../src/flow/ports/storage.ts';

export interface TestKey {
  /** OpenSSH private key. */
  readonly privateKey: string;
  readonly publicLine: string;
  readonly blob: Buffer;
}

/** About one in 500 keys that ssh2 generates cannot be read by itself, so it is asked again. */
export function makeKey(): TestKey {
  const { private: privateKey, public: publicLine } = ssh2.utils.generateKeyPairSync('ed25519');
  if (ssh2.utils.parseKey(privateKey) instanceof Error) return makeKey();
  return { privateKey, publicLine, blob: Buffer.from(publicLine.split(' ')[1] ?? '', 'base64') };
}

export interface TestUser {
  principal: Principal;
  readonly password: string;
  readonly key: TestKey;
  isDisabled: boolean;
  /** When the account ended. */
  expiredAt?: number;
}

const brain = { id: 'p-brain', name: 'brain', partners: ['UMHS'] };
const heart = { id: 'p-heart', name: 'heart', partners: ['UMHS', 'CHUV'] };

/** alice: brain; bob: brain and heart; UMHS: the partner's replicator. */
export function makeUsers(): Map<string, TestUser> {
  const member = (name: string, projects: Principal['projects']): TestUser => ({
    principal: { kind: 'member', id: `m-${name.length}`, name, projects },
    password: `secret of ${name}`,
    key: makeKey(),
    isDisabled: false,
  });
  return new Map([
    ['alice', member('alice', [brain])],
    ['bob', member('bob', [brain, heart])],
    [
      'UMHS',
      {
        principal: { kind: 'partner', id: 'r-umhs', name: 'UMHS', projects: [brain, heart] },
        password: 'secret of UMHS',
        key: makeKey(),
        isDisabled: false,
      },
    ],
  ]);
}

export interface FakeAccounts extends Accounts {
  readonly logins: { name: string; method: string; accepted: boolean }[];
  /** What was refused in masses, as `kind count`. */
  readonly refusals: string[];
  changed(): void;
}

export function fakeAccounts(users: Map<string, TestUser>): FakeAccounts {
  let version = 1;
  const logins: FakeAccounts['logins'] = [];
  const refusals: string[] = [];
  const usable = (name: string): TestUser | undefined => {
    const user = users.get(name);
    return user === undefined || user.isDisabled ? undefined : user;
  };
  const enter = ({ principal, expiredAt }: TestUser): Principal | Expired =>
    expiredAt === undefined
      ? principal
      : { kind: 'ended', reason: 'expired', expiresAt: expiredAt };
  return {
    logins,
    refusals,
    changed: () => {
      version += 1;
    },
    verifyPassword: async (name, password) => {
      const user = usable(name);
      return user?.password === password ? enter(user) : undefined;
    },
    findByKey: async (name, blob) => {
      const user = usable(name);
      return user?.key.blob.equals(blob) === true ? enter(user) : undefined;
    },
    current: async ({ name }) => usable(name)?.principal ?? { kind: 'ended', reason: 'disabled' },
    version: () => version,
    recordLogin: async ({ name, method, accepted }) => {
      logins.push({ name, method, accepted });
    },
    recordRefusals: async ({ kind, count }) => {
      refusals.push(`${kind} ${count}`);
    },
  };
}

export interface FakeIntake extends Intake {
  readonly events: string[];
  readonly hiddenPaths: Map<string, ReadonlySet<string>>;
  /** Asked before each CLOSE is answered. */
  beforeEnd: () => Promise<void>;
  freshInode: boolean;
}

/** Writes down what happened, as short lines. */
export function fakeIntake(): FakeIntake {
  const events: string[] = [];
  const named = ({ area, path }: WritePlace): string => `${area} ${path}`;
  const changed = (change: Change): string =>
    change.kind === 'rename'
      ? `rename ${named(change.from)} -> ${named(change.to)}${change.isFolder ? ' folder' : ''}`
      : `${change.kind} ${named(change.place)}`;
  const fake: FakeIntake = {
    events,
    hiddenPaths: new Map(),
    beforeEnd: async () => undefined,
    freshInode: false,
    open: async (_principal, place, { declaredSizeBytes, ...how }, open) => {
      const file = await open({ ...how, freshInode: fake.freshInode });
      const declared = declaredSizeBytes === undefined ? '' : ` declared ${declaredSizeBytes}`;
      events.push(`open ${named(place)}${declared}`);
      let bytes = 0;
      return {
        file,
        writing: {
          wrote: (_offset, length) => {
            bytes += length;
          },
          failed: (_offset, written) => {
            bytes += written;
            events.push(`failed ${named(place)}`);
          },
          truncated: (size) => events.push(`truncated ${named(place)} ${size}`),
          end: async (how) => {
            await fake.beforeEnd();
            await file.sync();
            events.push(`${how} ${named(place)} ${bytes}`);
          },
        },
      };
    },
    change: async (_principal, change, run) => {
      await run({ freshInode: fake.freshInode });
      events.push(changed(change));
    },
    whenSettled: (_place, work) => work(),
    hidden: async (principal, folder) =>
      principal.name === 'alice' ? new Set() : (fake.hiddenPaths.get(folder) ?? new Set()),
  };
  return fake;
}

export interface FakeLog extends Log {
  readonly lines: string[];
}

export function fakeLog(): FakeLog {
  const lines: string[] = [];
  const line =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
  const log: FakeLog = {
    lines,
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
  };
  return log;
}

export interface TestServer {
  readonly root: string;
  readonly home: string;
  readonly port: number;
  readonly users: Map<string, TestUser>;
  readonly accounts: FakeAccounts;
  readonly intake: FakeIntake;
  readonly log: FakeLog;
  readonly storage: Storage;
  /** Path of a user's private key file. */
  keyFile(name: string): Promise<string>;
  close(): Promise<void>;
}

export async function startServer(
  limits: Partial<ServerLimits> = {},
  wrap: (storage: Storage) => Storage = (storage) => storage,
): Promise<TestServer> {
  const root = await mkdtemp(join(tmpdir(), 'clubhouse-sftp-'));
  const real = await createStorage({ home: join(root, 'home'), spool: join(root, 'spool') });
  const storage = wrap(real);
  const users = makeUsers();
  const accounts = fakeAccounts(users);
  const intake = fakeIntake();
  const log = fakeLog();
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const hostKeys = [
    makeKey().privateKey,
    rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  ];
  const server = createSftpServer({
    config: {
      host: '127.0.0.1',
      port: 0,
      site: 'PUHSC',
      hostKeys,
      limits: { accountsEveryMs: 25, ...limits },
    },
    accounts,
    intake,
    storage,
    log,
    clock: systemClock,
  });
  const { port } = await server.listen();
  return {
    root,
    home: join(root, 'home'),
    port,
    users,
    accounts,
    intake,
    log,
    storage,
    keyFile: async (name) => {
      const path = join(root, `key-${name}`);
      await writeFile(path, users.get(name)?.key.privateKey ?? '', { mode: 0o600 });
      await chmod(path, 0o600);
      return path;
    },
    close: async () => {
      await server.close();
      await real.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}
