// What a client opens once it is in: channels, of which the SFTP subsystem alone leads anywhere. Everything else that SSH
// offers is refused here and counted.

import type { Socket } from 'node:net';
import type { Connection, ServerChannel, Session as SshSession } from 'ssh2';
import type { Locks } from '../../core/locks.ts';
import type { Principal, RefusalKind } from '../../flow/ports/accounts.ts';
import type { Clock, Log } from '../../flow/ports/clock.ts';
import type { Intake } from '../../flow/ports/intake.ts';
import type { Storage } from '../../flow/ports/storage.ts';
import { takesPackets } from '../ssh2-packets.ts';
import type { Context } from './context.ts';
import type { ReceiptSigner } from './delivery-receipts.ts';
import { createHandles, type Budgets } from './handles.ts';
import type { ServerLimits } from './limits.ts';
import { SftpSession } from './session.ts';
import type { Shares } from './shares.ts';
import { mayHold, onSubsystem } from './ssh2-private.ts';

/** What a session needs of the server. */
export interface SessionParts {
  readonly site: string;
  readonly intake: Intake;
  readonly storage: Storage;
  readonly log: Log;
  readonly clock: Clock;
  readonly limits: ServerLimits;
  readonly appends: Locks;
  readonly budgets: Budgets;
  readonly shares: Shares;
  readonly startedMs: number;
  readonly signReceipt: ReceiptSigner;
  /** What the client calls itself in its greeting. */
  readonly software: string;
  /** SFTP sessions of this user, on all connections. */
  sessionsOf(userId: string): number;
}

/** What a session needs of its connection. */
export interface ChannelOwner {
  /** Who is logged in. */
  user(): Principal | undefined;
  /** As it is now. Throws the refusal of whoever may not go on. */
  principal(): Principal;
  isGone(): boolean;
  /** The client does not take what is sent, or nothing may be sent. */
  isFull(): boolean;
  note(kind: RefusalKind): void;
  end(): void;
  /** Marks activity. */
  touch(): void;
}

export interface Channels {
  /** The listener for 'session' events. */
  open(accept: () => SshSession, reject: () => void): void;
  readonly sessions: ReadonlySet<SftpSession>;
  /** Does anything of this connection hold on to a part of `memory`, which was the socket's? */
  mayHold(memory: ArrayBufferLike): boolean;
}

export function createChannels(
  client: Connection,
  socket: Socket,
  parts: SessionParts,
  owner: ChannelOwner,
): Channels {
  const channels = new Set<SshSession>();
  const sessions = new Set<SftpSession>();
  const cork = corkTicks(socket);
  const serve = (channel: ServerChannel, { id }: Principal): void => {
    const session = new SftpSession(channel, contextOf(parts, owner, id), {
      software: parts.software,
      share: parts.shares.of(id),
      cork,
      isFull: () => owner.isFull(),
      fail: () => {
        owner.note('malformed');
        owner.end();
      },
      touch: () => owner.touch(),
    });
    sessions.add(session);
    channel.on('close', () => {
      void session.abandon().then(() => sessions.delete(session));
    });
  };
  const open = (accept: () => SshSession, reject: () => void): void => {
    if (channels.size >= parts.limits.channels) {
      owner.note('channels');
      reject();
      return;
    }
    const session = accept();
    channels.add(session);
    session.on('error', () => undefined);
    // A client may say CLOSE more than once.
    session.on('close', () => channels.delete(session));
    refuseServices(session, owner);
    onSubsystem(session, (name, acceptChannel, refuse) => {
      const principal = owner.user();
      if (name !== 'sftp' || principal === undefined) {
        owner.note('services');
        refuse?.();
        return;
      }
      if (parts.sessionsOf(principal.id) >= parts.limits.sessionsPerUser) {
        owner.note('channels');
        refuse?.();
        return;
      }
      // At once: OpenSSH sends its INIT without waiting for the answer, and ssh2 drops what comes before.
      const channel = acceptChannel();
      if (channel === undefined || owner.isGone()) return;
      if (takesPackets(channel)) serve(channel, principal);
      else socket.destroy();
    });
  };
  return {
    open,
    sessions,
    mayHold: (memory) => {
      for (const { copies } of sessions) if (!copies) return true;
      return mayHold(client, memory);
    },
  };
}

const contextOf = (parts: SessionParts, owner: ChannelOwner, userId: string): Context => ({
  site: parts.site,
  principal: () => owner.principal(),
  storage: parts.storage,
  intake: parts.intake,
  log: parts.log,
  handles: createHandles(parts.limits.handles, parts.budgets.of(userId)),
  maximumHandles: parts.limits.handles,
  isGone: () => owner.isGone(),
  appends: parts.appends,
  startedMs: parts.startedMs,
  now: () => parts.clock.now(),
  signReceipt: parts.signReceipt,
});

/** ssh2 refuses by itself what nobody listens to; listening is for counting it. */
function refuseServices(session: SshSession, owner: ChannelOwner): void {
  const refuse = (_accept: unknown, reject: (() => void) | undefined): void => {
    owner.note('services');
    reject?.();
  };
  session.on('shell', refuse);
  session.on('exec', refuse);
  session.on('pty', refuse);
  session.on('x11', refuse);
  session.on('auth-agent', refuse);
}

/** What is written in one tick leaves in one piece. */
function corkTicks(socket: Socket): () => void {
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  return () => {
    if (isCorked) return;
    isCorked = true;
    socket.cork();
    process.nextTick(uncork);
  };
}
