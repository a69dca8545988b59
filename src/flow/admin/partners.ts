// Partners: where their servers are and with which keys their replicators log in here (SPEC 5).

import { AppError } from '../../core/errors.ts';
import { readWindow } from '../../core/send-window.ts';
import type { SshKey } from '../ports/directory.ts';
import type { Partner, PartnerKey, PartnerPace, Verify } from '../ports/partners.ts';
import { needNetworks, type AdminParts } from './parts.ts';
import { checkPartner } from './projects.ts';

export interface PartnerView extends Partner {
  readonly acceptedKeys: readonly PartnerKey[];
  /** Names of the active projects that name it. */
  readonly projects: readonly string[];
}

export interface PartnerAdmin {
  /** Pins the host key; `hostKey` is `SHA256:…` as ssh-keygen -l prints it. BAD_INPUT when it is not. */
  add(request: {
    readonly code: string;
    readonly host: string;
    readonly port: number;
    readonly user: string | undefined;
    readonly hostKey: string;
    readonly verify: Verify | undefined;
  }): Promise<'added' | 'updated'>;
  /** How much and when files are sent there. BAD_INPUT for what is no window. */
  setPace(code: string, pace: PartnerPace): Promise<void>;
  /** With those that only a project names. */
  list(): Promise<readonly PartnerView[]>;
  remove(code: string): Promise<void>;
  /** Lets the partner's replicator log in here. `key`: text of its public key file. */
  accept(
    code: string,
    key: string,
    /** Networks from which it opens; undefined: as the key's line says with from="…", else as it is. */
    sources?: readonly string[],
  ): Promise<{ readonly key: SshKey; readonly result: 'added' | 'updated' }>;
  /** Takes one accepted key back; answers how many are left. NOT_FOUND when the partner has no such key. */
  removeKey(code: string, fingerprint: string): Promise<number>;
}

export function createPartnerAdmin(parts: AdminParts, actor: string): PartnerAdmin {
  const { partners } = parts;
  return {
    add: async ({ code, host, port, user, hostKey, verify }) => {
      await checkPartner(parts, code);
      if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(hostKey)) {
        throw new AppError('BAD_INPUT', {
          detail: '--host-key is SHA256: and 43 characters, as ssh-keygen -l and init print it',
        });
      }
      const address = { host, port, user: user ?? parts.site, hostKey };
      return partners.add({ code, address, verify }, actor);
    },
    setPace: async (code, pace) => {
      // A window has the same form in every time zone.
      if (typeof pace.window === 'string') readWindow(pace.window, 'UTC');
      if (pace.limitBytes === 0) {
        throw new AppError('BAD_INPUT', {
          detail: 'a limit is more than nothing; none takes it back',
        });
      }
      await partners.setPace(code, pace, actor);
    },
    list: async () => {
      const known = await partners.list();
      const codes = new Set(known.map((partner) => partner.code));
      const named = (await parts.projects.list()).flatMap((project) => project.partners);
      const only = [...new Set(named)].filter((code) => !codes.has(code)).map(bare);
      const all = [...known, ...only].sort((a, b) => (a.code < b.code ? -1 : 1));
      return Promise.all(
        all.map(async (partner) => ({
          ...partner,
          acceptedKeys: await partners.acceptedKeys(partner.code),
          projects: (await partners.projects(partner.code)).map((project) => project.name),
        })),
      );
    },
    remove: (code) => partners.remove(code, actor),
    accept: async (code, text, sources) => {
      await checkPartner(parts, code);
      const key = parts.sshKeys.parse(text);
      const { fingerprint, algorithm, blob } = key;
      const from = sources ?? key.sources;
      const bound = from === undefined ? {} : { sources: needNetworks(from) };
      const accepted = { fingerprint, algorithm, blob, ...bound };
      return { key, result: await partners.accept(code, accepted, actor) };
    },
    removeKey: async (code, fingerprint) => {
      if (!(await partners.removeKey(code, fingerprint, actor))) {
        throw new AppError('NOT_FOUND', {
          detail: `${code} has no accepted key ${fingerprint}; see clubhouse partner list`,
        });
      }
      return (await partners.acceptedKeys(code)).length;
    },
  };
}

/** A partner that a project names and nobody added yet. */
const bare = (code: string): Partner => ({
  code,
  address: undefined,
  verify: 'hash',
  alarm: undefined,
  lastPassAt: undefined,
  lastSuccessAt: undefined,
  failures: 0,
  createdAt: 0,
  limitBytes: undefined,
  window: undefined,
});
