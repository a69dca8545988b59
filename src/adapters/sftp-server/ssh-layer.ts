// The SSH layer in front of the sessions: the host keys, ssh2's server with our algorithms, and the port.

import { readFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import ssh2 from 'ssh2';
import type { ClientInfo, Connection } from 'ssh2';
import { AppError } from '../../core/errors.ts';
import type { Log } from '../../flow/ports/clock.ts';
import { algorithms, ciphersFor, isOldClient, macsOfOldClients } from './algorithms.ts';
import { offerOnly } from './ssh2-private.ts';
import { asFailure } from './status.ts';

/** Keys as text, or paths of files. */
export const readHostKeys = (hostKeys: readonly string[]): Promise<readonly string[]> =>
  Promise.all(
    hostKeys.map(async (key) => {
      if (key.includes('PRIVATE KEY')) return key;
      return readFile(key, 'utf8').catch(() => {
        throw new AppError('CONFIG_INVALID', {
          detail: 'a host key cannot be read; restore it from a backup',
        });
      });
    }),
  );

/** `begin` is called when a client has said its greeting, before anything is offered to it. */
export function createSsh(
  hostKeys: readonly string[],
  log: Log,
  begin: (client: Connection, info: ClientInfo) => void,
): ssh2.Server {
  let ssh: ssh2.Server;
  try {
    ssh = new ssh2.Server({ hostKeys: [...hostKeys], algorithms, ident: 'Clubhouse' });
  } catch {
    throw new AppError('CONFIG_INVALID', { detail: 'a host key is not a usable private key' });
  }
  ssh.on('error', (error: unknown) => {
    asFailure(error, log, 'listen');
  });
  ssh.on('connection', (client: Connection, info: ClientInfo) => {
    begin(client, info);
  });
  return ssh;
}

/** `offered`: the ciphers of the client's own offer, where they are known already. */
export function offer(
  client: Connection,
  software: string,
  offered: readonly string[] | undefined,
): void {
  if (isOldClient(software)) offerOnly(client, { macs: macsOfOldClients });
  const ciphers = offered === undefined ? undefined : ciphersFor(offered);
  if (ciphers !== undefined) offerOnly(client, { ciphers });
}

export function listenOn(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(cannotListen(error, `${host}:${port}`));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function cannotListen(error: NodeJS.ErrnoException, where: string): AppError {
  if (error.code === 'EADDRINUSE') {
    return new AppError('BUSY', { detail: `another program listens on ${where} already` });
  }
  const why =
    error.code === 'EACCES'
      ? 'ports under 1024 are not for ordinary accounts'
      : error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND'
        ? 'this machine has no such address'
        : (error.code ?? 'unknown');
  return new AppError('CONFIG_INVALID', { detail: `cannot listen on ${where}: ${why}` });
}
