// What SFTP clients do to files becomes rows: which generation it is, which bytes are there, and when it may be taken
// (SPEC 6). CLOSE makes a candidate only; settle.ts looks whether it is whole, worker.ts takes it.

import { AppError, unreachable } from '../core/errors.ts';
import { cut, type Coverage } from '../core/coverage.ts';
import {
  detach,
  identityOf,
  isBeforeClaim,
  newestAt,
  newUpload,
  presumed,
  type IntakeParts,
} from './generations.ts';
import { createLateRows, writeDown } from './late-rows.ts';
import type { Principal } from './ports/accounts.ts';
import type { Intake, WritePlace } from './ports/intake.ts';
import type { Upload } from './ports/jobs.ts';
import type { FileFacts } from './ports/storage.ts';
import { moveFile, moveFolder } from './renames.ts';
import { asWriting } from './writing.ts';
import { WriterGroup } from './writers.ts';

export function createIntake(parts: IntakeParts): Intake {
  const lateRows = createLateRows(parts);
  return {
    open: (principal, place, how, open) =>
      parts.gate.hold([place.path], async () => {
        const { declaredSizeBytes } = how;
        const upload = await newestAt(parts, principal, place);
        const isFresh = how.write && keepsBytes(place, upload);
        const isNewWriter = parts.gate.writers.get(place.path) === undefined;
        await parts.room?.enter(principal, place, await needed(parts, place, how, isFresh));
        const bare = await open(isFresh ? { ...how, freshInode: true } : how);
        let file = bare;
        try {
          const facts = await bare.facts();
          file = parts.room?.watch(principal, place, bare, facts) ?? bare;
          const truncates = how.truncate || facts.sizeBytes === 0;
          const opening = { principal, place, upload, facts, truncates, declaredSizeBytes };
          const group = isNewWriter
            ? await begin(parts, opening)
            : join(parts, place.path, truncates);
          group.open.add(file);
          if (group.late !== undefined) lateRows.await(group);
          return { file, writing: asWriting(parts, group, file, principal.id) };
        } catch (error) {
          await file.close();
          throw error;
        }
      }),
    change: (principal, change, run) => {
      switch (change.kind) {
        case 'remove':
          return parts.gate.hold([change.place.path], () =>
            remove(parts, principal, change.place, run),
          );
        case 'truncate':
          return parts.gate.hold([change.place.path], () =>
            truncate(parts, principal, change.place, change.sizeBytes, run),
          );
        case 'make':
          return parts.gate.hold([change.place.path], async () => {
            await parts.room?.enterFolder();
            await run({ freshInode: false });
          });
        case 'rename': {
          const { from, to } = change;
          const go = (): Promise<void> => run({ freshInode: false });
          return change.isFolder
            ? parts.gate.alone([from.path, to.path], () =>
                moveFolder(parts, principal, from, to, go),
              )
            : parts.gate.hold([from.path, to.path], () => moveFile(parts, principal, from, to, go));
        }
        default:
          return unreachable(change);
      }
    },
    hidden: (principal, folder, among) => parts.uploads.hidden(principal.id, folder, among),
    whenSettled: (place, work) =>
      place.area === 'direct' ? parts.gate.hold([place.path], work) : work(),
  };
}

/**
 * Must the bytes that are there stay as they are, for others who have them: a claim, or, in the outgoing folder, members
 * and the replicator who read what was passed on? What is written now may be a slip.
 */
const keepsBytes = (place: WritePlace, upload: Upload | undefined): boolean =>
  upload?.claim !== undefined ||
  (place.area === 'direct' && upload !== undefined && !isBeforeClaim(upload));

/** What is known before the first byte: the size that the client declares, and a copy of what others still need. */
async function needed(
  parts: IntakeParts,
  place: WritePlace,
  how: { readonly declaredSizeBytes: number | undefined; readonly truncate: boolean },
  isFresh: boolean,
): Promise<number> {
  if (how.declaredSizeBytes === undefined && !(isFresh && !how.truncate)) return 0;
  const there = (await parts.storage.facts(place.path))?.allottedBytes ?? 0;
  const added = Math.max(0, (how.declaredSizeBytes ?? 0) - there);
  return isFresh && !how.truncate ? there + added : added;
}

interface Opening {
  readonly principal: Principal;
  readonly place: WritePlace;
  readonly upload: Upload | undefined;
  readonly facts: FileFacts;
  readonly truncates: boolean;
  readonly declaredSizeBytes: number | undefined;
}

