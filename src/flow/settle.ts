// Looks at candidates that nobody touched for a while: whole ones are queued, the others are partial with the reason
// (SPEC 6). Whether a DICOM file or a zip ends where it should is the worker's to see.

import { cut, isWhole } from '../core/coverage.ts';
import { codeOf } from '../core/errors.ts';
import type { PartialReason } from '../core/reasons.ts';
import { isTemporaryName } from '../core/upload.ts';
import { identityOf, presumed, type IntakeParts } from './generations.ts';
import type { Upload } from './ports/jobs.ts';
import type { FileFacts } from './ports/storage.ts';

export type SettleParts = Pick<
  IntakeParts,
  'uploads' | 'storage' | 'gate' | 'clock' | 'log' | 'settleMs'
> & {
  readonly temporaryNames: readonly string[];
};

/** Settles what is due, all at once so that they share commits; answers how many were. */
export async function settleDue(parts: SettleParts, limit = 100): Promise<number> {
  const now = parts.clock.now();
  const due = await parts.uploads.dueSettling(now, now + parts.settleMs, limit);
  const ended = await Promise.allSettled(due.map((upload) => settleOrPutOff(parts, upload)));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
  return due.length;
}

/** A file that cannot be looked at, as on a bad sector, must not keep the others from what comes behind. */
async function settleOrPutOff(parts: SettleParts, upload: Upload): Promise<void> {
  const { gate, uploads, clock, log } = parts;
  try {
    await gate.hold([upload.path], () => settle(parts, upload));
  } catch (error) {
    log.warn({ upload: upload.id, code: codeOf(error) }, 'could not be settled; tried again soon');
    await gate.hold([upload.path], async () => {
      const isStale = (await uploads.find(upload.id))?.settleAt !== upload.settleAt;
      const to = { state: 'settling', settleAt: clock.now() + parts.settleMs } as const;
      if (!isStale) await uploads.change(upload.id, { to }, 'server');
    });
  }
}

async function settle(parts: SettleParts, seen: Upload): Promise<void> {
  const upload = await parts.uploads.find(seen.id);
  const isStale = upload?.path !== seen.path || upload.settleAt !== seen.settleAt;
  if (isStale || parts.gate.writers.has(seen.path)) return;
  const facts = await parts.storage.facts(upload.path);
  if (facts?.kind !== 'file') {
    await parts.uploads.withdraw(upload.id, 'server');
    return;
  }
  const identity = identityOf(facts);
  // Another inode than the one that was written under our eyes: somebody put it there by hand.
  const isForeign = upload.inode !== undefined && upload.inode !== facts.inode;
  const coverage = isForeign ? presumed(facts) : cut(upload.coverage, facts.sizeBytes);
  const reason = shortcoming(parts, { ...upload, coverage }, facts);
  const to =
    reason === undefined ? ({ state: 'queued' } as const) : ({ state: 'partial', reason } as const);
  await parts.uploads.change(upload.id, { identity, coverage, to }, 'server');
}

function shortcoming(
  parts: SettleParts,
  upload: Pick<Upload, 'path' | 'coverage' | 'declaredSizeBytes'>,
  facts: FileFacts,
): PartialReason | undefined {
  if (isTemporaryName(upload.path, parts.temporaryNames)) return 'temporary-name';
  if (facts.sizeBytes === 0) return 'empty';
  if (facts.sizeBytes < (upload.declaredSizeBytes ?? 0)) return 'declared-size';
  return isWhole(upload.coverage, facts.sizeBytes) ? undefined : 'gap';
}
