// check-file of draft-ietf-secsh-filexfer-extensions §3: one SHA-256 over the first bytes (block size 0), computed there.

import { AppError } from '../../core/errors.ts';
import { string, uint32, uint64, type Fields } from './wire.ts';

/** The fields behind the extension's name. `what`: a path or a handle, as a string. A length of 0 would mean "to the end". */
export const sha256Request = (what: Buffer, lengthBytes: number): readonly Uint8Array[] => [
  what,
  string('sha256'),
  uint64(0),
  uint64(lengthBytes),
  uint32(0),
];

/** Lower-case hex. The draft has the word `check-file` in the reply, some servers leave it out. */
export function readSha256(fields: Fields): string {
  const first = fields.string().toString('latin1');
  const algorithm = first === 'check-file' ? fields.string().toString('latin1') : first;
  if (algorithm !== 'sha256' || fields.left !== 32) {
    throw new AppError('REMOTE_REFUSED', { detail: 'not a SHA-256 in the reply to check-file' });
  }
  return fields.take(32).toString('hex');
}
