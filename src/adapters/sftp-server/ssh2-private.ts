// What we need of ssh2 and its types do not tell: the one file that reads its inner fields, so that a new version is
// looked at here. A test of each fails when the field is gone; what cannot be read counts as refused.

import type { ServerChannel, Session as SshSession } from 'ssh2';

type Accept = () => ServerChannel | undefined;
type Refuse = (() => void) | undefined;

/** ssh2's raw way: with a listener for 'subsystem' and none for 'sftp' the channel is ours. `accept` gives undefined when
 *  the session has a channel already. */
export function onSubsystem(
  session: SshSession,
  use: (name: string, accept: Accept, refuse: Refuse) => void,
): void {
  const raw = session as unknown as {
    on(
      event: 'subsystem',
      listener: (accept: Accept, refuse: Refuse, info: { readonly name: string }) => void,
    ): void;
  };
  raw.on('subsystem', (accept, refuse, info) => use(info.name, accept, refuse));
}

/**
 * The largest packet that the client takes on this channel. ssh2 cuts what it sends into such pieces, and for 0 it cuts
 * for ever: one logged-in client would stop the whole server.
 */
export function peerPacketBytes(channel: ServerChannel): number {
  const { outgoing } = channel as unknown as { outgoing?: { packetSize?: unknown } };
  return typeof outgoing?.packetSize === 'number' ? outgoing.packetSize : 0;
}
