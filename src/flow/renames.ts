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
  await run();
  if (from.path === to.path) return;
  await arrive(parts, principal, from, to, source, replaced);
}

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
  await run();
  const follow = async ({ below }: Below): Promise<void> => {
    const source = { ...from, path: `${from.path}${below}` };
    const target = { ...to, path: `${to.path}${below}` };
    await arrive(parts, principal, source, target, known.get(source.path), undefined);
  };
  // Many at once, so that they share commits: the client waits for the last one.
  let some: Below[] = [];
  for await (const found of filesBelow(parts, to.path)) {
    some.push(found);
    if (some.length < together) continue;
    await Promise.all(some.map(follow));
    some = [];
  }
  await Promise.all(some.map(follow));
}

const together = 64;

/** What nobody could name any more could not be processed, listed or removed either. */
async function refuseTooDeep(parts: IntakeParts, from: WritePlace, to: WritePlace): Promise<void> {
  for await (const { below } of everythingBelow(parts, from.path, () => true)) {
    if (!isNameable(`${to.path}${below}`)) throw new AppError('BAD_NAME');
  }
}

/** All files below a folder, by their path from there with its leading slash. `enters`: is this folder looked into? */
export async function* filesBelow(
  parts: Pick<IntakeParts, 'storage'>,
  folder: string,
  enters: (below: string) => boolean = () => true,
): AsyncGenerator<Below> {
  for await (const found of everythingBelow(parts, folder, enters)) {
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
      // Gone meanwhile, or too deep for the operating system: one such folder must not keep the server from starting.
      if (!(error instanceof AppError) || !unreachableCodes.has(error.code)) throw error;
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
