// Looks through the outgoing folders of a partner for what no row speaks of: files that somebody put there by hand, and
// deliveries that were missed. Cheap between its full rounds: a folder whose time did not change is not listed again.

import { AppError } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import { isTemporaryName } from '../core/upload.ts';
import type { Clock, Log } from './ports/clock.ts';
import type { FoundFile, OutgoingRows } from './ports/deliveries.ts';
import type { UploadStore } from './ports/jobs.ts';
import type { Partner, Partners } from './ports/partners.ts';
import type { DirectoryEntry, Storage } from './ports/storage.ts';

export interface ScanParts {
  readonly site: string;
  readonly storage: Storage;
  readonly partners: Partners;
  readonly outgoing: OutgoingRows;
  readonly uploads: Pick<UploadStore, 'adoptDirect'>;
  readonly temporaryNames: readonly string[];
  /** intake.settle: younger files are left for the next time. */
  readonly settleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OutgoingScan {
  run(partner: Partner, signal: AbortSignal): Promise<void>;
}

const fullEveryMs = 3_600_000;
/** Within this time of a listing, a folder can change without its time changing (coarse clocks of file systems). */
const clockGrainMs = 2_000;

interface Folder {
  readonly modifiedMs: number;
  readonly subfolders: readonly string[];
}

/** What is remembered of one partner's folders, by their path below data/home. */
interface Memory {
  fullAt: number;
  folders: Map<string, Folder>;
}

export function scanOutgoing(parts: ScanParts): OutgoingScan {
  const memories = new Map<string, Memory>();
  return {
    run: async (partner, signal) => {
      const now = parts.clock.now();
      const old = memories.get(partner.code);
      const isFull = old === undefined || now - old.fullAt >= fullEveryMs;
      const memory: Memory = isFull ? { fullAt: now, folders: new Map() } : old;
      memories.set(partner.code, memory);
      let strangers = 0;
      const errors: unknown[] = [];
      for (const project of await parts.partners.projects(partner.code)) {
        const place = { projectId: project.id, project: project.name, partner: partner.code };
        strangers += await scanProject(parts, place, memory, { signal, errors });
      }
      if (strangers > 0) {
        parts.log.error({ partner: partner.code, files: strangers }, 'strangers in gpg- folders');
        await parts.partners.tellStrangers(partner.code, `${strangers} files`);
      } else if (isFull && errors.length === 0) {
        await parts.partners.tellStrangers(partner.code, undefined);
      }
      // One folder that cannot be read keeps nothing else from being found; it is tried again each time.
      if (errors.length > 0) throw errors[0];
    },
  };
}

interface Place {
  readonly projectId: string;
  readonly project: string;
  readonly partner: string;
}

/** How many sealed files nobody knows. */
async function scanProject(
  parts: ScanParts,
  place: Place,
  memory: Memory,
  { signal, errors }: { readonly signal: AbortSignal; readonly errors: unknown[] },
): Promise<number> {
  const root = sharedFolder(place.project, parts.site, place.partner);
  const queue = [root];
  let strangers = 0;
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    signal.throwIfAborted();
    const known = memory.folders.get(path);
    memory.folders.delete(path);
    const found = await readFolder(parts, root, path, known).catch((error: unknown) => {
      errors.push(error);
    });
    if (found === undefined) continue;
    const { modifiedMs, subfolders } = found;
    for (const subfolder of subfolders) queue.push(subfolder);
    if (found.files !== undefined) strangers += await judge(parts, place, root, found.files);
    if (found.isQuiet) memory.folders.set(path, { modifiedMs, subfolders });
  }
  return strangers;
}

interface Found extends Folder {
  /** Undefined: nothing changed since it was last listed. */
  readonly files: Listing['files'] | undefined;
  /** As long as its time does not change, it need not be listed again. */
  readonly isQuiet: boolean;
}

/** Undefined: there is no such folder any more. */
async function readFolder(
  parts: ScanParts,
  root: string,
  path: string,
  known: Folder | undefined,
): Promise<Found | undefined> {
  const facts = await parts.storage.facts(path);
  if (facts?.kind !== 'folder') return undefined;
  const { modifiedMs } = facts;
  if (known?.modifiedMs === modifiedMs) return { ...known, files: undefined, isQuiet: true };
  const { files, subfolders, hasYoung } = await listFolder(parts, root, path);
  const isQuiet = parts.clock.now() - modifiedMs > clockGrainMs && !hasYoung;
  return { modifiedMs, subfolders, files, isQuiet };
}

interface Listing {
  readonly files: readonly (FoundFile & { readonly device: string })[];
  readonly subfolders: readonly string[];
  readonly hasYoung: boolean;
}

async function listFolder(parts: ScanParts, root: string, path: string): Promise<Listing> {
  const files: (FoundFile & { readonly device: string })[] = [];
  const subfolders: string[] = [];
  let hasYoung = false;
  for await (const entries of parts.storage.list(path)) {
    for (const entry of entries) {
      const full = `${path}/${entry.name}`;
      if (entry.facts.kind === 'folder') subfolders.push(full);
      else if (isYoung(parts, entry) || isEmpty(entry)) hasYoung = true;
      else if (!isPassing(parts, entry.name)) {
        const { sizeBytes, modifiedMs, inode, device } = entry.facts;
        files.push({ path: full.slice(root.length + 1), sizeBytes, modifiedMs, inode, device });
      }
    }
  }
  return { files, subfolders, hasYoung };
}

const isYoung = (parts: ScanParts, entry: DirectoryEntry): boolean =>
  Math.abs(parts.clock.now() - entry.facts.modifiedMs) < parts.settleMs;

/**
 * Nothing to send, and perhaps what an OPEN left that a crash kept from its row: as nobody's it would be hidden from the very
 * member who comes back to write it.
 */
const isEmpty = ({ facts }: DirectoryEntry): boolean => facts.sizeBytes === 0;

const isPassing = (parts: ScanParts, name: string): boolean =>
  name.startsWith('.clubhouse-') || isTemporaryName(name, parts.temporaryNames);

async function judge(
  parts: ScanParts,
  place: Place,
  root: string,
  files: Listing['files'],
): Promise<number> {
  if (files.length === 0) return 0;
  const { unknown, owed } = await parts.outgoing.compare(place, files);
  if (owed > 0) parts.log.warn({ partner: place.partner, files: owed }, 'deliveries were missing');
  const devices = new Map(files.map((file) => [file.path, file.device]));
  let strangers = 0;
  for (const file of unknown) {
    if (/^gpg-[^/]*\//i.test(file.path)) {
      strangers += 1;
      continue;
    }
    const device = devices.get(file.path);
    if (device === undefined) throw new AppError('INTERNAL', { detail: 'a file nobody asked for' });
    const { sizeBytes, modifiedMs, inode } = file;
    await parts.uploads.adoptDirect({
      projectId: place.projectId,
      partner: place.partner,
      path: `${root}/${file.path}`,
      identity: { sizeBytes, modifiedMs, device, inode },
      settleAt: parts.clock.now() + parts.settleMs,
    });
  }
  return strangers;
}
