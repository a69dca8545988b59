// What `clubhouse doctor` looks at where rows and disk must agree. A server may work meanwhile, so what looks wrong is looked
// at again a moment later, and only what stayed wrong is told. Ids in what is told, never a client's names.

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import type { InstancePaths } from '../../core/instance.ts';
import { sharedFolder } from '../../core/tree.ts';
import type { Finding } from '../../flow/ports/directory.ts';
import type { Database } from './schema.ts';

export interface ExamineParts {
  readonly db: Kysely<Database>;
  readonly paths: InstancePaths;
  /** The code of this site. */
  readonly site: string;
  /** Before the second look. */
  readonly pause: () => Promise<unknown>;
}

type Fault =
  | 'published-gone'
  | 'published-other'
  | 'owed-gone'
  | 'delivered-gone'
  | 'stranger'
  | 'spool'
  | 'unreadable';

const faults: Readonly<Record<Fault, { state: 'error' | 'warning'; check: string; text: string }>> =
  {
    'published-gone': {
      state: 'error',
      check: 'published files',
      text: 'are gone before they were delivered; have them made anew or sent again',
    },
    'published-other': {
      state: 'error',
      check: 'published files',
      text: 'have another size than what was published; look at who changed them',
    },
    'owed-gone': {
      state: 'error',
      check: 'uploads',
      text: 'are owed work and have no file any more; ask their senders to send them again',
    },
    'delivered-gone': {
      state: 'warning',
      check: 'delivered files',
      text: 'are not here any more; the partner has them',
    },
    stranger: {
      state: 'warning',
      check: 'gpg- folders',
      text: 'were not made by Clubhouse and are not sent; look at who put them there',
    },
    spool: {
      state: 'warning',
      check: 'data/spool',
      text: 'belong to nothing; the next start of serve clears them away',
    },
    unreadable: {
      state: 'error',
      check: 'data',
      text: 'folders cannot be read, so nobody knows what is in them; look at the disk and their owner',
    },
  };

/** One finding for each kind of fault, or that all is well. */
export async function examineAgreement(parts: ExamineParts): Promise<readonly Finding[]> {
  const first = await look(parts);
  let found = first;
  if (first.size > 0) {
    await parts.pause();
    const second = await look(parts);
    found = new Map([...first].filter(([key]) => second.has(key)));
  }
  if (found.size === 0) {
    return [{ check: 'files', state: 'ok', text: 'what the database speaks of is on the disk' }];
  }
  const byFault = new Map<Fault, string[]>();
  for (const [key, fault] of found) {
    const ids = byFault.get(fault) ?? [];
    ids.push(key.slice(key.indexOf(' ') + 1));
    byFault.set(fault, ids);
  }
  return [...byFault].map(([fault, ids]) => {
    const { check, state, text } = faults[fault];
    const more = ids.length > 3 ? ', …' : '';
    return { check, state, text: `${ids.length} ${text} (${ids.slice(0, 3).join(', ')}${more})` };
  });
}

/** `<fault> <id>` → the fault. */
async function look(parts: ExamineParts): Promise<Map<string, Fault>> {
  const found = new Map<string, Fault>();
  const tell = (fault: Fault, id: string): void => {
    found.set(`${fault} ${id}`, fault);
  };
  await lookAtOutputs(parts, tell);
  await lookAtOwed(parts, tell);
  await lookForStrangers(parts, tell);
  await lookAtSpool(parts, tell);
  return found;
}

type Tell = (fault: Fault, id: string) => void;

const sizeOf = async (path: string): Promise<number | undefined> => {
  const facts = await lstat(path).catch(() => undefined);
  return facts?.isFile() === true ? facts.size : undefined;
};

