// For tests of what the disk and the rows say after something went wrong: a rig that seals what is in an intake and passes on what
// is in the outgoing folder, and what it has rows of.

import type { Test } from 'tap';
import { makeRig, seal, sha256, type Answer, type Rig } from './fakes.ts';

const answer: Answer = (task, bytes) =>
  task.kind === 'direct'
    ? Promise.resolve({ kind: 'passed', sourceSha256: sha256(bytes) })
    : seal(task, bytes);

export async function rigFor(t: Test): Promise<Rig> {
  const rig = await makeRig({ isFast: true });
  t.teardown(() => rig.close());
  rig.processor.answer = answer;
  return rig;
}

/** `path below its area: member state`; of several at one path the last one. */
export const rows = async (rig: Rig): Promise<Record<string, string>> =>
  Object.fromEntries(await pairs(rig));

/** The same where no path has two. */
export async function onlyRows(rig: Rig): Promise<Record<string, string>> {
  const found = await pairs(rig);
  const byPath = Object.fromEntries(found);
  if (Object.keys(byPath).length < found.length) throw new Error('a file has two rows');
  return byPath;
}

async function pairs(rig: Rig): Promise<[string, string][]> {
  const found = await rig.db
    .selectFrom('upload')
    .innerJoin('job', 'job.uploadId', 'upload.id')
    .select(['upload.path', 'upload.memberId', 'job.state'])
    .where('job.state', 'not in', ['withdrawn', 'superseded'])
    .execute();
  return found.map(({ path, memberId, state }) => [
    path.replace(/^ji_brain\/(\w+\/gpg|club_house\/From_PUHSC_To_UMHS)\//, ''),
    `${memberId} ${state}`,
  ]);
}
