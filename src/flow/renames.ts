// A rename ends a temporary name, brings a file into the intake, takes it out of it, or replaces another one (SPEC 6).

import { AppError, type ErrorCode } from '../core/errors.ts';
import { isNameable } from '../core/tree.ts';
import {
  detach,
  identityOf,
  isBeforeClaim,
  newestAt,
  newUpload,
  presumed,
  type IntakeParts,
} from './generations.ts';
import { writeDown, writeDownBelow } from './late-rows.ts';
import type { Principal } from './ports/accounts.ts';
import type { WritePlace } from './ports/intake.ts';
import type { Upload } from './ports/jobs.ts';
import type { FileFacts } from './ports/storage.ts';

/** Called while both paths are held. */
export async function moveFile(
  parts: IntakeParts,
  principal: Principal,
  from: WritePlace,
  to: WritePlace,
  run: () => Promise<void>,
): Promise<void> {
  await writeDown(parts, from.path);
  await writeDown(parts, to.path);
  const source = await newestAt(parts, principal, from);
  const replaced = from.path === to.path ? undefined : await newestAt(parts, principal, to);
  if (from.path === to.path) return run();
  await inStep(parts, from, to, run, () => arrive(parts, principal, from, to, source, replaced));
}

/** A rename and what follows of it. What fails behind the rename leaves a doubt, which is looked into at once (lookout.ts). */
async function inStep(
  parts: IntakeParts,
  from: WritePlace,
  to: WritePlace,
  run: () => Promise<void>,
  follow: () => Promise<void>,
): Promise<void> {
  // It has no row yet, and after a crash it would look like an upload that broke off.
  const isNew = from.area === 'plain' && to.area === 'intake';
  const facts = isNew ? await parts.storage.facts(from.path) : undefined;
  const doubt = (): void => {
    for (const { path } of [from, to]) parts.gate.doubtful.add(path);
  };
  /** A note that stays is found by the look that a doubt brings. */
  const forget = async (): Promise<void> => {
    if (facts !== undefined) await parts.arrivals.forget(to.path).catch(doubt);
  };
  try {
    if (facts !== undefined) {
      const { device, inode } = facts;
      await parts.arrivals.note({ path: to.path, device, inode });
    }
    await run();
    await follow();
  } catch (error) {
    if (isRefusal(error)) await forget();
    else doubt();
    throw error;
  }
  await forget();
}

/** Nothing happened: the name is taken, or there is nothing of that name. */
const isRefusal = (error: unknown): boolean => error instanceof AppError && !error.retry;

/** Called while nobody holds a path. Everything below goes along; the target did not exist. */
export async function moveFolder(
  parts: IntakeParts,
  principal: Principal,
  from: WritePlace,
  to: WritePlace,
  run: () => Promise<void>,
): Promise<void> {
  await writeDownBelow(parts, from.path);
  const rows = from.area === 'plain' ? [] : await parts.uploads.below(from.path);
  const known = new Map(
    rows
      .filter((row) => from.area === 'direct' || row.memberId === principal.id)
      .map((row) => [row.path, row]),
  );
  await refuseTooDeep(parts, from, to);
  const follow = async ({ below }: Below): Promise<void> => {
    const source = { ...from, path: `${from.path}${below}` };
    const target = { ...to, path: `${to.path}${below}` };
    await arrive(parts, principal, source, target, known.get(source.path), undefined);
  };
  await inStep(parts, from, to, run, async () => {
    // Many at once, so that they share commits: the client waits for the last one.
    let some: Below[] = [];
    for await (const found of filesBelow(parts, to.path)) {
      some.push(found);
      if (some.length < together) continue;
      await allOf(some.map(follow));
      some = [];
    }
    await allOf(some.map(follow));
  });
}

/** Ends when all have ended, also when one fails: none goes on while the folder is nobody's any more. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  for (const one of await Promise.allSettled(works)) {
    if (one.status === 'rejected') throw one.reason;
  }
}

const together = 64;

/** What nobody could name any more could not be processed, listed or removed either. */
async function refuseTooDeep(parts: IntakeParts, from: WritePlace, to: WritePlace): Promise<void> {
  for await (const { below } of everythingBelow(parts, from.path, () => true)) {
    if (!isNameable(`${to.path}${below}`)) throw new AppError('BAD_NAME');
  }
}

