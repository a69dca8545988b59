// The sender and the receiver of the demo, as SFTP clients: what FileZilla or `sftp` would do for a person.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import ssh2, { type SFTPWrapper } from 'ssh2';

export interface Login {
  readonly port: number;
  readonly user: string;
  /** Path of the private key. */
  readonly key: string;
}

export class DemoClient {
  readonly #client: ssh2.Client;
  readonly #sftp: SFTPWrapper;

  private constructor(client: ssh2.Client, sftp: SFTPWrapper) {
    this.#client = client;
    this.#sftp = sftp;
  }

  static async connect(login: Login): Promise<DemoClient> {
    const client = new ssh2.Client();
    const privateKey = await readFile(login.key);
    const ready = once(client, 'ready');
    client.connect({ host: '127.0.0.1', port: login.port, username: login.user, privateKey });
    await ready;
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      client.sftp((error, wrapper) => (error === undefined ? resolve(wrapper) : reject(error)));
    });
    return new DemoClient(client, sftp);
  }

  makeFolder(path: string): Promise<void> {
    return settle((done) => this.#sftp.mkdir(path, done));
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    await settle((done) => this.#sftp.writeFile(path, Buffer.from(bytes), done));
  }

  get(path: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#sftp.readFile(path, (error, data) => (error ? reject(error) : resolve(data)));
    });
  }

  list(path: string): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      this.#sftp.readdir(path, (error, entries) =>
        error ? reject(error) : resolve(entries.map((entry) => entry.filename).sort()),
      );
    });
  }

  close(): void {
    this.#client.end();
  }
}

function settle(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === undefined || error === null ? resolve() : reject(error)));
  });
}
