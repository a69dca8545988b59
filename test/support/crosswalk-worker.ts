// A second process beside the test: resolves some patients on the same database and prints their codes.

import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { SqlCrosswalk } from '../../src/adapters/sql/crosswalk.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { systemClock as clock } from '../../src/adapters/clock.ts';
import { identityKey } from '../../src/core/deid/subject.ts';

const [, , path = '', secret = '', count = '0'] = process.argv;
const key = Buffer.from(secret, 'hex');
const database = await openSqlite(path);
const crosswalk = new SqlCrosswalk({
  db: database.db,
  audit: new AuditLog(Buffer.alloc(32, 9), clock),
  clock,
  sealingKey: Buffer.alloc(32, 7),
  projectKeys: () => ({ uid: '', name: '', identity: secret }),
});
const codes: string[] = [];
for (let i = 0; i < Number(count); i++) {
  const patientID = `MRN${i % 8}`;
  const person = { patientID, issuer: '', patientName: '', birthDate: '', sex: '' };
  const answer = await crosswalk.resolve(
    'brain',
    { key: identityKey(patientID, '', key), ...person },
    { code: 'random', prefix: 'JI-', wholeWeeks: false },
  );
  codes.push(answer.kind === 'subject' ? `${patientID} ${answer.subject.code}` : answer.reason);
}
await database.close();
process.stdout.write(JSON.stringify(codes));
