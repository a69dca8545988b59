// A copy of the database of one moment, for a backup. It lies beside the database while SQLite writes it and loses its name
// before anybody reads it, so that a process that is killed leaves nothing behind.

import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import BetterSqlite3 from 'better-sqlite3';
import { AppError } from '../../core/errors.ts';
import type { BackedFile, OwedFile, RowCopy, Verdict } from '../../flow/ports/backup.ts';

export interface CopyPlace {
  readonly database: string;
  /** A folder of this instance, made (0700) when missing. */
  readonly folder: string;
  /** The code of this site. */
  readonly site: string;
}

/** Clocks of file systems are coarse: what changed just before the copy may look as if it changed just after it. */
const grainMs = 50;
/** A file that no row speaks of, where rows are the rule, is not yet known or just being made. */
const strayAfterMs = 60_000;

export async function copyRows(place: CopyPlace): Promise<RowCopy> {
  await mkdir(place.folder, { recursive: true, mode: 0o700 });
  const path = join(place.folder, `rows-${process.pid}.db`);
  await rm(path, { force: true });
  const begunAt = Date.now();
  // Made first, so that it is never readable to others.
  await (await open(path, 'wx', 0o600)).close();
  try {
    const live = new BetterSqlite3(place.database, { fileMustExist: true });
    try {
      live.pragma('busy_timeout = 10000');
      live.prepare('vacuum into ?').run(path);
    } finally {
      live.close();
    }
    const rows = new BetterSqlite3(path, { readonly: true });
    const file = await open(path, 'r');
    return rowCopy(rows, file, place.site, begunAt);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    const code = String((cause as { code?: unknown }).code);
    if (code === 'SQLITE_FULL') throw new AppError('DISK_FULL', { cause });
    throw new AppError('STORAGE_FAILED', { cause, detail: `the database was not copied: ${code}` });
  } finally {
    await rm(path, { force: true });
  }
}

interface UploadRow {
  readonly kind: string;
  readonly inode: string | null;
  readonly sizeBytes: number;
  readonly rawRemovedAt: number | null;
  readonly states: string;
}

async function rowCopy(
  rows: BetterSqlite3.Database,
  file: Awaited<ReturnType<typeof open>>,
  site: string,
  begunAt: number,
): Promise<RowCopy> {
  const newest = rows.prepare<[string], UploadRow>(
    `select kind, inode, "sizeBytes", "rawRemovedAt",
       (select group_concat(state) from job where job."uploadId" = upload.id) as states
     from upload where path = ? order by "createdAt" desc, generation desc limit 1`,
  );
  // One whose rows are still to be made (fresh-uploads.ts) is newer than all that has rows.
  const noted = rows.prepare<[string], UploadRow>(
    `select upload ->> 'kind' as kind, upload ->> '$.identity.inode' as inode,
       upload ->> '$.identity.sizeBytes' as "sizeBytes", null as "rawRemovedAt", upload ->> 'state' as states
     from fresh_upload where upload ->> 'path' = ? order by seq desc limit 1`,
  );
  const named = rows.prepare<[string, string, string], { readonly state: string }>(
    `select job.state from job join project on project.id = job."projectId"
     where project.name = ? and job.partner = ? and job.output = ?
       and job.state in ('processing', 'published', 'delivered') limit 1`,
  );
  const judge = (found: BackedFile): Verdict => {
    const place = placeOf(found.path, site);
    if (place.area === 'plain') return 'take';
    const isOld = found.modifiedMs < begunAt - strayAfterMs;
    if (place.area === 'sealed') {
      const isNamed = named.get(place.project, place.partner, place.output) !== undefined;
      return isNamed && found.modifiedMs < begunAt - grainMs ? 'take' : isNamed ? 'leave' : 'skip';
    }
    const row = noted.get(found.path) ?? newest.get(found.path);
    if (row === undefined || row.rawRemovedAt !== null || row.inode === null) {
      return isOld ? 'take' : 'skip';
    }
    return judgeUpload(row, found, begunAt);
  };
  return {
    begunAt,
    schema: (
      rows.prepare('select name from kysely_migration order by name').all() as { name: string }[]
    ).map(({ name }) => name),
    auditHead: headOf(rows),
    sizeBytes: (await file.stat()).size,
    content: () => createReadStream('', { fd: file.fd, start: 0, autoClose: false }),
    owed: () => owedFiles(rows),
    judge,
    close: async () => {
      rows.close();
      await file.close();
    },
  };
}

function judgeUpload(row: UploadRow, found: BackedFile, begunAt: number): Verdict {
  const states = new Set(row.states.split(','));
  // Nothing was promised yet, and the bytes change while they are copied.
  if (states.has('uploading')) return 'skip';
  if (row.inode !== found.inode || row.sizeBytes !== found.sizeBytes) return 'leave';
  const isClientsOwn = ['partial', 'settling', 'queued', 'waiting'].some((one) => states.has(one));
  return isClientsOwn && found.modifiedMs >= begunAt - grainMs ? 'leave' : 'take';
}

/** What jobs that are not done yet read from or have made. */
function* owedFiles(rows: BetterSqlite3.Database): Generator<OwedFile> {
  const open = `state in ('settling', 'queued', 'processing', 'waiting', 'held', 'failed')`;
  const uploads = rows
    .prepare<[], { path: string; inode: string | null; claim: string | null }>(
      `select path, inode, claim from upload where exists
         (select 1 from job where job."uploadId" = upload.id and ${open})
       union all select upload ->> 'path', upload ->> '$.identity.inode', null
         from fresh_upload where upload ->> 'state' = 'settling'`,
    )
    .all();
  for (const { path, inode, claim } of uploads) {
    if (inode !== null) yield { path: `home/${path}`, inode };
    if (claim !== null) yield { path: `spool/claims/${claim}`, inode: undefined };
  }
  const made = rows
    .prepare<[], { id: string }>(
      `select id from job where state = 'processing' and "outputSha256" is not null`,
    )
    .all();
  for (const { id } of made) yield { path: `spool/outputs/${id}`, inode: undefined };
}

function headOf(rows: BetterSqlite3.Database): string {
  const head = rows.prepare('select seq, hash from audit_head where id = 1').get() as
    { seq: number; hash: string } | undefined;
  return head === undefined ? '0' : `${head.seq}:${head.hash}`;
}

type Place =
  | { readonly area: 'plain' | 'rows' }
  | {
      readonly area: 'sealed';
      readonly project: string;
      readonly partner: string;
      readonly output: string;
    };

/** Which rule holds at a path below data/home (SPEC 3). */
function placeOf(path: string, site: string): Place {
  const [folder = '', owner = '', shared = '', ...rest] = path.split('/');
  if (owner !== 'club_house') return { area: shared === 'gpg' ? 'rows' : 'plain' };
  const partner = new RegExp(`^From_${site}_To_(.+)$`).exec(shared)?.[1];
  if (partner === undefined) return { area: 'plain' };
  if (rest.length < 2 || !/^gpg-/i.test(rest[0] ?? '')) return { area: 'rows' };
  return { area: 'sealed', project: folder.replace(/^ji_/, ''), partner, output: rest.join('/') };
}
