// A moment of `npm run fuzz -- sftp`.

import t from 'tap';
import { startSftpFuzz } from '../support/fuzz-sftp.ts';

void t.test(
  'broken packets of every layer end their connection, or get typed answers',
  async (t) => {
    const fuzz = await startSftpFuzz();
    const tries = 90;
    for (let seed = 1; seed <= tries; seed += 1) {
      const failure = await fuzz.tryOne(seed);
      if (failure !== undefined) t.fail(`seed ${failure.seed}: ${failure.text}`);
    }
    await fuzz.close();
    t.pass(`${tries} connections`);
  },
);
