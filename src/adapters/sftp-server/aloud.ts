// OpenSSH's sftp and scp, and PuTTY's psftp, throw the text of a STATUS away and print "Permission denied" or "Failure" in its
// place. What comes on the channel's standard error they print as it is, so a person hears the sentence that way. Only they are
// told: libraries that never read it would have it fill their window. FileZilla reads it and shows it to nobody.

import type { ServerChannel } from 'ssh2';
import type { AppError, ErrorCode } from '../../core/errors.ts';
import { textOf } from './encode.ts';

/** Those that say what to do. A name that exists already, say, is what `put -r` asks about at each folder. */
const worthHearing: readonly ErrorCode[] = [
  ...(['READ_ONLY', 'RESERVED_NAME', 'RENAME_ACROSS', 'BAD_NAME', 'NOT_EMPTY'] as const),
  'IS_A_DIRECTORY',
  ...(['TOO_MANY_HANDLES', 'QUOTA_REACHED', 'LOW_SPACE', 'DISK_FULL', 'STORAGE_FAILED'] as const),
  ...(['ACCOUNT_EXPIRED', 'LOGIN_ENDED'] as const),
];

/** A folder of ten thousand refused files is one sentence. */
const againMs = 30_000;

export type Aloud = (failure: AppError) => void;

/** `software`: what the client calls itself in its greeting. */
export function createAloud(channel: ServerChannel, software: string, now: () => number): Aloud {
  if (!/^(OpenSSH|PuTTY)_/.test(software)) return () => undefined;
  const said = new Map<string, number>();
  return (failure) => {
    if (!worthHearing.includes(failure.code) || !channel.writable) return;
    const text = textOf(failure);
    if (now() - (said.get(text) ?? -againMs) < againMs) return;
    said.set(text, now());
    try {
      channel.stderr.write(`clubhouse: ${text}\n`);
    } catch {
      // ssh2 throws once its socket has ended; the connection's own events follow.
    }
  };
}
