// The people of the end-to-end tests and their real programs: OpenSSH `sftp` for senders and receivers, GnuPG for receivers.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Finished } from './programs.ts';
import type { Site } from './site.ts';

/** An SFTP user with a key pair made by ssh-keygen. */
export class Person {
  readonly name: string;
  readonly folder: string;
  readonly key: string;

  private constructor(name: string, folder: string) {
    this.name = name;
    this.folder = folder;
    this.key = join(folder, 'id_ed25519');
  }

  static async make(name: string): Promise<Person> {
    const folder = await mkdtemp(join(tmpdir(), `person-${name}-`));
    const person = new Person(name, folder);
    await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', person.key]);
    return person;
  }

  get publicKey(): string {
    return `${this.key}.pub`;
  }

  /** Runs `sftp -b` with these commands; a failing command ends it (exit 1) unless it starts with `-`. */
  sftp(site: Site, commands: readonly string[], timeoutMs = 120_000): Promise<Finished> {
    const args = [
      ...['-q', '-b', '-', '-P', String(site.port), '-i', this.key],
      ...['-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no'],
      ...['-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'],
      `${this.name}@127.0.0.1`,
    ];
    return run('sftp', args, { input: `${commands.join('\n')}\n`, cwd: this.folder, timeoutMs });
  }

  /** As sftp, and it must succeed. */
  async does(site: Site, commands: readonly string[]): Promise<string> {
    const done = await this.sftp(site, commands);
    if (done.code !== 0) throw new Error(`sftp ended with ${done.code}: ${done.stderr}`);
    return done.stdout.toString('utf8');
  }

  /** Writes a local file to upload; gives its path. */
  async file(name: string, bytes: Uint8Array | string): Promise<string> {
    const path = join(this.folder, name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, bytes);
    return path;
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What `gpg --quick-generate-key` calls it. `default` is RSA in GnuPG 2.2, which takes seconds to make. */
export type KeyKind = 'default' | 'future-default' | 'ed25519';

/** A GnuPG home folder of its own. */
export class KeyRing {
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  static async make(): Promise<KeyRing> {
    return new KeyRing(await mkdtemp(join(tmpdir(), 'gpg-')));
  }

  gpg(args: readonly string[], input?: Uint8Array): Promise<Finished> {
    return run('gpg', ['--homedir', this.home, '--batch', '--quiet', '--no-tty', ...args], {
      ...(input === undefined ? {} : { input }),
    });
  }

  /** Makes a key pair; gives the fingerprint and the path of the armored public half. `default` is what gpg makes when it
   *  is not told otherwise, with an encryption subkey; a named algorithm makes a primary key that only signs. */
  async generate(
    userId: string,
    algorithm: KeyKind = 'future-default',
    expires = '2y',
  ): Promise<{ readonly fingerprint: string; readonly file: string }> {
    const done = await this.gpg([
      ...['--status-fd', '1', '--passphrase', '', '--pinentry-mode', 'loopback'],
      ...['--quick-generate-key', userId, algorithm, 'default', expires],
    ]);
    const fingerprint = /KEY_CREATED \S+ ([0-9A-F]{40})/.exec(done.stdout.toString())?.[1];
    if (fingerprint === undefined) throw new Error(`gpg made no key: ${done.stderr}`);
    return { fingerprint, file: await this.exportPublic(fingerprint) };
  }

  async exportPublic(fingerprint: string): Promise<string> {
    const done = await this.gpg(['--armor', '--export', fingerprint]);
    const file = join(this.home, `${fingerprint}.asc`);
    await writeFile(file, done.stdout);
    return file;
  }

  /** The plaintext; throws when gpg is not content (exit code other than 0). */
  async decrypt(message: Uint8Array): Promise<Buffer> {
    const done = await this.gpg(['--decrypt'], message);
    if (done.code !== 0) throw new Error(`gpg ended with ${done.code}: ${done.stderr}`);
    return done.stdout;
  }

  async remove(): Promise<void> {
    await run('gpgconf', ['--homedir', this.home, '--kill', 'gpg-agent']);
    await rm(this.home, { recursive: true, force: true });
  }
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const done = await run(program, args);
  if (done.code !== 0) throw new Error(`${program} ended with ${done.code}: ${done.stderr}`);
}
