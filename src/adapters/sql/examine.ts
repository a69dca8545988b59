// What `clubhouse doctor` looks at in the database. The check of the file is SQLite's own.

import type { Kysely } from 'kysely';
import type { Finding } from '../../flow/ports/directory.ts';
import type { AuditFault } from './audit.ts';
import { sql } from './kysely.ts';
import type { Database } from './schema.ts';

/** SQLite's own check, and the chain of the audit trail. */
export async function examineDatabase(
  db: Kysely<Database>,
  auditFault: () => Promise<AuditFault | undefined>,
): Promise<readonly Finding[]> {
  const { rows } = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db);
  const isWhole = rows.length === 1 && rows[0]?.integrity_check === 'ok';
  const broken = await auditFault();
  return [
    isWhole
      ? { check: 'database', state: 'ok', text: 'whole' }
      : { check: 'database', state: 'error', text: 'damaged; restore it from a backup' },
    broken === undefined
      ? { check: 'audit', state: 'ok', text: 'the trail is whole' }
      : { check: 'audit', state: 'error', text: `broken at entry ${broken.seq}: ${broken.text}` },
  ];
}
