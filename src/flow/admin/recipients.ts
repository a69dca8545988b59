// Recipient keys: whose public key the files of a project are encrypted to. A wrong key here hands images to a stranger,
// so the caller must show that somebody compared the fingerprint over another channel.

import { AppError } from '../../core/errors.ts';
import type { Recipient } from '../ports/directory.ts';
import type { RecipientKey } from '../ports/recipient-keys.ts';
import { needProject, type AdminParts } from './parts.ts';
import { checkPartner } from './projects.ts';

export interface RecipientAdmin {
  /** What is in the file, judged, before anything is kept. Throws RECIPIENT_KEY. */
  inspect(file: Uint8Array): Promise<RecipientKey>;
  /** `confirmed`: the fingerprint as a person gave it. BAD_INPUT when it is none, RECIPIENT_KEY when it is another's. */
  add(request: {
    readonly project: string;
    readonly partner: string;
    readonly file: Uint8Array;
    readonly confirmed: string;
  }): Promise<{ readonly recipient: Recipient; readonly isNew: boolean }>;
  list(filter: {
    readonly project?: string;
    readonly partner?: string;
  }): Promise<readonly Recipient[]>;
  remove(request: {
    readonly project: string;
    readonly partner: string;
    readonly fingerprint: string;
  }): Promise<Recipient>;
}

/** As people type it: spaces, colons, case and 0x do not matter. */
const plain = (fingerprint: string): string =>
  fingerprint
    .replace(/^\s*0x/i, '')
    .replace(/[\s:]/g, '')
    .toUpperCase();

/** Throws BAD_INPUT unless a whole fingerprint is given (a short key ID can be forged), RECIPIENT_KEY when it is another's. */
function confirmFingerprint(given: string, actual: string): void {
  if (!/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(plain(given))) {
    throw new AppError('BAD_INPUT', {
      detail: 'the fingerprint must be whole: 40 (or 64) hexadecimal digits, not a key ID',
    });
  }
  if (plain(given) !== plain(actual)) {
    throw new AppError('RECIPIENT_KEY', {
      detail: `it has the fingerprint ${actual}, which is not the one that was given; nothing was added`,
    });
  }
}

export function createRecipientAdmin(parts: AdminParts): RecipientAdmin {
  const { recipients, recipientKeys } = parts;
  return {
    inspect: (file) => recipientKeys.inspect(file),
    add: async (request) => {
      const project = await needProject(parts, request.project);
      const partner = await checkPartner(parts, request.partner);
      const key = await recipientKeys.inspect(request.file);
      confirmFingerprint(request.confirmed, key.fingerprint);
      return recipients.put({
        projectId: project.id,
        partner,
        fingerprint: key.fingerprint,
        userId: key.userId,
        algorithm: key.algorithm,
        armored: key.armored,
        expiresAt: key.expiresAt?.getTime() ?? null,
      });
    },
    list: async (filter) => {
      const project =
        filter.project === undefined ? undefined : await needProject(parts, filter.project);
      return recipients.list({
        ...(project === undefined ? {} : { projectId: project.id }),
        ...(filter.partner === undefined ? {} : { partner: filter.partner }),
      });
    },
    remove: async (request) => {
      const project = await needProject(parts, request.project);
      const there = await recipients.list({ projectId: project.id, partner: request.partner });
      const found = there.find((one) => one.fingerprint === plain(request.fingerprint));
      if (found === undefined) {
        throw new AppError('NOT_FOUND', { detail: 'no such key; see clubhouse recipient list' });
      }
      await recipients.remove(found.id);
      return found;
    },
  };
}
