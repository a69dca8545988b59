// Appends to the audit trail of a database until it is killed, and moves the anchor as a server does. Prints a line for each
// entry that was committed: that one must be there afterwards.

import { writeSync } from 'node:fs';
import { createAnchor } from '../../src/adapters/audit-anchor.ts';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';

const [databasePath = '', anchorPath = ''] = process.argv.slice(2);
const { db } = await openSqlite(databasePath);
const log = new AuditLog(Buffer.alloc(32, 7), { now: () => Date.now(), sleep: async () => {} });
const anchor = createAnchor(anchorPath, {
  head: () => log.head(db),
  passes: (head) => log.passes(db, head),
  sealNow: async () => {},
  sealAnchor: (head) => log.sealAnchor(head),
  openAnchor: (line) => log.openAnchor(line),
});
await anchor.begin();
for (let count = 1; ; count += 1) {
  await db
    .transaction()
    .execute((trx) =>
      log.append(trx, { actor: 'server', action: 'job.queued', object: `job-${count}` }),
    );
  writeSync(1, '.');
  if (count % 3 === 0) await anchor.move();
}
