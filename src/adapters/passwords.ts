// Passwords by Argon2id (RFC 9106), with OWASP's least cost: 19 MiB and two passes, in libuv's pool.

import { hash, verify } from '@node-rs/argon2';
import type { Passwords } from '../flow/ports/directory.ts';

/** Compared with when there is nobody, so that a wrong name costs as much time as a wrong password. */
let nobody: Promise<string> | undefined;

export const argonPasswords: Passwords = {
  hash: (password) => hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 }),
  verify: async (stored, password) => {
    nobody ??= argonPasswords.hash('nobody has this one');
    const matches = await verify(stored ?? (await nobody), password);
    return stored !== undefined && matches;
  },
};
