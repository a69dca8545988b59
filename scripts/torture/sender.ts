// A client of a torture run: uploads by one of the ways that real clients have, notices
// when the line breaks, and comes back until it was answered, as a person would.

import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { SFTPWrapper } from 'ssh2';
import { close, list, open, read, removed, renamed, setSize, sizeOf, write } from './asked.ts';
import type { Chance } from './chance.ts';
import { contentOf, type Kind } from './contents.ts';
import { temporaryEndings, type Ledger, type Track } from './ledger.ts';

export interface SenderParts {
  readonly port: number;
  readonly privateKey: Buffer;
  readonly ledger: Ledger;
  readonly chance: Chance;
  /** The run is over: what was begun is ended, nothing new begins. */
  readonly isOver: () => boolean;
  readonly outgoing: string;
  /** What somebody waits for; mostly chosen, while there is something. */
  readonly wished: () => readonly Behaviour[];
}

const own = '/home/ji_brain/alice';
const intake = `${own}/gpg`;

const behaviours = [
  'put',
  'put',
  'cancel and resume',
  'overwrite',
  'overwrite without truncating',
  'remove',
  'temporary name',
  'temporary name over the old file',
  'move from the own folder',
  'abandon',
  'cut off and overwrite',
  'again',
] as const;
export type Behaviour = (typeof behaviours)[number];

