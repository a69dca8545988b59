// One client: its login, how long it stays, its end. Everything that ssh2 can emit as 'error' has a listener here, or a
// malformed packet of one stranger would end the process.

import type { Socket } from 'node:net';
import type { Connection } from 'ssh2';
import { AppError } from '../../core/errors.ts';
import type { Locks } from '../../core/locks.ts';
import type { Accounts, Ended, Principal, RefusalKind } from '../../flow/ports/accounts.ts';
import { reusePackets } from '../ssh2-packets.ts';
import { createAuthenticator, type Authenticator } from './auth.ts';
import { createChannels, type Channels, type SessionParts } from './channels.ts';
import { textOf } from './encode.ts';
import { refusalOf } from './ended.ts';
import { makeFolders } from './fixed-folders.ts';
import type { Penalties } from './penalties.ts';
import type { Refusals } from './refusals.ts';
import { limitExchanges, watchKeys, type Rekeying } from './rekey.ts';
import { watchPressure, type Pressure } from './pressure.ts';
import type { SftpSession } from './session.ts';
import type { SharedReader } from './shared-socket.ts';
import { dropTooEarly, sendDisconnect, wholePacketBytes } from './ssh2-private.ts';
import { asFailure } from './status.ts';

export interface ConnectionParts extends SessionParts {
  readonly accounts: Accounts;
  /** Where the client comes from, and what that counts as, see sourceOf. */
  readonly address: string;
  readonly source: string;
  /** Undefined: the address is exempt. */
  readonly penalties: Penalties | undefined;
  readonly mayRecord: () => boolean;
  readonly refusals: Refusals;
  readonly turns: Locks;
  /** May this user have one connection more? */
  admit(principal: Principal): boolean;
  onLogin(): void;
  /** See SharedSocket. */
  lend(reader: SharedReader): void;
}

/** How long a peer may take to say goodbye. */
const farewellMs = 2000;

export class LiveConnection {
  readonly #client: Connection;
  readonly #socket: Socket;
  readonly #parts: ConnectionParts;
  readonly #connectedMs: number;
  readonly #channels: Channels;
  readonly #pressure: Pressure;
  readonly #keys: Rekeying;
  readonly #logins: Authenticator;
  #activeMs: number;
  readonly #mayAskForKeys: () => boolean;
  #principal: Principal | undefined;
  #isLoggedIn = false;
  /** Why what is asked from now on is refused. */
  #refusal: AppError | undefined;
  #isLeaving = false;
  #markEnded: () => void = () => undefined;
  /** Resolves when the flow knows about everything that was open. */
  readonly ended: Promise<void>;

