// The row of a new file in an intake, written when it is closed or a moment after it was opened, whichever comes first: a small
// file is through by then, and takes one transaction instead of two. What a crash leaves of such a file has no row, and is
// found as an interrupted upload (sweep.ts, adoptStrays) like one whose row was written with the first byte.

import { codeOf } from '../core/errors.ts';
import { newUpload, type IntakeParts } from './generations.ts';
import type { WritePlace } from './ports/intake.ts';
import type { WriterGroup } from './writers.ts';

/** What a row is made of besides the file. */
export interface LateRow {
  readonly place: WritePlace;
  readonly memberId: string;
  readonly openedAt: number;
}

type Parts = Pick<IntakeParts, 'uploads' | 'gate' | 'clock' | 'log'>;

/** While the path is held: whoever changes the path, or looks for its row, calls it first. */
export async function writeDown(parts: Parts, path: string): Promise<void> {
  const group = parts.gate.writers.get(path);
  if (group !== undefined) await writeRow(parts, group);
}

/** The same for all below a folder, while it is held alone. */
export async function writeDownBelow(parts: Parts, folder: string): Promise<void> {
  for (const [path, group] of parts.gate.writers) {
    if (path.startsWith(`${folder}/`)) await writeRow(parts, group);
  }
}

/** Nothing where there is one, or none is to be. */
async function writeRow(parts: Parts, group: WriterGroup): Promise<void> {
  const { late } = group;
  const [file] = group.open;
  if (late === undefined || file === undefined || group.isDetached) return;
  const facts = await file.facts();
  const upload = newUpload({ ...late.place, path: group.path }, late.memberId, facts, {
    coverage: group.certain(),
    closed: false,
    state: 'uploading',
    settleAt: undefined,
    declaredSizeBytes: undefined,
  });
  const row = await parts.uploads.begin(upload, late.memberId);
  group.uploadId = row.id;
  group.late = undefined;
  group.persistedAt = parts.clock.now();
}

export interface LateRows {
  /** Sees to it that the row is there soon. */
  await(group: WriterGroup): void;
}

/** So soon `job list` shows an upload. */
const delayMs = 200;

export function createLateRows(parts: Parts): LateRows {
  const waiting = new Set<WriterGroup>();
  let isRunning = false;
  const look = async (group: WriterGroup): Promise<void> => {
    const { late, path } = group;
    if (late === undefined) waiting.delete(group);
    if (late === undefined || parts.clock.now() - late.openedAt < delayMs) return;
    waiting.delete(group);
    try {
      await parts.gate.hold([path], () => writeDown(parts, path));
    } catch (error) {
      // It is tried again, and told, when the handle ends.
      parts.log.warn({ code: codeOf(error) }, 'the row of an upload was not written');
    }
  };
  const run = async (): Promise<void> => {
    while (waiting.size > 0) {
      await parts.clock.sleep(delayMs);
      await Promise.all([...waiting].map(look));
    }
    isRunning = false;
  };
  return {
    await: (group) => {
      waiting.add(group);
      if (isRunning) return;
      isRunning = true;
      void run();
    },
  };
}
