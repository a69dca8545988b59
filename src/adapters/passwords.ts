// Passwords by Argon2id (RFC 9106), with OWASP's least cost: 19 MiB and two passes, in libuv's pool.

import type { Passwords } from '../flow/ports/directory.ts';

/** Compared with when there is nobody, so that a wrong name costs as much time as a wrong password. */
let nobody: Promise<string> | undefined;

export const argonPasswords: Passwords = {
  hash: async (password) => {
    // Loaded when it is needed: most commands have nothing to do with passwords.
    const { hash } = await import('@node-rs/argon2');
    return hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  },
  verify: async (stored, password) => {
    const { verify } = await import('@node-rs/argon2');
    nobody ??= argonPasswords.hash('nobody has this one');
    const matches = await verify(stored ?? (await nobody), password);
    return stored !== undefined && matches;
  },
};
