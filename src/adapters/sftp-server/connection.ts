// One client: its login, its channels, its end. Everything that ssh2 can emit as 'error' has a listener here, or a
// malformed packet of one stranger would end the process.

import type { Socket } from 'node:net';
import type { Connection, ServerChannel, Session as SshSession } from 'ssh2';
import { AppError } from '../../core/errors.ts';
import type { Locks } from '../../core/locks.ts';
import { fixedFolders } from '../../core/tree.ts';
import type { Accounts, Principal } from '../../flow/ports/accounts.ts';
import type { Clock, Log } from '../../flow/ports/clock.ts';
import type { Intake } from '../../flow/ports/intake.ts';
import type { Storage } from '../../flow/ports/storage.ts';
import { createAuthenticator } from './auth.ts';
import type { Context } from './context.ts';
import { createHandles } from './handles.ts';
import type { ServerLimits } from './limits.ts';
import { SftpSession } from './session.ts';
import { asFailure } from './status.ts';

export interface ConnectionParts {
  readonly site: string;
  readonly accounts: Accounts;
  readonly intake: Intake;
  readonly storage: Storage;
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: ServerLimits;
  readonly appends: Locks;
  readonly startedMs: number;
  /** May this user have one connection more? */
  admit(principal: Principal): boolean;
  onLogin(): void;
}

export interface LiveConnection {
  readonly principal: Principal | undefined;
  /** The accounts have changed. */
  refresh(): Promise<void>;
  /** Ends it when it has been idle too long or did not log in in time. */
  checkTime(nowMs: number): void;
  end(): void;
  /** Resolves when the flow knows about everything that was open. */
  readonly ended: Promise<void>;
}

/** How long a peer may take to say goodbye. */
const farewellMs = 2000;

export function serveConnection(
  client: Connection,
  socket: Socket,
  parts: ConnectionParts,
): LiveConnection {
  const { limits, clock, log, site } = parts;
  const sessions = new Set<SftpSession>();
  const connectedMs = clock.now();
  let activeMs = connectedMs;
  let channels = 0;
  let principal: Principal | undefined;
  let isLoggedIn = false;
  let isRevoked = false;
  let leaving: Promise<void> | undefined;
  let markEnded: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    markEnded = resolve;
  });

  const end = (): void => {
    try {
      client.end();
    } catch {
      // ssh2 throws when its socket ended first.
    }
    setTimeout(() => socket.destroy(), farewellMs).unref();
  };

  const leave = (): void => {
    leaving ??= Promise.all([...sessions].map((session) => session.abandon())).then(
      () => markEnded(),
      (error: unknown) => {
        asFailure(error, log, 'end');
        markEnded();
      },
    );
  };

  const current = (): Principal => {
    if (principal === undefined || isRevoked) throw new AppError('NO_SUCH_FILE');
    return principal;
  };

  let isCorked = false;
  const cork = (): void => {
    if (isCorked) return;
    isCorked = true;
    socket.cork();
    process.nextTick(() => {
      isCorked = false;
      socket.uncork();
    });
  };

  const serveChannel = (channel: ServerChannel): void => {
    const context: Context = {
      site,
      principal: current,
      storage: parts.storage,
      intake: parts.intake,
      log,
      handles: createHandles(limits.handles),
      maximumHandles: limits.handles,
      appends: parts.appends,
      startedMs: parts.startedMs,
    };
    const touch = (): void => {
      activeMs = clock.now();
    };
    const session = new SftpSession(channel, context, { cork, fail: end, touch });
    sessions.add(session);
    channel.on('close', () => {
      void session.abandon().then(() => sessions.delete(session));
    });
  };

  client.on(
    'authentication',
    createAuthenticator({
      accounts: parts.accounts,
      log,
      source: socket.remoteAddress ?? '',
      maximumAttempts: limits.loginAttempts,
      admit: async (who) => {
        if (!parts.admit(who)) return false;
        await makeFolders(parts, who);
        principal = who;
        return true;
      },
      giveUp: end,
    }),
  );
  client.on('ready', () => {
    isLoggedIn = true;
    activeMs = clock.now();
    parts.onLogin();
    if (principal !== undefined) log.info({ account: principal.id }, 'login');
  });
  client.on('session', (accept, reject) => {
    if (channels >= limits.channels) {
      reject();
      return;
    }
    channels += 1;
    const session: SshSession = accept();
    session.on('error', () => undefined);
    session.on('close', () => {
      channels -= 1;
    });
    onSubsystem(session, (name, acceptChannel, refuse) => {
      if (name !== 'sftp' || principal === undefined) {
        refuse?.();
        return;
      }
      // At once: OpenSSH sends its INIT without waiting for the answer, and ssh2 drops what comes before.
      const channel = acceptChannel();
      if (channel !== undefined && leaving === undefined) serveChannel(channel);
    });
  });
  client.on('error', (error: Error & { level?: string }) => {
    log.debug({ kind: error.level ?? error.constructor.name }, 'connection error');
  });
  client.on('end', leave);
  client.on('close', leave);

  return {
    get principal() {
      return isLoggedIn ? principal : undefined;
    },
    ended,
    end,
    refresh: async () => {
      if (principal === undefined || isRevoked) return;
      const now = await parts.accounts.current(principal);
      if (now === undefined) {
        isRevoked = true;
        log.info({ account: principal.id }, 'session of a closed account ended');
        end();
        return;
      }
      await makeFolders(parts, now);
      principal = now;
      for (const session of sessions) session.revalidate();
    },
    checkTime: (nowMs) => {
      const isWorking = [...sessions].some((session) => session.busy > 0);
      const isLate = !isLoggedIn && nowMs - connectedMs > limits.loginGraceMs;
      const isIdle = isLoggedIn && !isWorking && nowMs - activeMs > limits.idleMs;
      if (isLate || isIdle) end();
    },
  };
}

/** The fixed folders of SPEC 3 are there before anybody looks. */
async function makeFolders(parts: ConnectionParts, principal: Principal): Promise<void> {
  for (const folder of fixedFolders(principal, parts.site)) {
    try {
      await parts.storage.ensureFolder(folder);
    } catch (error) {
      asFailure(error, parts.log, 'folders');
    }
  }
}

/** ssh2's raw way: with a listener for 'subsystem' and none for 'sftp' the channel is ours. Missing in its types. */
function onSubsystem(
  session: SshSession,
  use: (
    name: string,
    accept: () => ServerChannel | undefined,
    reject: (() => void) | undefined,
  ) => void,
): void {
  const raw = session as unknown as {
    on(
      event: 'subsystem',
      listener: (
        accept: () => ServerChannel | undefined,
        reject: (() => void) | undefined,
        info: { readonly name: string },
      ) => void,
    ): void;
  };
  raw.on('subsystem', (accept, reject, info) => use(info.name, accept, reject));
}
