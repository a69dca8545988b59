// One open handle: notes what was written, writes the progress down about once a second, and settles the row when the
// last handle of the path ends.

import { isWhole } from '../core/coverage.ts';
import { AppError, codeOf } from '../core/errors.ts';
import { identityOf, newUpload, type IntakeParts } from './generations.ts';
import type { Writing } from './ports/intake.ts';
import type { NewUpload, UploadChange } from './ports/jobs.ts';
import type { OpenFile } from './ports/storage.ts';
import type { WriterGroup } from './writers.ts';

const persistEveryMs = 1000;

type Ending = Extract<UploadChange['to'], { readonly state: 'settling' | 'partial' }>;

export function asWriting(
  parts: IntakeParts,
  group: WriterGroup,
  file: OpenFile,
  actor: string,
): Writing {
  let hasWritten = false;
  let hasEnded = false;
  return {
    wrote: (offset, length) => {
      hasWritten = true;
      group.wrote(offset, length);
      if (parts.clock.now() - group.persistedAt >= persistEveryMs) persist(parts, group, file);
    },
    failed: (offset, written) => {
      hasWritten = true;
      group.wrote(offset, written);
      group.refused();
    },
    truncated: (sizeBytes) => {
      hasWritten = true;
      group.truncated(sizeBytes);
    },
    end: async (how) => {
      if (hasEnded) return;
      hasEnded = true;
      const failure = await trySync(file);
      if (failure !== undefined) group.distrust();
      if (how === 'lost' && hasWritten) group.isBroken = true;
      await group.persisting;
      await atPath(parts, group, () => leave(parts, group, file, how, actor));
      if (failure !== undefined && how === 'close') throw failure;
    },
  };
}

async function trySync(file: OpenFile): Promise<unknown> {
  try {
    await file.sync();
    return undefined;
  } catch (error) {
    return error ?? new AppError('STORAGE_FAILED');
  }
}

/** Holds the path that the file has now: a rename may have moved it while we waited. */
async function atPath(
  parts: IntakeParts,
  group: WriterGroup,
  work: () => Promise<void>,
): Promise<void> {
  for (;;) {
    const { path } = group;
    const isDone = await parts.gate.hold([path], async () => {
      if (group.path !== path) return false;
      await work();
      return true;
    });
    if (isDone) return;
  }
}

/** In the background, one at a time. A failure shows again, and is told, when the handle ends. */
function persist(parts: IntakeParts, group: WriterGroup, file: OpenFile): void {
  const { uploadId } = group;
  if (uploadId === undefined || group.isDetached || group.persisting !== undefined) return;
  group.persistedAt = parts.clock.now();
  const write = async (): Promise<void> => {
    try {
      const identity = identityOf(await file.facts());
      await parts.uploads.persist(uploadId, group.certain(), false, identity);
    } catch (error) {
      const code = codeOf(error);
      parts.log.warn({ upload: uploadId, code }, 'progress of an upload was not noted');
    } finally {
      group.persisting = undefined;
    }
  };
  group.persisting = write();
}

async function leave(
  parts: IntakeParts,
  group: WriterGroup,
  file: OpenFile,
  how: 'close' | 'lost',
  actor: string,
): Promise<void> {
  group.open.delete(file);
  if (group.isDetached) return;
  if (group.open.size === 0) parts.gate.writers.delete(group.path);
  const isLast = group.open.size === 0;
  if (group.late !== undefined)
    return leaveLate(parts, group, file, isLast ? how : undefined, actor);
  if (group.uploadId === undefined) return;
  const identity = identityOf(await file.facts());
  const coverage = isLast && !group.isBroken ? group.whole() : group.certain();
  const closed = group.hasChanged ? { closed: isLast && !group.isBroken } : {};
  const to = isLast ? nextState(parts, group, how, identity.sizeBytes) : undefined;
  await parts.uploads.change(
    group.uploadId,
    {
      ...closed,
      ...(to === undefined ? {} : { to }),
      ...(group.hasChanged ? { coverage } : {}),
      identity,
      touched: true,
    },
    actor,
  );
}

/** `how`: of the last handle; undefined when others are still open. */
async function leaveLate(
  parts: IntakeParts,
  group: WriterGroup,
  file: OpenFile,
  how: 'close' | 'lost' | undefined,
  actor: string,
): Promise<void> {
  const { late } = group;
  if (late === undefined) return;
  const facts = await file.facts();
  const to = how === undefined ? undefined : nextState(parts, group, how, facts.sizeBytes);
  const isWholly = how !== undefined && !group.isBroken;
  const upload = newUpload({ ...late.place, path: group.path }, late.memberId, facts, {
    coverage: isWholly ? group.whole() : group.certain(),
    closed: isWholly && group.hasChanged,
    declaredSizeBytes: undefined,
    ...asBegun(to),
  });
  if (how === undefined) group.uploadId = (await parts.uploads.begin(upload, actor)).id;
  else await parts.uploads.beginSoon(upload, actor);
  group.late = undefined;
}

const asBegun = (to: Ending | undefined): Pick<NewUpload, 'state' | 'settleAt' | 'reason'> => {
  switch (to?.state) {
    case 'settling':
      return { state: to.state, settleAt: to.settleAt, reason: undefined };
    case 'partial':
      return { state: to.state, settleAt: undefined, reason: to.reason };
    case undefined:
      return { state: 'uploading', settleAt: undefined, reason: undefined };
  }
};

function nextState(
  parts: IntakeParts,
  group: WriterGroup,
  how: 'close' | 'lost',
  sizeBytes: number,
): Ending {
  if (group.isRefused) return { state: 'partial', reason: 'refused' };
  if (how === 'lost' || group.isBroken) return { state: 'partial', reason: 'disconnected' };
  if (sizeBytes === 0) return { state: 'partial', reason: 'empty' };
  // A client that closes a file with holes will not come back to fill them within the settle time; say so at once.
  if (!isWhole(group.whole(), sizeBytes)) return { state: 'partial', reason: 'gap' };
  return { state: 'settling', settleAt: parts.clock.now() + parts.settleMs };
}
