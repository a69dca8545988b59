// The life of an upload as a closed table of legal moves (SPEC 6). The database changes a state only through this
// table, so an event that comes at a wrong time is refused instead of believed.

export const uploadStates = [
  'uploading',
  'partial',
  'settling',
  'withdrawn',
  'queued',
  'processing',
  'waiting',
  'held',
  'failed',
  'published',
  'delivered',
  'rejected',
  'superseded',
] as const;

export type UploadState = (typeof uploadStates)[number];

/** From each state, where a job may go. What is not here cannot happen. */
export const legalMoves: Readonly<Record<UploadState, readonly UploadState[]>> = {
  uploading: ['settling', 'partial', 'withdrawn', 'superseded'],
  partial: ['uploading', 'settling', 'withdrawn', 'held', 'superseded'],
  settling: ['uploading', 'partial', 'queued', 'withdrawn', 'superseded'],
  withdrawn: [],
  queued: ['processing', 'uploading', 'settling', 'partial', 'withdrawn', 'waiting', 'superseded'],
  processing: ['published', 'held', 'partial', 'failed', 'queued', 'waiting', 'superseded'],
  // `partial`: the job for another partner found that bytes are missing.
  waiting: ['queued', 'uploading', 'settling', 'partial', 'withdrawn', 'superseded'],
  held: ['queued', 'rejected', 'superseded', 'withdrawn'],
  failed: ['queued', 'rejected', 'superseded', 'withdrawn'],
  // `withdrawn`: a file of the outgoing folder that its member removed before it left.
  published: ['delivered', 'superseded', 'withdrawn'],
  delivered: ['superseded'],
  rejected: ['superseded'],
  superseded: [],
};

export const isLegalMove = (from: UploadState, to: UploadState): boolean =>
  legalMoves[from].includes(to);

/** May a job in this state end because its member took the file away? What is published stays (but for direct files). */
export const isWithdrawable = (state: UploadState): boolean =>
  state !== 'published' && isLegalMove(state, 'withdrawn');

/** SPEC 6: names under which clients upload first and rename later. Configurable; matched on the last part of a path. */
export const temporaryNames: readonly string[] = [
  '*.filepart',
  '*.part',
  '*.partial',
  '*.tmp',
  '.in.*',
  '.*.swp',
  '.~*',
  '~$*',
];

/** Does the last part of a path match one of the patterns? `*` stands for any characters; case does not matter. */
export function isTemporaryName(
  path: string,
  patterns: readonly string[] = temporaryNames,
): boolean {
  const name = path.slice(path.lastIndexOf('/') + 1).toLowerCase();
  return patterns.some((pattern) => matches(name, pattern.toLowerCase()));
}

function matches(name: string, pattern: string): boolean {
  const parts = pattern.split('*');
  const first = parts[0] ?? '';
  const last = parts[parts.length - 1] ?? '';
  if (parts.length === 1) return name === pattern;
  if (!name.startsWith(first)) return false;
  let from = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, from);
    if (found < 0) return false;
    from = found + part.length;
  }
  return name.length - last.length >= from && name.endsWith(last);
}

/** How long until the n-th try (n from 1) after a failure that may pass: 5 s, 20 s, 80 s … at most an hour. */
export const backOffMs = (attempt: number): number =>
  Math.min(5_000 * 4 ** Math.max(0, attempt - 1), 3_600_000);

/**
 * Small before large among the files of one sender: each takes its turn as if it had come later by a millisecond for each
 * kilobyte, ten minutes at most. So a slice passes a zip, and no zip waits longer than that for younger slices.
 */
export const queuePenaltyMs = (sizeBytes: number): number =>
  Math.min(Math.floor(sizeBytes / 1024), mostPenaltyMs);
export const mostPenaltyMs = 600_000;

/** What is larger may keep a worker thread for minutes; when they have all of them, one more is there for the others. */
export const largeBytes = 64 * 1024 * 1024;

/** Tries before a job is `failed`, and before an input that ends its worker is `held: poison`. */
export const maximumAttempts = 8;
export const maximumWorkerDeaths = 2;
