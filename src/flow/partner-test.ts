// `partner test`: is the partner's server there, is it the pinned one, does it let us in, may we write where the files go?

import { randomUUID } from 'node:crypto';
import { AppError, codeOf } from '../core/errors.ts';
import { sharedFolder } from '../core/tree.ts';
import type { Partners } from './ports/partners.ts';
import type { Remote, Remotes } from './ports/replication.ts';

export interface PartnerTest {
  /** As presented and equal to the pinned one. */
  readonly hostKey: string;
  /** How deliveries will be proven there. */
  readonly proof: 'check-file' | 'read-back' | 'size';
  /** The project in whose folder a small file was written and removed; undefined when no project names the partner. */
  readonly project: string | undefined;
}

/** Throws the AppError of the first step that fails: NOT_FOUND, REMOTE_UNREACHABLE, REMOTE_HOST_KEY, REMOTE_AUTH, REMOTE_REFUSED. */
export async function testPartner(
  parts: { readonly site: string; readonly partners: Partners; readonly remotes: Remotes },
  code: string,
  signal: AbortSignal,
): Promise<PartnerTest> {
  const partner = await parts.partners.find(code);
  if (partner?.address === undefined) {
    throw new AppError('NOT_FOUND', {
      detail: `the server of partner ${code} is not known; run partner add`,
    });
  }
  const [project] = await parts.partners.projects(code);
  const remote = await parts.remotes.connect(partner.address, signal);
  try {
    if (project !== undefined) {
      await tryToWrite(remote, `/home/${sharedFolder(project.name, parts.site, code)}`, signal);
    }
    const byReading = partner.verify === 'size' ? 'size' : 'read-back';
    return {
      hostKey: remote.hostKey,
      proof: remote.hashes ? 'check-file' : byReading,
      project: project?.name,
    };
  } finally {
    await remote.close();
  }
}

async function tryToWrite(remote: Remote, folder: string, signal: AbortSignal): Promise<void> {
  const text = new TextEncoder().encode('Clubhouse was here\n');
  const path = `${folder}/.clubhouse-${randomUUID()}.part`;
  const source = {
    readInto: ([target]: readonly Uint8Array[], offset: number): Promise<number> => {
      const piece = text.subarray(offset, offset + (target?.length ?? 0));
      target?.set(piece);
      return Promise.resolve(piece.length);
    },
  };
  await remote.ensureFolder(folder).catch((cause: unknown) => {
    if (codeOf(cause) !== 'REMOTE_REFUSED') throw cause;
    throw new AppError('NOT_FOUND', {
      cause,
      detail: `our login works, but there is no ${folder} for us; is there a project of this name, with us as its partner?`,
    });
  });
  try {
    const how = { offset: 0, sizeBytes: text.length, modifiedMs: 0 };
    const arrived = await remote.put(source, path, how, signal);
    if (arrived !== text.length) throw new AppError('REMOTE_MISMATCH', { detail: 'size' });
  } finally {
    await remote.remove(path);
  }
}
