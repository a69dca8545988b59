// The SFTP server: a socket of our own in front of ssh2 (so that delays, limits and corking are ours), the connections,
// and the watch on accounts that ends or renews live sessions.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Connection } from 'ssh2';
import { createLocks } from '../../core/locks.ts';
import { isInside } from '../../core/networks.ts';
import type { Accounts } from '../../flow/ports/accounts.ts';
import type { Clock, Log } from '../../flow/ports/clock.ts';
import type { Intake } from '../../flow/ports/intake.ts';
import type { PenaltyStore } from '../../flow/ports/penalties.ts';
import type { Storage } from '../../flow/ports/storage.ts';
import { LiveConnection, type ConnectionParts } from './connection.ts';
import { createReceiptSigner, type ReceiptSigner } from './delivery-receipts.ts';
import { createDoor, sourceOf, type Stranger } from './door.ts';
import { createBudgets } from './handles.ts';
import { createHandshakes } from './handshakes.ts';
import { defaultLimits, type ServerLimits } from './limits.ts';
import { createPenalties } from './penalties.ts';
import { createRefusals } from './refusals.ts';
import { createShares } from './shares.ts';
import { shareReads, type SharedSocket } from './shared-socket.ts';
import { createSsh, listenOn, offer, readHostKeys } from './ssh-layer.ts';
import { asFailure } from './status.ts';

export interface SftpServerParts {
  readonly config: {
    readonly host: string;
    /** 0: any free one. */
    readonly port: number;
    readonly site: string;
    /** Private keys as PEM or OpenSSH text, or paths of files that hold one. */
    readonly hostKeys: readonly string[];
    readonly limits?: Partial<ServerLimits>;
  };
  readonly accounts: Accounts;
  readonly intake: Intake;
  readonly storage: Storage;
  /** Where penalties outlive us; without it they end with us. */
  readonly penalties?: PenaltyStore;
  readonly log: Log;
  readonly clock: Clock;
}

export interface SftpServer {
  listen(): Promise<{ readonly port: number }>;
  /** No new connections; live ones end, and what they had open is `lost`. Resolves when the flow knows. */
  close(): Promise<void>;
}