/**
 * All files below a folder, by their path from there with its leading slash. `enters`: is this folder looked into?
 * `missed`: one could not be read, and the rest comes all the same; without it that throws.
 */
export async function* filesBelow(
  parts: Pick<IntakeParts, 'storage'>,
  folder: string,
  enters: (below: string) => boolean = () => true,
  missed?: (error: unknown) => void,
): AsyncGenerator<Below> {
  for await (const found of everythingBelow(parts, folder, enters, missed)) {
    if (found.facts.kind === 'file') yield found;
  }
}

interface Below {
  readonly below: string;
  readonly facts: FileFacts;
}

async function* everythingBelow(
  parts: Pick<IntakeParts, 'storage'>,
  folder: string,
  enters: (below: string) => boolean,
  missed?: (error: unknown) => void,
): AsyncGenerator<Below> {
  const open = [''];
  for (let below = open.pop(); below !== undefined; below = open.pop()) {
    try {
      for await (const entries of parts.storage.list(`${folder}${below}`)) {
        for (const { name, facts } of entries) {
          const path = `${below}/${name}`;
          if (facts.kind === 'folder' && enters(path)) open.push(path);
          yield { below: path, facts };
        }
      }
    } catch (error) {
      // Gone meanwhile, or too deep for the operating system: there is nothing that anybody could reach.
      if (error instanceof AppError && unreachableCodes.has(error.code)) continue;
      if (missed === undefined) throw error;
      missed(error);
    }
  }
}

const unreachableCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'NO_SUCH_FILE',
  'NOT_A_DIRECTORY',
  'BAD_NAME',
]);

/** What a rename that came through on the disk says to the rows. */
export async function arrive(
  parts: IntakeParts,
  principal: Pick<Principal, 'id'>,
  from: WritePlace,
  to: WritePlace,
  source: Upload | undefined,
  replaced: Upload | undefined,
): Promise<void> {
  if (replaced !== undefined) await parts.uploads.withdraw(replaced.id, principal.id);
  detach(parts.gate, to.path);
  const group = parts.gate.writers.get(from.path);
  if (group !== undefined) {
    parts.gate.writers.delete(from.path);
    parts.gate.writers.set(to.path, group);
    group.path = to.path;
  }
  if (to.area === 'plain') {
    if (source !== undefined) await parts.uploads.withdraw(source.id, principal.id);
    if (group !== undefined) group.uploadId = undefined;
    return;
  }
  const facts = await parts.storage.facts(to.path);
  if (facts === undefined) return;
  const row = await carryOver(parts, principal, to, source, facts, group !== undefined);
  if (group !== undefined) group.uploadId = row.id;
}

async function carryOver(
  parts: IntakeParts,
  principal: Pick<Principal, 'id'>,
  to: WritePlace,
  source: Upload | undefined,
  facts: FileFacts,
  isOpen: boolean,
): Promise<Upload> {
  const settleAt = parts.clock.now() + parts.settleMs;
  const settling = { state: 'settling', settleAt } as const;
  const { path } = to;
  if (source !== undefined && isBeforeClaim(source)) {
    const next = isOpen ? ({ state: 'uploading' } as const) : settling;
    const identity = identityOf(facts);
    const change = { path, identity, touched: true, to: next };
    return parts.uploads.change(source.id, change, principal.id);
  }
  // What is taken or published keeps its row and its published name; only the raw file has another path now.
  const isTaken =
    source?.claim !== undefined ||
    source?.states.some((state) => state === 'published' || state === 'delivered') === true;
  if (source !== undefined && source.kind === 'intake' && isTaken) {
    return parts.uploads.change(source.id, { path }, principal.id);
  }
  if (source !== undefined) await parts.uploads.withdraw(source.id, principal.id);
  const coverage = source?.coverage ?? presumed(facts);
  const closed = source?.closed ?? true;
  const declaredSizeBytes = source?.declaredSizeBytes;
  const state = isOpen ? 'uploading' : 'settling';
  const rest = { coverage, closed, declaredSizeBytes, state } as const;
  return parts.uploads.begin(
    // Moving a shared folder does not make the files in it the mover's: slips of others would show.
    newUpload(to, source?.memberId ?? principal.id, facts, {
      ...rest,
      settleAt: isOpen ? undefined : settleAt,
    }),
    principal.id,
  );
}
