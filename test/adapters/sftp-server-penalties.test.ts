// Passwords that are guessed over many connections at once: no more of them are looked at than of one after the other.

import type { AuthContext } from 'ssh2';
import t from 'tap';
import { createAuthenticator, type AuthParts } from '../../src/adapters/sftp-server/auth.ts';
import { createPenalties } from '../../src/adapters/sftp-server/penalties.ts';
import { createRefusals } from '../../src/adapters/sftp-server/refusals.ts';
import { createLocks } from '../../src/core/locks.ts';
import { fakeAccounts, fakeLog, makeUsers } from '../support/sftp-server.ts';

const right = 'secret of alice';

/** One server's side of logins for alice from one source; `log in` is one connection with one attempt. */
function door() {
  const checked: string[] = [];
  const reasons: (string | undefined)[] = [];
  const accounts = fakeAccounts(makeUsers());
  const log = fakeLog();
  const shared: Omit<AuthParts, 'giveUp' | 'turnAway'> = {
    accounts: {
      ...accounts,
      verifyPassword: async (name, password, address) => {
        checked.push(password);
        // As long as it takes for all others to have been read.
        await new Promise((resolve) => setTimeout(resolve, 5));
        return accounts.verifyPassword(name, password, address);
      },
      recordLogin: async ({ refusal }) => {
        reasons.push(refusal);
      },
    },
    log,
    address: '192.0.2.1',
    source: '192.0.2.1',
    maximumAttempts: 6,
    refusalMs: 0,
    penalties: createPenalties(() => 0),
    refusals: createRefusals({ accounts, log }),
    mayRecord: () => true,
    turns: createLocks(),
    admit: async () => true,
  };
  const login = (password: string): Promise<boolean> =>
    new Promise((resolve) => {
      const attempt = {
        method: 'password',
        username: 'alice',
        password,
        accept: () => resolve(true),
        reject: () => resolve(false),
      } as unknown as AuthContext;
      const no = (): void => resolve(false);
      createAuthenticator({ ...shared, giveUp: no, turnAway: no }).try(attempt);
    });
  return { checked, reasons, login };
}

void t.test('of many passwords that come at once three are looked at', async (t) => {
  const { checked, reasons, login } = door();
  const guesses = ['one', 'two', 'three', 'four', 'five', right, right, 'six'];
  const answers = await Promise.all(guesses.map(login));
  t.same(checked, ['one', 'two', 'three'], 'the third brings the penalty');
  t.same(answers, Array(guesses.length).fill(false), 'the right one came too late');
  t.equal(reasons.filter((reason) => reason === 'penalty').length, guesses.length - 3);
});

void t.test('a right one among them is taken, and forgives what was wrong before', async (t) => {
  const { checked, login } = door();
  t.same(await Promise.all(['one', 'two', right, right].map(login)), [false, false, true, true]);
  t.equal(checked.length, 4);
  t.same(await Promise.all(['three', 'four', right].map(login)), [false, false, true]);
});