export function createSftpServer(parts: SftpServerParts): SftpServer {
  const { config, accounts, log, clock } = parts;
  const limits: ServerLimits = { ...defaultLimits, ...config.limits };
  const live = new Map<Socket, LiveConnection | undefined>();
  const timers: NodeJS.Timeout[] = [];
  const door = createDoor({
    startups: limits.startups,
    perSource: limits.strangersPerSource,
    exempt: limits.exempt,
    now: () => clock.now(),
    random: Math.random,
  });
  const strangers = new Map<Socket, Stranger>();
  const reads = new WeakMap<Socket, SharedSocket>();
  let server: Server | undefined;
  let signReceipt: ReceiptSigner = () => undefined;

  const open = async (): Promise<{ readonly port: number }> => {
    await penalties.reload();
    const hostKeys = await readHostKeys(config.hostKeys);
    const ssh = createSsh(hostKeys, log, (client, { ip, port, header }) => {
      const socket = [...live.keys()].find(
        ({ remoteAddress, remotePort }) => remoteAddress === ip && remotePort === port,
      );
      if (socket === undefined) {
        client.end();
        return;
      }
      offer(client, header.versions.software, reads.get(socket)?.offeredCiphers);
      begin(client, socket, header.versions.software);
    });
    signReceipt = createReceiptSigner(hostKeys);
    const listening = createServer({ pauseOnConnect: true }, (accepted) => {
      const source = sourceOf(accepted.remoteAddress ?? '');
      const shared = shareReads(accepted, handshakes, source);
      const { socket } = shared;
      if (greet(socket)) {
        reads.set(socket, shared);
        ssh.injectSocket(socket);
        return;
      }
      socket.on('error', () => undefined);
      socket.destroy();
    });
    server = listening;
    await listenOn(listening, config.host, config.port);
    const look = watchAccounts(accounts, live, log, () => penalties.reload());
    timers.push(every(limits.accountsEveryMs, look));
    timers.push(every(limits.penaltiesEveryMs, () => void savePenalties()));
    timers.push(every(limits.refusalsEveryMs, () => void refusals.tell()));
    timers.push(every(Math.min(1000, limits.loginGraceMs), checkTimes));
    return { port: (listening.address() as AddressInfo).port };
  };

  /** From the first byte on: strangers are counted, and leave within the grace time whatever they send. */
  const greet = (socket: Socket): boolean => {
    const source = sourceOf(socket.remoteAddress ?? '');
    const turnAway = (): void => {
      refusals.note('startups', source);
      socket.destroy();
    };
    const stranger = { source, turnAway };
    const isFull = live.size >= limits.connections;
    if (isFull || !door.enter(stranger)) {
      refusals.note(isFull ? 'connections' : 'startups', source);
      return false;
    }
    live.set(socket, undefined);
    strangers.set(socket, stranger);
    socket.setNoDelay(true);
    const grace = setTimeout(() => {
      if (live.get(socket) !== undefined) return;
      refusals.note('grace', source);
      socket.destroy();
    }, limits.loginGraceMs).unref();
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearTimeout(grace);
      welcome(socket);
      live.delete(socket);
    });
    return true;
  };

  /** No stranger any more. */
  const welcome = (socket: Socket): void => {
    const stranger = strangers.get(socket);
    strangers.delete(socket);
    if (stranger !== undefined) door.leave(stranger);
  };

  const begin = (client: Connection, socket: Socket, software: string): void => {
    const address = socket.remoteAddress ?? '';
    const source = sourceOf(address);
    const connectionParts: ConnectionParts = {
      site: config.site,
      accounts,
      intake: parts.intake,
      storage: parts.storage,
      log,
      clock,
      limits,
      appends,
      startedMs,
      signReceipt,
      software,
      admit: ({ id }) =>
        [...live.values()].filter((one) => one?.claimant?.id === id).length <
        limits.connectionsPerUser,
      sessionsOf: (userId) =>
        [...live.values()].reduce(
          (sum, one) => sum + (one?.claimant?.id === userId ? one.sessions.size : 0),
          0,
        ),
      address,
      source,
      penalties: isInside(limits.exempt, address) ? undefined : penalties,
      mayRecord: () => penalties.mayRecord(source),
      refusals,
      turns,
      budgets,
      shares,
      onLogin: () => {
        door.trust(source);
        welcome(socket);
      },
      lend: (reader) => reads.get(socket)?.lend(reader),
    };
    live.set(socket, new LiveConnection(client, socket, connectionParts));
  };

  const appends = createLocks();
  const turns = createLocks();
  const penalties = createPenalties(() => clock.now(), parts.penalties);
  const refusals = createRefusals({ accounts, log });
  const savePenalties = (): Promise<void> =>
    penalties.save().catch((error: unknown) => void asFailure(error, log, 'penalties'));
  const budgets = createBudgets(limits.handlesPerUser);
  const shares = createShares();
  const handshakes = createHandshakes();
  const startedMs = clock.now();
  const checkTimes = (): void => {
    for (const connection of live.values()) connection?.checkTime(clock.now());
  };

  return {
    listen: open,
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      const closed = new Promise<void>((resolve) => {
        if (server === undefined) resolve();
        else server.close(() => resolve());
      });
      const connections = [...live];
      for (const [socket, connection] of connections) {
        if (connection === undefined) socket.destroy();
        else connection.end();
      }
      for (const [, connection] of connections) await connection?.ended;
      await closed;
      await savePenalties();
      await refusals.tell();
    },
  };
}

const every = (ms: number, run: () => void): NodeJS.Timeout => setInterval(run, ms).unref();

/** One look at a time: a slow database must not pile up looks. */
function watchAccounts(
  accounts: Accounts,
  live: ReadonlyMap<Socket, LiveConnection | undefined>,
  log: Log,
  alsoLook: () => Promise<void>,
): () => void {
  let seen: number | undefined;
  let isLooking = false;
  const look = async (): Promise<void> => {
    const version = accounts.version();
    if (version === seen) return;
    for (const connection of live.values()) await connection?.refresh();
    await alsoLook();
    seen = version;
  };
  return () => {
    if (isLooking) return;
    isLooking = true;
    look()
      .catch((error: unknown) => asFailure(error, log, 'accounts'))
      .finally(() => {
        isLooking = false;
      });
  };
}
