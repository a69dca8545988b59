// Looks at the folders that others can see, all through a torture run: at no instant may anything lie under a final name that is
// not whole, not encrypted, or not one of the contents that clients sent.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { plainMark, planted, type Receiver } from './contents.ts';
import type { Ledger } from './ledger.ts';

export interface Finding {
  readonly kind: 'plaintext' | 'truncated' | 'wrong';
  readonly where: string;
  readonly what: string;
}

export interface Seen {
  /** Relative to the folder. */
  readonly name: string;
  readonly sha256: string;
  readonly marks: readonly string[] | undefined;
}

const isTemporary = (name: string): boolean => /(^|\/)\.[^/]*\.part$|\.(file)?part$/.test(name);

export class Watcher {
  readonly #folder: string;
  readonly #receiver: Receiver;
  readonly #ledger: Ledger;
  readonly #known = new Map<string, Seen>();
  readonly findings: Finding[] = [];
  looks = 0;

  constructor(folder: string, receiver: Receiver, ledger: Ledger) {
    this.#folder = folder;
    this.#receiver = receiver;
    this.#ledger = ledger;
  }

  /** `isPartner`: plain files there have arrived, so they must be whole; at the sender they may still be written. */
  async run(isOver: () => boolean, isPartner: boolean): Promise<void> {
    while (!isOver()) {
      await this.look(isPartner);
      await sleep(100);
    }
  }

  /** Everything that lies there now under a final name. */
  async look(hasArrived: boolean): Promise<readonly Seen[]> {
    const all: Seen[] = [];
    for (const name of await filesBelow(this.#folder)) {
      if (isTemporary(name)) continue;
      const isSealed = name.startsWith('gpg-');
      if (!isSealed && !hasArrived) continue;
      const seen = await this.#judge(name, isSealed);
      if (seen !== undefined) all.push(seen);
    }
    return all;
  }

  async temporaries(): Promise<readonly string[]> {
    return (await filesBelow(this.#folder)).filter((name) => name.includes('.clubhouse-'));
  }

  async #judge(name: string, isSealed: boolean): Promise<Seen | undefined> {
    const path = join(this.#folder, name);
    const facts = await stat(path, { bigint: true }).catch(() => undefined);
    if (facts === undefined) return undefined;
    const key = `${name} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes === undefined) return undefined;
    this.looks += 1;
    const marks = isSealed ? await this.#open(name, bytes) : [plainMark(bytes)];
    if (marks !== undefined && this.#ledger.trackOf(marks) === undefined) {
      this.#tell(isSealed ? 'wrong' : 'truncated', name, 'a content that nobody sent');
    }
    const seen = { name, sha256: plainMark(bytes), marks };
    this.#known.set(key, seen);
    return seen;
  }

  async #open(name: string, bytes: Buffer): Promise<readonly string[] | undefined> {
    // The first octet of an OpenPGP message has its top bit set (RFC 9580 §4.2).
    if ((bytes[0] ?? 0) < 0x80 || bytes.includes(planted)) {
      this.#tell('plaintext', name, `${bytes.length} bytes that are not encrypted`);
      return undefined;
    }
    try {
      return await this.#receiver.marksOf(name, bytes);
    } catch (error) {
      this.#tell('truncated', name, String(error));
      return undefined;
    }
  }

  #tell(kind: Finding['kind'], where: string, what: string): void {
    this.findings.push({ kind, where, what });
  }
}

async function filesBelow(folder: string, within = ''): Promise<string[]> {
  const entries = await readdir(join(folder, within), { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries) {
    const path = within === '' ? entry.name : `${within}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(folder, path)));
    else if (entry.isFile()) found.push(path);
  }
  return found.sort();
}
