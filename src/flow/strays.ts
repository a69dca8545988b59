// What the disk shows after a crash of renames, removals and new files whose rows were not written any more. A rename keeps
// the inode, so a file that has the inode of a row whose own path is empty is that row's file under its new name: it keeps
// its uploader, its job and its coverage, as if the rename had been answered (SPEC 6).

import { isReservedName } from '../core/tree.ts';
import { isWithdrawable } from '../core/upload.ts';
import { identityOf, presumed } from './generations.ts';
import { isWithin } from './gate.ts';
import type { WritePlace } from './ports/intake.ts';
import type { Upload } from './ports/jobs.ts';
import type { FileFacts } from './ports/storage.ts';
import type { Arrivals } from './ports/upkeep.ts';
import { arrive, filesBelow } from './renames.ts';
import type { RunParts } from './run-job.ts';

export type StrayParts = RunParts & { readonly arrivals: Arrivals };

/** No rename leads out of one. */
export interface Root {
  readonly projectId: string;
  readonly folder: string;
  /** Of an intake. */
  readonly memberId: string | undefined;
  /** Of an outgoing folder. */
  readonly partner: string | undefined;
}

export async function rootsOf(parts: StrayParts): Promise<readonly Root[]> {
  const intakes = await parts.uploads.intakes();
  const outgoings = await parts.uploads.outgoings(parts.site);
  return [
    ...intakes.map((intake) => ({ ...intake, partner: undefined })),
    ...outgoings.map((outgoing) => ({ ...outgoing, memberId: undefined })),
  ];
}

/** Folders of sealed files are looked at by the replicator alone. */
export const entersIn =
  (root: Root) =>
  (below: string): boolean =>
    root.partner === undefined || below.lastIndexOf('/') > 0 || !isReservedName(below.slice(1));

/** Something with a place on the disk. */
type Placed = { readonly device: string | undefined; readonly inode: string | undefined };
const inodeOf = ({ device, inode }: Placed): string => `${device}:${inode}`;

interface Stray {
  readonly path: string;
  readonly facts: FileFacts;
}

/**
 * While nobody changes anything in it: before anybody can connect, or while the root is held alone and every open file has
 * its row. Answers why a folder below it could not be looked into, if one could not: then what is lost may lie in there.
 */
export async function findStrays(
  parts: StrayParts,
  root: Root,
): Promise<{ error: unknown } | undefined> {
  // A folder that is not there says nothing: its disk may not be mounted.
  if ((await parts.storage.facts(root.folder)) === undefined) return undefined;
  const rows = await parts.uploads.below(root.folder);
  const known = new Set(rows.map(({ path }) => path));
  const byPath = newestByPath(rows.filter((row) => isOf(root, row)));
  const { strays, homeless, missed } = await compare(parts, root, byPath);
  const hasArrived = await arrivedIn(parts, root);
  const byInode = new Map(homeless.map((row) => [inodeOf(row), row]));
  const moves = new Map<Upload, Stray>();
  for (const stray of strays) {
    const source = byInode.get(inodeOf(stray.facts));
    if (source !== undefined && isSameFile(source, stray.facts)) {
      moves.set(source, stray);
      continue;
    }
    if (await hasArrived(stray)) await bring(parts, root, stray, byPath.get(stray.path));
    else if (!known.has(stray.path)) await adopt(parts, root, stray);
  }
  for (const [source, { path }] of moves) {
    const there = byPath.get(path);
    const isReplaced = there !== undefined && !moves.has(there);
    await follow(parts, root, source, path, isReplaced ? there : undefined);
  }
  if (missed !== undefined) return missed;
  const isThere = (await parts.storage.facts(root.folder)) !== undefined;
  for (const row of homeless) {
    if (isThere && !moves.has(row)) await withdrawLost(parts, row);
  }
  await parts.arrivals.forget(root.folder);
  return undefined;
}

const isOf = (root: Root, row: Upload): boolean =>
  root.memberId === undefined ? row.kind === 'direct' : row.memberId === root.memberId;

/** In the outgoing folder several members may have rows at one path. */
function newestByPath(rows: readonly Upload[]): ReadonlyMap<string, Upload> {
  const newest = new Map<string, Upload>();
  for (const row of rows) {
    if ((newest.get(row.path)?.generation ?? 0) < row.generation) newest.set(row.path, row);
  }
  return newest;
}

