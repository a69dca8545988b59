// Kills a process that appends to the audit trail, again and again, and looks after each time whether the trail is whole and
// has every entry that was reported as committed. Used by a test with a few kills, and by `npm run torture -- audit`.

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';

const appender = fileURLToPath(new URL('./audit-appender.js', import.meta.url));

export interface AuditKills {
  readonly kills: number;
  readonly entries: number;
  /** Entries that were reported as committed and are not there. */
  readonly lost: number;
  readonly falseAlarms: number;
}

/** `pause`: how long each process may append once it began, in milliseconds. `everyFull`: kills between whole checks. */
export async function killAppenders(
  kills: number,
  pause: () => number,
  everyFull = 1,
): Promise<AuditKills> {
  const folder = await mkdtemp(join(tmpdir(), 'audit-kills-'));
  const [path, anchor] = [join(folder, 'clubhouse.db'), join(folder, 'audit.head')];
  const result = { kills: 0, entries: 0, lost: 0, falseAlarms: 0 };
  try {
    while (result.kills < kills) {
      const committed = await killOne([path, anchor], pause());
      result.kills += 1;
      const isFull = result.kills % everyFull === 0 || result.kills === kills;
      const now = await look(path, anchor, isFull);
      if (now.entries < result.entries + committed) result.lost += 1;
      if (!now.isWhole) result.falseAlarms += 1;
      result.entries = now.entries;
    }
    return result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** How many entries it said were committed. */
function killOne(args: readonly string[], afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [appender, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let committed = 0;
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on('data', (bytes: Buffer) => {
    committed += bytes.length;
    timer ??= setTimeout(() => child.kill('SIGKILL'), afterMs);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === null) resolve(committed);
      else reject(new Error(`the appender ended by itself with ${code}`));
    });
  });
}

async function look(
  path: string,
  anchorPath: string,
  isFull: boolean,
): Promise<{ readonly isWhole: boolean; readonly entries: number }> {
  const log = new AuditLog(Buffer.alloc(32, 7), { now: () => 0, sleep: async () => {} });
  const anchor = log.openAnchor(await readFile(anchorPath, 'utf8'));
  const database = await openSqlite(path);
  const { db } = database;
  try {
    const { seq } = await log.head(db);
    if (anchor === undefined) return { isWhole: false, entries: seq };
    const isWhole = isFull
      ? (await log.firstFault(db, [anchor])) === undefined
      : anchor.seq === 0 || (await log.passes(db, anchor));
    return { isWhole, entries: seq };
  } finally {
    await database.close();
  }
}