  constructor(client: Connection, socket: Socket, parts: ConnectionParts) {
    this.#client = client;
    this.#socket = socket;
    this.#parts = parts;
    this.#connectedMs = parts.clock.now();
    this.#activeMs = this.#connectedMs;
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve;
    });
    this.#pressure = watchPressure(socket, () => {
      for (const session of this.sessions) session.goOn();
    });
    this.#channels = createChannels(client, socket, parts, {
      user: () => (this.#isLoggedIn ? this.#principal : undefined),
      principal: () => this.#current(),
      isGone: () => this.#isLeaving,
      isFull: () => this.#pressure.isHigh || this.#keys.isRunning,
      note: (kind) => this.#note(kind),
      end: () => this.end(),
      touch: () => {
        this.#activeMs = parts.clock.now();
      },
    });
    this.#logins = this.#authenticator();
    this.#mayAskForKeys = limitExchanges(() => parts.clock.now());
    this.#keys = watchKeys(client, socket, parts.limits, () => parts.clock.now());
    socket.on('data', () => {
      if (this.#isLoggedIn) this.#keys.look();
      for (const session of this.sessions) if (session.isOverrun) this.#socket.destroy();
    });
    this.#listen();
  }

  /** Whose login was right, even if the client was not told yet. */
  get claimant(): Principal | undefined {
    return this.#principal;
  }

  /** Its SFTP sessions. */
  get sessions(): ReadonlySet<SftpSession> {
    return this.#channels.sessions;
  }

  /** Nothing that the client still sends counts any more. `why` is shown by most clients as the connection's last words. */
  end(why?: AppError): void {
    this.#leave();
    try {
      const reason = this.#isLoggedIn ? 'byApplication' : 'noMoreAuthMethods';
      if (why !== undefined && sendDisconnect(this.#client, reason, textOf(why))) {
        this.#socket.end();
      } else this.#client.end();
    } catch {
      // ssh2 throws when its socket ended first.
    }
    setTimeout(() => this.#socket.destroy(), farewellMs).unref();
  }

  /** The accounts have changed. */
  async refresh(): Promise<void> {
    if (this.#principal === undefined || this.#refusal !== undefined) return;
    const now = await this.#parts.accounts.current(this.#principal, this.#parts.address);
    if (now.kind === 'ended') {
      this.#shut(now);
      return;
    }
    await makeFolders(this.#parts, now);
    this.#principal = now;
    this.#noticeExpiry();
    for (const session of this.sessions) session.revalidate();
  }

  /** Nothing is done for it from here on. A moment longer, so that a client that asks for something hears why. */
  #shut(ended: Ended): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = refusalOf(ended);
    this.#parts.log.info({ account: this.#principal?.id, reason: ended.reason }, 'session ended');
    for (const session of this.sessions) session.revalidate();
    setTimeout(() => this.end(this.#refusal), this.sessions.size > 0 ? farewellMs : 0).unref();
  }

  /** An account's end is nobody's doing: whoever notices it first calls this. */
  #noticeExpiry(): void {
    const principal = this.#principal;
    const expiresAt = principal?.kind === 'member' ? principal.expiresAt : undefined;
    if (expiresAt === undefined || expiresAt === null) return;
    if (expiresAt <= this.#parts.clock.now()) {
      this.#shut({ kind: 'ended', reason: 'expired', expiresAt });
    }
  }

  /** Ends it when it did not log in in time, or was idle too long without a request that is worked on. */
  checkTime(nowMs: number): void {
    const { loginGraceMs, idleMs } = this.#parts.limits;
    this.#noticeExpiry();
    if (this.#isLoggedIn) this.#keys.look();
    const isWorking = [...this.sessions].some((session) => session.busy > 0);
    const isLate = !this.#isLoggedIn && nowMs - this.#connectedMs > loginGraceMs;
    const isIdle = this.#isLoggedIn && !isWorking && nowMs - this.#activeMs > idleMs;
    if (isLate) this.#parts.refusals.note('grace', this.#parts.source);
    if (isLate || isIdle) this.end();
  }

  #listen(): void {
    const client = this.#client;
    client.on('authentication', (attempt) => this.#logins.try(attempt));
    const mayGoOn = dropTooEarly(client, () => {
      this.#note('malformed');
      this.end();
    });
    client.on('ready', () => {
      // A login that was being looked at when the connection had to end.
      if (this.#isLeaving) return;
      mayGoOn();
      this.#enter();
    });
    client.on('rekey', () => {
      reusePackets(client, this.#socket);
      if (this.#keys.done()) for (const session of this.sessions) session.goOn();
      // A key exchange costs us far more than the client who asks for one.
      else if (!this.#isLoggedIn || !this.#mayAskForKeys()) this.#socket.destroy();
    });
    client.on('request', (_accept, reject) => {
      this.#note('services');
      reject?.();
    });
    client.on('session', (accept, reject) => this.#channels.open(accept, reject));
    client.on('error', (error: Error & { level?: string }) => {
      if (error.level === undefined || error.level === 'protocol') this.#note('malformed');
      this.#parts.log.debug({ kind: error.level ?? error.constructor.name }, 'connection error');
    });
    client.on('end', () => this.#leave());
    client.on('close', () => this.#leave());
  }

  #enter(): void {
    const client = this.#client;
    this.#isLoggedIn = true;
    this.#activeMs = this.#parts.clock.now();
    this.#parts.onLogin();
    reusePackets(client, this.#socket);
    this.#parts.lend({
      mayHold: (memory) => this.#channels.mayHold(memory),
      ready: (bytes) => wholePacketBytes(client, bytes),
    });
    this.#parts.log.info({ account: this.#principal?.id }, 'login');
  }

  #note(kind: RefusalKind): void {
    this.#parts.refusals.note(kind, this.#parts.source);
  }

  #authenticator(): Authenticator {
    const { accounts, log, limits } = this.#parts;
    return createAuthenticator({
      accounts,
      log,
      address: this.#parts.address,
      source: this.#parts.source,
      mayRecord: this.#parts.mayRecord,
      refusals: this.#parts.refusals,
      maximumAttempts: limits.loginAttempts,
      refusalMs: limits.refusalMs,
      penalties: this.#parts.penalties,
      turns: this.#parts.turns,
      admit: async (who) => {
        if (!this.#parts.admit(who)) return false;
        // At once: logins of one user that come together are counted together.
        this.#principal = who;
        await makeFolders(this.#parts, who);
        // From here on refresh() sees to it; what changed since the password was checked shows now.
        const now = await accounts.current(who, this.#parts.address);
        this.#principal = now.kind === 'ended' ? undefined : now;
        return now.kind !== 'ended';
      },
      giveUp: () => this.end(),
      turnAway: (expired) => this.end(refusalOf(expired)),
    });
  }

  #current(): Principal {
    this.#noticeExpiry();
    if (this.#refusal !== undefined) throw this.#refusal;
    if (this.#principal === undefined) throw new AppError('NO_SUCH_FILE');
    return this.#principal;
  }

  #leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    const sessions = [...this.sessions].map((session) => session.abandon());
    Promise.all([...sessions, this.#logins.ended()])
      .catch((error: unknown) => asFailure(error, this.#parts.log, 'end'))
      .finally(() => this.#markEnded());
  }
}