/** Files that are not those of the rows at their paths, and rows whose files are not at theirs. Keeps no list of the rest. */
async function compare(
  parts: StrayParts,
  root: Root,
  byPath: ReadonlyMap<string, Upload>,
): Promise<{
  readonly strays: readonly Stray[];
  readonly homeless: readonly Upload[];
  readonly missed: { readonly error: unknown } | undefined;
}> {
  const strays: Stray[] = [];
  const atHome = new Set<Upload>();
  const errors: unknown[] = [];
  const miss = (error: unknown): void => void errors.push(error);
  for await (const { below, facts } of filesBelow(parts, root.folder, entersIn(root), miss)) {
    const path = `${root.folder}${below}`;
    const row = byPath.get(path);
    if (row !== undefined && inodeOf(row) === inodeOf(facts)) atHome.add(row);
    else strays.push({ path, facts });
  }
  const homeless = [...byPath.values()].filter((row) => !atHome.has(row));
  return { strays, homeless, missed: errors.length === 0 ? undefined : { error: errors[0] } };
}

/** Was it being moved into the intake, alone or with a folder above it, out of the rest of the member's folder? */
async function arrivedIn(
  parts: StrayParts,
  root: Root,
): Promise<(stray: Stray) => Promise<boolean>> {
  const arrivals = root.memberId === undefined ? [] : await parts.arrivals.below(root.folder);
  return async ({ path }) => {
    for (const arrival of arrivals) {
      if (!isWithin(path, arrival.path)) continue;
      const facts = await parts.storage.facts(arrival.path);
      if (facts !== undefined && inodeOf(facts) === inodeOf(arrival)) return true;
    }
    return false;
  };
}

/** As if the move had been answered. */
async function bring(
  parts: StrayParts,
  { projectId, memberId = '' }: Root,
  { path }: Stray,
  replaced: Upload | undefined,
): Promise<void> {
  const from: WritePlace = { path: '', projectId, area: 'plain', partner: undefined };
  await arrive(
    parts,
    { id: memberId },
    from,
    { ...from, path, area: 'intake' },
    undefined,
    replaced,
  );
}

/** A new file may have got the inode of one whose removal was not noted; a row of what is still written lags behind. */
const isSameFile = (row: Upload, facts: FileFacts): boolean =>
  row.states.includes('uploading')
    ? facts.sizeBytes >= row.sizeBytes && facts.sizeBytes > 0
    : facts.sizeBytes === row.sizeBytes;

/** The rename came through, its row did not. */
async function follow(
  parts: StrayParts,
  root: Root,
  source: Upload,
  path: string,
  replaced: Upload | undefined,
): Promise<void> {
  if (source.states.includes('uploading') && !parts.gate.writers.has(source.path)) {
    // Which of its bytes count is looked at next, as for every upload whose writer is gone.
    if (replaced !== undefined) await parts.uploads.withdraw(replaced.id, 'server');
    await parts.uploads.change(source.id, { path }, 'server');
    return;
  }
  const { projectId, partner } = root;
  const area = partner === undefined ? 'intake' : 'direct';
  const from: WritePlace = { path: source.path, projectId, area, partner };
  await arrive(parts, { id: 'server' }, from, { ...from, path }, source, replaced);
}

/** A removal came through, its row did not: what is owed nothing any more ends, as if the removal had been answered. */
async function withdrawLost(parts: StrayParts, row: Upload): Promise<void> {
  // A direct file is its own publication: what was removed before it was sent never will be.
  const isUnsent = row.kind === 'direct' && row.states.includes('published');
  const isBeforeClaim = row.claim === undefined && row.states.some(isWithdrawable);
  if (!isUnsent && !isBeforeClaim) return;
  if ((await parts.storage.facts(row.path)) !== undefined) return;
  await parts.uploads.withdraw(row.id, 'server');
}

/**
 * Made or put there by hand. In an outgoing folder the replicator finds it: no client's rename leads into one (core/tree), and
 * OPEN is not answered before the row is there, so a file of some bytes without a row came by hand and may be anybody's.
 */
async function adopt(parts: StrayParts, root: Root, { path, facts }: Stray): Promise<void> {
  const { projectId, memberId } = root;
  if (memberId === undefined) return;
  const upload = {
    projectId,
    memberId,
    path,
    kind: 'intake',
    partner: undefined,
    declaredSizeBytes: undefined,
    coverage: presumed(facts),
    closed: false,
    identity: identityOf(facts),
    state: 'partial',
    reason: facts.sizeBytes === 0 ? 'empty' : 'disconnected',
    settleAt: undefined,
  } as const;
  await parts.uploads.begin(upload, 'server');
}