/** The first handle on a path: finds or makes its row. */
async function begin(parts: IntakeParts, opening: Opening): Promise<WriterGroup> {
  const { principal, place, upload, facts, truncates, declaredSizeBytes } = opening;
  const known = upload === undefined ? presumed(facts) : cut(upload.coverage, facts.sizeBytes);
  const coverage = truncates ? [] : known;
  const isLate = isNewAndPlain(opening);
  const row = isLate ? undefined : await followed(parts, opening, coverage);
  const openedAt = parts.clock.now();
  const group = new WriterGroup(place.path, row?.id, coverage, openedAt);
  if (isLate) group.late = { place, memberId: principal.id, openedAt };
  // A truncated file is a changed one, even if nothing is written to it. One that was always empty is not.
  if (truncates && upload !== undefined && upload.sizeBytes > 0) group.truncated(0);
  if (declaredSizeBytes === undefined && truncates && row?.declaredSizeBytes !== undefined) {
    await parts.uploads.change(row.id, { declaredSizeBytes: undefined }, principal.id);
  }
  parts.gate.writers.set(place.path, group);
  return group;
}

/** Nobody else sees an intake; and a size that the client declares would be forgotten by a crash. */
const isNewAndPlain = ({ place, upload, truncates, declaredSizeBytes }: Opening): boolean =>
  place.area === 'intake' && upload === undefined && truncates && declaredSizeBytes === undefined;

async function followed(
  parts: IntakeParts,
  { principal, place, upload, facts, declaredSizeBytes }: Opening,
  coverage: Coverage,
): Promise<Upload | undefined> {
  if (place.area === 'plain') return undefined;
  if (upload !== undefined && isBeforeClaim(upload)) {
    // The coverage stays as it is in the row until bytes come: an open without new bytes changes nothing.
    const declared = declaredSizeBytes === undefined ? {} : { declaredSizeBytes };
    const emptied = coverage.length === 0 ? { coverage, identity: identityOf(facts) } : {};
    return parts.uploads.change(
      upload.id,
      { ...declared, ...emptied, touched: true, to: { state: 'uploading' } },
      principal.id,
    );
  }
  return parts.uploads.begin(
    newUpload(place, principal.id, facts, {
      coverage,
      closed: coverage.length > 0 && (upload?.closed ?? false),
      state: 'uploading',
      settleAt: undefined,
      declaredSizeBytes,
    }),
    principal.id,
  );
}

function join(parts: IntakeParts, path: string, truncates: boolean): WriterGroup {
  const group = parts.gate.writers.get(path);
  if (group === undefined) throw new AppError('INTERNAL', { detail: 'no writer to join' });
  if (truncates) group.truncated(0);
  return group;
}

type Run = (how: { readonly freshInode: boolean }) => Promise<void>;

async function remove(
  parts: IntakeParts,
  principal: Principal,
  place: WritePlace,
  run: Run,
): Promise<void> {
  await writeDown(parts, place.path);
  const upload = await newestAt(parts, principal, place);
  await run({ freshInode: false });
  detach(parts.gate, place.path);
  if (upload !== undefined) await parts.uploads.withdraw(upload.id, principal.id);
}

/** SETSTAT with a size, by path. Some clients set the size that the file has already: that is no change. */
async function truncate(
  parts: IntakeParts,
  principal: Principal,
  place: WritePlace,
  sizeBytes: number,
  run: Run,
): Promise<void> {
  await writeDown(parts, place.path);
  const before = await parts.storage.facts(place.path);
  const isChange = before !== undefined && before.sizeBytes !== sizeBytes;
  const upload = await newestAt(parts, principal, place);
  await run({ freshInode: isChange && keepsBytes(place, upload) });
  const facts = isChange ? await parts.storage.facts(place.path) : undefined;
  if (facts === undefined || place.area === 'plain') return;
  const group = parts.gate.writers.get(place.path);
  if (group !== undefined) {
    group.truncated(sizeBytes);
    return;
  }
  const coverage = cut(upload?.coverage ?? presumed(before ?? facts), sizeBytes);
  const settleAt = parts.clock.now() + parts.settleMs;
  if (upload !== undefined && isBeforeClaim(upload)) {
    const to = { state: 'settling', settleAt } as const;
    const identity = identityOf(facts);
    await parts.uploads.change(upload.id, { coverage, identity, touched: true, to }, principal.id);
    return;
  }
  const closed = upload?.closed ?? true;
  const rest = { coverage, closed, state: 'settling', settleAt } as const;
  await parts.uploads.begin(
    newUpload(place, principal.id, facts, { ...rest, declaredSizeBytes: undefined }),
    principal.id,
  );
}
