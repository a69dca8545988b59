// The master key and what is derived from it. One 32-byte file in keys/; every other secret is HKDF-SHA-256 (RFC 5869) of
// it with a label, so that a project's keys are lost with the project's id and nothing else has to be kept.

import { hkdfSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AppError } from '../core/errors.ts';
import type { ProjectKeys } from '../flow/ports/processing.ts';
import { writeNew } from './whole-file.ts';

export interface Secrets {
  /** 32 bytes for one purpose. The same label gives the same bytes, for ever. */
  derive(label: string): Uint8Array;
  projectKeys(projectId: string): ProjectKeys;
}

/** Makes the file (0600); refuses to overwrite one, since everything sealed with it would be lost. */
export async function makeMasterKey(path: string): Promise<void> {
  await writeNew(path, `${randomBytes(32).toString('hex')}\n`);
}

export async function loadSecrets(path: string): Promise<Secrets> {
  const text = (
    await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new AppError('CONFIG_INVALID', {
        cause,
        detail: 'keys/master.key cannot be read; restore it from the place where it was kept safe',
      });
    })
  ).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new AppError('CONFIG_INVALID', {
      detail: 'keys/master.key is not 64 hexadecimal digits',
    });
  }
  const master = Buffer.from(text, 'hex');
  const derive = (label: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', master, 'clubhouse', label, 32));
  return {
    derive,
    projectKeys: (projectId) => {
      const hex = (purpose: string): string =>
        Buffer.from(derive(`project/${projectId}/${purpose}`)).toString('hex');
      return { uid: hex('uid'), name: hex('name'), identity: hex('identity') };
    },
  };
}
