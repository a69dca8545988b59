// Two sites, a project and its people, ready to exchange, for end-to-end tests. All made by commands.

import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyRing, Person, type KeyKind } from './people.ts';
import { run } from './programs.ts';
import { Site } from './site.ts';

export interface Exchange {
  readonly peking: Site;
  readonly michigan: Site;
  /** Sends at PUHSC. */
  readonly alice: Person;
  /** Receives at UMHS. */
  readonly bob: Person;
  readonly bobsKeys: KeyRing;
  end(): Promise<void>;
}

/** Short waits, so that nobody waits in a test; everything else as shipped. */
export const quick = [
  'intake: { settle: 500ms }',
  'replication: { every: 2s }',
  'workers: 1',
  'log: { level: debug }',
].join('\n');

/** `profile`: YAML of the project's profile at PUHSC; `basic` without. The servers are not started. */
export async function makeExchange(profile?: string): Promise<Exchange> {
  const peking = await Site.make('PUHSC', quick);
  const michigan = await Site.make('UMHS', quick);
  const alice = await Person.make('alice');
  const bob = await Person.make('bob');
  const bobsKeys = await KeyRing.make();
  if (profile !== undefined) {
    await writeFile(join(peking.home, 'config', 'profiles', 'ours.yaml'), profile);
  }
  const chosen = profile === undefined ? [] : ['--profile', 'ours'];
  await peking.run(['project', 'add', 'brain', '--partner', 'UMHS', ...chosen]);
  await michigan.run(['project', 'add', 'brain', '--partner', 'PUHSC']);
  await peking.run(['user', 'add', 'alice', '--project', 'brain', '--key', alice.publicKey]);
  await michigan.run(['user', 'add', 'bob', '--project', 'brain', '--key', bob.publicKey]);
  await addRecipient(peking, 'UMHS', bobsKeys, 'Bob Receiver <bob@umhs.example.org>');
  await introduce(peking, michigan);
  await introduce(michigan, peking);
  return {
    peking,
    michigan,
    alice,
    bob,
    bobsKeys,
    end: async () => {
      await peking.remove();
      await michigan.remove();
      await alice.remove();
      await bob.remove();
      await bobsKeys.remove();
    },
  };
}

export async function addRecipient(
  site: Site,
  partner: string,
  keys: KeyRing,
  userId: string,
  project = 'brain',
  kind: KeyKind = 'future-default',
): Promise<void> {
  const key = await keys.generate(userId, kind);
  await site.run([
    ...['recipient', 'add', '--project', project, '--partner', partner],
    ...['--key', key.file, '--fingerprint', key.fingerprint],
  ]);
}

/** `from` learns where `to` is; `to` lets the replicator of `from` in. */
export async function introduce(from: Site, to: Site): Promise<void> {
  await from.run([
    ...['partner', 'add', to.code, '--host', '127.0.0.1', '--port', String(to.port)],
    ...['--user', from.code, '--host-key', await to.hostKey()],
  ]);
  const key = join(from.home, 'keys', 'replicator_ed25519.pub');
  await to.run(['partner', 'accept', from.code, '--key', key]);
}

/** All regular files below a folder, as paths relative to it. */
export async function filesBelow(folder: string, within = ''): Promise<string[]> {
  const names = await readdir(join(folder, within)).catch(() => []);
  const found: string[] = [];
  for (const name of names) {
    const path = within === '' ? name : `${within}/${name}`;
    const facts = await stat(join(folder, path)).catch(() => undefined);
    if (facts?.isDirectory() === true) found.push(...(await filesBelow(folder, path)));
    else if (facts?.isFile() === true) found.push(path);
  }
  return found.sort();
}

/** Which of the needles stand in which files (or file names) below a folder, as bytes. */
export async function searchBytes(
  folder: string,
  needles: readonly (string | Uint8Array)[],
): Promise<readonly string[]> {
  const hits: string[] = [];
  for (const path of await filesBelow(folder)) {
    const bytes = await readFile(join(folder, path)).catch(() => Buffer.alloc(0));
    for (const needle of needles) {
      const wanted = Buffer.from(needle as Uint8Array);
      if (bytes.includes(wanted) || Buffer.from(path).includes(wanted)) {
        hits.push(`${path}: ${wanted.toString('hex')}`);
      }
    }
  }
  return hits;
}

/** What dcmdump (dcmtk) reads: `gggg,eeee` of the top level → the value as it prints it. Throws when it cannot read. */
export async function dcmdump(path: string): Promise<ReadonlyMap<string, string>> {
  const done = await run('dcmdump', ['-q', '-M', '+L', '--load-all', path]);
  if (done.code !== 0) throw new Error(`dcmdump ended with ${done.code}: ${done.stderr}`);
  const values = new Map<string, string>();
  for (const line of done.stdout.toString('latin1').split('\n')) {
    const match =
      /^\(([0-9a-f]{4},[0-9a-f]{4})\) [A-Za-z?]{2} (?:\[([^\]]*)\]|(\(no value available\))|(\S+))/.exec(
        line,
      );
    if (match?.[1] !== undefined) values.set(match[1], match[2] ?? match[4] ?? '');
  }
  return values;
}
