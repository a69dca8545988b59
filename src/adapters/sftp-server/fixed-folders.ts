// The fixed folders of SPEC 3 are there before anybody looks.

import { fixedFolders } from '../../core/tree.ts';
import type { Principal } from '../../flow/ports/accounts.ts';
import type { Log } from '../../flow/ports/clock.ts';
import type { Storage } from '../../flow/ports/storage.ts';
import { asFailure } from './status.ts';

export async function makeFolders(
  parts: { readonly site: string; readonly storage: Storage; readonly log: Log },
  principal: Principal,
): Promise<void> {
  for (const folder of fixedFolders(principal, parts.site)) {
    try {
      await parts.storage.ensureFolder(folder);
    } catch (error) {
      asFailure(error, parts.log, 'folders');
    }
  }
}
