// What the rows say about files that were found in an outgoing folder (port OutgoingRows).

import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Clock } from '../../flow/ports/clock.ts';
import type { FoundFile, OutgoingRows } from '../../flow/ports/deliveries.ts';
import { recordPending } from './record-pending.ts';
import type { Database, DeliveryTable, JobTable } from './schema.ts';

/** Below SQLite's limit of variables in one statement. */
const batch = 400;

type Place = Parameters<OutgoingRows['compare']>[0];

export function createOutgoingRows(db: Kysely<Database>, clock: Clock): OutgoingRows {
  return {
    compare: async (place, files) => {
      const unknown: FoundFile[] = [];
      let owed = 0;
      for (let at = 0; at < files.length; at += batch) {
        const part = files.slice(at, at + batch);
        const rows = await deliveriesOf(db, place, part);
        const odd = part.filter((file) => !isKnown(file, rows.get(file.path)));
        if (odd.length === 0) continue;
        const answer = await db
          .transaction()
          .execute((trx) => compareWithJobs(trx, clock.now(), place, odd));
        owed += answer.owed;
        unknown.push(...answer.unknown);
      }
      return { owed, unknown };
    },
  };
}

type Row = Selectable<DeliveryTable>;

async function deliveriesOf(
  db: Kysely<Database>,
  place: Place,
  files: readonly FoundFile[],
): Promise<ReadonlyMap<string, Row>> {
  const rows = await db
    .selectFrom('delivery')
    .selectAll()
    .where('projectId', '=', place.projectId)
    .where('partner', '=', place.partner)
    .where(
      'path',
      'in',
      files.map((file) => file.path),
    )
    .execute();
  return new Map(rows.map((row) => [row.path, row]));
}

const isSealed = (path: string): boolean => /^gpg-[^/]*\//i.test(path);

/** Sealed files are told by name and size: their content is hashed before it is sent, and a restored backup has new inodes. */
function isKnown(file: FoundFile, row: Row | undefined): boolean {
  if (row === undefined || row.state === 'gone' || row.sizeBytes !== file.sizeBytes) return false;
  if (isSealed(file.path)) return true;
  const modifiedMs = Math.floor(file.modifiedMs);
  return row.inode === file.inode && (modifiedMs === row.modifiedMs || modifiedMs <= row.updatedAt);
}

/** A job names its output before the file gets its final name, so a sealed file that no job names is not ours. */
async function compareWithJobs(
  trx: Transaction<Database>,
  now: number,
  place: Place,
  files: readonly FoundFile[],
): Promise<{ readonly owed: number; readonly unknown: readonly FoundFile[] }> {
  const { projectId, partner } = place;
  const jobs = await trx
    .selectFrom('job')
    .select(['id', 'output', 'outputSha256', 'outputBytes', 'state'])
    .where('projectId', '=', projectId)
    .where('partner', '=', partner)
    .where(
      'output',
      'in',
      files.map((file) => file.path),
    )
    .orderBy('id')
    .execute();
  const unknown: FoundFile[] = [];
  let owed = 0;
  for (const file of files) {
    const named = jobs.filter((job) => job.output === file.path);
    const job = named.find((job) => owes(job, file));
    if (job?.outputSha256 != null) {
      const { path, sizeBytes, modifiedMs, inode } = file;
      const facts = { path, sizeBytes, modifiedMs, inode, sha256: job.outputSha256, now };
      await recordPending(trx, { projectId, partner, jobId: job.id, ...facts });
      owed += 1;
    } else if (!isSealed(file.path) || named.length === 0) {
      unknown.push(file);
    }
  }
  return { owed, unknown };
}

const owes = (
  job: Pick<Selectable<JobTable>, 'state' | 'outputSha256' | 'outputBytes'>,
  file: FoundFile,
): boolean => job.state === 'published' && job.outputBytes === file.sizeBytes;