async function lookAtOutputs({ db, paths, site }: ExamineParts, tell: Tell): Promise<void> {
  const rows = db
    .selectFrom('job')
    .innerJoin('project', 'project.id', 'job.projectId')
    .select(['job.id', 'job.state', 'job.partner', 'job.output', 'job.outputBytes', 'project.name'])
    .where('job.state', 'in', ['published', 'delivered'])
    .where('job.output', 'is not', null)
    .stream(500);
  for await (const { id, state, partner, output, outputBytes, name } of rows) {
    const shared = sharedFolder(name, site, partner);
    const size = await sizeOf(join(paths.tree, shared, output ?? ''));
    if (size === undefined) tell(state === 'published' ? 'published-gone' : 'delivered-gone', id);
    else if (state === 'published' && size !== outputBytes) tell('published-other', id);
  }
}

async function lookAtOwed({ db, paths }: ExamineParts, tell: Tell): Promise<void> {
  const rows = db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.id', 'upload.path', 'upload.claim'])
    .where('job.state', 'in', ['settling', 'queued', 'processing', 'waiting', 'held', 'failed'])
    .where('upload.rawRemovedAt', 'is', null)
    .stream(500);
  for await (const { id, path, claim } of rows) {
    if ((await sizeOf(join(paths.tree, path))) !== undefined) continue;
    const claimed = claim === null ? undefined : await sizeOf(join(paths.spool, 'claims', claim));
    if (claimed === undefined) tell('owed-gone', id);
  }
}

async function lookForStrangers({ db, paths, site }: ExamineParts, tell: Tell): Promise<void> {
  const places = await db
    .selectFrom('project_partner')
    .innerJoin('project', 'project.id', 'project_partner.projectId')
    .select(['project.id', 'project.name', 'project_partner.partner'])
    .execute();
  for (const { id, name, partner } of places) {
    const folder = join(paths.tree, sharedFolder(name, site, partner));
    const unread = unreadable(tell, `in ${name} for ${partner}`);
    const sealed = (await filesBelow(folder, unread)).filter((path) => /^gpg-[^/]*\//i.test(path));
    for (let at = 0; at < sealed.length; at += 500) {
      const batch = sealed.slice(at, at + 500);
      const known = await db
        .selectFrom('job')
        .select('output')
        .where('projectId', '=', id)
        .where('partner', '=', partner)
        .where('output', 'in', batch)
        .execute();
      const names = new Set(known.map(({ output }) => output));
      const strangers = batch.filter((path) => !names.has(path)).length;
      if (strangers > 0) tell('stranger', `${strangers} in ${name} for ${partner}`);
    }
  }
}

async function lookAtSpool({ db, paths }: ExamineParts, tell: Tell): Promise<void> {
  const namesIn = (area: string): Promise<string[]> =>
    readdir(join(paths.spool, area)).catch(unreadable(tell, `data/spool/${area}`));
  const claims = await namesIn('claims');
  const live = await db
    .selectFrom('upload')
    .select('claim')
    .where('claim', 'is not', null)
    .execute();
  const owned = new Set(live.map(({ claim }) => claim));
  for (const name of claims) if (!owned.has(name)) tell('spool', `claims/${name}`);
  const outputs = await namesIn('outputs');
  const working = await db
    .selectFrom('job')
    .select('id')
    .where('state', '=', 'processing')
    .execute();
  const ids = new Set(working.map(({ id }) => id));
  for (const name of outputs)
    if (!ids.has(name.split('.')[0] ?? '')) tell('spool', `outputs/${name}`);
}

/** A folder that is not there has nothing in it; one that cannot be read must not look so. */
const unreadable =
  (tell: Tell, where: string) =>
  ({ code }: NodeJS.ErrnoException): [] => {
    if (code !== 'ENOENT' && code !== 'ENOTDIR') tell('unreadable', `${code ?? ''} ${where}`);
    return [];
  };

async function filesBelow(
  folder: string,
  unread: (cause: NodeJS.ErrnoException) => [],
): Promise<readonly string[]> {
  const found: string[] = [];
  const within = [''];
  for (let at = within.pop(); at !== undefined; at = within.pop()) {
    const entries = await readdir(join(folder, at), { withFileTypes: true }).catch(unread);
    for (const entry of entries) {
      if (entry.isDirectory()) within.push(`${at}${entry.name}/`);
      else if (entry.isFile()) found.push(`${at}${entry.name}`);
    }
  }
  return found;
}