export class Sender {
  readonly #parts: SenderParts;
  #ssh: ssh2.Client | undefined;
  #sftp: SFTPWrapper | undefined;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    const { chance, isOver, ledger, outgoing, wished } = this.#parts;
    while (!isOver()) {
      const kind = chance.one<Kind>(['dicom', 'dicom', 'dicom', 'zip', 'plain']);
      const [first, ...more] = wished();
      const isWish = first !== undefined && chance.is(0.7);
      const behaviour = isWish ? chance.one([first, ...more]) : chance.one<Behaviour>(behaviours);
      const track = ledger.begin(kind, (number) => {
        const name = `${behaviour.replaceAll(' ', '-')}-${number}`;
        if (kind === 'plain') return `${outgoing}/${name}.txt`;
        return `${intake}/${name}.${kind === 'zip' ? 'zip' : 'dcm'}`;
      });
      await this.#behave(track, behaviour);
      await chance.pause(150);
    }
    this.#ssh?.end();
  }

  async #behave(track: Track, behaviour: Behaviour): Promise<void> {
    const { chance } = this.#parts;
    const first = this.#next(track);
    switch (behaviour) {
      case 'put':
        return this.#store(track, track.path, first);
      case 'cancel and resume':
        await this.#begin(track.path, first, track.kind !== 'plain' && chance.is(0.5));
        await chance.pause(2500);
        return this.#store(track, track.path, first, true);
      case 'cut off and overwrite':
        await this.#begin(track.path, first, false);
        await chance.pause(1500);
        return this.#store(track, track.path, this.#next(track));
      case 'abandon':
        await this.#begin(track.path, first, track.kind !== 'plain' && chance.is(0.5));
        track.ending = 'abandoned';
        return undefined;
      case 'overwrite':
      case 'overwrite without truncating':
        await this.#store(track, track.path, first);
        await chance.pause(2500);
        return this.#store(track, track.path, this.#next(track), false, behaviour !== 'overwrite');
      case 'again':
        await this.#store(track, track.path, first);
        await this.#isDelivered(track);
        return this.#store(track, track.path, first);
      case 'remove':
        await this.#store(track, track.path, first);
        await chance.pause(2500);
        await this.#remove(track.path);
        track.ending = 'removed';
        return undefined;
      case 'temporary name':
        return this.#underTemporaryName(track, first);
      case 'move from the own folder':
        // No rename leads from there into the outgoing folder.
        if (track.kind === 'plain') return this.#store(track, track.path, first);
        return this.#underTemporaryName(track, first, `${own}/moved-${track.number}`);
      case 'temporary name over the old file':
        await this.#underTemporaryName(track, first);
        await chance.pause(2500);
        return this.#underTemporaryName(track, this.#next(track));
    }
  }

  #next(track: Track): Buffer {
    const { chance, ledger } = this.#parts;
    const side = chance.one([16, 64, 64, 200, 200, 700]);
    const { bytes, marks } = contentOf(track.kind, track.number, track.versions.length + 1, side);
    ledger.promise(track, marks);
    track.ending = 'open';
    return bytes;
  }

  /** Uploads until CLOSE was answered. */
  async #store(
    track: Track,
    path: string,
    bytes: Buffer,
    isResumed = false,
    isInPlace = false,
  ): Promise<void> {
    let resumes = isResumed;
    let isMine = isResumed;
    for (;;) {
      const isDone = await this.#tried(async (sftp) => {
        const size = await sizeOf(sftp, path);
        // Where all bytes are there but no CLOSE was answered, clients send the file again: there is nothing to resume.
        const from = resumes && size !== undefined && size < bytes.length ? size : 0;
        const how = from > 0 ? 'r+' : isInPlace && size !== undefined ? 'r+' : 'w';
        const handle = await open(sftp, path, how);
        isMine = true;
        await this.#write(sftp, handle, bytes, from, bytes.length);
        // scp sets the end instead of emptying the file first.
        if (isInPlace && from === 0) await setSize(sftp, handle, bytes.length);
        await close(sftp, handle);
      });
      if (isDone) break;
      // An in-place overwrite leaves old and new in one file; only starting anew mends that.
      // Nobody resumes what lies there of another file.
      resumes = isMine && !isInPlace && this.#parts.chance.is(0.6);
    }
    if (path === track.path) track.acknowledge();
  }

  /** Looks for its receipt for a while, as a careful sender does. */
  async #isDelivered(track: Track): Promise<void> {
    const folder = `${intake.slice(0, -'gpg'.length)}receipts`;
    const name = track.path.slice(track.path.lastIndexOf('/') + 1);
    for (let looks = 0; looks < 20 && !this.#parts.isOver(); looks += 1) {
      await sleep(500);
      let text = '';
      await this.#tried(async (sftp) => {
        const receipt = (await list(sftp, folder)).find((entry) => entry.startsWith(`${name}.`));
        text = receipt === undefined ? '' : await read(sftp, `${folder}/${receipt}`);
      });
      if (text.includes('State: delivered')) return;
    }
  }

  /** Some of the bytes, then a CLOSE (as Ctrl-C in OpenSSH does) or a broken line. */
  async #begin(path: string, bytes: Buffer, isClosed: boolean): Promise<void> {
    const until = this.#parts.chance.whole(1, Math.max(1, bytes.length - 2));
    await this.#tried(async (sftp) => {
      const handle = await open(sftp, path, 'w');
      await this.#write(sftp, handle, bytes, 0, until);
      if (isClosed) await close(sftp, handle);
      else this.#cut();
    });
  }

  async #underTemporaryName(
    track: Track,
    bytes: Buffer,
    temporary = `${track.path}${this.#parts.chance.one(temporaryEndings)}`,
  ): Promise<void> {
    await this.#store(track, temporary, bytes);
    for (;;) {
      const isDone = await this.#tried(async (sftp) => {
        // Not there any more: the rename came through, its answer did not.
        if ((await sizeOf(sftp, temporary)) === undefined) return;
        if ((await sizeOf(sftp, track.path)) !== undefined) await removed(sftp, track.path);
        await renamed(sftp, temporary, track.path);
      });
      if (isDone) break;
    }
    track.acknowledge();
  }

  async #remove(path: string): Promise<void> {
    for (;;) {
      const isDone = await this.#tried(async (sftp) => {
        if ((await sizeOf(sftp, path)) !== undefined) await removed(sftp, path);
      });
      if (isDone) return;
    }
  }

  async #write(
    sftp: SFTPWrapper,
    handle: Buffer,
    bytes: Buffer,
    from: number,
    until: number,
  ): Promise<void> {
    const { chance } = this.#parts;
    const piece = 32_768;
    const isSlow = chance.is(0.3);
    for (let at = from; at < until; at += piece * 4) {
      const group = [];
      for (let one = at; one < Math.min(until, at + piece * 4); one += piece) {
        group.push(write(sftp, handle, bytes, one, Math.min(until - one, piece)));
      }
      await Promise.all(group);
      if (isSlow) await chance.pause(400);
    }
  }

  /** False: the line broke or the server refused; the caller decides what a person would do then. */
  async #tried(work: (sftp: SFTPWrapper) => Promise<void>): Promise<boolean> {
    try {
      await work(await this.#connected());
      return true;
    } catch {
      this.#cut();
      await sleep(100);
      return false;
    }
  }

  #cut(): void {
    this.#ssh?.destroy();
    this.#sftp = undefined;
    this.#ssh = undefined;
  }

  async #connected(): Promise<SFTPWrapper> {
    if (this.#sftp !== undefined) return this.#sftp;
    const { port, privateKey } = this.#parts;
    const ssh = new ssh2.Client();
    this.#ssh = ssh;
    const sftp = await new Promise<SFTPWrapper>((resolve, reject) => {
      const lost = (): void => {
        if (this.#ssh === ssh) this.#sftp = undefined;
        reject(new Error('the line broke'));
      };
      ssh.on('error', lost);
      ssh.on('close', lost);
      ssh.on('ready', () =>
        ssh.sftp((error, opened) => (error === undefined ? resolve(opened) : reject(error))),
      );
      const readyTimeout = 10_000;
      ssh.connect({ host: '127.0.0.1', port, username: 'alice', privateKey, readyTimeout });
    });
    this.#sftp = sftp;
    return sftp;
  }
}
